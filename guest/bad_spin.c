// Prints one byte, and never leaves for the hypervisor again.

#include <guest.h>

int main(void) {
  putchar('s');
  for (;;) __asm__ volatile("");
}
