/// Drivers for virtio devices on memory-mapped registers (VIRTIO 1.2, section 4.2, version 2):
/// block, network, console, entropy.
///
/// ```c
/// #include <virtio.h>
///
/// int main(void) {
///   static struct VirtioDevice disk;
///   static uint8_t sector[512];
///   if (!virtio_open(&disk, VIRTIO_BLOCK, 0, 0)) return 1;
///   virtio_start(&disk);
///   printf("status %u: %s\n", virtio_block(&disk, VIRTIO_BLOCK_IN, 0, sector, 512), sector);
///   virtio_end(0);
/// }
/// ```
///
/// Devices stand in VIRTIO_SLOTS places from VIRTIO_BASE on, or where `-D` says; the one in place n
/// has interrupt line VIRTIO_LINE + n. A driver looks at the used ring until there is something in
/// it, or where the guest asked for interrupts (virtio_use_interrupts) halts until one has come.
///
/// Limits: split queues, without indirect descriptors; at most 4 queues for a device; rings are
/// taken from `allocate` and never given back.

#ifndef PORTICO_GUEST_VIRTIO_H
#define PORTICO_GUEST_VIRTIO_H

#include <guest.h>

#ifndef VIRTIO_BASE
#define VIRTIO_BASE 0xD0000000u
#endif
#define VIRTIO_STRIDE 0x200u
#define VIRTIO_SLOTS 8u
#ifndef VIRTIO_LINE
#define VIRTIO_LINE 5u
#endif

// --- Numbers of the specification

enum VirtioId { VIRTIO_NET = 1, VIRTIO_BLOCK = 2, VIRTIO_CONSOLE = 3, VIRTIO_ENTROPY = 4 };

enum VirtioRegister {
  VIRTIO_MAGIC = 0x000,
  VIRTIO_VERSION = 0x004,
  VIRTIO_DEVICE_ID = 0x008,
  VIRTIO_DEVICE_FEATURES = 0x010,
  VIRTIO_DEVICE_FEATURES_SEL = 0x014,
  VIRTIO_DRIVER_FEATURES = 0x020,
  VIRTIO_DRIVER_FEATURES_SEL = 0x024,
  VIRTIO_QUEUE_SEL = 0x030,
  VIRTIO_QUEUE_NUM_MAX = 0x034,
  VIRTIO_QUEUE_NUM = 0x038,
  VIRTIO_QUEUE_READY = 0x044,
  VIRTIO_QUEUE_NOTIFY = 0x050,
  VIRTIO_INTERRUPT_STATUS = 0x060,
  VIRTIO_INTERRUPT_ACK = 0x064,
  VIRTIO_STATUS = 0x070,
  VIRTIO_QUEUE_DESC = 0x080,  // each of the three in two halves
  VIRTIO_QUEUE_DRIVER = 0x090,
  VIRTIO_QUEUE_DEVICE = 0x0A0,
  VIRTIO_CONFIG_GENERATION = 0x0FC,
  VIRTIO_CONFIG = 0x100,
};

enum VirtioStatusBit {
  VIRTIO_ACKNOWLEDGE = 1,
  VIRTIO_DRIVER = 2,
  VIRTIO_DRIVER_OK = 4,
  VIRTIO_FEATURES_OK = 8,
  VIRTIO_NEEDS_RESET = 64,
  VIRTIO_FAILED = 128,
};

#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

struct VirtioDescriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;  // 1: another follows, 2: the device writes
  uint16_t next;
};

// --- Devices and queues

enum { VIRTIO_QUEUES = 4, VIRTIO_QUEUE_MOST = 128 };

/// A part of a buffer.
struct VirtioPiece {
  void const volatile* address;
  uint32_t length;
};

/// A buffer that the device is done with.
struct VirtioUsed {
  uint16_t head;    ///< what virtio_add gave
  uint32_t length;  ///< bytes that the device wrote
};

struct VirtioQueue {
  uint16_t index;
  uint16_t size;  ///< entries; 0: there is no such queue
  struct VirtioDescriptor volatile* descriptors;
  uint16_t volatile* available;  ///< flags, index, heads, used_event
  uint16_t volatile* used;       ///< flags, index, pairs of 32 bits, avail_event
  uint16_t free;                 ///< the first descriptor that is free, and how many are
  uint16_t free_count;
  uint16_t next_available;
  uint16_t told;  ///< how far the device knows
  uint16_t next_used;
  uint16_t batch;  ///< with EVENT_IDX, an interrupt is wanted after so many buffers, or the last
  bool announced;  ///< an interrupt will come for what the device was told of last
  unsigned interrupts_before;
};

struct VirtioDevice {
  uintptr_t base;
  unsigned line;
  uint64_t features;       ///< negotiated
  bool interrupts;         ///< halt for them
  unsigned notifications;  ///< that were sent
  struct VirtioQueue queues[VIRTIO_QUEUES];
};

static inline uint32_t virtio_read(struct VirtioDevice const* device, unsigned offset) {
  return *(uint32_t volatile*)(device->base + offset);
}

static inline void virtio_write(struct VirtioDevice const* device, unsigned offset,
                                uint32_t value) {
  *(uint32_t volatile*)(device->base + offset) = value;
}

/// Finds the device number `nth` (from 0 on) of kind `id`, resets it and negotiates those of the
/// `wanted` features that it offers; VERSION_1 is always wanted. Then sets up its queues.
/// @return whether there is one, and it agreed
bool virtio_open(struct VirtioDevice* device, enum VirtioId id, unsigned nth, uint64_t wanted);

/// The device may begin (DRIVER_OK).
void virtio_start(struct VirtioDevice* device);

/// Interrupts are wanted from now on: virtio_wait halts. After interrupts_setup.
void virtio_use_interrupts(struct VirtioDevice* device);

/// How many interrupts were handled, of all devices.
unsigned virtio_interrupts(void);

static inline bool virtio_has(struct VirtioDevice const* device, uint64_t features) {
  return (device->features & features) == features;
}

/// Puts a buffer into a queue: `out` pieces that the device reads, then `in` that it writes. The
/// device is not told yet.
/// @return its head, or -1 if there is no room
int virtio_add(struct VirtioQueue* queue, struct VirtioPiece const* pieces, unsigned out,
               unsigned in);

/// Tells the device of what was added, unless it does not want to know.
void virtio_kick(struct VirtioDevice* device, struct VirtioQueue* queue);

/// Takes a buffer that the device is done with.
/// @return whether there was one
bool virtio_take(struct VirtioDevice* device, struct VirtioQueue* queue, struct VirtioUsed* used);

/// Waits for one. The device asks for a reset, and nothing more comes, if this gives false.
bool virtio_wait(struct VirtioDevice* device, struct VirtioQueue* queue, struct VirtioUsed* used);

// --- Block (5.2)

enum VirtioBlockType {
  VIRTIO_BLOCK_IN = 0,
  VIRTIO_BLOCK_OUT = 1,
  VIRTIO_BLOCK_FLUSH = 4,
  VIRTIO_BLOCK_GET_ID = 8,
  VIRTIO_BLOCK_DISCARD = 11,
  VIRTIO_BLOCK_WRITE_ZEROES = 13,
};

enum { VIRTIO_BLOCK_OK = 0, VIRTIO_BLOCK_IOERR = 1, VIRTIO_BLOCK_UNSUPPORTED = 2 };

#define VIRTIO_BLOCK_F_RO (1ull << 5)
#define VIRTIO_BLOCK_F_FLUSH (1ull << 9)
#define VIRTIO_BLOCK_F_DISCARD (1ull << 13)
#define VIRTIO_BLOCK_F_WRITE_ZEROES (1ull << 14)

/// One request; it stays where it is until it comes back.
struct VirtioBlockRequest {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
  uint8_t volatile status;
  int head;  ///< of the request, to know it again
};

/// The disk's size in sectors of 512 bytes.
uint64_t virtio_block_capacity(struct VirtioDevice const* disk);

/// Adds a request to queue 0, and tells nobody.
/// @return false if there is no room
bool virtio_block_add(struct VirtioDevice* disk, struct VirtioBlockRequest* request, void* data,
                      uint32_t length);

/// Makes one request and waits for it.
/// @return its status, or 255 if the device is broken
uint8_t virtio_block(struct VirtioDevice* disk, uint32_t type, uint64_t sector, void* data,
                     uint32_t length);

// --- Network (5.1)

#define VIRTIO_NET_F_MAC (1ull << 5)

enum { VIRTIO_NET_RECEIVE = 0, VIRTIO_NET_SEND = 1, VIRTIO_NET_HEADER = 12 };

/// Puts `count` buffers of `size` bytes from `buffers` on into the receive queue. Each frame comes
/// behind VIRTIO_NET_HEADER bytes.
/// @return how many there was room for
unsigned virtio_net_fill(struct VirtioDevice* net, uint8_t* buffers, unsigned count, uint32_t size);

/// Sends a frame, and waits until the device is done with it.
bool virtio_net_send(struct VirtioDevice* net, void const* frame, uint32_t length);

// --- Console (5.3)

#define VIRTIO_CONSOLE_F_SIZE (1ull << 0)

enum { VIRTIO_CONSOLE_INPUT = 0, VIRTIO_CONSOLE_OUTPUT = 1 };

/// Prints, and waits until the device is done with it.
bool virtio_console_write(struct VirtioDevice* console, void const* text, uint32_t length);

/// Waits for input.
/// @return how many bytes, 0 if the device is broken
uint32_t virtio_console_read(struct VirtioDevice* console, void* to, uint32_t size);

// --- Entropy (5.4)

/// Waits for random numbers.
/// @return how many bytes there are
uint32_t virtio_entropy(struct VirtioDevice* source, void* to, uint32_t length);

// --- The host

/// Says to a host that counts exits that something begins (count 0), or that so much of it is done;
/// the upper half may tell what.
static inline void virtio_mark(uint32_t count) { outl(0x510, count); }

/// Ends the machine; the monitor's exit status is `code`.
static inline _Noreturn void virtio_end(uint8_t code) {
  for (;;) outb(0x501, code);
}

#endif
