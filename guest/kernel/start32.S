// The entries of a 32-bit kernel: Multiboot 1 and PVH, each of which hands over a structure in EBX.
// With ADDRESS_FIELDS it brings its own addresses, so that its flat image is loaded by them.

#ifdef ADDRESS_FIELDS
#define FLAGS 0x10003
#else
#define FLAGS 0x00003
#endif
#define MAGIC 0x1BADB002

  .section .header, "a"
  .balign 4
header:
  .long MAGIC
  .long FLAGS
  .long -(MAGIC + FLAGS)
#ifdef ADDRESS_FIELDS
  .long header
  .long kernel_begin
  .long kernel_data_end
  .long kernel_end
  .long multiboot_entry
#endif

  .section .note.Xen, "a", @note
  .balign 4
  .long 4, 4, 18          // XEN_ELFNOTE_PHYS32_ENTRY
  .asciz "Xen"
  .long pvh_entry

  .text
  .globl multiboot_entry
multiboot_entry:
  movl $stack_end, %esp
  pushl %ebx
  pushl %eax
  call multiboot_main
  jmp stop

pvh_entry:
  movl $stack_end, %esp
  pushl %ebx
  call pvh_main

stop:
  cli
  hlt
  jmp stop

  .bss
  .balign 16
  .skip 4096
stack_end:

  .section .note.GNU-stack, "", @progbits
