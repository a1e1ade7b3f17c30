// Memory beyond the guest's own, and checksums of it.

#include <guest.h>

enum { kStack = 64 * 1024 };

extern uint64_t memory_end;  // set by start.S
extern char __bss_end[];
static uintptr_t next;

#pragma weak memory_end

size_t memory_size(void) { return &memory_end ? memory_end : 0; }

void* allocate(size_t size) {
  if (next == 0) next = ((uintptr_t)__bss_end + 15) & ~(uintptr_t)15;
  size_t limit = memory_size() > kStack ? memory_size() - kStack : 0;
  if (next > limit || size > limit - next) return NULL;
  void* memory = (void*)next;
  next += (size + 15) & ~(size_t)15;
  return memory;
}

uint64_t checksum(uint64_t sum, void const* data, size_t length) {
  uint64_t const prime = 0x100000001B3u;
  char const* bytes = data;
  char const* end = bytes + length / sizeof sum * sizeof sum;
  for (; bytes != end; bytes += sizeof sum) {
    uint64_t word;
    __builtin_memcpy(&word, bytes, sizeof word);
    sum = (sum ^ word) * prime;
  }
  if (length % sizeof sum == 0) return sum;
  uint64_t rest = 0;
  memcpy(&rest, bytes, length % sizeof sum);
  return (sum ^ rest) * prime;
}
