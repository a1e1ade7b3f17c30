// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// A guest that does what a script says, one port access at a time, and notes what comes back. The
// script stands behind the image (its length first); the test that appends it is probe.hpp, and
// says there what each operation means. Notes are lines of text, kept in memory from 1 MiB on until
// the end, so that taking them disturbs neither port.
#include "course.h"

#define NOTES ((char*)0x100000)
#define VARIABLES 64

extern uint8_t const image_end[];

static uint8_t const* script;
static uint32_t noted;
static int32_t variables[VARIABLES];

struct request {
  uint32_t operation;
  int32_t descriptor;
  uint64_t address;
  uint64_t length;
  int64_t result;
};

static uint64_t take(int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= (uint64_t)*script++ << (8 * i);
  return value;
}

static void note(uint8_t c) { NOTES[noted++] = (char)c; }

static void note_hex(uint64_t value, int bytes) {
  for (int i = 8 * bytes - 4; i >= 0; i -= 4) {
    uint8_t digit = (uint8_t)(value >> i & 15);
    note((uint8_t)(digit < 10 ? '0' + digit : 'a' + digit - 10));
  }
}

static void note_decimal(int64_t number) {
  char digits[24];
  int count = 0;
  uint64_t rest = (uint64_t)number;
  if (number < 0) {
    note('-');
    rest = 0 - rest;
  }
  do {
    digits[count++] = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest);
  while (count) note((uint8_t)digits[--count]);
}

static void note_text(char const* text) {
  while (*text) note((uint8_t)*text++);
}

static void out(uint16_t port, int width, uint32_t value) {
  if (width == 1) asm volatile("outb %b0, %1" : : "a"(value), "Nd"(port) : "memory");
  if (width == 2) asm volatile("outw %w0, %1" : : "a"(value), "Nd"(port) : "memory");
  if (width == 4) asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static uint32_t in(uint16_t port, int width) {
  uint32_t value = 0;
  if (width == 1) asm volatile("inb %1, %b0" : "+a"(value) : "Nd"(port) : "memory");
  if (width == 2) asm volatile("inw %1, %w0" : "+a"(value) : "Nd"(port) : "memory");
  if (width == 4) asm volatile("inl %1, %0" : "+a"(value) : "Nd"(port) : "memory");
  return value;
}

static void block_request(void) {
  uint32_t where = (uint32_t)take(4);
  uint8_t variable = (uint8_t)take(1);
  struct request* request = (struct request*)(uint64_t)where;
  uint32_t operation = (uint32_t)take(4);
  int32_t descriptor = (int32_t)take(4);
  if (operation >= 3 && operation <= 5 && variable < VARIABLES) descriptor = variables[variable];
  request->operation = operation;
  request->descriptor = descriptor;
  request->address = take(8);
  request->length = take(8);
  request->result = -77;
  out(FILE_PORT, 4, where);
  if (operation == 1 || operation == 2) {
    if (variable < VARIABLES) variables[variable] = (int32_t)request->result;
    if (request->result >= 0 && request->result < 0x7FFFFFFF) {
      note_text("open\n");
      return;
    }
  }
  note_decimal(request->result);
  note('\n');
}

static void print_notes(void) {
  for (uint32_t i = 0; i < noted; ++i) putchar((uint8_t)NOTES[i]);
  noted = 0;
}

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  script = image_end + 4;
  for (;;) {
    uint8_t operation = (uint8_t)take(1);
    switch (operation) {
      case 'o': {  // out: port, width, count, values
        uint16_t port = (uint16_t)take(2);
        int width = (int)take(1);
        uint32_t count = (uint32_t)take(4);
        while (count--) out(port, width, (uint32_t)take(width));
        break;
      }
      case 'i': {  // in: port, width, count
        uint16_t port = (uint16_t)take(2);
        int width = (int)take(1);
        uint32_t count = (uint32_t)take(4);
        while (count--) {
          note_hex(in(port, width), width);
          note(count ? ' ' : '\n');
        }
        break;
      }
      case 'v': {  // the reply of an open into a variable
        uint32_t value = 0;
        for (int i = 0; i < 4; ++i) value = value << 8 | inb(FILE_PORT);
        variables[take(1)] = (int32_t)value;
        if ((int32_t)value >= 0) {
          note_text("open\n");
        } else {
          note_decimal((int32_t)value);
          note('\n');
        }
        break;
      }
      case 'd':  // the descriptor in a variable
        send_descriptor(variables[take(1)]);
        break;
      case 'n': {  // whether two variables hold the same
        int32_t first = variables[take(1)];
        note_text(first == variables[take(1)] ? "same\n" : "different\n");
        break;
      }
      case 'b':
        block_request();
        break;
      case 'p': {  // poke: address, count, bytes
        uint8_t* to = (uint8_t*)take(8);
        uint32_t count = (uint32_t)take(4);
        while (count--) *to++ = (uint8_t)take(1);
        break;
      }
      case 'k': {  // peek: address, count
        uint8_t const* from = (uint8_t const*)take(8);
        uint32_t count = (uint32_t)take(4);
        while (count--) note_hex(*from++, 1);
        note('\n');
        break;
      }
      case 'f':  // print the notes so far, for a test that waits for them
        print_notes();
        break;
      case 's':
        for (;;) asm volatile("");
      case 'h':
        print_notes();
        for (;;) asm("hlt");
      case 'q':  // end without a word
        for (;;) asm("hlt");
      default:
        note_text("broken script\n");
        print_notes();
        for (;;) asm("hlt");
    }
  }
}
