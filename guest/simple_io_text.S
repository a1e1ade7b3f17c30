/* Prints a text, and the first sector of the disk up to its first 0, without any library. */

#include <simple_io.h>

  .section .start, "ax"
  .globl _start
_start:
  mov $greeting, %esi
  mov $greeting_end - greeting, %ecx
  print_bytes

  mov $status, %eax
  write_dword DISK_ADDRESS
  mov $COMMAND_SETUP, %al
  write_byte DISK_COMMAND

  xor %eax, %eax
  write_dword DISK_SECTOR
  mov $0x100000, %eax            /* where guests have their heap */
  write_dword DISK_ADDRESS
  mov $COMMAND_READ, %al
  write_byte DISK_COMMAND
  cmpl $0, status + 8
  jne stop

  mov $0x100000, %edi            /* how long is it? */
  xor %eax, %eax
  mov $SECTOR_SIZE, %ecx
  cld
  repne scasb
  lea -0x100001(%rdi), %rcx
  jrcxz stop
  mov $0x100000, %esi
  print_bytes
stop:
  mov status + 8, %eax           /* the error */
  mov status, %edx               /* the size */
  hlt

  .section .rodata
greeting:
  .ascii "The disk says: "
greeting_end:

  .data
  .balign 8
status:
  .quad 0
  .long -1

  .section .note.GNU-stack, "", @progbits
