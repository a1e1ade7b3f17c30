// Jumps to an address far outside its RAM.

#include <guest.h>

int main(void) {
  puts("about to jump out of memory");
  void (*volatile nowhere)(void) = (void (*)(void))0x7000000000;
  nowhere();
  puts("came back from nowhere");
  return 0;
}
