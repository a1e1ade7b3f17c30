// Copies source.bin to copy.bin in blocks of half the RAM: two exits for each block, and a read
// that gives less than it could is the last.

#include <guest.h>

int main(void) {
  int64_t const block = (int64_t)memory_size() / 2;
  char* buffer = allocate((size_t)block);
  int source = file_open("source.bin");
  if (source < 0) {
    puts("source.bin can't be opened");
    return 1;
  }
  int copy = file_create("copy.bin");
  if (copy < 0) {
    puts("copy.bin can't be created");
    return 1;
  }

  uint64_t size = 0;
  uint64_t sum = CHECKSUM_START;
  int64_t count;
  do {
    count = file_read(source, buffer, (size_t)block);
    if (count < 0 || (count > 0 && file_write(copy, buffer, (size_t)count) != count)) {
      puts(count < 0 ? "source.bin can't be read" : "copy.bin can't be written");
      return 1;
    }
    sum = checksum(sum, buffer, (size_t)count);
    size += (uint64_t)count;
  } while (count == block);

  file_close(source);
  file_close(copy);
  printf("copied %lu bytes in blocks of %ld, checksum 0x%016lx\n", size, block, sum);
  return 0;
}
