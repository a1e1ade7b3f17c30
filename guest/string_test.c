// Checks the memory and string functions, and those that make memory; the line at the end counts.

#include <guest.h>
#include <limits.h>

static int checks;
static int failures;
static char cleared[4096];  // in .bss
static uint32_t kept[4] = {1, 2, 3, 4};

static void check_at(int line, bool is_so) {
  ++checks;
  if (is_so) return;
  ++failures;
  printf("line %d: wrong\n", line);
}

#define check(condition) check_at(__LINE__, condition)

static bool all(char const* bytes, char c, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (bytes[i] != c) return false;
  }
  return true;
}

static void check_memory_functions(void) {
  char area[64];
  for (size_t count = 0; count <= 24; ++count) {
    memset(area, '.', sizeof area);
    check(memset(area + 3, 'x', count) == area + 3);
    check(all(area, '.', 3) && all(area + 3, 'x', count) && all(area + 3 + count, '.', 16));

    memset(area, '.', sizeof area);
    check(memcpy(area + 5, "abcdefghijklmnopqrstuvwxyz", count) == area + 5);
    check(all(area, '.', 5) && memcmp(area + 5, "abcdefghijklmnopqrstuvwxyz", count) == 0 &&
          all(area + 5 + count, '.', 16));
  }

  strcpy(area, "0123456789abcdef");
  check(memmove(area + 3, area, 10) == area + 3);
  check(strcmp(area, "0120123456789def") == 0);
  strcpy(area, "0123456789abcdef");
  memmove(area, area + 3, 10);
  check(strcmp(area, "3456789abcabcdef") == 0);
  memmove(area, area, 10);
  check(strcmp(area, "3456789abcabcdef") == 0);

  check(memcmp("abc", "abd", 3) < 0 && memcmp("abd", "abc", 3) > 0 && memcmp("abc", "abd", 2) == 0);
  check(memcmp("\xff", "\x01", 1) > 0);
  char const* text = "abcabc";
  check(memchr(text, 'c', 6) == text + 2 && memchr(text, 'c', 2) == NULL);
}

static void check_string_functions(void) {
  char const* text = "one two one";
  check(strlen("") == 0 && strlen(text) == 11);
  check(strnlen(text, 3) == 3 && strnlen(text, 100) == 11);
  check(strcmp("", "") == 0 && strcmp("a", "") > 0 && strcmp("a", "b") < 0);
  check(strcmp("ab", "abc") < 0 && strcmp("\xff", "a") > 0);
  check(strncmp("abc", "abd", 2) == 0 && strncmp("abc", "abd", 3) < 0);
  check(strncmp("a\0b", "a\0c", 3) == 0);
  check(strchr(text, 'o') == text && strchr(text, 't') == text + 4);
  check(strchr(text, 'x') == NULL && strchr(text, 0) == text + 11);
  check(strrchr(text, 'o') == text + 8 && strrchr(text, 'x') == NULL);
  check(strrchr(text, 0) == text + 11);
  check(strstr(text, "two") == text + 4 && strstr(text, "") == text);
  check(strstr(text, "none") == NULL && strstr(text, "one ") == text);
  check(strstr("aab", "ab") != NULL);

  char area[16];
  check(strcpy(area, "ab") == area && strcmp(area, "ab") == 0);
  check(strcat(area, "cd") == area && strcmp(area, "abcd") == 0);
  memset(area, '#', sizeof area);
  strncpy(area, "ab", 4);
  check(memcmp(area, "ab\0\0#", 5) == 0);
  strncpy(area, "abcdef", 4);
  check(memcmp(area, "abcd#", 5) == 0);
}

static void check_memory(void) {
  check(all(cleared, 0, sizeof cleared));
  check(kept[0] == 1 && kept[3] == 4);
  check(memory_size() == 2 << 20 || memory_size() == 4 << 20 || memory_size() == 8 << 20);

  char* first = allocate(1);
  char* second = allocate(100);
  check(first != NULL && (uintptr_t)first % 16 == 0 && second == first + 16);
  check(allocate(memory_size()) == NULL && allocate(SIZE_MAX) == NULL);
  size_t most = memory_size() - 64 * 1024 - (uintptr_t)(second + 112);
  char* rest = allocate(most);
  check(rest == second + 112 && all(rest, 0, 16) && all(rest + most - 16, 0, 16));
  check(allocate(1) == NULL && allocate(0) == rest + most);
}

static void check_checksum(void) {
  check(checksum(7, "", 0) == 7);
  check(checksum(0, "\1", 1) == 0x100000001B3u);
  char const* text = "0123456789abcdefghi";
  uint64_t sum = checksum(CHECKSUM_START, text, 8);
  check(checksum(sum, text + 8, 11) == checksum(CHECKSUM_START, text, 19));
  check(checksum(CHECKSUM_START, text, 18) != checksum(CHECKSUM_START, text, 19));
}

static void check_limits(void) {
  check(INT_MIN == -2147483647 - 1 && UINT_MAX == 4294967295u && USHRT_MAX == 65535);
  check(LONG_MIN == INT64_MIN && LLONG_MAX == INT64_MAX && ULONG_MAX == UINT64_MAX);
}

int main(void) {
  check_memory_functions();
  check_string_functions();
  check_memory();
  check_checksum();
  check_limits();
  printf("%d checks, %d failures\n", checks, failures);
  return 0;
}
