// The guest that both machines run: it waits for a case on its serial port, says "ready", waits for
// a byte, does it, says so, waits for a byte again, and then tells what came out of it. So whoever
// counts from outside can do it while the guest is halted.

#include "guest.h"

static struct VirtioDevice device;
static uint8_t* free_memory = (uint8_t*)0x800000;

void* allocate(size_t size) {
  uint8_t* taken = free_memory;
  free_memory += (size + 4095) & ~(size_t)4095;
  return memset(taken, 0, size);  // it is taken anew for each case
}

// The library's drivers ask for it; this guest has one of its own.
void interrupt_handler(unsigned line, bool level, void (*handler)(void)) {
  (void)line, (void)level, (void)handler;
}

void wait_for_start(void) {
  print("ready\n");
  read_byte();
}

void device_interrupted(void) {
  if (device.base) virtio_write(&device, VIRTIO_INTERRUPT_ACK, 1);
}

static uint32_t number(char const** text) {
  uint32_t value = 0;
  while (**text == ' ') ++*text;
  for (; **text >= '0' && **text <= '9'; ++*text) value = 10 * value + (uint32_t)(**text - '0');
  return value;
}

static void tell(struct Result const* result) {
  print("done ");
  print_number(result->requests);
  print(" ");
  print_number(result->notifications);
  print(" ");
  print_number(result->interrupts);
  print(" ");
  print_number(result->errors);
  print(" ");
  print_hexadecimal(result->cycles);
  print("\n");
}

static bool open_device(enum VirtioId id, uint64_t features) {
  free_memory = (uint8_t*)0x800000;
  features |= VIRTIO_F_EVENT_IDX | 1ull << 28;  // and indirect descriptors
  if (!virtio_open(&device, id, 0, features)) return false;
  return virtio_has(&device, VIRTIO_F_EVENT_IDX | 1ull << 28);
}

void guest_main(void) {
  platform_setup();
  print("portico virtio bench\n");
  for (;;) {
    char line[80];
    read_line(line, sizeof line);
    char const* text = line + 1;
    struct Case one = {.kind = line[0]};
    one.bytes = number(&text);
    one.depth = number(&text);
    one.count = number(&text);
    one.seed = number(&text);
    bool net = one.kind == 'n';
    uint64_t offloads =
        1 << 0 | 1 << 1 | 1 << 7 | 1 << 11;  // checksums and TCP segments, both ways
    if (one.depth == 0 || one.depth > kMostDepth) {
      print("no such case\n");
    } else if (!open_device(net ? VIRTIO_NET : VIRTIO_BLOCK,
                            net ? VIRTIO_NET_F_MAC | offloads : VIRTIO_BLOCK_F_FLUSH)) {
      print("no such device\n");
    } else {
      virtio_start(&device);
      struct Result result = net ? run_net(&device, &one) : run_block(&device, &one);
      tell(&result);
    }
  }
}
