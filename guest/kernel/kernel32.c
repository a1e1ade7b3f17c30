// Prints what its loader handed over: command line, modules, memory map. It is started by Multiboot
// 1 or by PVH, at the entry in start32.S that belongs to it.

#include <stdint.h>

#ifdef PC
#include "pc.h"
#endif
#include "print.h"

static char volatile initialised[] = "data";
static char volatile cleared[4096];

/// Whether the image is as it was linked: its data there, its zeros 0.
static void check_image(void) {
  int wrong = initialised[0] != 'd';
  for (unsigned i = 0; i < sizeof cleared; ++i) wrong |= cleared[i];
  print(wrong ? "image is damaged\n" : "image is whole\n");
}

static uint64_t wide(uint32_t const* field) { return field[0] | (uint64_t)field[1] << 32; }

static char const* at(uint32_t address) { return (char const*)address; }

static void print_range(char const* what, uint64_t base, uint64_t size, uint32_t type) {
  print(what);
  print_hex(base);
  print(" ");
  print_hex(size);
  print(" ");
  print_hex(type);
  print("\n");
}

static void print_module(uint32_t begin, uint32_t end, char const* string) {
  print("module ");
  print(string);
  print(begin % 4096 ? " (not at a page): " : ": ");
  for (uint32_t address = begin; address < end; ++address) print_character(*at(address));
  print("\n");
}

void multiboot_main(uint32_t magic, uint32_t const* info) {
  print(magic == 0x2BADB002 ? "multiboot\n" : "multiboot with a wrong magic number\n");
  check_image();
  print("flags ");
  print_hex(info[0]);
  print("\nlower ");
  print_hex(info[1]);
  print(" upper ");
  print_hex(info[2]);
  print("\ncommand line: ");
  print(at(info[4]));
  print("\nloader: ");
  print(at(info[16]));
  print("\n");
  for (uint32_t index = 0; index < info[5]; ++index) {
    uint32_t const* module = (uint32_t const*)info[6] + 4 * index;
    print_module(module[0], module[1], at(module[2]));
  }
  uint32_t const end = info[12] + info[11];
  for (uint32_t entry = info[12]; entry < end; entry += *(uint32_t const*)entry + 4) {
    uint32_t const* fields = (uint32_t const*)entry + 1;
    print_range("map ", wide(fields), wide(fields + 2), fields[4]);
  }
#ifdef PC
  end_as_told(at(info[4]));
#endif
}

void pvh_main(uint32_t const* info) {
  print(info[0] == 0x336EC578 && info[1] == 1 ? "pvh\n" : "pvh with a wrong magic number\n");
  check_image();
  print("command line: ");
  print(at(info[6]));
  print("\n");
  for (uint32_t index = 0; index < info[3]; ++index) {
    uint32_t const* module = (uint32_t const*)info[4] + 8 * index;
    print_module(module[0], module[0] + module[2], "");
  }
  for (uint32_t index = 0; index < info[12]; ++index) {
    uint32_t const* fields = (uint32_t const*)info[10] + 6 * index;
    print_range("map ", wide(fields), wide(fields + 2), fields[4]);
  }
  char const* rsdp = at(info[8]);
  print(rsdp && rsdp[0] == 'R' && rsdp[7] == ' ' ? "tables: yes\n" : "tables: no\n");
}
