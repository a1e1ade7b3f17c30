// Drives a virtio console: prints 12 KiB in pieces of 64 to 1024 bytes, then gives back what it is
// given until a line `end`. A host that counts exits is told where the printing begins, and how
// many bytes there were.

#include <interrupts.h>
#include <virtio.h>

enum { kLine = 64, kText = 1024 };

static struct VirtioDevice console;
static char text[kText];

static void fill(void) {
  for (unsigned i = 0; i < kText; i += 8) memcpy(text + i, ".portico", 8);
  for (unsigned i = kLine - 1; i < kText; i += kLine) text[i] = '\n';
}

static bool print_all(void) {
  for (uint32_t size = kLine; size <= kText; size *= 4) {
    virtio_mark(0);
    for (uint32_t at = 0; at < 4 * kText; at += size) {
      if (!virtio_console_write(&console, text, size)) return false;
    }
    virtio_mark(4 * kText);
  }
  return true;
}

/// Until a line that ends the input; whether every byte went out again.
static bool echo(void) {
  static char input[256];
  uint32_t seen = 0;
  static char last[4];
  for (;;) {
    uint32_t length = virtio_console_read(&console, input, sizeof input);
    if (length == 0 || length > sizeof input) return false;
    if (!virtio_console_write(&console, input, length)) return false;
    for (uint32_t i = 0; i < length; ++i) last[seen++ % 4] = input[i];
    bool end = seen >= 4;
    for (uint32_t i = 0; end && i < 4; ++i) end = last[(seen + i) % 4] == "end\n"[i];
    if (end) return true;
  }
}

int main(void) {
  interrupts_setup();
  if (!virtio_open(&console, VIRTIO_CONSOLE, 0, VIRTIO_F_EVENT_IDX | VIRTIO_CONSOLE_F_SIZE)) {
    printf("There is no virtio console.\n");
    virtio_end(255);
  }
  virtio_start(&console);
  if (virtio_has(&console, VIRTIO_CONSOLE_F_SIZE)) {
    uint32_t size = virtio_read(&console, VIRTIO_CONFIG);
    printf("%u columns, %u rows\n", size & 0xFFFF, size >> 16);
  }
  fill();
  bool printed = print_all();
  printf("printed: %s, %u notifications\n", printed ? "yes" : "NO", console.notifications);
  virtio_use_interrupts(&console);
  bool echoed = printed && echo();
  printf("echoed: %s\n", echoed ? "yes" : "NO");
  virtio_end(echoed ? 0 : 1);
}
