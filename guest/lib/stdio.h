/// So that a program that begins with `#include <stdio.h>` finds `printf`, `puts`, `putchar`.
/// Files are those of guest.h, not `FILE`.

#include <guest.h>
