// A ROM of 64 KiB for monitors that start at the reset vector: one byte to port 0xE9 for ever, in
// real mode. For counting what an exit costs in QEMU (machine microvm).
        .code16
        .globl  _start
_start: movw    $0xE9, %dx
        movb    $'.', %al
again:  outb    %al, %dx
        jmp     again
        .org    0xFFF0
        jmp     _start
        .org    0x10000
