#include "exit_name.hpp"

#include <linux/kvm.h>
#include <sys/uio.h>

#include <array>
#include <cstdio>

namespace exit_cost {
namespace {

// Index: KVM_EXIT_*.
constexpr std::array kNames = {"unknown",
                               "exception",
                               "io",
                               "hypercall",
                               "debug",
                               "hlt",
                               "mmio",
                               "irq window",
                               "shutdown",
                               "entry failed",
                               "signal",
                               "set tpr",
                               "tpr access",
                               "s390 sieic",
                               "s390 reset",
                               "dcr",
                               "nmi",
                               "internal error",
                               "osi",
                               "papr hcall",
                               "s390 ucontrol",
                               "watchdog",
                               "s390 tsch",
                               "epr",
                               "system event",
                               "s390 stsi",
                               "ioapic eoi",
                               "hyperv",
                               "arm nisv",
                               "rdmsr",
                               "wrmsr",
                               "dirty ring full",
                               "ap reset hold",
                               "bus lock",
                               "xen",
                               "riscv sbi",
                               "riscv csr",
                               "notify"};

}  // namespace

std::string exit_name(pid_t process, std::uint64_t address) {
  kvm_run run{};
  iovec to{&run, sizeof run};
  iovec from{reinterpret_cast<void*>(address), sizeof run};
  if (address == 0 ||
      process_vm_readv(process, &to, 1, &from, 1, 0) != static_cast<ssize_t>(sizeof run)) {
    return "exit";
  }
  std::array<char, 96> text{};
  if (run.exit_reason == KVM_EXIT_IO) {
    std::snprintf(text.data(), text.size(), "%s 0x%x, %u byte%s%s",
                  run.io.direction == KVM_EXIT_IO_OUT ? "out" : "in", run.io.port, run.io.size,
                  run.io.size == 1 ? "" : "s",
                  run.io.count == 1 ? "" : (" x " + std::to_string(run.io.count)).c_str());
    return text.data();
  }
  if (run.exit_reason == KVM_EXIT_MMIO) {
    std::snprintf(text.data(), text.size(), "mmio %s 0x%llx, %u byte%s",
                  run.mmio.is_write ? "store" : "load",
                  static_cast<unsigned long long>(run.mmio.phys_addr), run.mmio.len,
                  run.mmio.len == 1 ? "" : "s");
    return text.data();
  }
  return run.exit_reason < kNames.size() ? kNames[run.exit_reason]
                                         : "reason " + std::to_string(run.exit_reason);
}

}  // namespace exit_cost
