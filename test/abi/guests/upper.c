// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Level C of the assignment: reads a shared file, writes its own, reads that back to the terminal.
#include "course.h"

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  uint8_t c;
  int from = fopen("shared.txt", 'r');
  int to = fopen("upper.txt", 'w');
  if (from < 0 || to < 0) {
    print("cannot open\n");
    for (;;) asm("hlt");
  }
  while ((c = fread(from)) != END_OF_FILE) {
    if (c >= 'a' && c <= 'z') c = (uint8_t)(c - 'a' + 'A');
    if (fwrite(to, c) != c) print("cannot write\n");
  }
  if (fclose(from) != 0 || fclose(to) != 0) print("cannot close\n");
  if (fopen("nothing.txt", 'r') != -1) print("opened nothing\n");

  from = fopen("upper.txt", 'r');
  while ((c = fread(from)) != END_OF_FILE) putchar(c);
  fclose(from);
  for (;;) asm("hlt");
}
