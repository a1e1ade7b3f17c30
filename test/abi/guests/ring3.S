# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
#
# Takes a descriptor table of its own, goes to ring 3 on the pages that it was given, and speaks
# there. It ends by an hlt, which ring 3 may not do and nobody handles.
        .section .start, "awx"
        .globl _start
_start:
        lgdt table_pointer
        movq %rsp, %r12
        pushq $0x1B                     # ss
        pushq %r12
        pushq $0x3002                   # I/O privilege for ring 3
        pushq $0x23                     # cs
        pushq $user
        iretq
user:   movb $'r', %al
        outb %al, $0xE9
        movw %cs, %ax
        andb $3, %al
        addb $'0', %al
        outb %al, $0xE9
        movb $'w', -1(%rsp)             # user pages are writable too
        movb -1(%rsp), %al
        outb %al, $0xE9
        movb $'\n', %al
        outb %al, $0xE9
        hlt
        movb $'?', %al
        outb %al, $0xE9
1:      jmp 1b
        .balign 8
table:  .quad 0
        .quad 0x00AF9B000000FFFF        # 0x08: code, ring 0
        .quad 0x00CF93000000FFFF        # 0x10: data, ring 0
        .quad 0x00CFF3000000FFFF        # 0x18: data, ring 3
        .quad 0x00AFFB000000FFFF        # 0x20: code, ring 3
table_pointer:
        .word 39
        .quad table
