// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// The first guest that everybody writes.
#include "course.h"

static char const* message = "Hello, world!\n";
static int calls;

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  for (char const* p = message; *p; ++p) {
    putchar((uint8_t)*p);
    ++calls;
  }
  if (calls != 14) print("data broken\n");
  for (;;) asm("hlt");
}
