// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// A guest whose initialised data take it well past 64 KiB.
#include "course.h"

static uint32_t numbers[25000] = {[0 ... 24998] = 0x01020304, [24999] = 7};

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  uint64_t sum = 0;
  for (int i = 0; i < 25000; ++i) sum += numbers[i];
  print_number((long)sum);
  print("\n");
  for (;;) asm("hlt");
}
