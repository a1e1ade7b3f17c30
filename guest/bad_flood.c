// Prints for ever.

#include <guest.h>

int main(void) {
  for (;;) puts("the quick brown fox jumps over the lazy dog");
}
