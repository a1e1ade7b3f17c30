// Copies source.txt to copy.txt with the old wrappers, one byte at a time.

#include <guest.h>

int main(void) {
  int source = fopen("source.txt", 'r');
  if (source < 0) {
    puts("source.txt can't be opened");
    return 1;
  }
  int copy = fopen("copy.txt", 'w');
  if (copy < 0) {
    puts("copy.txt can't be created");
    return 1;
  }

  uint64_t size = 0;
  uint64_t word = 0;
  uint64_t sum = CHECKSUM_START;
  for (char c; (c = fread(source)) != EOF; ++size) {
    if (fwrite(c, copy) != c) {
      puts("copy.txt can't be written");
      return 1;
    }
    word |= (uint64_t)(uint8_t)c << size % 8 * 8;
    if (size % 8 == 7) {
      sum = checksum(sum, &word, sizeof word);
      word = 0;
    }
  }
  sum = checksum(sum, &word, size % 8);

  fclose(source);
  fclose(copy);
  printf("copied %lu bytes, checksum 0x%016lx\n", size, sum);
  return 0;
}
