/// What a guest of `simple_kvm_io` can call: a serial port and a disk.
///
/// ```c
/// #include <simple_io.h>
///
/// int main(void) {
///   static struct DiskStatus status;
///   static char sector[SECTOR_SIZE];
///   printf("%s\n", disk_setup(&status) == 0 && disk_read(&status, 0, sector) == 0 ? sector : "?");
///   return 0;
/// }
/// ```
///
/// The same source makes two guests: one for ports, and with -DSIMPLE_IO_MMIO one for registers in
/// memory. It also serves assembly, which gets the numbers and the three macros. One C file of a
/// guest includes it, for it defines `putchar`.

#ifndef PORTICO_SIMPLE_IO_H
#define PORTICO_SIMPLE_IO_H

// --- Registers, by their ports; all are written only

#define SERIAL 0x10        // byte
#define DISK_SECTOR 0x20   // dword
#define DISK_ADDRESS 0x21  // dword
#define DISK_COMMAND 0x22  // byte

// Where a register stands in memory.
#define IN_MEMORY(port) (0x200000 + 8 * (port))

#define COMMAND_READ 0
#define COMMAND_WRITE 1
#define COMMAND_SETUP 2

#define SECTOR_SIZE 512

#ifdef __ASSEMBLER__
// clang-format off

// write_byte PORT: %al to a register. write_dword PORT: %eax to a register.
// print_bytes: %rcx bytes at %rsi to the serial port, by one string instruction if it has ports.
// All change %edx, the last also %rax, %rcx and %rsi.
  .macro write_byte port
#ifdef SIMPLE_IO_MMIO
  movb %al, IN_MEMORY(\port)
#else
  mov $\port, %edx
  outb %al, %dx
#endif
  .endm

  .macro write_dword port
#ifdef SIMPLE_IO_MMIO
  movl %eax, IN_MEMORY(\port)
#else
  mov $\port, %edx
  outl %eax, %dx
#endif
  .endm

  .macro print_bytes
  cld
#ifdef SIMPLE_IO_MMIO
1:
  lodsb
  movb %al, IN_MEMORY(SERIAL)
  loop 1b
#else
  mov $SERIAL, %edx
  rep outsb
#endif
  .endm

// clang-format on
#else  // C

#include <guest.h>

// write_byte(port, value), read_byte(port) and so on: one access of that width to a register.
#ifdef SIMPLE_IO_MMIO
#define SIMPLE_IO_ACCESS(name, letter, type)                       \
  static inline void write_##name(uint16_t port, type value) {     \
    __asm__ volatile("mov" letter " %0, (%1)"                      \
                     :                                             \
                     : "r"(value), "r"(IN_MEMORY((uintptr_t)port)) \
                     : "memory");                                  \
  }                                                                \
  static inline type read_##name(uint16_t port) {                  \
    type value;                                                    \
    __asm__ volatile("mov" letter " (%1), %0"                      \
                     : "=r"(value)                                 \
                     : "r"(IN_MEMORY((uintptr_t)port))             \
                     : "memory");                                  \
    return value;                                                  \
  }
#else
#define SIMPLE_IO_ACCESS(name, letter, type)                                        \
  static inline void write_##name(uint16_t port, type value) {                      \
    __asm__ volatile("out" letter " %0, %1" : : "a"(value), "Nd"(port) : "memory"); \
  }                                                                                 \
  static inline type read_##name(uint16_t port) {                                   \
    type value;                                                                     \
    __asm__ volatile("in" letter " %1, %0" : "=a"(value) : "Nd"(port) : "memory");  \
    return value;                                                                   \
  }
#endif
SIMPLE_IO_ACCESS(byte, "b", uint8_t)
SIMPLE_IO_ACCESS(word, "w", uint16_t)
SIMPLE_IO_ACCESS(dword, "l", uint32_t)

/// Prints one byte to the serial port: `printf` goes there too.
void putchar(char c) { write_byte(SERIAL, (uint8_t)c); }

// --- The disk

/// What the disk keeps in guest memory, once it knows where: 12 bytes.
struct __attribute__((packed)) DiskStatus {
  uint64_t size;  ///< of the disk, in bytes
  int32_t error;  ///< of the last command: 0, or 5, 14, 22, 30 as in Linux
};

/// One command, with its sector and its address.
static inline void disk_command(uint8_t command, uint32_t sector, void const volatile* address) {
  write_dword(DISK_SECTOR, sector);
  write_dword(DISK_ADDRESS, (uint32_t)(uintptr_t)address);
  write_byte(DISK_COMMAND, command);
}

/// Tells the disk where its status is to be, before anything else, once.
/// @return 0, or -1 if there is no disk
static inline int32_t disk_setup(struct DiskStatus volatile* status) {
  status->error = -1;
  disk_command(COMMAND_SETUP, 0, status);
  return status->error;
}

/// Reads one sector into `data`.
/// @return 0, or an error
static inline int32_t disk_read(struct DiskStatus volatile* status, uint32_t sector, void* data) {
  disk_command(COMMAND_READ, sector, data);
  return status->error;
}

/// Writes one sector from `data`.
/// @return 0, or an error
static inline int32_t disk_write(struct DiskStatus volatile* status, uint32_t sector,
                                 void const* data) {
  disk_command(COMMAND_WRITE, sector, data);
  return status->error;
}

/// Ends the guest with these values in EAX and EDX, which the monitor prints.
static inline _Noreturn void halt_with(uint32_t eax, uint32_t edx) {
  for (;;) __asm__ volatile("hlt" : : "a"(eax), "d"(edx));
}

#endif
#endif
