// Virtio networks, consoles and sources of random numbers.

#include <virtio.h>

// One buffer there and back.
static bool exchange(struct VirtioDevice* device, unsigned index, struct VirtioPiece const* pieces,
                     unsigned out, unsigned in, uint32_t* length) {
  struct VirtioQueue* queue = &device->queues[index];
  struct VirtioUsed used;
  int head = virtio_add(queue, pieces, out, in);
  if (head < 0) return false;
  virtio_kick(device, queue);
  if (!virtio_wait(device, queue, &used) || used.head != head) return false;
  if (length) *length = used.length;
  return true;
}

unsigned virtio_net_fill(struct VirtioDevice* net, uint8_t* buffers, unsigned count,
                         uint32_t size) {
  struct VirtioQueue* queue = &net->queues[VIRTIO_NET_RECEIVE];
  unsigned added = 0;
  for (; added < count; ++added) {
    struct VirtioPiece piece = {buffers + (size_t)added * size, size};
    if (virtio_add(queue, &piece, 0, 1) < 0) break;
  }
  virtio_kick(net, queue);
  return added;
}

bool virtio_net_send(struct VirtioDevice* net, void const* frame, uint32_t length) {
  static uint8_t header[VIRTIO_NET_HEADER];
  struct VirtioPiece pieces[2] = {{header, sizeof header}, {frame, length}};
  return exchange(net, VIRTIO_NET_SEND, pieces, 2, 0, NULL);
}

bool virtio_console_write(struct VirtioDevice* console, void const* text, uint32_t length) {
  struct VirtioPiece piece = {text, length};
  return exchange(console, VIRTIO_CONSOLE_OUTPUT, &piece, 1, 0, NULL);
}

uint32_t virtio_console_read(struct VirtioDevice* console, void* to, uint32_t size) {
  struct VirtioPiece piece = {to, size};
  uint32_t length = 0;
  return exchange(console, VIRTIO_CONSOLE_INPUT, &piece, 0, 1, &length) ? length : 0;
}

uint32_t virtio_entropy(struct VirtioDevice* source, void* to, uint32_t length) {
  struct VirtioPiece piece = {to, length};
  uint32_t filled = 0;
  return exchange(source, 0, &piece, 0, 1, &filled) ? filled : 0;
}
