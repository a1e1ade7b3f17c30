// Counts the lines and words of river.txt, and finds the longest word.

#include <guest.h>

enum { kMost = 64 * 1024 };

static bool belongs_to_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '\'';
}

int main(void) {
  char* text = allocate(kMost);
  int file = file_open("river.txt");
  int64_t size = file_read(file, text, kMost);
  file_close(file);
  if (size < 0) {
    puts("river.txt can't be read");
    return 1;
  }

  int lines = 0, words = 0, longest = 0;
  char const* longest_word = "";
  for (int64_t i = 0; i < size; ++i) {
    lines += text[i] == '\n';
    int length = 0;
    while (i + length < size && belongs_to_word(text[i + length])) ++length;
    if (length == 0) continue;
    ++words;
    if (length > longest) {
      longest = length;
      longest_word = text + i;
    }
    i += length - 1;
  }

  puts("river.txt has");
  printf("%6ld bytes\n", size);
  printf("%6d lines\n", lines);
  printf("%6d words, the longest is \"%.*s\"\n", words, longest, longest_word);
  return 0;
}
