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

#include <portico/kvm/kick.hpp>
#include <portico/machine/parts.hpp>

namespace portico::detail {

/// One vCPU's; while the machine runs, its own thread's but for `kick`.
template <class Vcpu>
struct Seat {
  Seat(Vcpu&& made, int signal) : vcpu{std::move(made)}, kick{signal} {}

  Vcpu vcpu;
  kvm::Kick kick;
  Unclaimed unclaimed{};
  bool has_run = false;          ///< KVM may have begun an instruction for the guest
  bool exit_waits = false;       ///< the page holds an exit that nobody has handled yet
  char const* call = "KVM_RUN";  ///< what failed, if something did
};

}  // namespace portico::detail
