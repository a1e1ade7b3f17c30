// A 64-bit ELF executable: says where its stack is, and whether the image is as it was linked.

#include <stdint.h>

#include "print.h"

static char volatile initialised[] = "data";
static char volatile cleared[4096];

void elf_main(uint64_t stack) {
  int wrong = initialised[0] != 'd';
  for (unsigned i = 0; i < sizeof cleared; ++i) wrong |= cleared[i];
  print(wrong ? "image is damaged\n" : "image is whole\n");
  print("stack ");
  print_hex(stack);
  print("\n");
}
