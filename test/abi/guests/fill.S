# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
#
# Takes all of memory that it does not stand in itself: from the end of its image to a small stack,
# every quadword, written and read again, and then still knows how to speak.
        .section .start, "awx"
        .globl _start
_start:
        movq %rsp, %r12                 # MEM
        movl $pattern_start, %ebx
        # Fresh memory is zero.
        movq %rbx, %rdi
        leaq -256(%r12), %rcx
        subq %rbx, %rcx
        shrq $3, %rcx
        movq %rcx, %r13
        xorl %eax, %eax
        cld
        repe scasq
        movb $'z', %al
        jne bad
        movabsq $0xA5C396690FF05A3C, %rax
        movq %rbx, %rdi
        movq %r13, %rcx
        rep stosq
        movq %rbx, %rdi
        movq %r13, %rcx
        repe scasq
        movb $'p', %al
        jne bad
        # Each page by its own number: no two addresses are one.
        movq %rbx, %rdi
        leaq -256(%r12), %rcx
1:      movq %rdi, (%rdi)
        addq $4096, %rdi
        cmpq %rcx, %rdi
        jb 1b
        movq %rbx, %rdi
        movb $'a', %al
2:      cmpq %rdi, (%rdi)
        jne bad
        addq $4096, %rdi
        cmpq %rcx, %rdi
        jb 2b
        # To the last byte, the bottom of the stack.
        movb $'s', %al
        movb $0x77, -1(%r12)
        cmpb $0x77, -1(%r12)
        jne bad
        # A new translation of every page that was used above.
        movq %cr3, %rcx
        movq %rcx, %cr3
        movb $'c', %al
        cmpq %rbx, (%rbx)
        jne bad
        movl $good_text, %esi
        call print
        hlt
bad:    outb %al, $0xE9
        movl $bad_text, %esi
        call print
        hlt
print:  lodsb
        testb %al, %al
        jz 3f
        outb %al, $0xE9
        jmp print
3:      ret

good_text: .asciz "all of it\n"
bad_text: .asciz " is wrong\n"
        .balign 8
pattern_start = image_end_aligned
        .section .bss
        .balign 8
image_end_aligned:
