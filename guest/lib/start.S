/* The first instructions of a guest that has a main: clear .bss, call main, halt.
 *
 * At entry the stack pointer is the size of RAM, which is how a guest learns that size. A guest
 * that defines _start itself (as old ones do) does not get this file. */

  .section .start, "ax"
  .globl _start
_start:
  mov %rsp, %rbx
  lea -4096(%rsp), %rdx          /* a page is left to the stack */
  mov $__bss_end, %rax
  cmp %rdx, %rax
  ja too_small

  mov $__bss_start, %rdi
  mov %rax, %rcx
  sub %rdi, %rcx
  shr $3, %rcx
  xor %eax, %eax
  cld
  rep stosq

  mov %rbx, memory_end
  call main
stop:
  hlt
  jmp stop

too_small:
  mov $message, %esi
  mov $0xE9, %edx
next:
  lodsb
  test %al, %al
  jz stop
  outb %al, (%dx)
  jmp next

  .section .rodata.start, "a"
message:
  .string "guest: its data do not fit into RAM, start it with a larger -m\n"

  .bss
  .balign 8
  .globl memory_end
memory_end:
  .skip 8

  .section .note.GNU-stack, "", @progbits
