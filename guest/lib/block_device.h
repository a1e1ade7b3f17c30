/// What a guest of the example `block_device` can call: a block device with DMA and an interrupt.
///
/// ```c
/// #include <block_device.h>
///
/// int main(void) {
///   static char sector[SECTOR_SIZE];
///   block_write32(BLOCK_COMMAND, BLOCK_INITIALISE);
///   block_start(0, 0, 1, sector);               // read sector 0
///   while (block_read32(BLOCK_COMMAND) & BLOCK_BUSY) continue;
///   printf("%s\n", sector);
///   end_with(0);
/// }
/// ```
///
/// The same source makes two guests: one for registers in memory, and with -DBLOCK_DEVICE_PORTS one
/// for ports, where each 64-bit register is two of 32 bits.

#ifndef PORTICO_BLOCK_DEVICE_H
#define PORTICO_BLOCK_DEVICE_H

#include <guest.h>

// --- Registers, by their offsets

#define BLOCK_COMMAND 0      // 32 bits; read: the status
#define BLOCK_ACKNOWLEDGE 4  // 32 bits, written only
#define BLOCK_ADDRESS 8      // 64 bits
#define BLOCK_SECTOR 16      // 64 bits
#define BLOCK_COUNT 24       // 32 bits

// Of the command and status register.
#define BLOCK_INITIALISE 0x01u
#define BLOCK_READY 0x02u
#define BLOCK_BUSY 0x04u
#define BLOCK_TO_DISK 0x08u
#define BLOCK_START 0x10u
#define BLOCK_ERROR 0x20u

/// The device's interrupt line, level-triggered.
#define BLOCK_LINE 5

#define SECTOR_SIZE 512

#ifdef BLOCK_DEVICE_PORTS
#define BLOCK_BASE 0x300

static inline void block_write32(unsigned offset, uint32_t value) {
  outl((uint16_t)(BLOCK_BASE + offset), value);
}

static inline uint32_t block_read32(unsigned offset) {
  return inl((uint16_t)(BLOCK_BASE + offset));
}

static inline void block_write64(unsigned offset, uint64_t value) {
  block_write32(offset, (uint32_t)value);
  block_write32(offset + 4, (uint32_t)(value >> 32));
}

static inline uint64_t block_read64(unsigned offset) {
  return block_read32(offset) | (uint64_t)block_read32(offset + 4) << 32;
}
#else
#define BLOCK_BASE 0xD0000000u

static inline void block_write32(unsigned offset, uint32_t value) {
  *(uint32_t volatile*)(uintptr_t)(BLOCK_BASE + offset) = value;
}

static inline uint32_t block_read32(unsigned offset) {
  return *(uint32_t volatile*)(uintptr_t)(BLOCK_BASE + offset);
}

static inline void block_write64(unsigned offset, uint64_t value) {
  *(uint64_t volatile*)(uintptr_t)(BLOCK_BASE + offset) = value;
}

static inline uint64_t block_read64(unsigned offset) {
  return *(uint64_t volatile*)(uintptr_t)(BLOCK_BASE + offset);
}
#endif

/// Starts a transfer of `count` sectors. `direction` is BLOCK_TO_DISK, or 0 to read.
static inline void block_start(uint32_t direction, uint64_t sector, uint32_t count,
                               void const volatile* address) {
  block_write64(BLOCK_ADDRESS, (uintptr_t)address);
  block_write64(BLOCK_SECTOR, sector);
  block_write32(BLOCK_COUNT, count);
  block_write32(BLOCK_COMMAND, direction | BLOCK_START);
}

/// Ends the machine; the monitor's exit status is `code`.
static inline _Noreturn void end_with(uint8_t code) {
  for (;;) outb(0x501, code);
}

#endif
