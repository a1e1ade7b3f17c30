/* The guest of bench/lifecycle, and what both kinds of machine have in common. Valid C and C++. */
#pragma once

#include <stdint.h>

enum {
  kRam = 2 << 20,   /* bytes of guest memory */
  kFlag = 0x1000,   /* the guest's first instruction stores 1 here */
  kExitPort = 0xF4, /* its first exit writes kExitValue here */
  kExitValue = 0x5A
};

/* Long mode, at address 0: movb $1, 0x1000; movb $0x5A, %al; outb %al, $0xF4; hlt. */
static uint8_t const kGuest[] = {0xC6, 0x04, 0x25, 0x00, 0x10, 0x00, 0x00,
                                 0x01, 0xB0, 0x5A, 0xE6, 0xF4, 0xF4};
