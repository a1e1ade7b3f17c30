// Uses the device of examples/virtio_device: makes notes, asks for them, and looks at how many there
// are. Ends with the number of answers that are wrong.

#include <string.h>
#include <virtio.h>

enum { kMemo = 63 };

static struct VirtioDevice memo;
static unsigned failures;

/// Sends a text in two pieces; the answer, which a later one replaces.
static char const* send(char const* text) {
  static char answer[64];
  uint32_t length = (uint32_t)strlen(text);
  struct VirtioPiece pieces[3] = {{text, 2}, {text + 2, length - 2}, {answer, sizeof answer - 1}};
  struct VirtioUsed used;
  int head = virtio_add(&memo.queues[0], pieces, 2, 1);
  virtio_kick(&memo, &memo.queues[0]);
  if (head < 0 || !virtio_wait(&memo, &memo.queues[0], &used) || used.head != head) virtio_end(254);
  answer[used.length] = '\0';
  return answer;
}

static void expect(char const* text, char const* answer) {
  char const* got = send(text);
  printf("%s: %s\n", text, got);
  if (strcmp(got, answer) != 0) ++failures;
}

int main(void) {
  if (!virtio_open(&memo, (enum VirtioId)kMemo, 0, VIRTIO_F_EVENT_IDX)) {
    printf("There is no device with the ID %u.\n", (unsigned)kMemo);
    virtio_end(255);
  }
  virtio_start(&memo);
  uint32_t before = virtio_read(&memo, VIRTIO_CONFIG_GENERATION);
  expect("planet", "");
  expect("planet=Earth", "");
  expect("moon=Luna", "");
  expect("planet", "Earth");
  expect("moon", "Luna");
  expect("planet=Mars", "");
  expect("planet", "Mars");
  printf("%u notes\n", virtio_read(&memo, VIRTIO_CONFIG));
  if (virtio_read(&memo, VIRTIO_CONFIG) != 2) ++failures;
  if (virtio_read(&memo, VIRTIO_CONFIG_GENERATION) == before) ++failures;
  virtio_end((uint8_t)failures);
}
