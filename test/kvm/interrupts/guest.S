/* A guest that takes interrupts. What it does stands at 0x9000, what came at 0x9100: a count for
 * each vector, 8 bytes each. Devices: 0x80 pulses line 4; 0x81 raises line 11, a level, and lowers
 * it; 0x82 pulses line 5 a moment later; 0x85 counts; 0x501 ends the machine. Some scenarios want an
 * 8254 at 0x40 and a UART at 0x3F8 too. */

#define SCENARIO 0x9000          /* which of those at `scenarios` */
#define ROUNDS   0x9004          /* how many interrupts it waits for */
#define COUNTS   0x9100
#define APIC     0xFEE00000
#define IOAPIC   0xFEC00000

  .section .start, "ax"
  .globl _start
_start:
  lgdt gdt_pointer
  pushq $8
  pushq $1f
  lretq
1:
  mov $vectors, %rsi             /* the gates: each leads to a stub of 16 bytes */
  xor %ecx, %ecx
2:
  mov %ecx, %edi
  shl $4, %edi
  mov %edi, %eax
  add $stubs, %eax
  mov %ax, (%rsi,%rdi)
  movw $8, 2(%rsi,%rdi)
  movw $0x8E00, 4(%rsi,%rdi)
  shr $16, %eax
  mov %ax, 6(%rsi,%rdi)
  inc %ecx
  cmp $0x80, %ecx
  jne 2b
  lidt idt_pointer
  mov $APIC, %r14d
  mov $IOAPIC, %r15d
  mov SCENARIO, %eax
  mov ROUNDS, %ebx
  jmp *scenarios(,%rax,8)

/* --- Scenarios: each ends the machine with 1, or with 0x80 and the vector of an exception */

  .balign 8
scenarios:
  .quad pulses_by_pic, level_by_pic, halts_by_pic
  .quad pulses_by_ioapic, level_by_ioapic, halts_by_ioapic
  .quad starts_others, waits_for_messages, halts_for_good, storm, masked_by_pic
  .quad forgets_ends, fastest_timer, floods_uart

pulses_by_pic:
  call set_up_pic
  mov $COUNTS + 8 * 0x24, %r12d
  jmp pulses
pulses_by_ioapic:
  call set_up_apics
  mov $COUNTS + 8 * 0x31, %r12d
pulses:
  sti
  xor %r13d, %r13d
3:
  mov $2, %al
  outb %al, $0x80
  inc %r13
4:
  pause
  cmp %r13, (%r12)
  jb 4b
  cmp %rbx, %r13
  jb 3b
  jmp done

level_by_pic:
  call set_up_pic
  mov $COUNTS + 8 * 0x2B, %r12d
  jmp levels
level_by_ioapic:
  call set_up_apics
  mov $COUNTS + 8 * 0x42, %r12d
levels:                          /* the device wants to be told %bl times to let go */
  sti
  mov %bl, %al
  outb %al, $0x81
5:
  pause
  cmp %rbx, (%r12)
  jb 5b
  inb $0x81, %al                 /* how often is it to be told yet? */
  test %al, %al
  jnz wrong
  jmp done

halts_by_pic:
  call set_up_pic
  mov $COUNTS + 8 * 0x25, %r12d
  jmp halts
halts_by_ioapic:
  call set_up_apics
  mov $COUNTS + 8 * 0x32, %r12d
halts:
  xor %r13d, %r13d
6:
  cli
  mov $20, %al
  outb %al, $0x82
  inc %r13
7:
  sti
  hlt
  cli
  cmp %r13, (%r12)
  jb 7b
  cmp %rbx, %r13
  jb 6b
  jmp done

starts_others:                   /* INIT, and twice the start-up message for 0x8000, to all others */
  mov $0x1FF, %eax
  mov %eax, 0xF0(%r14)
  movl $0xC4500, 0x300(%r14)
  mov $0x20000, %ecx
8:
  pause
  dec %ecx
  jnz 8b
  movl $0xC4608, 0x300(%r14)
  mov $0x4000, %ecx
9:
  pause
  dec %ecx
  jnz 9b
  movl $0xC4608, 0x300(%r14)
10:
  pause
  inb $0x85, %al
  cmp %bl, %al
  jb 10b
  jmp done

waits_for_messages:
  call set_up_apics
  mov $1, %al
  outb %al, $0x85                /* the test may send now */
11:
  sti
  hlt
  cli
  cmp %rbx, COUNTS + 8 * 0x61
  jb 11b
  jmp done

halts_for_good:
  call set_up_pic
  mov $1, %al
  outb %al, $0x85
12:
  sti
  hlt
  jmp 12b

storm:                           /* a level that nobody lowers */
  call set_up_apics
  movl $1, no_acknowledge
  sti
  mov $1, %al
  outb %al, $0x81
13:
  pause
  jmp 13b

masked_by_pic:                   /* line 4 comes while it is masked, and interrupts are off */
  call set_up_pic
  mov $0x10, %al
  outb %al, $0x21
  sti
  mov $2, %al
  outb %al, $0x80
  mov $2000, %ecx
14:
  pause
  dec %ecx
  jnz 14b
  cmpq $0, COUNTS + 8 * 0x24
  jne wrong
  cli
  xor %eax, %eax
  outb %al, $0x21
  mov $2000, %ecx
15:
  pause
  dec %ecx
  jnz 15b
  cmpq $0, COUNTS + 8 * 0x24
  jne wrong
  sti
16:
  pause
  cmpq $1, COUNTS + 8 * 0x24
  jb 16b
  jmp done

forgets_ends:                    /* line 4 comes %ebx times, and its first interrupt is never ended */
  call set_up_pic
  movl $1, no_end
  sti
  xor %r13d, %r13d
18:
  mov $2, %al
  outb %al, $0x80
  outb %al, $0x82                /* nor does line 5 come through, which has less priority */
  inc %r13
  cmp %rbx, %r13
  jb 18b
  mov $20000, %ecx
19:
  pause
  dec %ecx
  jnz 19b
  cmpq $1, COUNTS + 8 * 0x24
  jne wrong
  cmpq $0, COUNTS + 8 * 0x25
  jne wrong
  movl $0, no_end
  mov $0x64, %al                 /* the end that was forgotten: OCW2, specific, line 4 */
  outb %al, $0x20
20:
  pause
  cmpq $2, COUNTS + 8 * 0x24
  jb 20b
21:
  pause
  cmpq $1, COUNTS + 8 * 0x25
  jb 21b
  jmp done

fastest_timer:                   /* mode 2 with a count of 2: 596,591 times a second */
  call set_up_pic
  mov $0x34, %al
  outb %al, $0x43
  mov $2, %al
  outb %al, $0x40
  xor %eax, %eax
  outb %al, $0x40
  sti
22:
  pause
  jmp 22b

floods_uart:
  mov $0x3F8, %edx
  mov $0x41, %al
23:
  outb %al, %dx
  incq COUNTS
  jmp 23b

done:
  mov $1, %al
  jmp stop
wrong:
  mov $2, %al
stop:
  mov $0x501, %edx
  outb %al, %dx
  jmp stop

/* --- Controllers */

set_up_pic:                      /* vectors from 0x20 and 0x28; line 11 is a level */
  mov $0x11, %al
  outb %al, $0x20
  outb %al, $0xA0
  mov $0x20, %al
  outb %al, $0x21
  mov $0x28, %al
  outb %al, $0xA1
  mov $0x04, %al
  outb %al, $0x21
  mov $0x02, %al
  outb %al, $0xA1
  mov $0x01, %al
  outb %al, $0x21
  outb %al, $0xA1
  xor %eax, %eax
  outb %al, $0x21
  outb %al, $0xA1
  mov $0x08, %al
  mov $0x4D1, %edx
  outb %al, %dx
  ret

set_up_apics:                    /* lines 4, 5: vectors 0x31, 0x32; 11: 0x42, a level */
  movl $1, by_apic
  mov $0x1FF, %eax
  mov %eax, 0xF0(%r14)
  movl $0x10000, 0x350(%r14)    /* LINT0: the 8259A's output is not wanted */
  mov $0x19, %edi
  xor %esi, %esi
  call redirect
  mov $0x18, %edi
  mov $0x31, %esi
  call redirect
  mov $0x1B, %edi
  xor %esi, %esi
  call redirect
  mov $0x1A, %edi
  mov $0x32, %esi
  call redirect
  mov $0x27, %edi
  xor %esi, %esi
  call redirect
  mov $0x26, %edi
  mov $0x8042, %esi
redirect:
  mov %edi, (%r15)
  mov %esi, 0x10(%r15)
  ret

/* --- Handlers */

common:                          /* on the stack: rax, the vector */
  push %rdx
  mov 16(%rsp), %rax
  cmp $0x20, %eax
  jb exception
  incq COUNTS(,%rax,8)
  cmp $0x2B, %eax
  je level
  cmp $0x42, %eax
  jne end
level:
  cmpl $0, no_acknowledge
  jne end
  push %rax
  xor %eax, %eax
  outb %al, $0x81
  pop %rax
end:
  cmpl $0, no_end
  jne back
  cmpl $0, by_apic
  jne end_at_apic
  cmp $0x28, %eax
  mov $0x20, %al
  jb end_at_master
  outb %al, $0xA0
end_at_master:
  outb %al, $0x20
  jmp back
end_at_apic:
  movl $0, 0xB0(%r14)
back:
  pop %rdx
  pop %rax
  add $8, %rsp
  iretq
exception:
  or $0x80, %al
  jmp stop

  .balign 16
stubs:
  .set vector, 0
  .rept 0x80
  .balign 16
  pushq $vector
  push %rax
  jmp common
  .set vector, vector + 1
  .endr

/* --- The others begin here, in real mode, and end in a halt */

  .org 0x8000
  .code16
  mov $1, %al
  outb %al, $0x85
17:
  hlt
  jmp 17b
  .code64

  .org 0xA000
  .balign 8
gdt:
  .quad 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
gdt_pointer:
  .word 23
  .quad gdt
idt_pointer:
  .word 0x80 * 16 - 1
  .quad vectors
by_apic:
  .long 0
no_acknowledge:
  .long 0
no_end:
  .long 0
  .balign 16
vectors:
  .skip 0x80 * 16

  .section .note.GNU-stack, "", @progbits
