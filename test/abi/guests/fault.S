# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
#
# Handles its own page faults: touches memory's last byte and the byte behind, and says at which
# address and with which error code the fault came.
        .section .start, "awx"
        .globl _start
_start:
        movq %rsp, %r12
        lgdt table_pointer
        pushq $0x08
        pushq $1f
        lretq
1:      movl $handler, %eax
        movw %ax, gate
        shrl $16, %eax
        movw %ax, gate + 6
        lidt gates_pointer
        movb -1(%r12), %al
        movb $'a', %al
        outb %al, $0xE9
        movb (%r12), %al
        movb $'?', %al                  # not reached: the handler does not return
        outb %al, $0xE9
        hlt
handler:
        popq %rbx                       # error code
        movq %cr2, %rcx
        cmpq %r12, %rcx
        movb $'x', %al
        jne 2f
        movb $'e', %al
2:      outb %al, $0xE9
        movb %bl, %al
        addb $'0', %al
        outb %al, $0xE9
        movb $'\n', %al
        outb %al, $0xE9
        hlt
        .balign 8
table:  .quad 0
        .quad 0x00AF9B000000FFFF        # 0x08: code, ring 0
        .quad 0x00CF93000000FFFF        # 0x10: data, ring 0
table_pointer:
        .word 23
        .quad table
gates_pointer:
        .word 15 * 16 - 1
        .quad gates
        .balign 16
gates:  .fill 14 * 16
gate:   .word 0, 0x08, 0x8E00, 0        # 14: page fault
        .quad 0
