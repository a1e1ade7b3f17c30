// Serial port, descriptor tables, IOAPIC and local APIC.

#include "platform.h"

struct __attribute__((packed)) Pointer {
  uint16_t limit;
  uint32_t base;
};

struct Gate {
  uint16_t offset_low;
  uint16_t selector;
  uint16_t type;
  uint16_t offset_high;
};

static uint64_t const segments[3] = {0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF};
static struct Gate gates[256];

void device_interrupt(void);
void serial_interrupt(void);
void other_interrupt(void);

static void set_gate(unsigned vector, void (*handler)(void)) {
  uint32_t address = (uint32_t)handler;
  gates[vector] = (struct Gate){.offset_low = (uint16_t)address,
                                .selector = 8,
                                .type = 0x8E00,  // present, ring 0, 32-bit interrupt gate
                                .offset_high = (uint16_t)(address >> 16)};
}

static void set_tables(void) {
  for (unsigned vector = 0x20; vector < 256; ++vector) set_gate(vector, other_interrupt);
  set_gate(kDeviceVector, device_interrupt);
  set_gate(kSerialVector, serial_interrupt);
  struct Pointer pointer = {sizeof segments - 1, (uint32_t)segments};
  // No segment register is loaded: those that the loader has left are flat.
  __asm__ volatile("lgdt %0" : : "m"(pointer));
  __asm__ volatile("ljmp $8, $1f\n1:" : : : "memory");
  pointer = (struct Pointer){sizeof gates - 1, (uint32_t)gates};
  __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void set_line(uint32_t line, uint32_t vector) {
  uint32_t volatile* io = (uint32_t volatile*)0xFEC00000u;
  io[0] = 0x11 + 2 * line;
  io[4] = apic_read(0x20) & 0xFF000000u;  // to this processor
  io[0] = 0x10 + 2 * line;
  io[4] = vector;  // fixed, physical, edge, high, not masked
}

void platform_setup(void) {
  set_tables();
  outb(0x21, 0xFF);  // 8259A, where there is one
  outb(0xA1, 0xFF);
  apic_write(0xF0, 0x100 | kSpuriousVector);  // on
  apic_write(0x350, 0x10000);                 // its own pins masked
  apic_write(0x360, 0x10000);
  set_line(kSerialLine, kSerialVector);
  // A machine with virtio devices on lines 5 to 12, and one on 16 to 23.
  for (uint32_t line = 5; line <= 12; ++line) set_line(line, kDeviceVector);
  for (uint32_t line = 16; line <= 23; ++line) set_line(line, kDeviceVector);
  outb(kSerial + 1, 0x01);  // an interrupt when a byte has come
  outb(kSerial + 2, 0x01);  // FIFO
  outb(kSerial + 4, 0x0B);  // OUT2 lets it through
}

// --- Text

void print(char const* text) {
  for (; *text; ++text) outb(kSerial, (uint8_t)*text);
}

void print_number(uint32_t number) {
  char digits[11];
  char* at = digits + sizeof digits - 1;
  *at = 0;
  do *--at = (char)('0' + number % 10);
  while (number /= 10);
  print(at);
}

void print_hexadecimal(uint64_t number) {
  char digits[17];
  for (unsigned i = 0; i < 16; ++i) digits[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
  digits[16] = 0;
  print(digits);
}

char read_byte(void) {
  while (!(inb(kSerial + 5) & 1)) {
    enum InterruptOf source = wait_for_interrupt();
    if (source == kOfSerial) inb(kSerial + 2);
    if (source == kOfDevice) device_interrupted();
    end_of_interrupt();
  }
  return (char)inb(kSerial);
}

void read_line(char* to, uint32_t size) {
  uint32_t length = 0;
  for (char byte; (byte = read_byte()) != '\n';)
    if (length + 1 < size) to[length++] = byte;
  to[length] = 0;
}

// --- What the compiler calls

void* memset(void* to, int value, size_t size) {
  void* at = to;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
  return to;
}

void* memcpy(void* restrict to, void const* restrict from, size_t size) {
  void* at = to;
  __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
  return to;
}
