// Makes page tables of its own, which show it all addresses up to 4 GiB, and reads and writes far
// outside its RAM: there is nothing, so reads give all ones and writes are lost.
//
// Close behind its RAM it might meet the page tables that it was started with.

#include <guest.h>

enum { kPresent = 1, kWritable = 2, kLarge = 0x80, kEntries = 512, kGiB = 4 };

static int failures;

static void map_everything(void) {
  static uint64_t tables[2 + kGiB][kEntries] __attribute__((aligned(4096)));
  tables[0][0] = (uintptr_t)tables[1] | kPresent | kWritable;
  for (uint64_t i = 0; i < kGiB; ++i) {
    tables[1][i] = (uintptr_t)tables[2 + i] | kPresent | kWritable;
    for (uint64_t k = 0; k < kEntries; ++k) {
      tables[2 + i][k] = (i << 30 | k << 21) | kPresent | kWritable | kLarge;
    }
  }
  __asm__ volatile("mov %0, %%cr3" : : "r"(tables) : "memory");
}

static void try(uint64_t address) {
  uint64_t volatile* wild = (uint64_t*)address;
  *wild = 0x5757575757575757;
  bool nothing = *wild == UINT64_MAX;
  *(uint8_t volatile*)address = 0x57;
  nothing &= *(uint8_t volatile*)address == 0xFF;
  failures += !nothing;
  if (!nothing) printf("there is something at 0x%lx\n", address);
}

int main(void) {
  map_everything();
  static uint64_t const wild[] = {
      32 << 20, 0x10000000, 0x40000000, 0xD0000000, 0xFEC00000, 0xFEE00000, 0xFFFFFFF0,
  };
  for (size_t i = 0; i < sizeof wild / sizeof wild[0]; ++i) try(wild[i]);
  printf("%d failures\n", failures);
  return 0;
}
