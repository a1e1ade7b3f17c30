#!/bin/sh
# Makes one of the kernels of this folder:  build.sh KIND OUTPUT
#
#   multiboot      an ELF file for Multiboot 1 and PVH
#   addresses      a flat file for Multiboot 1 that brings its own addresses
#   pc             the first on a PC: prints on its serial port, and ends as it is told (pc.h)
#   elf64          a 64-bit ELF executable
set -eu

kind=$1
output=$2
folder=$(cd "$(dirname "$0")" && pwd)
compiler=${GUEST_CC:-gcc}

# Only general registers: a guest must also run where ring 0 is emulated, which knows no SSE.
# shellcheck disable=SC2086  # several options in one variable
link() {
  "$compiler" ${GUEST_CFLAGS:-} -std=gnu17 -O2 -ffreestanding -nostdlib -static -fno-pic -no-pie \
    -mgeneral-regs-only -mno-red-zone -fcf-protection=none -fno-stack-protector \
    -fno-asynchronous-unwind-tables -fno-delete-null-pointer-checks -Wall -Wextra \
    -Wl,--build-id=none,-z,noexecstack,-z,max-page-size=4096 -T "$folder/kernel.ld" "$@"
}

case $kind in
  multiboot)
    link -m32 -Wl,-e,multiboot_entry "$folder/start32.S" "$folder/kernel32.c" -o "$output" ;;
  pc)
    link -m32 -DPC -Wl,-e,multiboot_entry "$folder/start32.S" "$folder/kernel32.c" -o "$output" ;;
  addresses)
    link -m32 -DADDRESS_FIELDS -Wl,-e,multiboot_entry "$folder/start32.S" "$folder/kernel32.c" \
      -o "$output.elf"
    objcopy -O binary "$output.elf" "$output"
    rm "$output.elf" ;;
  elf64)
    link -m64 -Wl,-e,elf_entry "$folder/start64.S" "$folder/kernel64.c" -o "$output" ;;
  *)
    echo "build.sh: unknown kind $kind" >&2
    exit 2 ;;
esac
