// Keeps 10,000 descriptors of one file open, each with an offset of its own; then opens as many as
// it is given.

#include <guest.h>

enum { kMany = 10000, kMost = 20000, kPieces = 100 };

static int files[kMost];

/// Opens until there are `limit` or the host says no. @return how many are open then
static int open_up_to(int count, int limit) {
  while (count < limit) {
    int file = count % 100 ? file_open("many.txt") : fopen("many.txt", 'r');
    if (file < 0) break;
    files[count++] = file;
  }
  return count;
}

static bool are_distinct(int count) {
  static uint8_t seen[1 << 16];
  for (int i = 0; i < count; ++i) {
    if (files[i] < 0 || files[i] >= (int)sizeof seen || seen[files[i]]++) return false;
  }
  return true;
}

int main(void) {
  int file = file_create("many.txt");
  for (int i = 0; i < kPieces; ++i) file_write(file, &(char){(char)i}, 1);
  file_close(file);

  int count = open_up_to(0, kMany);
  printf("%d descriptors are open, %s\n", count,
         are_distinct(count) ? "all distinct" : "NOT DISTINCT");

  // Move each to an offset of its own, then see whether it is still there.
  char bytes[kPieces];
  for (int i = 0; i < count; ++i) file_read(files[i], bytes, (size_t)(i % kPieces));
  int right = 0;
  for (int i = 0; i < count; ++i)
    right += file_read(files[i], bytes, 1) == 1 && bytes[0] == i % kPieces;
  printf("%d offsets are right\n", right);

  count = open_up_to(count, kMost);
  printf("%d descriptors are open, and no more can be\n", count);

  int closed = 0;
  for (int i = 0; i < count; ++i) closed += file_close(files[i]) == 0;
  printf("%d were closed\n", closed);
  closed = 0;
  for (int i = 0; i < count; i += 100) closed += file_close(files[i]) == 0;
  printf("%d were closed twice\n", closed);
  printf("one can be opened again: %s\n", open_up_to(0, 1) == 1 ? "yes" : "no");
  return 0;
}
