// Opens names of 300 bytes, the longest there can be, and of 301 and many more, by both protocols.
//
// The name of 300 bytes is 99 times 'a', '/', 99 times 'b', '/', 100 times 'c': a shared file of
// that path can be opened, and without one the name is refused as any other with a '/'. The longer
// names have more 'c's, and are refused whatever files there are.

#include <guest.h>

static int failures;

/// @return the descriptor, or -1; counts a failure if a refusal is not answered by 0xFF alone
static int open_by_bytes(enum FileOperation operation, char const* name, size_t length) {
  outb(PORT_FILE, (uint8_t)operation);
  for (size_t i = 0; i < length; ++i) outb(PORT_FILE, (uint8_t)name[i]);
  outb(PORT_FILE, 0);
  uint32_t descriptor = 0;
  for (int i = 0; i < 4; ++i) descriptor = descriptor << 8 | inb(PORT_FILE);
  if (descriptor != UINT32_MAX) return (int)descriptor;
  for (int i = 0; i < 4; ++i) failures += inb(PORT_FILE) != 0xFF;
  return -1;
}

static int open_by_block(enum FileOperation operation, char const* name, size_t length) {
  struct FileRequest request = {
      .operation = operation, .address = (uintptr_t)name, .length = length};
  return (int)file_request(&request);
}

static char const* result(int file) {
  if (file < 0) return "refused";
  if (file_close(file) != 0) ++failures;
  return "opened";
}

static void try(char const* name, size_t length) {
  printf("%lu bytes: read %s", length, result(open_by_bytes(kOpenToRead, name, length)));
  printf(" %s", result(open_by_block(kOpenToRead, name, length)));
  printf(", write %s", result(open_by_bytes(kOpenToWrite, name, length)));
  printf(" %s\n", result(open_by_block(kOpenToWrite, name, length)));
}

int main(void) {
  enum { kLongest = 4096 };

  char* name = allocate(kLongest);
  memset(name, 'c', kLongest);
  memset(name, 'a', 99);
  memset(name + 100, 'b', 99);
  name[99] = name[199] = '/';

  try(name, 300);
  try(name, 301);
  try(name, 302);
  try(name, 1000);
  try(name, kLongest);
  // Without any '/' too, which only the length forbids then.
  memset(name, 'n', kLongest);
  try(name, 301);

  int file = fopen("short.txt", 'w');
  failures += file < 0 || fwrite('s', file) != 's' || fclose(file) != 0;
  printf("%d failures\n", failures);
  return 0;
}
