/* The board of group framework, for C and C++: one device that is measured, on a port and on MMIO,
 * and the other addresses that a PC has something at. */
#ifndef PORTICO_BENCH_BOARD_H
#define PORTICO_BENCH_BOARD_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct kvm_run;

/* What the measured device is: it notes when it was called and what was moved. */
struct probe {
  uint64_t* times;
  size_t count;
  uint64_t sum;
};

static inline void probe_note(struct probe* probe, uint64_t value) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  probe->times[probe->count] = (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_nsec;
  ++probe->count;
  probe->sum += value;
}

/* The answer to a read: another one each time. */
static inline uint32_t probe_answer(struct probe* probe, uint32_t mask) {
  uint32_t const answer = (uint32_t)(probe->count * 2654435761U) & mask;
  probe_note(probe, answer);
  return answer;
}

/* NOLINTBEGIN(modernize-macro-to-enum): an enumerator of C holds no address above 2 GiB */
#define PROBE_PORT 0x510
#define PROBE_ADDRESS 0xD0000000U
#define END_PORT 0xF1
/* NOLINTEND(modernize-macro-to-enum) */

/* What else is there, one byte each; nobody calls it. */
#define OTHER_PORTS(X) \
  X(0x20)              \
  X(0x40)              \
  X(0x60)              \
  X(0x70)              \
  X(0xE9)              \
  X(0x1F0)             \
  X(0x2F8)             \
  X(0x3F8)             \
  X(0xCF8)
#define OTHER_ADDRESSES(X) \
  X(0xD0001000U)           \
  X(0xD0002000U)           \
  X(0xD0003000U)           \
  X(0xD0004000U)

#ifdef __cplusplus
extern "C" {
#endif

/* The loop by hand (bare.c), through the C library's ioctl() and with the system call in line: runs
 * until the guest writes to END_PORT. 0, an errno value, or minus the exit reason that it does not
 * know. */
int bare_run(int vcpu, struct kvm_run* run, struct probe* probe, uint64_t* others);
int bare_run_in_line(int vcpu, struct kvm_run* run, struct probe* probe, uint64_t* others);

#ifdef __cplusplus
}
#endif

#endif
