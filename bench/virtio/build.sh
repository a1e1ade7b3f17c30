#!/bin/sh
# Makes the guest that is run by QEMU and by a monitor of ours:  build.sh OUTPUT
set -eu

output=$1
folder=$(cd "$(dirname "$0")" && pwd)
guest=$folder/../../guest
compiler=${GUEST_CC:-gcc}

# Only general registers: a guest must also run where ring 0 is emulated, which knows no SSE.
# shellcheck disable=SC2086  # several options in one variable
"$compiler" ${GUEST_CFLAGS:-} -m32 -std=gnu17 -O2 -ffreestanding -nostdlib -static -fno-pic -no-pie \
  -mgeneral-regs-only -fcf-protection=none -fno-stack-protector -fno-asynchronous-unwind-tables \
  -fno-delete-null-pointer-checks -fno-strict-aliasing -ffunction-sections -Wall -Wextra -Werror \
  -DVIRTIO_BASE=0xFEB00000u -DVIRTIO_LINE=5u -I"$guest/lib" \
  -Wl,--build-id=none,-z,noexecstack,-z,max-page-size=4096,--gc-sections,-e,entry \
  -T "$guest/kernel/kernel.ld" "$folder/start.S" "$folder/platform.c" "$folder/guest.c" \
  "$folder/block.c" "$folder/net.c" "$guest/lib/virtio.c" "$guest/lib/virtio_block.c" \
  -o "$output.elf"
objcopy -O binary "$output.elf" "$output"
rm "$output.elf"
