// What a kernel on a PC does when it has printed everything: the last word of its command line.
//
//   poweroff, reset, panic, fault, halt, spin     the end, in that way
//   exit7                                         by isa-debug-exit, with 7
//   echo                                          sends back what it receives up to a q; powers off
//   button                                        waits for the power button; powers off
//   sum                                           the same as echo without sending it; prints what it adds up to
#pragma once

#include <stdint.h>

#include "print.h"

static inline void out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value) {
  __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline uint16_t in16(uint16_t port) {
  uint16_t value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline _Bool is_word(char const* text, char const* word) {
  while (*word && *text == *word) ++text, ++word;
  return *text == *word;
}

static inline char const* last_word(char const* text) {
  char const* word = text;
  for (; *text; ++text)
    if (*text == ' ') word = text + 1;
  return word;
}

static inline void power_off(void) { out16(0x604, 0x2000 | 5 << 10); }

/// The next byte from the serial port.
static inline uint8_t receive(void) {
  while (!(in8(0x3FD) & 1)) continue;
  return in8(0x3F8);
}

static inline void listen(_Bool echoes) {
  out8(0x3FA, 0x07);  // FIFO, emptied
  print("listening\n");
  uint32_t count = 0, sum = 1;
  for (uint8_t byte; (byte = receive()) != 'q'; ++count) {
    sum = sum * 31 + byte;
    if (echoes) out8(0x3F8, byte);
  }
  print("\nreceived ");
  print_hex(count);
  print(" sum ");
  print_hex(sum);
  print("\n");
}

/// An exception with no table to handle it.
static inline void triple_fault(void) {
  struct __attribute__((packed)) {
    uint16_t limit;
    uintptr_t base;
  } const none = {0, 0};
  __asm__ volatile("lidt %0\n ud2" : : "m"(none));
}

static inline void wait_for_button(void) {
  print("listening\n");
  while (!(in16(0x600) & 1 << 8)) continue;
  power_off();
}

static inline void end_as_told(char const* command_line) {
  char const* const word = last_word(command_line);
  if (is_word(word, "echo") || is_word(word, "sum")) listen(word[0] == 'e'), power_off();
  if (is_word(word, "button")) wait_for_button();
  if (is_word(word, "poweroff")) power_off();
  if (is_word(word, "reset")) out8(0xCF9, 0x06);
  if (is_word(word, "panic")) out8(0x505, 0x01);
  if (is_word(word, "fault")) triple_fault();
  if (is_word(word, "exit7")) out8(0xF4, 7);
  while (is_word(word, "spin")) continue;
}
