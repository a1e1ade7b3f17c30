// Draws market.txt, which has a name and a number in each line, as a chart.

#include <guest.h>

enum { kName = 15 };

/// Reads a line's name and number. @return whether there was one
static bool read_line(int file, char* name, int* number) {
  int length = 0;
  char c;
  while ((c = fread(file)) != ' ') {
    if (c == EOF) return false;
    if (length < kName) name[length++] = c;
  }
  name[length] = 0;

  *number = 0;
  while ((c = fread(file)) >= '0' && c <= '9') *number = *number * 10 + (c - '0');
  return true;
}

int main(void) {
  int file = fopen("market.txt", 'r');
  if (file < 0) {
    puts("market.txt can't be opened");
    return 1;
  }

  char name[kName + 1];
  char bar[41];
  int number;
  int total = 0;
  memset(bar, '#', sizeof bar);
  while (read_line(file, name, &number)) {
    int length = number < (int)sizeof bar ? number : (int)sizeof bar;
    printf("%-8s %3d %.*s\n", name, number, length, bar);
    total += number;
  }
  printf("%-8s %3d\n", "total", total);
  fclose(file);
  return 0;
}
