// What both machines have beside the device: serial port, interrupt controllers, time.
#pragma once

#include <guest.h>
#include <stdint.h>

enum { kSerial = 0x3F8, kSerialLine = 4 };
enum { kDeviceVector = 0x40, kSerialVector = 0x41, kSpuriousVector = 0xFF };
enum InterruptOf { kOfDevice, kOfSerial, kOfOther };

/// Halts until an interrupt has come; interrupts are off before and after.
enum InterruptOf wait_for_interrupt(void);

static inline void apic_write(uint32_t offset, uint32_t value) {
  *(uint32_t volatile*)(0xFEE00000u + offset) = value;
}

static inline uint32_t apic_read(uint32_t offset) {
  return *(uint32_t volatile*)(0xFEE00000u + offset);
}

static inline void end_of_interrupt(void) { apic_write(0xB0, 0); }

/// Routes every line that a device may have to one vector, the serial port's to another.
void platform_setup(void);

static inline uint64_t cycles(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
}

/// A store before it is seen before what is loaded behind it.
static inline void fence(void) {
  int nothing = 0;
  __asm__ volatile("lock; addl $0, %0" : "+m"(nothing) : : "memory");
}

static inline void compiler_fence(void) { __asm__ volatile("" : : : "memory"); }

// --- Text

void print(char const* text);
void print_number(uint32_t number);
void print_hexadecimal(uint64_t number);

/// What the device has an interrupt for was seen in its ring; for it to be able to raise the next.
void device_interrupted(void);

/// The next byte; halts until there is one.
char read_byte(void);

/// The next line without its end, at most `size` - 1 bytes of it.
void read_line(char* to, uint32_t size);
