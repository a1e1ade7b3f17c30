/* The guest of mini_vmm: counts on port 0xFF in 16-bit real mode, for ever. */

  .code16
  .section .start, "ax"
  .globl _start
_start:
  xor %ax, %ax
count:
  out %ax, $0xFF
  inc %ax
  jmp count

  .section .note.GNU-stack, "", @progbits
