// Drives a virtio disk of 64 sectors at least: writes and reads back one by one and 32 at a time,
// looking and by interrupts, with and without EVENT_IDX; then what a disk must refuse. A host that
// counts exits is told where each part begins and how many requests it had. All sectors change.

#include <interrupts.h>
#include <virtio.h>

enum { kDepth = 32, kRounds = 2, kSector = 512, kWords = kSector / 8, kSectors = 64 };

static struct VirtioDevice disk;
static uint64_t data[kDepth][kWords];
static struct VirtioBlockRequest requests[kDepth];
static unsigned failures;
static uint32_t way;  // bit 0: by interrupts, bit 1: with EVENT_IDX

static void check(char const* name, bool good) {
  if (good) return;
  printf("%s: NO\n", name);
  ++failures;
}

// Where ring 0 is emulated each instruction costs half a microsecond: a word in 8 tells a sector.
static void fill(unsigned slot, uint64_t mark) {
  for (unsigned i = 0; i < kWords; i += 8) data[slot][i] = mark + i;
}

static bool holds(unsigned slot, uint64_t mark) {
  for (unsigned i = 0; i < kWords; i += 8) {
    if (data[slot][i] != mark + i) return false;
  }
  return true;
}

static void report(char const* name, unsigned count, unsigned notifications, unsigned interrupts) {
  printf("%s: %u requests, %u notifications, %u interrupts\n", name, count,
         disk.notifications - notifications, virtio_interrupts() - interrupts);
}

/// One after the other.
static void depth_1(uint64_t mark) {
  unsigned notifications = disk.notifications;
  unsigned interrupts = virtio_interrupts();
  bool good = true;
  fill(0, mark);
  for (uint64_t sector = 0; sector < kDepth; ++sector) {
    data[0][0] = mark + sector;
    data[1][0] = 0;
    virtio_mark(0);
    good = good && virtio_block(&disk, VIRTIO_BLOCK_OUT, sector, data[0], kSector) == 0;
    good = good && virtio_block(&disk, VIRTIO_BLOCK_IN, sector, data[1], kSector) == 0;
    virtio_mark(way << 16 | 2);
    good = good && data[1][0] == mark + sector && data[1][8] == mark + 8;
  }
  report("depth 1", 2 * kDepth, notifications, interrupts);
  check("one by one", good);
}

/// A batch of requests, told at once; whether each came back, once and well.
static bool batch(uint32_t type, uint64_t first) {
  uint32_t back = 0;
  for (unsigned i = 0; i < kDepth; ++i) {
    requests[i].type = type;
    requests[i].sector = first + i;
    if (!virtio_block_add(&disk, &requests[i], data[i], kSector)) return false;
  }
  virtio_mark(0);
  virtio_kick(&disk, &disk.queues[0]);
  for (unsigned count = 0; count < kDepth; ++count) {
    struct VirtioUsed used;
    if (!virtio_wait(&disk, &disk.queues[0], &used)) return false;
    for (unsigned i = 0; i < kDepth; ++i) {
      if (requests[i].head != used.head) continue;
      if (requests[i].status != 0 || used.length != (type == VIRTIO_BLOCK_IN ? kSector + 1u : 1u))
        return false;
      back |= 1u << i;
      break;
    }
  }
  virtio_mark(way << 16 | kDepth);
  return back == 0xFFFFFFFF;
}

static void depth_32(uint64_t mark) {
  unsigned notifications = disk.notifications;
  unsigned interrupts = virtio_interrupts();
  bool good = true;
  disk.queues[0].batch = kDepth;
  for (unsigned round = 0; round < kRounds; ++round) {
    for (unsigned i = 0; i < kDepth; ++i) fill(i, mark + 4096 * i);
    good = good && batch(VIRTIO_BLOCK_OUT, kDepth * round);
    for (unsigned i = 0; i < kDepth; ++i) data[i][8] = 0;
    good = good && batch(VIRTIO_BLOCK_IN, kDepth * round);
    for (unsigned i = 0; i < kDepth; ++i) good = good && holds(i, mark + 4096 * i);
    mark += (uint64_t)1 << 32;
  }
  disk.queues[0].batch = 1;
  report("depth 32", 2 * kDepth * kRounds, notifications, interrupts);
  check("all at once", good);
}

static void refusals(void) {
  uint64_t capacity = virtio_block_capacity(&disk);
  check("a sector too far",
        virtio_block(&disk, VIRTIO_BLOCK_IN, capacity, data[0], kSector) == VIRTIO_BLOCK_IOERR);
  check("the last and one more", virtio_block(&disk, VIRTIO_BLOCK_OUT, capacity - 1, data[0],
                                              2 * kSector) == VIRTIO_BLOCK_IOERR);
  check("no such request",
        virtio_block(&disk, 0x4242, 0, data[0], kSector) == VIRTIO_BLOCK_UNSUPPORTED);
  check("the last sector",
        virtio_block(&disk, VIRTIO_BLOCK_IN, capacity - 1, data[0], kSector) == 0);
  check("flush", !virtio_has(&disk, VIRTIO_BLOCK_F_FLUSH) ||
                     virtio_block(&disk, VIRTIO_BLOCK_FLUSH, 0, NULL, 0) == 0);
}

static bool open_disk(uint64_t features, bool interrupts) {
  if (!virtio_open(&disk, VIRTIO_BLOCK, 0, features)) return false;
  if (interrupts) virtio_use_interrupts(&disk);
  virtio_start(&disk);
  return true;
}

int main(void) {
  interrupts_setup();
  if (!open_disk(0, false) || virtio_block_capacity(&disk) < kSectors) {
    printf("There is no virtio disk of %u sectors.\n", kSectors);
    virtio_end(255);
  }
  for (; way < 4; ++way) {
    bool interrupts = way & 1;
    bool events = way & 2;
    if (!open_disk((events ? VIRTIO_F_EVENT_IDX : 0) | VIRTIO_BLOCK_F_FLUSH, interrupts)) {
      check("open", false);
      continue;
    }
    printf("-- %s, %s\n", interrupts ? "interrupts" : "looking",
           events ? "EVENT_IDX" : "no EVENT_IDX");
    uint64_t mark = (uint64_t)(way + 1) << 40;
    depth_1(mark);
    depth_32(mark + 0x100000);
    refusals();
  }
  printf("%u failures\n", failures);
  virtio_end(failures < 254 ? (uint8_t)failures : 254);
}
