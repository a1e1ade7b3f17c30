// Leaves for the hypervisor for ever, and never ends.

#include <guest.h>

int main(void) {
  puts("looping");
  for (;;) inb(0x80);
}
