// Drives a virtio source of random numbers: fills 16 buffers, looking and by interrupts, and checks
// that no two words are the same.

#include <interrupts.h>
#include <virtio.h>

enum { kBuffers = 16, kWords = 4 };

int main(void) {
  static struct VirtioDevice source;
  static uint64_t words[kBuffers * kWords];
  interrupts_setup();
  if (!virtio_open(&source, VIRTIO_ENTROPY, 0, VIRTIO_F_EVENT_IDX)) {
    printf("There is no virtio source of random numbers.\n");
    virtio_end(255);
  }
  virtio_start(&source);
  unsigned failures = 0;
  for (unsigned i = 0; i < kBuffers; ++i) {
    if (i == kBuffers / 2) virtio_use_interrupts(&source);
    if (virtio_entropy(&source, words + i * kWords, kWords * 8) != kWords * 8) ++failures;
  }
  for (unsigned i = 0; i < kBuffers * kWords; ++i) {
    for (unsigned other = i - i % 8; other < i; ++other) failures += words[i] == words[other];
    failures += words[i] == 0;
  }
  printf("%u notifications, %u interrupts, %u failures\n", source.notifications,
         virtio_interrupts(), failures);
  virtio_end(failures < 254 ? (uint8_t)failures : 254);
}
