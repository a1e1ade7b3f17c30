// Files by the byte protocol: a request is a run of `out`s, its reply the `in`s behind them.

#include <guest.h>

static void send(uint8_t byte) { outb(PORT_FILE, byte); }

static void send_request(enum FileOperation operation, int file) {
  send((uint8_t)operation);
  for (int shift = 24; shift >= 0; shift -= 8) send((uint8_t)((uint32_t)file >> shift));
}

int fopen(char const* name, char mode) {
  // The host answers bad names too; guests that want to see it use the ports.
  size_t length = name ? strnlen(name, NAME_LIMIT + 1) : 0;
  if (length == 0 || length > NAME_LIMIT) return -1;
  if (mode != 'r' && mode != 'w') return -1;

  send(mode == 'r' ? kOpenToRead : kOpenToWrite);
  for (size_t i = 0; i <= length; ++i) send((uint8_t)name[i]);

  uint32_t descriptor = 0;
  for (int i = 0; i < 4; ++i) descriptor = descriptor << 8 | inb(PORT_FILE);
  return (int)descriptor;
}

int fclose(int file) {
  send_request(kClose, file);
  return inb(PORT_FILE) == 0 ? 0 : -1;
}

char fread(int file) {
  send_request(kRead, file);
  return (char)inb(PORT_FILE);
}

char fwrite(char c, int file) {
  send_request(kWrite, file);
  send((uint8_t)c);
  return (char)inb(PORT_FILE);
}
