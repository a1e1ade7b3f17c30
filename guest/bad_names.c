// Opens names that try to reach files that are not this guest's, for reading and for writing, by
// both protocols, and prints which of them were opened.
//
// It finds most to try in a folder with symbolic links (see README.md), and needs none.

#include <guest.h>

static int failures;

/// Like `fopen`, but leaves every refusal to the host. @return whether the file was opened
static bool open_by_bytes(enum FileOperation operation, char const* name, size_t length) {
  outb(PORT_FILE, (uint8_t)operation);
  for (size_t i = 0; i < length; ++i) outb(PORT_FILE, (uint8_t)name[i]);
  outb(PORT_FILE, 0);
  uint32_t descriptor = 0;
  for (int i = 0; i < 4; ++i) descriptor = descriptor << 8 | inb(PORT_FILE);
  if (descriptor == UINT32_MAX) return false;
  fclose((int)descriptor);
  return true;
}

static bool open_by_block(enum FileOperation operation, char const* name, size_t length) {
  struct FileRequest request = {
      .operation = operation, .address = (uintptr_t)name, .length = length};
  if (file_request(&request) < 0) return false;
  file_close((int)request.result);
  return true;
}

static char const* open_by_both(enum FileOperation operation, char const* name, bool expected) {
  bool by_bytes = open_by_bytes(operation, name, strlen(name));
  bool by_block = open_by_block(operation, name, strlen(name));
  failures += (by_bytes != expected) + (by_block != expected);
  if (by_bytes != by_block) return by_bytes ? "bytes only" : "blocks only";
  return by_bytes ? "yes" : "no";
}

/// Prints a name so that it fits into one line.
static void show_name(char const* name) {
  int width = 0;
  for (; *name; ++name) {
    width += *name < ' ' || *name == 0x7F ? printf("\\x%02x", (uint8_t)*name) : printf("%c", *name);
  }
  printf("%*s", width < 24 ? 24 - width : 1, "");
}

static void try(char const* name, bool can_be_written) {
  show_name(name);
  printf("read %-12s", open_by_both(kOpenToRead, name, false));
  printf("write %s\n", open_by_both(kOpenToWrite, name, can_be_written));
}

static void try_to_read(char const* name) {
  show_name(name);
  printf("read %s\n", open_by_both(kOpenToRead, name, false));
}

int main(void) {
  static char const* const outside[] = {
      "",
      ".",
      "..",
      "/",
      "../x",
      "../../../../../../etc/passwd",
      "/etc/passwd",
      "/etc/../etc/passwd",
      "//etc/passwd",
      "a/b",
      "./plain",
      "plain/",
      "plain/.",
      "/plain",
      "plain/../../x",
      "folder/../x",
      "/dev/stdin",
      "/proc/self/mem",
      "/proc/self/cwd/x",
      "link/x",
  };
  for (size_t i = 0; i < sizeof outside / sizeof outside[0]; ++i) try(outside[i], false);

  // Names that look bad but are only names: there is no file yet, and a new one may be made.
  static char const* const inside[] = {
      "plain", "..x",  "x..",     "...",      "..\\x",
      "C:\\x", "~",    "-rf",     "%s%n",     "*",
      "a b",   "a\nb", "\x1b[2J", "\xff\xfe", "plain.local0.local0",
  };
  for (size_t i = 0; i < sizeof inside / sizeof inside[0]; ++i) try(inside[i], true);

  // What lies in the folder without being this guest's. link may lead to a file outside.
  static char const* const strange[] = {
      "link", "plain.local0", "plain.local1", "bad_names.img", "PLAIN", "plain ", "plai",
  };
  for (size_t i = 0; i < sizeof strange / sizeof strange[0]; ++i) try_to_read(strange[i]);

  // A new file, unless trap.local0 is a symbolic link: that would have to be followed or removed.
  show_name("trap");
  bool by_bytes = open_by_bytes(kOpenToWrite, "trap", 4);
  bool by_block = open_by_block(kOpenToWrite, "trap", 4);
  failures += by_bytes != by_block;
  printf("write %s\n", by_bytes ? "yes" : "no");

  // A request can name its length, so a name can hold a 0.
  bool with_zero = open_by_block(kOpenToRead, "plain\0.txt", 10) ||
                   open_by_block(kOpenToWrite, "new\0.txt", 8) ||
                   open_by_block(kOpenToRead, "plain", 6);
  failures += with_zero;
  printf("names with a 0 inside   %s\n", with_zero ? "yes" : "no");

  printf("%d failures\n", failures);
  return 0;
}
