// An image of more than 64 KiB that checks itself: a table, its sum made by the assembler, and a
// function behind the table.

#include <guest.h>

#define WORDS 24576
#define FACTOR 0x9E3779B97F4A7C15

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

// Word k of the table is k * FACTOR, so that a page in a wrong place shows too.
__asm__(
    ".section .data.table, \"aw\"\n"
    ".balign 8\n"
    "table:\n"
    ".set value, 0\n"
    ".set sum, 0\n"
    ".rept " TEXT(WORDS) "\n"
    "  .quad value\n"
    "  .set sum, sum + value\n"
    "  .set value, value + " TEXT(FACTOR) "\n"
    ".endr\n"
    "table_sum: .quad sum\n"
    "function_behind_table:\n"
    "  mov $42, %eax\n"
    "  ret\n"
    ".text\n");

extern uint64_t const table[WORDS];
extern uint64_t const table_sum;
extern int function_behind_table(void);

int main(void) {
  uint64_t sum = 0;
  uint64_t expected = 0;
  for (int i = 0; i < WORDS; ++i, expected += FACTOR) {
    if (table[i] != expected) {
      printf("the image is damaged at address %p\n", (void*)&table[i]);
      return 1;
    }
    sum += table[i];
  }
  if (sum != table_sum || function_behind_table() != 42) {
    puts("the image is damaged behind its table");
    return 1;
  }
  printf("all %d KiB of the table are right, sum 0x%016lx\n", WORDS / 128, sum);
  return 0;
}
