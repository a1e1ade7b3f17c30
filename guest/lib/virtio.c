// Virtio: registers, features, queues.

#include <interrupts.h>
#include <virtio.h>

enum { kNext = 1, kDeviceWrites = 2 };  // of a descriptor
enum { kNoInterrupt = 1 };              // of the available ring
enum { kNoNotify = 1 };                 // of the used ring
enum { kMagic = 0x74726976 };
enum { kBuffersUsed = 1 };

static struct VirtioDevice* on_line[16];
static unsigned volatile interrupts;

// A store before it is seen before what is loaded behind it. Not mfence: where ring 0 is emulated,
// there is none.
static void fence(void) {
  int nothing = 0;
  __asm__ volatile("lock; addl $0, %0" : "+m"(nothing) : : "memory");
}

static void compiler_fence(void) { __asm__ volatile("" : : : "memory"); }

static uint16_t volatile* used_event(struct VirtioQueue const* queue) {
  return queue->available + 2 + queue->size;
}

static uint16_t available_event(struct VirtioQueue const* queue) {
  return queue->used[2 + 4 * queue->size];
}

// --- Finding and negotiating

static bool find(struct VirtioDevice* device, enum VirtioId id, unsigned nth) {
  for (unsigned slot = 0; slot < VIRTIO_SLOTS; ++slot) {
    device->base = VIRTIO_BASE + slot * VIRTIO_STRIDE;
    device->line = VIRTIO_LINE + slot;
    if (virtio_read(device, VIRTIO_MAGIC) != kMagic) continue;
    if (virtio_read(device, VIRTIO_VERSION) != 2) continue;
    if (virtio_read(device, VIRTIO_DEVICE_ID) != (uint32_t)id) continue;
    if (nth-- == 0) return true;
  }
  return false;
}

static void add_status(struct VirtioDevice* device, uint32_t bit) {
  virtio_write(device, VIRTIO_STATUS, virtio_read(device, VIRTIO_STATUS) | bit);
}

static bool negotiate(struct VirtioDevice* device, uint64_t wanted) {
  uint64_t offered = 0;
  for (uint32_t word = 0; word < 2; ++word) {
    virtio_write(device, VIRTIO_DEVICE_FEATURES_SEL, word);
    offered |= (uint64_t)virtio_read(device, VIRTIO_DEVICE_FEATURES) << (32 * word);
  }
  if (!(offered & VIRTIO_F_VERSION_1)) return false;
  device->features = offered & (wanted | VIRTIO_F_VERSION_1);
  for (uint32_t word = 0; word < 2; ++word) {
    virtio_write(device, VIRTIO_DRIVER_FEATURES_SEL, word);
    virtio_write(device, VIRTIO_DRIVER_FEATURES, (uint32_t)(device->features >> (32 * word)));
  }
  add_status(device, VIRTIO_FEATURES_OK);
  return virtio_read(device, VIRTIO_STATUS) & VIRTIO_FEATURES_OK;
}

static void write_address(struct VirtioDevice* device, unsigned offset, void const volatile* to) {
  virtio_write(device, offset, (uint32_t)(uintptr_t)to);
  virtio_write(device, offset + 4, (uint32_t)((uint64_t)(uintptr_t)to >> 32));
}

static bool set_up_queue(struct VirtioDevice* device, uint16_t index) {
  struct VirtioQueue* queue = &device->queues[index];
  virtio_write(device, VIRTIO_QUEUE_SEL, index);
  uint32_t most = virtio_read(device, VIRTIO_QUEUE_NUM_MAX);
  uint16_t size = (uint16_t)(most < VIRTIO_QUEUE_MOST ? most : VIRTIO_QUEUE_MOST);
  *queue = (struct VirtioQueue){.index = index, .size = size, .free_count = size, .batch = 1};
  if (size == 0) return true;
  queue->descriptors = allocate(sizeof *queue->descriptors * size);
  queue->available = allocate(2u * (3u + size));
  queue->used = allocate(2u * (3u + 4u * size));
  if (!queue->descriptors || !queue->available || !queue->used) return false;
  for (uint16_t i = 0; i < size; ++i) queue->descriptors[i].next = (uint16_t)(i + 1);
  // Until interrupts are asked for.
  queue->available[0] = kNoInterrupt;
  *used_event(queue) = 0xFFFF;
  virtio_write(device, VIRTIO_QUEUE_NUM, size);
  write_address(device, VIRTIO_QUEUE_DESC, queue->descriptors);
  write_address(device, VIRTIO_QUEUE_DRIVER, queue->available);
  write_address(device, VIRTIO_QUEUE_DEVICE, queue->used);
  virtio_write(device, VIRTIO_QUEUE_READY, 1);
  return virtio_read(device, VIRTIO_QUEUE_READY) == 1;
}

bool virtio_open(struct VirtioDevice* device, enum VirtioId id, unsigned nth, uint64_t wanted) {
  *device = (struct VirtioDevice){0};
  if (!find(device, id, nth)) return false;
  virtio_write(device, VIRTIO_STATUS, 0);
  if (virtio_read(device, VIRTIO_STATUS) != 0) return false;
  add_status(device, VIRTIO_ACKNOWLEDGE);
  add_status(device, VIRTIO_DRIVER);
  bool good = negotiate(device, wanted);
  for (uint16_t index = 0; good && index < VIRTIO_QUEUES; ++index)
    good = set_up_queue(device, index);
  if (!good) add_status(device, VIRTIO_FAILED);
  return good;
}

void virtio_start(struct VirtioDevice* device) { add_status(device, VIRTIO_DRIVER_OK); }

// --- Interrupts

// The driver looks into its rings after each, so it need not read what the interrupt is for.
static void acknowledge(unsigned line) {
  ++interrupts;
  if (on_line[line]) virtio_write(on_line[line], VIRTIO_INTERRUPT_ACK, kBuffersUsed);
}

#define HANDLER(line) \
  static void handle_##line(void) { acknowledge(line); }
HANDLER(5)
HANDLER(6)
HANDLER(7)
HANDLER(8)
HANDLER(9)
HANDLER(10)
HANDLER(11)
HANDLER(12)

static void (*const handlers[VIRTIO_SLOTS])(void) = {handle_5, handle_6,  handle_7,  handle_8,
                                                     handle_9, handle_10, handle_11, handle_12};

static void want_interrupt(struct VirtioDevice* device, struct VirtioQueue* queue) {
  if (virtio_has(device, VIRTIO_F_EVENT_IDX)) {
    uint16_t out = (uint16_t)(queue->next_available - queue->next_used);
    uint16_t batch = out < queue->batch ? out : queue->batch;
    *used_event(queue) = (uint16_t)(queue->next_used + (batch > 0 ? batch - 1 : 0));
  } else {
    queue->available[0] = 0;
  }
}

void virtio_use_interrupts(struct VirtioDevice* device) {
  device->interrupts = true;
  on_line[device->line] = device;
  interrupt_handler(device->line, false, handlers[device->line - VIRTIO_LINE]);
}

unsigned virtio_interrupts(void) { return interrupts; }

// --- Buffers

int virtio_add(struct VirtioQueue* queue, struct VirtioPiece const* pieces, unsigned out,
               unsigned in) {
  unsigned count = out + in;
  if (count == 0 || count > queue->free_count) return -1;
  uint16_t head = queue->free;
  uint16_t at = head;
  for (unsigned i = 0; i < count; ++i) {
    struct VirtioDescriptor volatile* descriptor = &queue->descriptors[at];
    descriptor->address = (uintptr_t)pieces[i].address;
    descriptor->length = pieces[i].length;
    descriptor->flags = (uint16_t)((i + 1 < count ? kNext : 0) | (i >= out ? kDeviceWrites : 0));
    at = descriptor->next;
  }
  queue->free = at;
  queue->free_count = (uint16_t)(queue->free_count - count);
  queue->available[2 + queue->next_available % queue->size] = head;
  ++queue->next_available;
  return head;
}

void virtio_kick(struct VirtioDevice* device, struct VirtioQueue* queue) {
  uint16_t before = queue->told;
  uint16_t now = queue->next_available;
  if (before == now) return;
  if (device->interrupts) want_interrupt(device, queue);
  compiler_fence();
  queue->available[1] = now;
  queue->told = now;
  queue->interrupts_before = interrupts;
  fence();
  // What the device has used before it could see that an interrupt is wanted came without one.
  queue->announced = device->interrupts && queue->used[1] == queue->next_used;
  if (virtio_has(device, VIRTIO_F_EVENT_IDX)) {
    uint16_t distance = (uint16_t)(now - available_event(queue) - 1);
    if (distance >= (uint16_t)(now - before)) return;
  } else if (queue->used[0] & kNoNotify) {
    return;
  }
  ++device->notifications;
  virtio_write(device, VIRTIO_QUEUE_NOTIFY, queue->index);
}

static void set_free(struct VirtioQueue* queue, uint16_t head) {
  uint16_t last = head;
  uint16_t count = 1;
  for (; queue->descriptors[last].flags & kNext; ++count) last = queue->descriptors[last].next;
  queue->descriptors[last].next = queue->free;
  queue->free = head;
  queue->free_count = (uint16_t)(queue->free_count + count);
}

bool virtio_take(struct VirtioDevice* device, struct VirtioQueue* queue, struct VirtioUsed* used) {
  (void)device;
  if (queue->used[1] == queue->next_used) return false;
  compiler_fence();
  uint32_t const volatile* entry =
      (uint32_t const volatile*)(queue->used + 2) + 2 * (queue->next_used % queue->size);
  *used = (struct VirtioUsed){.head = (uint16_t)entry[0], .length = entry[1]};
  ++queue->next_used;
  set_free(queue, used->head);
  return true;
}

bool virtio_wait(struct VirtioDevice* device, struct VirtioQueue* queue, struct VirtioUsed* used) {
  while (queue->announced && interrupts == queue->interrupts_before) interrupt_wait();
  queue->announced = false;
  for (unsigned looks = 0; !virtio_take(device, queue, used); ++looks) {
    if (device->interrupts) {
      want_interrupt(device, queue);
      fence();
      if (virtio_take(device, queue, used)) return true;
      interrupt_wait();
    } else if (looks % 65536 == 65535 && virtio_read(device, VIRTIO_STATUS) & VIRTIO_NEEDS_RESET) {
      return false;
    } else {
      __asm__ volatile("pause");
    }
  }
  return true;
}
