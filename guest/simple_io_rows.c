// Goes through the description of simple_kvm_io's devices, row by row, and prints what it finds.
// The disk is to have 4 sectors at least, sector N being filled with the letter 'a' + N.

#include <simple_io.h>

static struct {
  struct DiskStatus status;
  uint32_t behind;
} volatile place = {.behind = 0xAAAAAAAA};

static uint8_t data[SECTOR_SIZE + 2];

static void* at(uint32_t address) { return (void*)(uintptr_t)address; }

/// The error of a command; -1 if the host did not write the status.
static int32_t result(uint8_t command, uint32_t sector, void const volatile* address) {
  place.status.error = -1;
  disk_command(command, sector, address);
  return place.status.error;
}

static void row(char const* name, int32_t value) { printf("%s: %d\n", name, value); }

static void yes_or_no(char const* name, bool value) {
  printf("%s: %s\n", name, value ? "yes" : "NO");
}

/// Whether `data` holds one sector of this letter, and no more.
static bool holds(char letter) {
  for (int i = 1; i <= SECTOR_SIZE; ++i) {
    if (data[i] != (uint8_t)letter) return false;
  }
  return data[0] == 0 && data[SECTOR_SIZE + 1] == 0;
}

static void before_setup(uint32_t end) {
  memset(data, 0, sizeof data);
  row("read before setup", result(COMMAND_READ, 0, data + 1));
  yes_or_no("it moved nothing", holds(0));
  row("write before setup", result(COMMAND_WRITE, 3, data + 1));
  row("no such command before setup", result(7, 0, data + 1));

  // The stack is there, and 11 of the status's bytes would be.
  uint64_t last = *(uint64_t volatile*)at(end - 8);
  disk_command(COMMAND_SETUP, 0, at(end - 11));
  disk_command(COMMAND_SETUP, 0, at(end));
  disk_command(COMMAND_SETUP, 0, at(0xFFFFFFFC));
  yes_or_no("a status half outside RAM is not written", *(uint64_t volatile*)at(end - 8) == last);
  row("and does not count as setup", result(COMMAND_READ, 0, data + 1));
}

static void setup(void) {
  row("setup", result(COMMAND_SETUP, 0, &place.status));
  printf("size: %u\n", (unsigned)place.status.size);
  row("a second setup", result(COMMAND_SETUP, 0, &place.status));
  memset(data, 0, sizeof data);
  row("a second setup elsewhere", result(COMMAND_SETUP, 0, data + 1));
  yes_or_no("it wrote nothing there", holds(0));
}

static void transfers(void) {
  row("read", result(COMMAND_READ, 2, data + 1));
  yes_or_no("it is the right sector", holds('c'));
  memset(data + 1, 'Z', SECTOR_SIZE);
  row("write", result(COMMAND_WRITE, 3, data + 1));
  memset(data + 1, 0, SECTOR_SIZE);
  row("read it back", result(COMMAND_READ, 3, data + 1));
  yes_or_no("it was written", holds('Z'));
  yes_or_no("the status has 12 bytes", place.behind == 0xAAAAAAAA);
}

static void errors(uint32_t end) {
  uint32_t sectors = (uint32_t)(place.status.size / SECTOR_SIZE);
  row("the last sector", result(COMMAND_READ, sectors - 1, data + 1));
  row("a sector too far", result(COMMAND_READ, sectors, data + 1));
  row("writing there", result(COMMAND_WRITE, sectors, data + 1));
  row("a sector whose offset overflows 32 bits", result(COMMAND_READ, 0x00800000, data + 1));
  row("the very last sector number", result(COMMAND_READ, 0xFFFFFFFF, data + 1));
  row("no such command", result(3, 0, data + 1));
  row("another one", result(255, 0, data + 1));
  row("511 bytes left", result(COMMAND_READ, 0, at(end - 511)));
  row("511 bytes left to write", result(COMMAND_WRITE, 0, at(end - 511)));
  row("behind RAM", result(COMMAND_READ, 0, at(end)));
  row("in the window", result(COMMAND_READ, 0, at(0x200100)));
  row("address + length wraps", result(COMMAND_READ, 0, at(0xFFFFFE01)));
  row("address + length is 2^32", result(COMMAND_READ, 0, at(0xFFFFFE00)));
  row("bad sector and bad address", result(COMMAND_READ, sectors, at(end)));
  row("512 bytes left", result(COMMAND_WRITE, sectors - 1, at(end - 512)));
}

static void wrong_accesses(void) {
  memset(data, 0, sizeof data);
  write_dword(DISK_SECTOR, 1);
  write_dword(DISK_ADDRESS, (uint32_t)(uintptr_t)(data + 1));
  write_byte(DISK_SECTOR, 2);
  write_word(DISK_SECTOR, 2);
  write_byte(DISK_ADDRESS, 2);
  write_word(DISK_ADDRESS, 2);
  place.status.error = -1;
  write_word(DISK_COMMAND, COMMAND_READ);
  write_dword(DISK_COMMAND, COMMAND_READ);
  row("a command of the wrong width", place.status.error);
  write_word(SERIAL, 'X');
  write_dword(SERIAL, 'X');
#ifdef SIMPLE_IO_MMIO
  // Across two registers, and from before one into it.
  *(uint64_t volatile*)IN_MEMORY(DISK_SECTOR) = 2;
  *(uint32_t volatile*)(IN_MEMORY(DISK_ADDRESS) - 2) = 0x00020002;
  *(uint32_t volatile*)(IN_MEMORY(SERIAL) - 2) = 0x58585858;
#else
  write_dword(DISK_SECTOR - 1, 0x02020202);
  write_dword(SERIAL - 1, 0x58585858);
#endif
  write_byte(DISK_COMMAND, COMMAND_READ);
  row("after those", place.status.error);
  yes_or_no("they changed nothing", holds('b'));
  printf("reads give %x %x %x %x, %x %x\n", read_byte(SERIAL), read_dword(DISK_SECTOR),
         read_dword(DISK_ADDRESS), read_byte(DISK_COMMAND), read_word(SERIAL),
         read_byte(DISK_COMMAND + 1));
}

int main(void) {
  uint32_t end = (uint32_t)memory_size();
  printf("RAM ends at 0x%x\n", end);
  before_setup(end);
  setup();
  transfers();
  errors(end);
  wrong_accesses();
  halt_with(0x1234ABCD, 0xFEDC4321);
}
