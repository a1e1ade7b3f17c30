// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Asks on a line without an end, and answers.
#include "course.h"

static char name[64];

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  int length = 0;
  uint8_t c;
  print("Name? ");
  while ((c = getchar()) != '\n' && c != END_OF_FILE && length < 63) name[length++] = (char)c;
  name[length] = 0;
  print("Hello, ");
  print(name);
  print("!\n");
  for (;;) asm("hlt");
}
