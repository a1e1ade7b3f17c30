# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
#
# Says something and never ends.
        .section .start, "awx"
        .globl _start
_start:
        movb $'s', %al
        outb %al, $0xE9
        movb $'p', %al
        outb %al, $0xE9
        movb $'i', %al
        outb %al, $0xE9
        movb $'n', %al
        outb %al, $0xE9
1:      jmp 1b
