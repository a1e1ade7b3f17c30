// Creates as many files as it is given.

#include <guest.h>

enum { kMost = 1000 };

int main(void) {
  int count = 0;
  char name[16];
  for (; count < kMost; ++count) {
    snprintf(name, sizeof name, "many%03d.txt", count);
    int file = file_create(name);
    if (file < 0) break;
    if (file_write(file, name, strlen(name)) != (int64_t)strlen(name)) break;
    file_close(file);
  }
  printf("%d files were created, and no more can be\n", count);

  int right = 0;
  for (int i = 0; i < count; ++i) {
    char found[16];
    snprintf(name, sizeof name, "many%03d.txt", i);
    int file = file_open(name);
    right += file_read(file, found, sizeof found) == (int64_t)strlen(name) &&
             memcmp(found, name, strlen(name)) == 0;
    file_close(file);
  }
  printf("%d can be read back\n", right);

  int again = file_create("many000.txt");
  printf("one that is there can be written again: %s\n", again < 0 ? "no" : "yes");
  return 0;
}
