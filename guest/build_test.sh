#!/bin/sh
# Makes images with build.sh as a user would: from anywhere, of anything, with every mistake.
# usage: build_test.sh BUILD_SH
set -u

build=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/far away" "$work/far away/images"
cd "$work/far away" || exit 1
failures=0

# What a run must come to: expect STATUS TEXT ARGUMENT..., TEXT being part of what it says.
expect() {
  status=$1
  text=$2
  shift 2
  said=$("$build" "$@" 2>&1)
  found=$?
  case $said in
    *"$text"*) [ "$found" -eq "$status" ] && return ;;
  esac
  failures=$((failures + 1))
  printf 'build.sh %s: status %s, expected %s with "%s":\n%s\n' \
    "$*" "$found" "$status" "$text" "$said"
}

check() {
  "$@" && return
  failures=$((failures + 1))
  printf 'not so: %s\n' "$*"
}

# The image's first bytes, in hexadecimal.
begins_with() {
  [ "$(od -An -tx1 -N $((${#2} / 2)) "$1" | tr -d ' \n')" = "$2" ]
}

cat >'my guest.c' <<'C'
#include <stdio.h>
#include <string.h>

int main(void) {
  char name[8];
  strcpy(name, "there");
  printf("hello %s\n", name);
  return 0;
}
C
expect 0 'my guest.img: ' 'my guest.c'
check test -s 'my guest.img'
expect 0 'images/other name.img: ' "$PWD/my guest.c" -o 'images/other name.img'
check cmp 'my guest.img' 'images/other name.img'
rm 'my guest.img'
cd images || exit 1
expect 0 '' --quiet '../my guest.c'
cd ..
check cmp 'my guest.img' 'images/other name.img'

# An old guest: its own start and wrappers, strlen without a header, and asm of which two would
# become one with -O, so that the image must begin as code without -O does.
cat >old.c <<'C'
#include <stddef.h>
#include <stdint.h>
static uint8_t inb(uint16_t port) {
  uint8_t value;
  asm("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static void putchar(char c) {
  asm("outb %0, %1" : : "a"((uint8_t)c), "Nd"((uint16_t)0xE9) : "memory");
}
void __attribute__((noreturn)) __attribute__((section(".start"))) _start(void) {
  asm volatile("nop; nop; nop");
  char first = inb(0xE9);
  char second = inb(0xE9);
  putchar(first);
  putchar(second);
  for (size_t i = 0; i < strlen("old"); i++) putchar("old"[i]);
  for (;;) asm("hlt");
}
C
if [ -z "${GUEST_CC:-}" ] || "$GUEST_CC" --version | grep -qi gcc; then
  GUEST_CFLAGS= expect 0 'old.img: ' old.c
  check begins_with old.img 554889e5
fi

printf 'int helper(int x) { return x + 1; }\n' >bare.c
printf 'void _start(void) { for (;;) __asm__("hlt"); }\n' >>bare.c
GUEST_CFLAGS= expect 0 'bare.img: ' bare.c
printf '#include <guest.h>\nvoid puts(char const* text) { putchar(*text); }\n' >own.c
printf 'int main(void) { puts("mine"); return 0; }\n' >>own.c
expect 0 'own.img: ' own.c

# What cannot be made says why, in the compiler's words, and leaves no image, or an older one.
printf 'int main(void) { return nothing; }\n' >wrong.c
expect 1 'wrong.c:1:25: error:' wrong.c
expect 1 'wrong.c: not compiled' wrong.c
check test ! -e wrong.img
cp wrong.c 'my guest.c'
expect 1 'my guest.c: not compiled' 'my guest.c'
check cmp 'my guest.img' 'images/other name.img'
printf 'int nowhere(void);\nint main(void) { return nowhere(); }\n' >unlinked.c
expect 1 'undefined reference to `nowhere' unlinked.c
expect 1 'unlinked.c: not linked' unlinked.c
printf 'static char huge[8 << 20];\nint main(void) { return ((char volatile*)huge)[1]; }\n' >huge.c
expect 1 'do not fit into 8 MiB' huge.c
printf 'int main(void) { volatile double d = 1.5; return (int)(d * 2); }\n' >floating.c
expect 1 'guest: floating.c: not ' floating.c
GUEST_CC=no-such-compiler expect 1 'no-such-compiler is missing' own.c
expect 1 'could not be written' own.c -o 'no folder/own.img'
check test ! -e 'no folder'

# Wrong command lines.
expect 0 'usage: guest FILE.c' --help
expect 2 'no C file given'
expect 2 'unknown option -O' -O own.c
expect 2 'a file name must follow -o' own.c -o
expect 2 'one C file makes one image' own.c bare.c
expect 2 'nothing.c: there is no such file' nothing.c
expect 2 'the name of a C file ends in .c' own.img
mkdir folder.c
expect 2 'folder.c: not a file' folder.c
expect 2 'images: is a directory' own.c -o images
expect 2 'own.c: is the C file itself' own.c -o ./own.c

[ "$failures" -eq 0 ] || exit 1
echo 'all as it should be'
