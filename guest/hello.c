// Says hello.

#include <guest.h>

int main(void) {
  puts("Hello, world!");
  return 0;
}
