// Frames to a network that gives each back. All but a number in each stands in memory before the
// clock starts.

#include "guest.h"

enum { kTransmit = 64, kReceive = 64, kMac = 14, kHeaders = 54, kDeviceWrites = 2 };

/// struct virtio_net_hdr.
struct __attribute__((packed)) Header {
  uint8_t flags, gso_type;
  uint16_t header_length, segment_size, checksum_start, checksum_offset, buffers;
};

static uint32_t frame_size;   // with the header, for the device
static uint32_t buffer_size;  // of each place in memory

static uint8_t* transmit_buffer(uint32_t slot) {
  return (uint8_t*)(0x2000000u + slot * buffer_size);
}

static uint8_t* receive_buffer(uint32_t slot) {
  return (uint8_t*)(0x1000000u + slot * buffer_size);
}

static uint32_t volatile* word_at(uint8_t* buffer, uint32_t offset) {
  return (uint32_t volatile*)(buffer + offset);
}

static uint32_t first_place(void) { return frame_size > 1526 ? VIRTIO_NET_HEADER + 56 : 28; }

static void put16(uint8_t* to, uint32_t value) {
  to[0] = (uint8_t)(value >> 8);
  to[1] = (uint8_t)value;
}

/// A frame larger than the network takes is TCP, and the host's to cut up, or not.
static void fill_frame(uint8_t* at, struct Case const* one) {
  memset(at, 0, VIRTIO_NET_HEADER + kHeaders);
  uint8_t* frame = at + VIRTIO_NET_HEADER;
  memset(frame, 0xFF, 6);
  memcpy(frame + 6, "\x02\0\0\0\0\1", 6);
  if (one->bytes <= 1514) return put16(frame + 12, 0x88B5);
  struct Header* header = (struct Header*)at;
  *header = (struct Header){.flags = 1,
                            .gso_type = 1,
                            .header_length = kHeaders,
                            .segment_size = 1448,
                            .checksum_start = kMac + 20,
                            .checksum_offset = 16,
                            .buffers = 0};
  put16(frame + 12, 0x0800);
  uint8_t* ip = frame + kMac;
  ip[0] = 0x45;
  put16(ip + 2, one->bytes - kMac);
  ip[8] = 64;
  ip[9] = 6;
  memcpy(ip + 12, "\x0A\0\0\1\x0A\0\0\2", 8);
  uint32_t sum = 0;
  for (unsigned i = 0; i < 20; i += 2) sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
  put16(ip + 10, ~((sum & 0xFFFF) + (sum >> 16)) & 0xFFFF);
  uint8_t* tcp = ip + 20;
  put16(tcp, 7);
  put16(tcp + 2, 7);
  tcp[12] = 0x50;
  tcp[13] = 0x10;
}

static void set_up(struct VirtioDevice* net, struct Case const* one) {
  struct VirtioQueue* receive = &net->queues[VIRTIO_NET_RECEIVE];
  struct VirtioQueue* transmit = &net->queues[VIRTIO_NET_SEND];
  frame_size = one->bytes + VIRTIO_NET_HEADER;
  buffer_size = (frame_size + 4095) & ~4095u;
  for (uint32_t slot = 0; slot < kReceive; ++slot) {
    receive->descriptors[slot].address = (uint32_t)receive_buffer(slot);
    receive->descriptors[slot].length = buffer_size;
    receive->descriptors[slot].flags = kDeviceWrites;
    receive->available[2 + slot] = (uint16_t)slot;
  }
  for (uint32_t slot = 0; slot < kTransmit; ++slot) {
    fill_frame(transmit_buffer(slot), one);
    transmit->descriptors[slot].address = (uint32_t)transmit_buffer(slot);
    transmit->descriptors[slot].length = frame_size;
    transmit->descriptors[slot].flags = 0;
  }
}

static void send(struct VirtioQueue* queue, uint32_t number, struct Case const* one,
                 uint16_t* available) {
  uint32_t slot = number % kTransmit;
  // Of those that came back, the device is done with sending; or about to be.
  while ((uint16_t)(*available - queue->used[1]) >= kTransmit) __asm__ volatile("pause");
  *word_at(transmit_buffer(slot), first_place()) = number ^ one->seed;
  *word_at(transmit_buffer(slot), frame_size - 4) = ~number;
  queue->available[2 + (*available)++ % queue->size] = (uint16_t)slot;
}

static bool is_good(uint32_t slot, uint32_t length, uint32_t number, struct Case const* one) {
  uint8_t* buffer = receive_buffer(slot);
  return length == frame_size && *word_at(buffer, first_place()) == (number ^ one->seed) &&
         *word_at(buffer, frame_size - 4) == ~number;
}

struct Result run_net(struct VirtioDevice* net, struct Case const* one) {
  struct VirtioQueue* receive = &net->queues[VIRTIO_NET_RECEIVE];
  struct VirtioQueue* transmit = &net->queues[VIRTIO_NET_SEND];
  struct Result result = {0}, unused = {0};
  set_up(net, one);
  uint16_t filled = kReceive, available = 0, seen = 0;
  uint16_t volatile* send_event = transmit->available + 2 + transmit->size;
  *(receive->available + 2 + receive->size) = 0x8000;
  publish(net, receive, filled, &unused);
  wait_for_start();
  uint32_t sent = 0;
  uint64_t start = cycles();
  for (; sent < one->depth && sent < one->count; ++sent) send(transmit, sent, one, &available);
  *send_event = (uint16_t)(available + 0x8000);  // nobody waits for what was sent
  publish(net, transmit, available, &result);
  while (result.requests < one->count) {
    wait_for_used(net, receive, seen, &result);
    compiler_fence();
    for (; receive->used[1] != seen; ++seen) {
      uint32_t const volatile* entry =
          (uint32_t const volatile*)(receive->used + 2) + 2 * (seen % receive->size);
      uint32_t slot = entry[0] % kReceive;
      result.errors += !is_good(slot, entry[1], result.requests, one);
      ++result.requests;
      receive->available[2 + filled++ % receive->size] = (uint16_t)slot;
      if (sent == one->count) continue;
      send(transmit, sent++, one, &available);
    }
    *send_event = (uint16_t)(available + 0x8000);
    publish(net, receive, filled, &result);
    publish(net, transmit, available, &result);
  }
  result.cycles = cycles() - start;
  wait_for_start();
  return result;
}
