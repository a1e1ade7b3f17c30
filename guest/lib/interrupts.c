// Descriptor tables, 8259A controllers, handlers.

#include <guest.h>
#include <interrupts.h>

enum { kLines = 16, kFirstVector = 0x20, kCode = 0x08 };

enum {
  kMaster = 0x20,  // command; data at the next port
  kSlave = 0xA0,
  kTriggers = 0x4D0,  // a bit for each line: level-triggered; then the slave's
  kCascade = 2,       // the master's line that the slave is on
};

enum {
  kInitialise = 0x11,     // ICW1: edges, cascaded, ICW4 follows
  k8086 = 0x01,           // ICW4
  kEndOfInterrupt = 0x20  // OCW2: the highest that is in service
};

struct __attribute__((packed)) Pointer {
  uint16_t limit;
  uint64_t base;
};

struct Gate {
  uint16_t offset_low;
  uint16_t selector;
  uint8_t stack;
  uint8_t type;
  uint16_t offset_middle;
  uint32_t offset_high;
  uint32_t zero;
};

struct Frame;  // what the processor pushed

// The selectors that the machine starts with, 0x08 and 0x10, now in a table of ours: iretq loads
// them from there.
static uint64_t const segments[3] = {0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF};

static struct Gate gates[kFirstVector + kLines];

static void (*handlers[kLines])(void);

static void handle(unsigned line) {
  // A line that fell before the controller was asked gives its last line, which nobody uses.
  if (handlers[line]) handlers[line]();
  if (line >= 8) outb(kSlave, kEndOfInterrupt);
  outb(kMaster, kEndOfInterrupt);
}

#define ENTRY(line)                                                          \
  static __attribute__((interrupt)) void entry_##line(struct Frame* frame) { \
    (void)frame;                                                             \
    handle(line);                                                            \
  }
ENTRY(0);
ENTRY(1);
ENTRY(2);
ENTRY(3);
ENTRY(4);
ENTRY(5);
ENTRY(6);
ENTRY(7);
ENTRY(8);
ENTRY(9);
ENTRY(10);
ENTRY(11);
ENTRY(12);
ENTRY(13);
ENTRY(14);
ENTRY(15);

static void set_gate(unsigned line, void (*entry)(struct Frame*)) {
  uint64_t address = (uint64_t)entry;
  gates[kFirstVector + line] = (struct Gate){
      .offset_low = (uint16_t)address,
      .selector = kCode,
      .type = 0x8E,  // present, ring 0, interrupt gate: interrupts are off in it
      .offset_middle = (uint16_t)(address >> 16),
      .offset_high = (uint32_t)(address >> 32),
  };
}

static void set_up(uint16_t controller, uint8_t vector, uint8_t cascade) {
  outb(controller, kInitialise);
  outb(controller + 1, vector);
  outb(controller + 1, cascade);
  outb(controller + 1, k8086);
  outb(controller + 1, 0xFF);  // all masked
}

void interrupts_setup(void) {
  static void (*const entries[kLines])(struct Frame*) = {
      entry_0, entry_1, entry_2,  entry_3,  entry_4,  entry_5,  entry_6,  entry_7,
      entry_8, entry_9, entry_10, entry_11, entry_12, entry_13, entry_14, entry_15};
  for (unsigned line = 0; line < kLines; ++line) set_gate(line, entries[line]);
  struct Pointer table = {sizeof segments - 1, (uint64_t)segments};
  __asm__ volatile("lgdt %0" : : "m"(table));
  table = (struct Pointer){sizeof gates - 1, (uint64_t)gates};
  __asm__ volatile("lidt %0" : : "m"(table));
  set_up(kMaster, kFirstVector, 1 << kCascade);
  set_up(kSlave, kFirstVector + 8, kCascade);
}

void interrupt_handler(unsigned line, bool level, void (*handler)(void)) {
  handlers[line] = handler;
  uint16_t triggers = line < 8 ? kTriggers : kTriggers + 1;
  uint8_t bit = (uint8_t)(1u << line % 8);
  outb(triggers, (uint8_t)(level ? inb(triggers) | bit : inb(triggers) & ~bit));
  uint16_t mask = line < 8 ? kMaster + 1 : kSlave + 1;
  outb(mask, (uint8_t)(inb(mask) & ~bit));
  if (line >= 8) outb(kMaster + 1, (uint8_t)(inb(kMaster + 1) & ~(1u << kCascade)));
}
