# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
#
# Stores every register before it changes any, then prints them, one "name value" per line.
        .section .start, "awx"
        .globl _start
_start:
        movq %rax, value_rax
        movq %rbx, value_rbx
        movq %rcx, value_rcx
        movq %rdx, value_rdx
        movq %rsi, value_rsi
        movq %rdi, value_rdi
        movq %rbp, value_rbp
        movq %rsp, value_rsp
        movq %r8, value_r8
        movq %r9, value_r9
        movq %r10, value_r10
        movq %r11, value_r11
        movq %r12, value_r12
        movq %r13, value_r13
        movq %r14, value_r14
        movq %r15, value_r15
        pushfq
        popq value_rflags
        call 1f                         # where this code thinks it stands, and where it does
1:      popq %rax
        subq $1b, %rax
        movq %rax, value_offset
        movq %cr0, %rax
        movq %rax, value_cr0
        movq %cr4, %rax
        movq %rax, value_cr4
        movl $0xC0000080, %ecx
        rdmsr
        shlq $32, %rdx
        movl %eax, %eax
        orq %rdx, %rax
        movq %rax, value_efer
        xorl %eax, %eax
        movw %cs, %ax
        andl $3, %eax
        movq %rax, value_cpl
        # Every data segment reaches the same bytes: none has a base.
        movq probe, %rax
        cmpq %ds:probe, %rax
        jne 2f
        cmpq %es:probe, %rax
        jne 2f
        cmpq %fs:probe, %rax
        jne 2f
        cmpq %gs:probe, %rax
        jne 2f
        movq $0, value_bases
2:
        movl $table, %ebx
3:      movq (%rbx), %rsi
        testq %rsi, %rsi
        jz 6f
4:      lodsb
        testb %al, %al
        jz 5f
        outb %al, $0xE9
        jmp 4b
5:      movb $' ', %al
        outb %al, $0xE9
        movq 8(%rbx), %rdi
        movl $16, %ecx
7:      rolq $4, %rdi
        movl %edi, %eax
        andl $15, %eax
        movb hex(%rax), %al
        outb %al, $0xE9
        decl %ecx
        jnz 7b
        movb $'\n', %al
        outb %al, $0xE9
        addq $16, %rbx
        jmp 3b
6:      hlt
        movb $'!', %al                 # the first hlt is the last instruction
        outb %al, $0xE9
        jmp 6b

hex:    .ascii "0123456789abcdef"
        .balign 8
probe:  .quad 0x0123456789ABCDEF

        .macro entry name
        .quad name_\name
value_\name:
        .quad 0xEEEEEEEEEEEEEEEE
        .pushsection .rodata
name_\name:
        .asciz "\name"
        .popsection
        .endm

table:
        .irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15
        entry \register
        .endr
        .irp register, rflags, cr0, cr4, efer, cpl, offset, bases
        entry \register
        .endr
        .quad 0
