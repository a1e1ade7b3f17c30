/// A vCPU's place in a machine: the vCPU, what gets it out of its guest, and what it counts.
///
///     #include <portico/kvm/system.hpp>
///     #include <portico/machine/seat.hpp>
///     using Seat = portico::detail::Seat<portico::kvm::Vcpu>;
///     void kick(Seat& seat) { seat.kick.send(); }
///
/// Internal to the library; Machine has one for each vCPU.
#pragma once

#include <utility>

#include <portico/kvm/abi.hpp>
#include <portico/kvm/kick.hpp>
#include <portico/machine/parts.hpp>

namespace portico::detail {

/// One vCPU's; while the machine runs, its own thread's but for `kick`.
template <class Vcpu>
struct Seat {
  Seat(Vcpu&& made, int signal) : vcpu{std::move(made)}, kick{signal} {}

  /// Lets the access of the last exit complete, so that the registers are those after it. A string
  /// instruction, or an access across two pages, has a next one then: it waits in the page for the
  /// next run.
  void complete_access() noexcept {
    vcpu.immediate_exit(true);
    exit_waits = vcpu.run() == 0;
    vcpu.immediate_exit(false);
  }

  /// Ends what the last run left half done.
  void forget_access() {
    if (!has_run) return;
    vcpu.immediate_exit(true);
    // A repeated instruction ends with the count in RCX, which the guest may have made huge; other
    // accesses have a few parts.
    for (int left = 16; left > 0 && vcpu.run() == 0; --left) {
      kvm_regs registers = vcpu.regs();
      registers.rcx = 0;
      vcpu.set_regs(registers);
    }
    vcpu.immediate_exit(false);
    has_run = false;
    exit_waits = false;
  }

  Vcpu vcpu;
  kvm::Kick kick;
  Unclaimed unclaimed{};
  bool has_run = false;          ///< KVM may have begun an instruction for the guest
  bool exit_waits = false;       ///< the page holds an exit that nobody has handled yet
  char const* call = "KVM_RUN";  ///< what failed, if something did
};

}  // namespace portico::detail
