// The entry of a 64-bit kernel that is a plain ELF file: a stack is there already.

  .text
  .globl elf_entry
elf_entry:
  movq %rsp, %rdi
  call elf_main
stop:
  cli
  hlt
  jmp stop

  .section .note.GNU-stack, "", @progbits
