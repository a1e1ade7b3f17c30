// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Writes to a shared file: from then on this guest has a file of its own under that name, and what
// it had open for reading before is lost.
#include "course.h"

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  uint8_t c;
  int early = fopen("shared.txt", 'r');
  print("first ");
  putchar(fread(early));
  int own = fopen("shared.txt", 'w');
  fwrite_text(own, "mine");
  fclose(own);
  print(fread(early) == 0xFF ? ", then lost" : ", then kept");
  print(fclose(early) == 0xFF ? ", close fails" : ", close works");
  print(", now ");
  own = fopen("shared.txt", 'r');
  while ((c = fread(own)) != END_OF_FILE) putchar(c);
  print("\n");
  for (;;) asm("hlt");
}
