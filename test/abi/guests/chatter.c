// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Prints 200 lines of 64 bytes that say who speaks (a byte read at the start) and in which order.
#include "course.h"

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  uint8_t who = getchar();
  for (int line = 0; line < 200; ++line) {
    for (int i = 0; i < 63; ++i) putchar(who);
    putchar('\n');
  }
  for (;;) asm("hlt");
}
