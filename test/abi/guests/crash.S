# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
#
# Says something and breaks, at an address that is easy to recognise.
        .section .start, "awx"
        .globl _start
_start:
        movl $text, %esi
1:      lodsb
        testb %al, %al
        jz 2f
        outb %al, $0xE9
        jmp 1b
2:      jmp crash
text:   .asciz "about to crash"
        .org 0x1A57
crash:  ud2
        movb $'!', %al
        outb %al, $0xE9
        hlt
