// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// What a new compiler makes of arithmetic and of copies: SSE instructions, with no preparation by
// the guest.
#include "course.h"

static double volatile half = 0.5;
static float volatile third = 3.0F;

static struct block {
  uint64_t words[8];
} first = {{1, 2, 3, 4, 5, 6, 7, 8}}, second;

// The stack is aligned as at the start of a program, not as at the entry of a function.
void __attribute__((noreturn, force_align_arg_pointer, section(".start"))) _start(void) {
  double sum = 0;
  for (int i = 0; i < 10; ++i) sum += half * i + third;
  print_number((long)(sum * 10));
  asm volatile(
      "movups (%0), %%xmm0\n\t"
      "movups %%xmm0, (%1)\n\t"
      "movups 48(%0), %%xmm1\n\t"
      "movups %%xmm1, 48(%1)"
      :
      : "r"(&first), "r"(&second)
      : "memory", "xmm0", "xmm1");
  putchar(' ');
  print_number((long)(second.words[0] + second.words[1] + second.words[6] + second.words[7]));
  uint32_t control;
  asm volatile("stmxcsr %0" : "=m"(control));
  print(control == 0x1F80 ? " ok\n" : " mxcsr\n");
  for (;;) asm("hlt");
}
