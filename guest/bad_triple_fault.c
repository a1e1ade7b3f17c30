// Ends in a triple fault: no handler for the exception, none for the fault that this is.

#include <guest.h>

int main(void) {
  puts("about to fault three times");

  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } const no_handlers = {0, 0};

  __asm__ volatile("lidt %0\n\tud2" : : "m"(no_handlers));
  puts("no fault at all");
  return 0;
}
