// Overwrites shared.txt with what no other guest would write, and reads it back: run twice at
// once, each must find its own.

#include <guest.h>

enum { kRounds = 128, kWords = 32 };

static void show(char const* what, bool is_so) { printf("%s: %s\n", what, is_so ? "yes" : "NO"); }

static void fill(uint64_t* words, uint64_t* state) {
  for (int i = 0; i < kWords; ++i) words[i] = next_random(state);
}

/// Whether the file goes on with the next block of the sequence.
static bool holds_next(int file, uint64_t* state) {
  uint64_t found[kWords];
  uint64_t expected[kWords];
  fill(expected, state);
  return file_read(file, found, sizeof found) == sizeof found &&
         memcmp(found, expected, sizeof found) == 0;
}

int main(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  uint64_t const seed = (uint64_t)high << 32 | low | 1;

  char byte;
  int shared = file_open("shared.txt");
  show("the shared file can be read", file_read(shared, &byte, 1) == 1);

  int to_write = file_create("shared.txt");
  int to_read = file_open("shared.txt");
  show("the own file begins empty", file_read(to_read, &byte, 1) == 0);
  show("the old descriptor is invalid",
       file_read(shared, &byte, 1) == -1 && file_close(shared) == -1);

  uint64_t written = seed;
  uint64_t read = seed;
  bool at_once = true;
  for (int round = 0; round < kRounds; ++round) {
    uint64_t words[kWords];
    fill(words, &written);
    at_once &= file_write(to_write, words, sizeof words) == sizeof words;
    at_once &= holds_next(to_read, &read);
  }
  show("each block is read back as written", at_once);
  file_close(to_write);
  file_close(to_read);

  to_read = file_open("shared.txt");
  bool in_the_end = true;
  read = seed;
  for (int round = 0; round < kRounds; ++round) in_the_end &= holds_next(to_read, &read);
  in_the_end &= file_read(to_read, &byte, 1) == 0;
  show("the whole file is read back as written", in_the_end);
  return 0;
}
