// Text on port 0xE9, or on a PC's serial port, for kernels of 32 and 64 bits.
#pragma once

#include <stdint.h>

#ifdef PC
#define CONSOLE 0x3F8
#else
#define CONSOLE 0xE9
#endif

static inline void print_character(char character) {
  __asm__ volatile("outb %0, %1" : : "a"(character), "Nd"((uint16_t)CONSOLE));
}

static inline void print(char const* text) {
  while (*text) print_character(*text++);
}

static inline void print_hex(uint64_t value) {
  print("0x");
  int shift = 60;
  while (shift > 0 && (value >> shift) == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) print_character("0123456789abcdef"[(value >> shift) & 15]);
}
