// The console: one byte, one exit.

#include <guest.h>

void putchar(char c) { outb(PORT_CONSOLE, (uint8_t)c); }

char getchar(void) { return (char)inb(PORT_CONSOLE); }

void puts(char const* text) {
  while (*text) putchar(*text++);
  putchar('\n');
}

void halt(void) {
  for (;;) __asm__ volatile("hlt");
}
