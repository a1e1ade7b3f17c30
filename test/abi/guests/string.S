# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
#
# The terminal by string instructions, forwards and backwards, one byte at a time.
        .section .start, "awx"
        .globl _start
_start:
        movw $0xE9, %dx
        movl $text, %esi
        movl $7, %ecx
        rep outsb
        movl $buffer, %edi
        movl $5, %ecx
        rep insb
        std
        leaq -1(%rdi), %rsi
        movl $5, %ecx
        rep outsb
        cld
        movb $'\n', %al
        outb %al, %dx
        sti
        hlt
text:   .ascii "string "
buffer: .fill 16
