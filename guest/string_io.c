// Reads 8 bytes with one string instruction, and writes them with another.

#include <guest.h>

static void read_many(void* to, size_t count) {
  __asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(PORT_CONSOLE) : "memory");
}

static void write_many(void const* from, size_t count) {
  __asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(PORT_CONSOLE) : "memory");
}

int main(void) {
  char bytes[9];
  read_many(bytes, 8);
  bytes[8] = '\n';
  write_many(bytes, sizeof bytes);
  return 0;
}
