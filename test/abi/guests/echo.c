// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Repeats its input until the end, then says how many bytes there were.
#include "course.h"

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  long count = 0;
  uint8_t c;
  while ((c = getchar()) != END_OF_FILE) {
    putchar(c);
    ++count;
  }
  // The end of input is the end for good.
  for (int i = 0; i < 3; ++i) {
    if (getchar() != 0xFF) print("input after its end\n");
  }
  print("[");
  print_number(count);
  print("]\n");
  for (;;) asm("hlt");
}
