// Loops of one instruction each that leaves the guest in one way. In 64-bit mode at address 0, ring
// 0 or 3; RAM up to 2 MiB.
//
// The image begins with a table of the loops: a name of 24 bytes and an address, until a name is
// empty. The host finds `start` there and all others, and tells in the words at CONTROL which one
// to run, how often, and with what; at the end the guest writes there what it summed up, and says
// so with one byte to port END. Each loop adds the value that its instruction moved, so that a sum
// is right only if every round was made and every answer arrived.
//
//   r8 rounds still to go   r9 the sum   edx, ecx PORT   rdi ADDRESS   rax VALUE   r10 VALUE
//   r11 ADDRESS             r12 LENGTH
        .set    CONTROL, 0x8000
        .set    ENTRY, CONTROL              // address of a loop
        .set    COUNT, CONTROL + 0x08       // its rounds, at least 1
        .set    PORT, CONTROL + 0x10        // or the number of an MSR
        .set    ADDRESS, CONTROL + 0x18
        .set    VALUE, CONTROL + 0x20
        .set    LENGTH, CONTROL + 0x28
        .set    SUM, CONTROL + 0x30         // from the guest
        .set    BATCHES, CONTROL + 0x38     // from the guest: how often it came to an end
        .set    WOKEN, CONTROL + 0x40       // from the guest: how many interrupts it had
        .set    END, 0xF1
        .set    APIC_EOI, 0xFEE000B0

        .macro  ROW name
        .pushsection .text, 0
1:      .asciz  "\name"
        .org    1b + 24
        .quad   \name
        .popsection
        .endm

        .macro  LOOP name, first, second, third
        ROW     \name
        .balign 16
\name:
        \first
        \second
        \third
        addq    %rax, %r9
        decq    %r8
        jnz     \name
        jmp     done
        .endm

        .text   0
        .globl  _start
_start:                                     // no code: the table

        .text   1
        ROW     start
start:  movl    PORT, %edx
        movl    %edx, %ecx
        movq    ADDRESS, %rdi
        movq    %rdi, %r11
        movq    VALUE, %rax
        movq    %rax, %r10
        movq    LENGTH, %r12
        movq    COUNT, %r8
        xorl    %r9d, %r9d
        jmp     *ENTRY
done:   movq    %r9, SUM
        incq    BATCHES
        outb    %al, $END
        jmp     start

        LOOP    empty
        LOOP    out1, "outb %al, %dx"
        LOOP    out2, "outw %ax, %dx"
        LOOP    out4, "outl %eax, %dx"
        LOOP    in1, "inb %dx, %al"
        LOOP    in2, "inw %dx, %ax"
        LOOP    in4, "inl %dx, %eax"
        LOOP    store1, "movb %al, (%rdi)"
        LOOP    store2, "movw %ax, (%rdi)"
        LOOP    store4, "movl %eax, (%rdi)"
        LOOP    store8, "movq %rax, (%rdi)"
        LOOP    load1, "movb (%rdi), %al"
        LOOP    load2, "movw (%rdi), %ax"
        LOOP    load4, "movl (%rdi), %eax"
        LOOP    load8, "movq (%rdi), %rax"

        // LENGTH bytes at ADDRESS. Their sum is not the guest's to make: the host looks at them.
        LOOP    outs, "movq %r11, %rsi", "movq %r12, %rcx", "rep outsb"
        LOOP    ins, "movq %r11, %rdi", "movq %r12, %rcx", "rep insb"
        LOOP    string_rest, "movq %r11, %rsi", "movq %r12, %rcx"

        // A request block: its number goes into the block's first word, its address out.
        LOOP    request, "movq %r8, (%rdi)", "movl %edi, %eax", "outl %eax, %dx"
        LOOP    request_rest, "movq %r8, (%rdi)", "movl %edi, %eax"

        LOOP    cpuid, "movl %r10d, %eax", "cpuid"
        LOOP    cpuid_rest, "movl %r10d, %eax"
        LOOP    vmcall, "movl %r10d, %eax", "vmcall"
        LOOP    vmmcall, "movl %r10d, %eax", "vmmcall"
        LOOP    rdmsr, "rdmsr"
        LOOP    wrmsr, "wrmsr"

        // Waits in hlt for interrupts, for ever. Those of the 8259A, which is set up here, come as
        // vector 0x25 (line 5, each over with its delivery), messages as vector 0x40.
        ROW     halt_pic
halt_pic:
        .irp    command, 0x2011, 0x2120, 0x2104, 0x2103, 0x2100
        movb    $(\command & 0xFF), %al
        outb    %al, $(\command >> 8)
        .endr
        ROW     halt
halt:   outb    %al, $END                       // ready
1:      sti
        hlt
        jmp     1b

from_pic:
        incq    WOKEN
        iretq
from_apic:
        incq    WOKEN
        movl    $APIC_EOI, %eax
        movl    $0, (%rax)
        iretq

        .macro  GATE vector, handler
        .org    idt + 16 * \vector
        .word   \handler, 8, 0x8E00, 0         // selector 8, interrupt gate; below 64 KiB
        .quad   0
        .endm

        ROW     gdt
        .balign 16
gdt:    .quad   0
        .quad   0x00AF9B000000FFFF              // 0x08: 64-bit code
        .quad   0x00CF93000000FFFF              // 0x10: data
        ROW     idt
        .balign 16
idt:    GATE    0x25, from_pic
        GATE    0x40, from_apic

        .text   0
        .zero   32                              // the table's end: no name
