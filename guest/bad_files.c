// Keeps as many files of its own open as it is given.

#include <guest.h>

enum { kMost = 1000 };

static void make_name(char* name, int number) { snprintf(name, 16, "many%03d.txt", number); }

int main(void) {
  static int files[kMost];
  char name[16];
  int count = 0;
  for (; count < kMost; ++count) {
    make_name(name, count);
    files[count] = file_create(name);
    if (files[count] < 0) break;
    file_write(files[count], name, strlen(name));
  }
  printf("%d files are open for writing, and no more can be\n", count);
  for (int i = 0; i < count; ++i) file_close(files[i]);

  int right = 0;
  for (int i = 0; i < count; ++i) {
    char found[16];
    make_name(name, i);
    int file = file_open(name);
    int64_t size = file_read(file, found, sizeof found);
    right += size == (int64_t)strlen(name) && memcmp(found, name, (size_t)size) == 0;
    file_close(file);
  }
  printf("%d can be read back\n", right);

  int again = file_create("many000.txt");
  printf("one that is there can be written again: %s\n", again < 0 ? "no" : "yes");
  return 0;
}
