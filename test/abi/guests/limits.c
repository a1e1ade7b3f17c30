// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Opens as much as it gets: "d" from the terminal asks for descriptors of one shared file, "f" for
// files of its own, "b" for both protocols to look at a descriptor with two significant bytes.
#include "course.h"

static int files[20000];
static char name[8] = "f000";

struct request {
  uint32_t operation;
  int32_t descriptor;
  uint64_t address;
  uint64_t length;
  int64_t result;
};

static int block_open(uint32_t operation, char const* text, uint64_t length) {
  static struct request request;
  request.operation = operation;
  request.address = (uint64_t)text;
  request.length = length;
  request.result = -77;
  asm volatile("outl %0, %1"
               :
               : "a"((uint32_t)(uint64_t)&request), "Nd"((uint16_t)FILE_PORT)
               : "memory");
  return (int)request.result;
}

static void own_name(int number) {
  name[1] = (char)('0' + number / 100);
  name[2] = (char)('0' + number / 10 % 10);
  name[3] = (char)('0' + number % 10);
}

void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  int count = 0;
  uint8_t what = getchar();
  if (what == 'd') {
    while (count < 20000 && (files[count] = block_open(1, "shared.txt", 10)) >= 0) ++count;
    print_number(count);
    print_number(fopen("shared.txt", 'r'));
    // Each is one of its own: two that are alike would share an offset.
    putchar(fread(files[0]));
    putchar(fread(files[0]));
    putchar(fread(files[count - 1]));
    print(fclose(files[5]) == 0 ? " closed " : " not closed ");
    print(fopen("shared.txt", 'r') >= 0 ? "again " : "never ");
    print_number(fopen("shared.txt", 'r'));
  } else if (what == 'f') {
    for (;;) {
      own_name(count);
      files[count] = fopen(name, 'w');
      if (files[count] < 0 || count == 300) break;
      ++count;
    }
    print_number(count);
    // One for each file and direction: what is open already can be opened again, nothing else can.
    print(fopen("f002", 'w') >= 0 ? " twice" : " once");
    print_number(fopen("shared.txt", 'r'));
    print_number(fopen("f002", 'r'));
    for (int i = 0; i < count; ++i) fwrite(files[i], (uint8_t)('A' + i % 26));
    print(fclose(files[0]) == 0 ? " closed " : " not closed ");
    print(fopen("more", 'w') >= 0 ? "again" : "never");
  } else {
    for (; count < 700; ++count) files[count] = fopen("shared.txt", 'r');
    int wrong = 0;
    for (int i = 0; i < count; ++i) {
      if (files[i] < 0 || fread(files[i]) != 's') ++wrong;
      if (fread(files[i]) != 'h') ++wrong;
    }
    for (int i = 0; i < count; ++i) {
      if (fclose(files[i]) != 0) ++wrong;
      if (fclose(files[i]) != 0xFF) ++wrong;
    }
    print_number(wrong);
  }
  print("\n");
  for (;;) asm("hlt");
}
