// Checks printf against what C says it prints; the line at the end counts.

#include <guest.h>

static int checks;
static int failures;

/// The compiler is not told that this is like printf: it would refuse what is odd but allowed.
static void check(char const* expected, char const* format, ...) {
  char found[128];
  va_list arguments;
  va_start(arguments, format);
  int count = vsnprintf(found, sizeof found, format, arguments);
  va_end(arguments);

  ++checks;
  if (strcmp(found, expected) == 0 && count == (int)strlen(expected)) return;
  ++failures;
  printf("\"%s\": found \"%s\" (%d), expected \"%s\"\n", format, found, count, expected);
}

static void check_integers(void) {
  check("0", "%d", 0);
  check("-1", "%d", -1);
  check("2147483647", "%d", INT32_MAX);
  check("-2147483648", "%i", INT32_MIN);
  check("4294967295", "%u", UINT32_MAX);
  check("-9223372036854775808", "%ld", INT64_MIN);
  check("9223372036854775807", "%lld", (long long)INT64_MAX);
  check("18446744073709551615", "%lu", UINT64_MAX);
  check("18446744073709551615", "%llu", (unsigned long long)UINT64_MAX);
  check("65535", "%zu", (size_t)65535);
  check("-7", "%td", (ptrdiff_t)-7);
  check("-7", "%jd", (intmax_t)-7);
  check("-1", "%hd", (short)-1);
  check("255", "%hhu", (unsigned char)255);
  check("dead beef", "%x %x", 0xDEADu, 0xBEEFu);
  check("DEADBEEF", "%X", 0xDEADBEEFu);
  check("cbf29ce484222325", "%lx", 0xCBF29CE484222325u);
  check("777", "%o", 0777u);
}

static void check_fields(void) {
  check("   42|", "%5d|", 42);
  check("42   |", "%-5d|", 42);
  check("00042|", "%05d|", 42);
  check("-0042|", "%05d|", -42);
  check("  -42|", "%5d|", -42);
  check("42   |", "%-05d|", 42);
  check("123456", "%3d", 123456);
  check("+42 +0 -42", "%+d %+d %+d", 42, 0, -42);
  check(" 42 -42", "% d % d", 42, -42);
  check("0x2a 0X2A 052", "%#x %#X %#o", 42u, 42u, 42u);
  check("0 0", "%#x %#o", 0u, 0u);
  check("0x00002a", "%#08x", 42u);
  check("  0x2a", "%#6x", 42u);
  check("00042", "%.5d", 42);
  check("-00042", "%.5d", -42);
  check("   00042", "%8.5d", 42);
  check("00042   |", "%-8.5d|", 42);
  check("   00042", "%08.5d", 42);
  check("[]", "[%.0d]", 0);
  check("[  ]", "[%2.0d]", 0);
  check("    42|", "%*d|", 6, 42);
  check("42    |", "%*d|", -6, 42);
  check("0042", "%.*d", 4, 42);
  check("42", "%.*d", -1, 42);
}

static void check_text(void) {
  check("", "%s", "");
  check("text", "%s", "text");
  check("    text|", "%8s|", "text");
  check("text    |", "%-8s|", "text");
  check("te|", "%.2s|", "text");
  check("      te|", "%8.2s|", "text");
  check("tex|", "%.*s|", 3, "text");
  check("(null)", "%s", (char const*)NULL);
  check("a|  b|c  |", "%c|%3c|%-3c|", 'a', 'b', 'c');
  check("100%", "%d%%", 100);
  check("0xe9", "%p", (void*)0xE9);
  check("      0xe9|0xe9      |", "%10p|%-10p|", (void*)0xE9, (void*)0xE9);
  check("1 two 3 4 five 0x6", "%d %s %lu %c %s %#x", 1, "two", 3ul, '4', "five", 6u);
}

static void check_buffers(void) {
  char buffer[8];
  memset(buffer, '#', sizeof buffer);
  int count = snprintf(buffer, 5, "%d", 1234567);
  check("7 1234 ###", "%d %s %.3s", count, buffer, buffer + 5);
  memset(buffer, '#', sizeof buffer);
  count = snprintf(buffer, 0, "nothing");
  check("7 ####", "%d %.4s", count, buffer);
  memset(buffer, '#', sizeof buffer);
  count = snprintf(buffer, 1, "nothing");
  check("7  ###", "%d %s %.3s", count, buffer, buffer + 1);
}

int main(void) {
  check_integers();
  check_fields();
  check_text();
  check_buffers();
  // And one line by the console, with what printf itself returns.
  int count = printf("%-6s|%6d|%#06x|%c|\n", "left", -12, 255u, '!');
  check("24", "%d", count);
  printf("%d checks, %d failures\n", checks, failures);
  return 0;
}
