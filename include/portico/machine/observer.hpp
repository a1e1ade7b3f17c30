/// Observers: what a run tells beside its work. A run without one is the same code as if there were
/// none.
///
///     #include <portico/machine.hpp>
///     struct CountReads {
///       void access(portico::Access const& access, portico::Claim const&) {
///         if (access.direction == portico::Direction::read) ++reads;
///       }
///       std::uint64_t reads = 0;
///     };
///     portico::Stop run(auto& machine, CountReads& count) { return machine.run(count); }
///
/// An observer has one or both of: `access(Access const&, Claim const&)`, after each access was
/// carried out, with the data read or written; `exit(kvm::Exit const&, std::uint32_t reason)`,
/// after each other exit, with KVM's number for it. They are called on the vCPU's thread: with
/// several vCPUs, from several threads at once.
#pragma once

#include <cstdint>

#include <portico/device/access.hpp>
#include <portico/kvm/exit.hpp>

namespace portico {

/// An observer that sees nothing: the same code as a run without observers.
struct NoObserver {};

namespace detail {

template <class Observer>
concept SeesAccesses = requires(Observer observer, Access const& access, Claim const& claim) {
  observer.access(access, claim);
};
template <class Observer>
concept SeesExits =
    requires(Observer observer, kvm::Exit const& exit) { observer.exit(exit, std::uint32_t{}); };

template <class Observer>
inline constexpr bool sees_nothing = !SeesAccesses<Observer> && !SeesExits<Observer>;

template <class Observer>
[[gnu::always_inline]] inline void tell(Observer& observer, Access const& access,
                                        Claim const& claim) {
  if constexpr (SeesAccesses<Observer>) observer.access(access, claim);
}

template <class Observer>
inline void tell(Observer& observer, kvm::Exit const& exit, std::uint32_t reason) {
  if constexpr (SeesExits<Observer>) observer.exit(exit, reason);
}

}  // namespace detail

}  // namespace portico
