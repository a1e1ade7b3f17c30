/* What Portico is measured against: KVM_RUN and a switch by hand. Once through the C library's
 * ioctl(), as one writes it, once with the system call in line: the first return from a function
 * that was called before KVM_RUN can cost as much as the rest of the exit's way through user space,
 * where the kernel leaves no predictions of returns behind. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "board.h"

/* KVM_RUN: 0 or an errno value. */
static inline int enter(int vcpu, int in_line) {
  if (!in_line) return ioctl(vcpu, KVM_RUN, 0) < 0 ? errno : 0;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"((long)SYS_ioctl), "D"((long)vcpu), "S"((long)KVM_RUN), "d"(0L)
                   : "rcx", "r11", "memory", "cc");
  return (int)-result;
}

static inline __attribute__((always_inline)) int loop(int vcpu, struct kvm_run* run,
                                                      struct probe* probe, uint64_t* others,
                                                      int in_line) {
  for (;;) {
    int const error = enter(vcpu, in_line);
    if (error != 0) return error;
    switch (run->exit_reason) {
      case KVM_EXIT_IO: {
        uint8_t* const data = (uint8_t*)run + run->io.data_offset;
        switch (run->io.port) {
          case PROBE_PORT:
            if (run->io.direction == KVM_EXIT_IO_OUT) {
              probe_note(probe, *data);
            } else {
              *data = (uint8_t)probe_answer(probe, 0xFF);
            }
            break;
#define OTHER(port)   \
  case port:          \
    *others += *data; \
    break;
            OTHER_PORTS(OTHER)
#undef OTHER
          case END_PORT:
            return 0;
          default:
            memset(data, 0xFF, run->io.size);
        }
        break;
      }
      case KVM_EXIT_MMIO:
        switch (run->mmio.phys_addr) {
          case PROBE_ADDRESS: {
            uint32_t value;
            if (run->mmio.is_write) {
              memcpy(&value, run->mmio.data, sizeof value);
              probe_note(probe, value);
            } else {
              value = probe_answer(probe, 0xFFFFFFFF);
              memcpy(run->mmio.data, &value, sizeof value);
            }
            break;
          }
#define OTHER(address)          \
  case address:                 \
    *others += *run->mmio.data; \
    break;
            OTHER_ADDRESSES(OTHER)
#undef OTHER
          default:
            memset(run->mmio.data, 0xFF, sizeof run->mmio.data);
        }
        break;
      default:
        return -(int)run->exit_reason;
    }
  }
}

int bare_run(int vcpu, struct kvm_run* run, struct probe* probe, uint64_t* others) {
  return loop(vcpu, run, probe, others, 0);
}

int bare_run_in_line(int vcpu, struct kvm_run* run, struct probe* probe, uint64_t* others) {
  return loop(vcpu, run, probe, others, 1);
}
