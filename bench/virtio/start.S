// A flat Multiboot image that brings its own addresses, in 32-bit protected mode without paging.

#define FLAGS 0x10003
#define MAGIC 0x1BADB002

  .section .header, "a"
  .balign 4
header:
  .long MAGIC
  .long FLAGS
  .long -(MAGIC + FLAGS)
  .long header
  .long kernel_begin
  .long kernel_data_end
  .long kernel_end
  .long entry

  .text
  .globl entry
entry:
  cli
  cld
  movl $stack_end, %esp
  call guest_main
stop:
  cli
  hlt
  jmp stop

  // int wait_for_interrupt(void): halts with interrupts off until one has come; which one. A handler
  // drops its frame and returns from here in the place of an iret, which not every KVM emulates in
  // 32-bit mode. Interrupts are off again then, as its gate has left them.
  .globl wait_for_interrupt
wait_for_interrupt:
  sti
  hlt
  jmp wait_for_interrupt

  .globl device_interrupt, serial_interrupt, other_interrupt
device_interrupt:
  addl $12, %esp
  movl $0, %eax
  ret
serial_interrupt:
  addl $12, %esp
  movl $1, %eax
  ret
other_interrupt:
  addl $12, %esp
  movl $2, %eax
  ret

  .bss
  .balign 16
  .skip 16384
stack_end:

  .section .note.GNU-stack, "", @progbits
