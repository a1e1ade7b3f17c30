// What a case is, and what comes out of it.
#pragma once

#include <virtio.h>

#include "platform.h"

/// `KIND BYTES DEPTH COUNT SEED`: what to do, how large, how many at once, how many in all.
struct Case {
  char kind;
  uint32_t bytes;
  uint32_t depth;
  uint32_t count;
  uint32_t seed;
};

/// Between the first request and the last answer.
struct Result {
  uint32_t requests;
  uint32_t notifications;
  uint32_t interrupts;
  uint32_t errors;
  uint64_t cycles;
};

enum { kMostDepth = 32 };

/// Buffers, from 16 MiB on: a place for each request.
static inline uint8_t* buffer_of(uint32_t slot, uint32_t bytes) {
  return (uint8_t*)(0x1000000u + slot * bytes);
}

/// r, R: reads at random places, and one after the other; w, W: writes that.
struct Result run_block(struct VirtioDevice* disk, struct Case const* one);

/// n: sends frames, each when one has come back.
struct Result run_net(struct VirtioDevice* net, struct Case const* one);

/// Tells the machine around that the case begins, and waits until it may.
void wait_for_start(void);

/// Waits, halted, for used buffers of a queue whose driver has seen `seen` of them. By EVENT_IDX:
/// as long as the driver is awake no interrupt comes.
static inline void wait_for_used(struct VirtioDevice* device, struct VirtioQueue* queue,
                                 uint16_t seen, struct Result* result) {
  uint16_t volatile* used_event = queue->available + 2 + queue->size;
  while (queue->used[1] == seen) {
    *used_event = seen;
    fence();
    if (queue->used[1] != seen) return;
    if (wait_for_interrupt() == kOfDevice) {
      ++result->interrupts;
      virtio_write(device, VIRTIO_INTERRUPT_ACK, 1);
    }
    end_of_interrupt();
  }
}

/// Makes what was added up to `now` available, and tells the device if it wants to know.
static inline void publish(struct VirtioDevice* device, struct VirtioQueue* queue, uint16_t now,
                           struct Result* result) {
  uint16_t before = queue->available[1];
  if (before == now) return;
  compiler_fence();
  queue->available[1] = now;
  fence();
  uint16_t event = queue->used[2 + 4 * queue->size];
  if ((uint16_t)(now - event - 1) >= (uint16_t)(now - before)) return;
  ++result->notifications;
  virtio_write(device, VIRTIO_QUEUE_NOTIFY, queue->index);
}
