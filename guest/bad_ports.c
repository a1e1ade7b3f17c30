// Reads and writes ports that no device has, and devices in widths that they do not have: every
// read gives all ones, no write does anything.

#include <guest.h>

static int failures;

static void show(char const* what, uint16_t port, bool is_so) {
  printf("%-5s 0x%04x %s\n", what, port, is_so ? "all ones" : "SOMETHING ELSE");
  failures += !is_so;
}

static void try_byte(uint16_t port) {
  outb(port, 'b');
  show("byte", port, inb(port) == 0xFF);
}

static void try_word(uint16_t port) {
  outw(port, 'w' | 'w' << 8);
  show("word", port, inw(port) == 0xFFFF);
}

static void try_dword(uint16_t port) {
  outl(port, 0x64646464);
  show("dword", port, inl(port) == 0xFFFFFFFF);
}

int main(void) {
  static uint16_t const unclaimed[] = {0, 0x10, 0x80, 0xE8, 0xEA, 0x277, 0x279, 0x3F8, 0xFFFF};
  for (size_t i = 0; i < sizeof unclaimed / sizeof unclaimed[0]; ++i) {
    try_byte(unclaimed[i]);
    try_word(unclaimed[i]);
    try_dword(unclaimed[i]);
  }
  try_word(PORT_CONSOLE);
  try_dword(PORT_CONSOLE);
  try_word(PORT_FILE);

  // As four bytes are an address here, this one lies outside RAM, and the request is dropped.
  outl(PORT_FILE, 0xFFFFFFFF);
  show("dword", PORT_FILE, inl(PORT_FILE) == 0xFFFFFFFF);
  show("idle", PORT_FILE, inb(PORT_FILE) == 0xFF);

  printf("%d failures\n", failures);
  return 0;
}
