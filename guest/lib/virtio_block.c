// Virtio disks.

#include <virtio.h>

uint64_t virtio_block_capacity(struct VirtioDevice const* disk) {
  uint32_t generation;
  uint64_t capacity;
  do {
    generation = virtio_read(disk, VIRTIO_CONFIG_GENERATION);
    capacity = virtio_read(disk, VIRTIO_CONFIG);
    capacity |= (uint64_t)virtio_read(disk, VIRTIO_CONFIG + 4) << 32;
  } while (generation != virtio_read(disk, VIRTIO_CONFIG_GENERATION));
  return capacity;
}

bool virtio_block_add(struct VirtioDevice* disk, struct VirtioBlockRequest* request, void* data,
                      uint32_t length) {
  bool reads = request->type == VIRTIO_BLOCK_IN || request->type == VIRTIO_BLOCK_GET_ID;
  struct VirtioPiece pieces[3] = {{request, 16}};
  unsigned count = 1;
  if (length > 0) pieces[count++] = (struct VirtioPiece){data, length};
  pieces[count++] = (struct VirtioPiece){&request->status, 1};
  request->reserved = 0;
  request->status = 255;
  unsigned in = length > 0 && reads ? 2 : 1;
  request->head = virtio_add(&disk->queues[0], pieces, count - in, in);
  return request->head >= 0;
}

uint8_t virtio_block(struct VirtioDevice* disk, uint32_t type, uint64_t sector, void* data,
                     uint32_t length) {
  struct VirtioBlockRequest request = {.type = type, .sector = sector};
  struct VirtioUsed used;
  if (!virtio_block_add(disk, &request, data, length)) return 255;
  virtio_kick(disk, &disk->queues[0]);
  if (!virtio_wait(disk, &disk->queues[0], &used) || used.head != request.head) return 255;
  return request.status;
}
