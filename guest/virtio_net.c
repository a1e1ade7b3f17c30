// Drives a virtio network whose other end sends every frame back: sends 32 frames of growing size
// and checks what comes back. Then it is the other end's turn: it gives back each frame that comes,
// until one whose first byte behind the Ethernet header is 0xFF.

#include <interrupts.h>
#include <virtio.h>

enum {
  kBuffers = 16,
  kSize = 1536,
  kFrames = 32,
  kEthernet = 14,
  kMost = 1514,
};

static struct VirtioDevice net;
static uint8_t buffers[kBuffers][kSize];
static uint8_t frame[kMost];
static unsigned failures;

static void check(char const* name, bool good) {
  if (good) return;
  printf("%s: NO\n", name);
  ++failures;
}

/// To everybody, from this guest, of a type for experiments.
static void address_frame(void) {
  for (unsigned i = 0; i < 6; ++i) frame[i] = 0xFF;
  for (unsigned i = 0; i < 6; ++i)
    frame[6 + i] = (uint8_t)(virtio_read(&net, VIRTIO_CONFIG + i / 4 * 4) >> (i % 4 * 8));
  frame[12] = 0x88;
  frame[13] = 0xB5;
}

/// Which of the buffers is at that address of the queue's.
static uint8_t* take(uint32_t* length, uint16_t* index) {
  struct VirtioQueue* queue = &net.queues[VIRTIO_NET_RECEIVE];
  struct VirtioUsed used;
  if (!virtio_wait(&net, queue, &used)) return NULL;
  uint8_t* buffer = (uint8_t*)(uintptr_t)queue->descriptors[used.head].address;
  *index = (uint16_t)((buffer - buffers[0]) / kSize);
  if (*index >= kBuffers || used.length < VIRTIO_NET_HEADER || used.length > kSize) return NULL;
  *length = used.length - VIRTIO_NET_HEADER;
  return buffer + VIRTIO_NET_HEADER;
}

static void give_back(uint16_t index) { virtio_net_fill(&net, buffers[index], 1, kSize); }

static uint32_t size_of(unsigned number) { return 60 + number * (kMost - 60) / (kFrames - 1); }

static bool same(uint8_t const* got, uint32_t length, unsigned number) {
  return length == size_of(number) && got[kEthernet] == number && got[length - 1] == 0xA5 &&
         memcmp(got, frame, kEthernet) == 0;
}

static void send_and_compare(void) {
  bool good = true;
  for (unsigned number = 0; good && number < kFrames; ++number) {
    uint32_t size = size_of(number);
    frame[kEthernet] = (uint8_t)number;
    frame[size - 1] = 0xA5;
    uint32_t length = 0;
    uint16_t index = 0;
    good = virtio_net_send(&net, frame, size);
    uint8_t const* got = good ? take(&length, &index) : NULL;
    good = got && same(got, length, number);
    if (got) give_back(index);
    frame[size - 1] = 0;
  }
  check("what was sent comes back", good);
}

static void echo(void) {
  for (bool end = false; !end;) {
    uint32_t length = 0;
    uint16_t index = 0;
    uint8_t const* got = take(&length, &index);
    if (!got || length <= kEthernet) return check("a frame came", false);
    end = got[kEthernet] == 0xFF;
    check("it goes back", virtio_net_send(&net, got, length));
    give_back(index);
  }
}

int main(void) {
  interrupts_setup();
  if (!virtio_open(&net, VIRTIO_NET, 0, VIRTIO_F_EVENT_IDX | VIRTIO_NET_F_MAC)) {
    printf("There is no virtio network.\n");
    virtio_end(255);
  }
  virtio_start(&net);
  check("there is an address", virtio_has(&net, VIRTIO_NET_F_MAC));
  address_frame();
  check("room", virtio_net_fill(&net, buffers[0], kBuffers, kSize) == kBuffers);
  send_and_compare();
  printf("%u frames there and back, %u notifications\n", kFrames, net.notifications);
  virtio_use_interrupts(&net);
  echo();
  printf("%u failures\n", failures);
  virtio_end(failures < 254 ? (uint8_t)failures : 254);
}
