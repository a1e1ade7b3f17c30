# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
#
# The head of an image of any size. What builds the image fills it up to its end: the first quadword
# of each page after this one holds the page's address, the other quadwords the pattern; the last 16
# bytes are code, called at the end. The size stands in the quadword at 8.
        .section .start, "awx"
        .globl _start
_start:
        jmp 1f
        .org 8
size:   .quad 0
1:      cld
        movabsq $0x5A17B00C0DDBA115, %rax
        movq size, %r12
        subq $16, %r12
        movl $4096, %edi
2:      leaq 4096(%rdi), %rdx
        cmpq %r12, %rdx
        cmovaq %r12, %rdx               # the end of this page or of the pattern
        cmpq %rdx, %rdi
        jae 3f
        movq %rdi, %rbx
        scasq                           # the page's address is not the pattern
        cmpq %rbx, -8(%rdi)
        jne bad
        movq %rdx, %rcx
        subq %rdi, %rcx
        shrq $3, %rcx
        jz 2b
        repe scasq
        jne bad
        jmp 2b
3:      call *%r12
        hlt
bad:    movb $'X', %al
        outb %al, $0xE9
        movq %rdi, %rbx
        movl $16, %ecx
4:      rolq $4, %rbx
        movl %ebx, %eax
        andl $15, %eax
        addb $'a', %al
        outb %al, $0xE9
        decl %ecx
        jnz 4b
        hlt
        .org 4096
