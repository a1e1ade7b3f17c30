// Rewrites river.txt in capitals, in a copy that is this guest's alone, and shows its beginning.

#include <guest.h>

enum { kMost = 64 * 1024, kLines = 4 };

int main(void) {
  char* text = allocate(kMost);
  int file = file_open("river.txt");
  int64_t size = file_read(file, text, kMost);
  if (size < 0) {
    puts("river.txt can't be read");
    return 1;
  }
  file_close(file);

  for (int64_t i = 0; i < size; ++i) {
    if (text[i] >= 'a' && text[i] <= 'z') text[i] -= 'a' - 'A';
  }

  // From here on river.txt is another file to this guest, and the same as ever to all others.
  file = file_create("river.txt");
  if (file_write(file, text, (size_t)size) != size) {
    puts("river.txt can't be written");
    return 1;
  }
  file_close(file);

  file = fopen("river.txt", 'r');
  puts("my own river.txt begins");
  for (int line = 0; line < kLines;) {
    char c = fread(file);
    if (c == EOF) break;
    putchar(c);
    line += c == '\n';
  }
  fclose(file);
  return 0;
}
