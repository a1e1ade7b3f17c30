// A guest to start from: copy it anywhere, fill it in, and make an image of it with
// `./dev guest YOURS.c`. What it can call stands in guest/lib/guest.h.

#include <guest.h>

int main(void) {
  /* INSERT CODE BELOW THIS LINE */

  printf("This guest has %zu MiB of memory.\n", memory_size() >> 20);

  /* INSERT CODE ABOVE THIS LINE */
  return 0;
}
