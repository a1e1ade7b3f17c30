#!/bin/sh
# Makes a guest image for mini_hypervisor out of one C file. See README.md beside this script.
set -eu

usage() {
  cat <<'TEXT'
usage: guest FILE.c [-o OUT.img] [--quiet]

Makes an image for mini_hypervisor out of one C file (or assembly file, FILE.S), which may lie
anywhere.

  -o OUT.img           where the image goes (default: beside FILE.c, ending in .img)
  --quiet              say nothing if all goes well
  --library LIB.a      link with this library instead of making it anew
  --make-library LIB.a make that library, and nothing else
  -h, --help           this text

The program has a `main`, includes <guest.h>, and is linked with the guest library; one that has
a `_start` and functions of its own, as old guests do, keeps these, and is compiled without -O, as
they were. guest/template.c is a start.

Environment: GUEST_CC      the C compiler (default: gcc, or cc where there is no gcc)
             GUEST_CFLAGS  further options for it

Exit status: 0 if the image was made, 1 if it could not be, 2 for a wrong command line.
TEXT
}

fail() {
  printf 'guest: %s\n' "$2" >&2
  exit "$1"
}

wrong() {
  printf 'guest: %s\n' "$1" >&2
  usage | head -n 1 >&2
  exit 2
}

source=
image=
quiet=
archive=
only_library=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --quiet) quiet=yes ;;
    -o | --library | --make-library)
      [ $# -ge 2 ] && [ -n "$2" ] || wrong "a file name must follow $1"
      case $1 in
        -o) image=$2 ;;
        --library) archive=$2 ;;
        *) only_library=$2 ;;
      esac
      shift
      ;;
    -*) wrong "unknown option $1" ;;
    *)
      [ -z "$source" ] || wrong "one C file makes one image: $source or $1?"
      source=$1
      ;;
  esac
  shift
done

if [ -z "$only_library" ]; then
  [ -n "$source" ] || wrong 'no C file given'
  case $source in
    *.c | *.S) ;;
    *) wrong "$source: the name of a C file ends in .c, that of an assembly file in .S" ;;
  esac
  [ -e "$source" ] || fail 2 "$source: there is no such file"
  [ -f "$source" ] || fail 2 "$source: not a file"
  [ -r "$source" ] || fail 2 "$source: may not be read"
  [ -n "$image" ] || image=${source%.[cS]}.img
  [ ! "$image" -ef "$source" ] || fail 2 "$image: is the C file itself"
  [ ! -d "$image" ] || fail 2 "$image: is a directory, the image needs a name"
fi

compiler=${GUEST_CC:-}
if [ -z "$compiler" ]; then
  if command -v gcc >/dev/null; then compiler=gcc; else compiler=cc; fi
fi
for tool in "$compiler" ld ar nm objcopy; do
  command -v "$tool" >/dev/null || fail 1 "$tool is missing: install gcc and binutils"
done

library=$(cd "$(dirname "$0")/lib" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Only general registers: a guest must also run where ring 0 is emulated, which knows no SSE. No
# red zone, as an exception would overwrite it. The headers are the compiler's own and ours.
compile() {
  "$compiler" -std=gnu17 -m64 -O2 -ffreestanding -fno-pic -fno-pie -mcmodel=small \
    -mgeneral-regs-only -mno-red-zone -fcf-protection=none -fno-stack-protector \
    -fno-asynchronous-unwind-tables -fno-delete-null-pointer-checks -fno-strict-aliasing \
    -ffunction-sections -fdata-sections -Wall -Wextra \
    -nostdinc -isystem "$library" -isystem "$("$compiler" -print-file-name=include)" \
    "$@" -c
}

make_library() {
  for file in "$library"/*.c "$library"/*.S; do
    compile -Werror "$file" -o "$work/$(basename "$file").o"
  done
  rm -f "$1"
  ar rcs "$1" "$work"/*.c.o "$work"/*.S.o
}

if [ -n "$only_library" ]; then
  make_library "$only_library"
  exit
fi

# shellcheck disable=SC2086  # several options in one variable
compile ${GUEST_CFLAGS:-} "$source" -o "$work/guest.o" || fail 1 "$source: not compiled"
# Old guests were made without -O, and need it so: two `inb`s in a row, whose asm is not volatile,
# would become one. They are those that begin in a _start of their own.
if nm -g --defined-only "$work/guest.o" | grep -q ' _start$'; then
  # shellcheck disable=SC2086
  compile ${GUEST_CFLAGS:-} -O0 -w "$source" -o "$work/guest.o"
fi
if [ -z "$archive" ]; then
  archive=$work/library.a
  make_library "$archive"
fi

# What the program defines itself goes before the library's: hence muldefs.
ld -m elf_x86_64 -nostdlib -static --gc-sections --build-id=none -z noexecstack -z muldefs \
  -T "$library/guest.ld" "$work/guest.o" "$archive" -o "$work/guest.elf" ||
  fail 1 "$source: not linked"
objcopy -O binary "$work/guest.elf" "$work/guest.img"

# A C file that does not compile leaves an older image as it was.
cat "$work/guest.img" 2>/dev/null >"$image" || fail 1 "$image: could not be written"
[ -n "$quiet" ] || printf '%s: %s bytes\n' "$image" "$(($(wc -c <"$work/guest.img")))"
