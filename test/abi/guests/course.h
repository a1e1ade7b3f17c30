// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// The wrapper functions at the top of a course guest: terminal at port 0xE9, files at port 0x278,
// one byte per access.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TERMINAL_PORT 0x00E9
#define FILE_PORT 0x0278
#define END_OF_FILE 0xFF

static inline void outb(uint16_t port, uint8_t value) {
  asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port) {
  uint8_t value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

static inline void putchar(uint8_t c) { outb(TERMINAL_PORT, c); }

static inline uint8_t getchar(void) { return inb(TERMINAL_PORT); }

static inline void print(char const* text) {
  while (*text) putchar((uint8_t)*text++);
}

static inline void print_number(long number) {
  char digits[24];
  int count = 0;
  if (number < 0) {
    putchar('-');
    number = -number;
  }
  do {
    digits[count++] = (char)('0' + number % 10);
    number /= 10;
  } while (number);
  while (count) putchar((uint8_t)digits[--count]);
}

static inline void send_descriptor(int file) {
  outb(FILE_PORT, (uint8_t)(file >> 24));
  outb(FILE_PORT, (uint8_t)(file >> 16));
  outb(FILE_PORT, (uint8_t)(file >> 8));
  outb(FILE_PORT, (uint8_t)file);
}

static inline int fopen(char const* name, char mode) {
  uint32_t file = 0;
  outb(FILE_PORT, mode == 'r' ? 1 : 2);
  while (*name) outb(FILE_PORT, (uint8_t)*name++);
  outb(FILE_PORT, 0);
  for (int i = 0; i < 4; ++i) file = file << 8 | inb(FILE_PORT);
  return (int)file;
}

static inline uint8_t fclose(int file) {
  outb(FILE_PORT, 3);
  send_descriptor(file);
  return inb(FILE_PORT);
}

static inline uint8_t fread(int file) {
  outb(FILE_PORT, 4);
  send_descriptor(file);
  return inb(FILE_PORT);
}

static inline uint8_t fwrite(int file, uint8_t data) {
  outb(FILE_PORT, 5);
  send_descriptor(file);
  outb(FILE_PORT, data);
  return inb(FILE_PORT);
}

static inline void fwrite_text(int file, char const* text) {
  while (*text) fwrite(file, (uint8_t)*text++);
}
