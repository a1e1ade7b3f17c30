/// Why a run ended.
///
///     #include <portico/machine/stop.hpp>
///     int exit_status(portico::Stop const& stop) {
///       return portico::match(stop,
///           [](portico::Halted) { return 0; },
///           [](portico::GuestExit guest) { return guest.code; },
///           [&](auto const&) { std::fprintf(stderr, "%s\n", portico::describe(stop).c_str()); return 1; });
///     }
///
/// An alternative for each way there is: a forgotten one does not compile. All are trivially
/// copyable.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <variant>

#include <portico/base/hex.hpp>
#include <portico/base/match.hpp>
#include <portico/device/run_control.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/kvm/exit.hpp>

namespace portico {

/// The guest executed `hlt` where no interrupt can wake it.
struct Halted {};

/// A triple fault: the guest's exception handling failed.
struct Shutdown {};

/// A device ended the machine on the guest's behalf.
struct GuestExit {
  int code;
};

/// The guest asked to be reset.
struct Reset {};

/// Machine::stop, or RunControl::stop.
struct Requested {};

/// The processor refused to enter the guest (KVM_EXIT_FAIL_ENTRY).
struct EntryFailed {
  std::uint64_t reason;  ///< hardware_entry_failure_reason
};

/// KVM gave up on the guest (KVM_EXIT_INTERNAL_ERROR), for instance on an instruction that it
/// cannot emulate.
struct InternalError {
  std::uint32_t suberror;  ///< KVM_INTERNAL_ERROR_...
  std::uint64_t rip;
};

/// A system call of the run loop failed.
struct HostError {
  char const* call;  ///< its name, a literal
  int error;         ///< errno
};

/// An exit that neither the map nor the loop has an answer to.
struct Unhandled {
  std::uint32_t exit_reason;  ///< KVM_EXIT_...
};

/// Why a run ended.
using Stop = std::variant<Halted, Shutdown, GuestExit, Reset, Requested, EntryFailed, InternalError,
                          HostError, Unhandled>;

namespace detail {

inline char const* suberror_name(std::uint32_t suberror) {
  switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
      return "an instruction that KVM cannot emulate";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      return "exceptions at one time that KVM cannot deliver";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      return "an event that KVM cannot deliver";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
      return "an exit that KVM did not expect";
    default:
      return "a fault inside KVM";
  }
}

}  // namespace detail

namespace detail {

/// What the machine's brake was pulled for.
inline Stop stop_asked_for(RunControl const& control) noexcept {
  if (control.request() == RunControl::Request::exit) return GuestExit{control.code()};
  if (control.request() == RunControl::Request::reset) return Reset{};
  return Requested{};
}

/// How an exit that is no access ends the run, or nothing if it does not; `rip` is asked only where
/// it is told. A visitor of kvm::visit, which does without the variant; Ended is an optional Stop.
template <class Ended, class Rip>
auto stop_for(std::uint32_t reason, Rip rip) {
  return Overloaded{
      [](kvm::IntrExit) { return Ended{}; },
      [](kvm::IrqWindowOpenExit) { return Ended{}; },
      [](kvm::SetTprExit) { return Ended{}; },
      [](kvm::HltExit) { return Ended{Halted{}}; },
      [](kvm::ShutdownExit) { return Ended{Shutdown{}}; },
      [](kvm::FailEntryExit const& failed) { return Ended{EntryFailed{failed.reason}}; },
      [rip](kvm::InternalErrorExit const& error) {
        return Ended{InternalError{error.suberror, rip()}};
      },
      [reason](kvm::SystemEventExit const& event) {
        if (event.type == KVM_SYSTEM_EVENT_SHUTDOWN) return Ended{GuestExit{0}};
        if (event.type == KVM_SYSTEM_EVENT_RESET) return Ended{Reset{}};
        return Ended{Unhandled{reason}};
      },
      [reason](auto const&) { return Ended{Unhandled{reason}}; }};
}

}  // namespace detail

/// One line that says why, fit for a person; without the guest's name and without a newline.
inline std::string describe(Halted) { return "halted"; }

inline std::string describe(Shutdown) { return "triple fault (KVM_EXIT_SHUTDOWN)"; }

inline std::string describe(GuestExit const& stop) {
  return "ended by the guest with code " + std::to_string(stop.code);
}

inline std::string describe(Reset) { return "reset by the guest"; }

inline std::string describe(Requested) { return "stopped on request"; }

inline std::string describe(EntryFailed const& stop) {
  return "the processor refused to enter the guest (KVM_EXIT_FAIL_ENTRY, reason " +
         hex(stop.reason) + ")";
}

inline std::string describe(InternalError const& stop) {
  return std::string{detail::suberror_name(stop.suberror)} +
         " (KVM_EXIT_INTERNAL_ERROR, suberror " + std::to_string(stop.suberror) + ") at rip " +
         hex(stop.rip);
}

inline std::string describe(HostError const& stop) {
  return std::string{stop.call} + " failed: " + std::generic_category().message(stop.error);
}

inline std::string describe(Unhandled const& stop) {
  return "an exit that this machine does not handle (exit reason " +
         std::to_string(stop.exit_reason) + ")";
}

template <std::same_as<Stop> Any>
std::string describe(Any const& stop) {
  return match(stop, [](auto const& alternative) { return describe(alternative); });
}

}  // namespace portico
