/// What a machine can be told beside its parts; each option is a type, its value given to the
/// constructor.
///
///     #include <portico/device/locked.hpp>
///     #include <portico/machine.hpp>
///     struct Serial { void write(std::uint8_t byte) { std::putchar(byte); } };
///     using Board = portico::DeviceMap<portico::Port<0xE9, portico::Locked<Serial>>>;
///     int main() {
///       portico::Machine machine{portico::GuestMemory{1 * portico::GiB},
///                                [] { return Board{}; },   // made in place: it holds a lock
///                                portico::Vcpus<8>{4},     // at most 8 vCPUs, 4 of them made
///                                portico::KickSignal{SIGRTMIN + 3}};
///     }
#pragma once

#include <signal.h>

#include <cstdint>
#include <type_traits>

#include <portico/device/clock.hpp>
#include <portico/device/entries.hpp>
#include <portico/kvm/system.hpp>

namespace portico {

/// At most `Max` vCPUs; as many are made as the value says. With more than one, every device must
/// be safe for threads.
template <unsigned Max>
struct Vcpus {
  static_assert(Max >= 1, "portico::Vcpus: a machine has at least one vCPU.");
  static constexpr unsigned max = Max;
  unsigned count = Max;
};

/// The signal that gets a vCPU out of its guest; default SIGRTMIN. A handler of someone else's on
/// it is an error.
struct KickSignal {
  int number;
};

/// The guest's `cpuid` tells what the host's processor and KVM can do. Without it all leaves are 0,
/// as in most small monitors, and the machine starts sooner: asking KVM took 0.4 ms, telling it 0.1
/// ms, of a start of 1.2 ms where it was measured.
struct HostCpuid {};

/// Interrupt controllers in the kernel, also where no entry of the board has a line: local APICs
/// take messages and start other vCPUs, and a vCPU that halts waits in the kernel.
struct KernelIrqchip {};

/// The same, and the 8254 timer in the kernel too: ports 0x40 to 0x43 and 0x61, line 0.
struct KernelPit {};

/// No I/O thread: devices' deadlines, and the events that they watch for, come when the program calls
/// Machine::service_deadlines(). So do lines that lead to controllers in the board and are driven by the program's own threads.
struct DeadlinesByHand {};

/// Time stands still until the program moves it, `Machine::clock().set(nanoseconds)`; deadlines come
/// by hand then. For tests.
struct ManualTime {
  std::uint64_t start = 0;  ///< nanoseconds
};

/// What makes VMs, in place of KVM: for tests of the run loop.
template <class System>
struct Hypervisor {
  using type = System;
};

namespace detail {

template <class Option>
struct MachineOption {
  static constexpr unsigned vcpus = 0;
  using System = void;
  static constexpr bool is_known =
      one_of<Option, KickSignal, HostCpuid, KernelIrqchip, KernelPit, DeadlinesByHand, ManualTime>;
};

template <unsigned Max>
struct MachineOption<Vcpus<Max>> {
  static constexpr unsigned vcpus = Max;
  using System = void;
  static constexpr bool is_known = true;
};

template <class Type>
struct MachineOption<Hypervisor<Type>> {
  static constexpr unsigned vcpus = 0;
  using System = Type;
  static constexpr bool is_known = true;
};

template <class... Options>
inline constexpr unsigned max_vcpus_of =
    (MachineOption<Options>::vcpus + ... + 0U) == 0 ? 1U
                                                    : (MachineOption<Options>::vcpus + ... + 0U);

template <class... Systems>
struct FirstSystem {
  using type = kvm::System;
};

template <class System, class... Rest>
struct FirstSystem<System, Rest...> {
  using type = System;
};

template <class... Rest>
struct FirstSystem<void, Rest...> : FirstSystem<Rest...> {};

template <class... Options>
using HypervisorOf = typename FirstSystem<typename MachineOption<Options>::System...>::type;

template <class Option>
inline constexpr bool is_vcpus = false;
template <unsigned Max>
inline constexpr bool is_vcpus<Vcpus<Max>> = true;

inline unsigned vcpu_count(unsigned otherwise) { return otherwise; }

template <class First, class... Rest>
unsigned vcpu_count(unsigned otherwise, [[maybe_unused]] First const& first, Rest const&... rest) {
  if constexpr (is_vcpus<First>)
    return first.count;
  else
    return vcpu_count(otherwise, rest...);
}

// A function's, not the machine's or the option's: clang lets nobody use a class whose own assertion
// failed, and would say so a hundred lines long.
template <class Option>
consteval auto check_option() {
  static_assert(MachineOption<Option>::is_known,
                "portico::Machine: the options are Vcpus<N>, HostCpuid, KernelIrqchip, KernelPit, "
                "DeadlinesByHand, ManualTime, KickSignal and Hypervisor<System>.");
  return std::true_type{};
}

/// One vCPU may run any board; several need devices that are safe for threads.
template <class Board, unsigned Vcpus>
consteval auto check_threads() {
  if constexpr (Vcpus > 1)
    return decltype(Board::check_threads()){};
  else
    return std::true_type{};
}

/// Only a thread of the machine's own can surprise a device with its deadline.
template <class Board, bool OnIoThread>
consteval auto check_deadlines() {
  if constexpr (OnIoThread)
    return decltype(Board::check_deadlines()){};
  else
    return std::true_type{};
}

/// The same for what it watches for.
template <class Board, bool OnIoThread>
consteval auto check_events() {
  if constexpr (OnIoThread && Board::has_events)
    return decltype(Board::check_events()){};
  else
    return std::true_type{};
}

inline TimeSource time_source() { return TimeSource{}; }

template <class First, class... Rest>
TimeSource time_source([[maybe_unused]] First const& first, Rest const&... rest) {
  if constexpr (std::is_same_v<First, ManualTime>)
    return TimeSource::manual(first.start);
  else
    return time_source(rest...);
}

inline int kick_signal() { return SIGRTMIN; }

template <class First, class... Rest>
int kick_signal([[maybe_unused]] First const& first, Rest const&... rest) {
  if constexpr (std::is_same_v<First, KickSignal>)
    return first.number;
  else
    return kick_signal(rest...);
}

}  // namespace detail

}  // namespace portico
