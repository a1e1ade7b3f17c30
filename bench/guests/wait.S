// Says that it runs, then waits for a byte of input: keeps a VM alive to look at its memory.
        .globl  _start
_start: movl    $0xE9, %edx
        movb    $'R', %al
        outb    %al, %dx
        movb    $'\n', %al
        outb    %al, %dx
        inb     %dx, %al
        hlt
