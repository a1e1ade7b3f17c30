# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
#
# Maps the first 2 GiB by tables of its own and runs at 1 GiB, where there is nothing to run.
        .section .start, "awx"
        .globl _start
_start:
        movl $0x100000, %edi
        movl $0x101000 | 7, %eax
        movq %rax, (%rdi)
        movl $0x102000 | 7, %eax
        movq %rax, 0x1000(%rdi)
        movl $0x103000 | 7, %eax
        movq %rax, 0x1008(%rdi)
        movl $0x87, %eax                # 2 MiB pages, present, writable, user
        movl $0x102000, %edi
        movl $1024, %ecx
1:      movq %rax, (%rdi)
        addq $8, %rdi
        addq $0x200000, %rax
        decl %ecx
        jnz 1b
        movl $0x100000, %eax
        movq %rax, %cr3
        movb $'o', %al
        outb %al, $0xE9
        movl $0x40000000, %eax
        jmp *%rax
