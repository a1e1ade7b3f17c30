// Goes through the description of the block device: writes sectors and reads them back with an
// interrupt handler, halting until the interrupt and spinning until it, and provokes each error.
// The disk is to have 16 sectors at least; all of them are overwritten.

#include <block_device.h>
#include <interrupts.h>

enum { kMost = 16, kWords = SECTOR_SIZE / 8 };  // sectors in one transfer here; words in a sector

// By words of 8 bytes: where ring 0 is emulated, each instruction costs half a microsecond.
static uint64_t out[kMost * kWords];
static uint64_t in[kMost * kWords + 2];  // a word before and one behind

static uint64_t const untouched = 0x5A5A5A5A5A5A5A5A;

static unsigned volatile interrupts;
static unsigned volatile unacknowledged;  // how many of the next interrupts the handler ignores
static uint32_t volatile status;          // as the handler saw it
static bool spins;
static unsigned failures;

static void on_interrupt(void) {
  ++interrupts;
  if (unacknowledged > 0) {
    --unacknowledged;
    return;
  }
  block_write32(BLOCK_ACKNOWLEDGE, 0);
  status = block_read32(BLOCK_COMMAND);
}

/// Waits for an interrupt after `before` of them, in the one way or in the other.
static void wait_after(unsigned before) {
  if (spins) {
    interrupts_on();
    while (interrupts == before) __asm__ volatile("pause");
    interrupts_off();
  } else {
    while (interrupts == before) interrupt_wait();
  }
}

static void check(char const* name, bool good) {
  printf("%s: %s\n", name, good ? "yes" : "NO");
  if (!good) ++failures;
}

/// A transfer and its interrupt; whether there was one interrupt, after it the status `expected`
/// beside the direction, and after clearing an error a device that is ready.
static bool transfer(uint32_t direction, uint64_t sector, uint32_t count, void* address,
                     uint32_t expected) {
  unsigned before = interrupts;
  if (spins) interrupts_on();
  block_start(direction, sector, count, address);
  wait_after(before);
  bool good = interrupts == before + 1 && status == (expected | direction);
  block_write32(BLOCK_COMMAND, BLOCK_ERROR);
  return good && block_read32(BLOCK_COMMAND) == BLOCK_READY;
}

static bool moves(uint32_t direction, uint64_t sector, uint32_t count, void* address) {
  return transfer(direction, sector, count, address, BLOCK_READY);
}

static bool refuses(uint32_t direction, uint64_t sector, uint32_t count, uint64_t address) {
  return transfer(direction, sector, count, (void*)address, BLOCK_READY | BLOCK_ERROR);
}

/// How many sectors the disk has: what can be read, found by halving.
static uint64_t find_size(void) {
  uint64_t low = 0;
  uint64_t high = (uint64_t)1 << 55;
  while (low + 1 < high) {
    uint64_t middle = low + (high - low) / 2;
    unsigned before = interrupts;
    block_start(0, middle, 1, in);
    wait_after(before);
    if (status & BLOCK_ERROR) {
      high = middle;
      block_write32(BLOCK_COMMAND, BLOCK_ERROR);
    } else {
      low = middle;
    }
  }
  return high;
}

/// Fills what sectors are read to.
static void prepare(uint32_t count) {
  for (size_t i = 0; i < count * kWords + 2; ++i) in[i] = untouched;
}

/// Writes `count` sectors of what no sector held before, and reads them back.
static bool round_trip(uint64_t sector, uint32_t count) {
  static uint64_t random = 1;
  for (size_t i = 0; i < count * kWords; ++i) out[i] = next_random(&random);
  prepare(count);
  if (!moves(BLOCK_TO_DISK, sector, count, out) || !moves(0, sector, count, in + 1)) return false;
  for (size_t i = 0; i < count * kWords; ++i) {
    if (in[i + 1] != out[i]) return false;
  }
  return in[0] == untouched && in[count * kWords + 1] == untouched;
}

static void before_initialisation(void) {
  check("reset leaves nothing ready", block_read32(BLOCK_COMMAND) == 0);
  unsigned before = interrupts;
  block_start(0, 0, 1, in);
  wait_after(before);
  check("a start before I is an error", status == BLOCK_ERROR && interrupts == before + 1);
  block_write32(BLOCK_COMMAND, BLOCK_INITIALISE);
  check("I clears it and makes ready", block_read32(BLOCK_COMMAND) == BLOCK_READY);
}

static void registers(void) {
  block_write64(BLOCK_ADDRESS, 0x1122334455667788);
  block_write64(BLOCK_SECTOR, 0x99AABBCCDDEEFF00);
  block_write32(BLOCK_COUNT, 0x12345678);
  check("registers keep what was written", block_read64(BLOCK_ADDRESS) == 0x1122334455667788 &&
                                               block_read64(BLOCK_SECTOR) == 0x99AABBCCDDEEFF00 &&
                                               block_read32(BLOCK_COUNT) == 0x12345678);
  check("acknowledge cannot be read", block_read32(BLOCK_ACKNOWLEDGE) == 0xFFFFFFFF);
#ifndef BLOCK_DEVICE_PORTS
  *(uint32_t volatile*)(uintptr_t)(BLOCK_BASE + BLOCK_ADDRESS) = 0;
  *(uint64_t volatile*)(uintptr_t)(BLOCK_BASE + BLOCK_COMMAND) = BLOCK_START;
  check("other widths are nobody's", block_read64(BLOCK_ADDRESS) == 0x1122334455667788 &&
                                         block_read32(BLOCK_COMMAND) == BLOCK_READY);
#endif
}

static void transfers(uint64_t sectors) {
  check("one sector", round_trip(3, 1));
  check("the last sector", round_trip(sectors - 1, 1));
  check("several sectors", round_trip(1, 8));
  uint32_t all = sectors < kMost ? (uint32_t)sectors : kMost;
  check("many sectors", round_trip(sectors - all, all));
}

static void errors(uint64_t sectors) {
  uint64_t end = memory_size();
  uint64_t here = (uint64_t)(in + 1);
  prepare(1);
  check("a sector too far is an error", refuses(0, sectors, 1, here));
  check("writing there too", refuses(BLOCK_TO_DISK, sectors, 1, (uint64_t)out));
  check("a range that ends too far", refuses(0, sectors - 1, 2, here));
  check("sector + count wraps", refuses(0, UINT64_MAX, 1, here) && refuses(0, UINT64_MAX, 2, here));
  check("no sectors at all", refuses(0, 0, 0, here));
  check("all there can be", refuses(0, 0, UINT32_MAX, here));
  check("511 bytes left", refuses(0, 0, 1, end - 511));
  check("of the second sector", refuses(BLOCK_TO_DISK, 0, 2, end - 1023));
  check("behind RAM", refuses(0, 0, 1, end));
  check("address + length wraps", refuses(0, 0, 1, UINT64_MAX - 510) &&
                                      refuses(0, 0, 1, UINT64_MAX - 511) &&
                                      refuses(0, 0, 1, UINT64_MAX));
  check("where the low half would do", refuses(0, 0, 1, here + ((uint64_t)1 << 32)));
  bool same = true;
  for (size_t i = 0; i < kWords + 2; ++i) same = same && in[i] == untouched;
  check("errors move nothing", same);
  check("512 bytes left are enough", moves(BLOCK_TO_DISK, 0, 1, (void*)(end - 512)));
}

static void level(void) {
  unsigned before = interrupts;
  unacknowledged = 2;
  block_start(0, 0, 1, in);
  while (interrupts < before + 3) interrupt_wait();
  check("the line is up until acknowledged", interrupts == before + 3);
}

/// What can be seen only where work takes its time: otherwise there is nothing to say.
static void busy(uint64_t sectors) {
  uint32_t all = sectors < kMost ? (uint32_t)sectors : kMost;
  unsigned before = interrupts;
  block_start(0, 0, all, in);
  bool seen = block_read32(BLOCK_COMMAND) == BLOCK_BUSY;
  if (!seen) {
    wait_after(before);
    printf("busy was not seen\n");
    return;
  }
  block_write32(BLOCK_COMMAND, BLOCK_START);
  wait_after(before);
  if (status != (BLOCK_BUSY | BLOCK_ERROR)) {
    printf("busy was seen, but not for long\n");
    while (!(block_read32(BLOCK_COMMAND) & BLOCK_READY)) interrupt_wait();
    return;
  }
  check("a start while busy is an error", true);
  block_write32(BLOCK_COMMAND, BLOCK_ERROR);
  before = interrupts;
  if (block_read32(BLOCK_COMMAND) == BLOCK_BUSY) wait_after(before);
  check("and the transfer goes on", block_read32(BLOCK_COMMAND) == BLOCK_READY);

  block_start(0, 0, all, in);
  before = interrupts;
  block_write32(BLOCK_COMMAND, BLOCK_INITIALISE);
  if (block_read32(BLOCK_COMMAND) == BLOCK_BUSY)
    check("I while busy is not ready at once", true);
  else
    printf("busy was seen, but not for long\n");
  interrupts_on();
  while (block_read32(BLOCK_COMMAND) & BLOCK_BUSY) continue;
  for (int i = 0; i < 2000; ++i) __asm__ volatile("pause");
  interrupts_off();
  check("but later, without an interrupt",
        block_read32(BLOCK_COMMAND) == BLOCK_READY && interrupts == before);
}

int main(void) {
  interrupts_setup();
  interrupt_handler(BLOCK_LINE, true, on_interrupt);
  before_initialisation();
  registers();
  uint64_t sectors = find_size();
  if (sectors < 16) {
    printf("The disk has %llu sectors, and 16 are needed.\n", (unsigned long long)sectors);
    end_with(255);
  }
  for (int way = 0; way < 2; ++way) {
    spins = way == 1;
    printf("%s\n", spins ? "-- spinning until the interrupt" : "-- halting until the interrupt");
    transfers(sectors);
    errors(sectors);
  }
  spins = false;
  printf("-- the interrupt and the bits\n");
  level();
  busy(sectors);
  printf("%u interrupts, %u failures\n", interrupts, failures);
  end_with(failures < 254 ? (uint8_t)failures : 254);
}
