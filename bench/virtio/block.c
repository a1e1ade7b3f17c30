// Requests to a disk. All they need stands in memory before the clock starts; then a request is a
// sector number, a head in the ring, and a look at the data.

#include "guest.h"

enum { kIndirect = 4, kNext = 1, kDeviceWrites = 2, kSector = 512 };

struct Slot {
  struct VirtioDescriptor table[3];
  uint32_t type, reserved;
  uint32_t sector, sector_high;
  uint8_t volatile status;
  uint8_t unused[15];
};

static struct Slot slots[kMostDepth];
static uint32_t blocks;  // in half of the disk, a power of two; the first half is never written
static uint32_t half;    // 0, or as many blocks, where requests go to the second
static uint32_t place;

static uint32_t next_place(struct Case const* one) {
  if (one->kind == 'R' || one->kind == 'W') return half + (place++ & (blocks - 1));
  place = place * 1664525u + 1013904223u;
  return half + ((place >> 8) & (blocks - 1));
}

// Each sector's first and last words are made of its number, and of a seed if it was written here.
static uint32_t mark(uint32_t sector, uint32_t seed) { return (sector ^ seed) * 2654435761u + 1; }

static uint32_t volatile* first_word(uint32_t slot, struct Case const* one) {
  return (uint32_t volatile*)buffer_of(slot, one->bytes);
}

static uint32_t volatile* last_word(uint32_t slot, struct Case const* one) {
  return (uint32_t volatile*)(buffer_of(slot, one->bytes) + one->bytes - 4);
}

static void set_up_slot(struct VirtioQueue* queue, uint32_t index, struct Case const* one,
                        bool writes) {
  struct Slot* slot = &slots[index];
  uint16_t data = writes ? kNext : kNext | kDeviceWrites;
  slot->table[0] = (struct VirtioDescriptor){(uint32_t)&slot->type, 16, kNext, 1};
  slot->table[1] = (struct VirtioDescriptor){(uint32_t)first_word(index, one), one->bytes, data, 2};
  slot->table[2] = (struct VirtioDescriptor){(uint32_t)&slot->status, 1, kDeviceWrites, 0};
  slot->type = writes ? VIRTIO_BLOCK_OUT : VIRTIO_BLOCK_IN;
  slot->reserved = slot->sector_high = 0;
  queue->descriptors[index].address = (uint32_t)slot->table;
  queue->descriptors[index].length = sizeof slot->table;
  queue->descriptors[index].flags = kIndirect;
}

static void submit(struct VirtioQueue* queue, uint32_t index, struct Case const* one, bool writes,
                   uint16_t* available) {
  struct Slot* slot = &slots[index];
  slot->sector = next_place(one) * (one->bytes / kSector);
  slot->status = 0xFF;
  *first_word(index, one) = writes ? mark(slot->sector, one->seed) : 0;
  *last_word(index, one) = writes ? mark(slot->sector + one->bytes / kSector - 1, one->seed) : 0;
  queue->available[2 + (*available)++ % queue->size] = (uint16_t)index;
}

static bool is_good(uint32_t index, uint32_t length, struct Case const* one, bool writes) {
  struct Slot const* slot = &slots[index];
  if (slot->status != 0) return false;
  if (writes) return length == 1;
  uint32_t seed = one->kind == 'R' || one->kind == 'r' ? 0 : one->seed;
  return length == one->bytes + 1 && *first_word(index, one) == mark(slot->sector, seed) &&
         *last_word(index, one) == mark(slot->sector + one->bytes / kSector - 1, seed);
}

static void transfer(struct VirtioDevice* disk, struct Case const* one, bool writes,
                     struct Result* result) {
  struct VirtioQueue* queue = &disk->queues[0];
  for (uint32_t index = 0; index < one->depth; ++index) set_up_slot(queue, index, one, writes);
  uint16_t available = queue->available[1];
  uint16_t seen = queue->used[1];
  uint32_t submitted = 0;
  uint64_t start = cycles();
  for (; submitted < one->depth && submitted < one->count; ++submitted)
    submit(queue, submitted, one, writes, &available);
  publish(disk, queue, available, result);
  while (result->requests < one->count) {
    wait_for_used(disk, queue, seen, result);
    compiler_fence();
    for (; queue->used[1] != seen; ++seen) {
      uint32_t const volatile* entry =
          (uint32_t const volatile*)(queue->used + 2) + 2 * (seen % queue->size);
      uint32_t index = entry[0];
      ++result->requests;
      if (index >= one->depth || !is_good(index, entry[1], one, writes)) {
        ++result->errors;
        if (index >= one->depth) continue;
      }
      if (submitted == one->count) continue;
      submit(queue, index, one, writes, &available);
      ++submitted;
    }
    publish(disk, queue, available, result);
  }
  result->cycles = cycles() - start;
}

struct Result run_block(struct VirtioDevice* disk, struct Case const* one) {
  struct Result result = {0};
  bool writes = one->kind == 'w' || one->kind == 'W';
  uint64_t bytes = virtio_block_capacity(disk) * kSector;
  for (blocks = 1; (uint64_t)blocks * 4 * one->bytes <= bytes;) blocks *= 2;
  half = writes ? blocks : 0;
  place = one->seed;
  wait_for_start();
  transfer(disk, one, writes, &result);
  if (writes) {
    // The same places once more, to see what is there now.
    struct Result check = {0};
    place = one->seed;
    wait_for_start();
    transfer(disk, one, false, &check);
    result.errors += check.errors + (check.requests != result.requests);
  } else {
    wait_for_start();
  }
  return result;
}
