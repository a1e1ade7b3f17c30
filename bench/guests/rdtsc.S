// Round trips as the guest sees them: rdtsc, one access, rdtsc. A flat Multiboot image at 1 MiB that
// any monitor with a debug console at port 0xE9 can run: 32-bit protected mode, no paging.
//
// For each access it prints a line "@NAME SUM: CYCLES CYCLES ...", numbers in hexadecimal, 8 digits;
// SUM adds up the bytes that were read or written, and tells that the accesses were made. The last
// line is "@end"; then a byte goes to port 0xF4, which ends the machines that we start it in.
        .set    SAMPLES, 256
        .set    WARM, 16                        // as many before them, not told
        .set    FLAGS, 0x10000                  // the header's addresses are valid
        .set    MAGIC, 0x1BADB002
        .set    TIMES, 0x180000                 // in RAM, for WARM + SAMPLES words

        .code32
        .text
        .globl  _start
_start:
header: .long   MAGIC, FLAGS, -(MAGIC + FLAGS)
        .long   header, header, image_end, image_end, entry

        // edx: the port, ebx: the value; ebp: the sum.
        .macro  MEASURE name, port, value, access
        movl    $\value, %ebx
        xorl    %ebp, %ebp
        movl    $TIMES, %edi
1:      movl    $\port, %edx
        movl    %edx, %ecx
        rdtsc
        movl    %eax, %esi
        movl    %ecx, %edx
        movl    %ebx, %eax
        \access
        movzbl  %al, %eax
        addl    %eax, %ebp
        rdtsc
        subl    %esi, %eax
        movl    %eax, (%edi)
        addl    $4, %edi
        cmpl    $TIMES + 4 * (WARM + SAMPLES), %edi
        jne     1b
        call    print
        .asciz  "@\name "
        .endm

entry:  movl    $0x1F0000, %esp
        MEASURE "empty", 0, 1
        MEASURE "out 0x3FF", 0x3FF, 0x5A, "outb %al, %dx"  // the UART's scratch register
        MEASURE "in 0x3FF", 0x3FF, 0, "inb %dx, %al"
        MEASURE "out 0xE9", 0xE9, '.', "outb %al, %dx"     // the debug console
        MEASURE "out 0x5678", 0x5678, 0xA5, "outb %al, %dx" // nobody's
        MEASURE "in 0x5678", 0x5678, 0, "inb %dx, %al"
        movl    $end, %esi
        call    text
        outb    %al, $0xF4
halt:   hlt
        jmp     halt
end:    .asciz  "@end\n"

// The line of what was measured; its name follows the call.
print:  popl    %esi
        call    text
        pushl   %esi
        movl    %ebp, %ebx
        call    number
        movb    $':', %al
        outb    %al, $0xE9
        movl    $TIMES + 4 * WARM, %edi
1:      movb    $' ', %al
        outb    %al, $0xE9
        movl    (%edi), %ebx
        call    number
        addl    $4, %edi
        cmpl    $TIMES + 4 * (WARM + SAMPLES), %edi
        jne     1b
        movb    $'\n', %al
        outb    %al, $0xE9
        ret

// The text at esi, up to its 0; esi is behind that then.
text:   movb    (%esi), %al
        incl    %esi
        testb   %al, %al
        jz      1f
        outb    %al, $0xE9
        jmp     text
1:      ret

// ebx in 8 digits.
number: movl    $8, %ecx
1:      roll    $4, %ebx
        movl    %ebx, %eax
        andl    $15, %eax
        movb    digits(%eax), %al
        outb    %al, $0xE9
        decl    %ecx
        jnz     1b
        ret
digits: .ascii  "0123456789abcdef"
image_end:
