/// How a device ends or resets the machine, and how a blocking one learns that it must let go.
///
///     #include <portico/device/run_control.hpp>
///     struct DebugExit {
///       void write(std::uint32_t value, portico::RunControl& control) {
///         control.exit(static_cast<int>(value));
///       }
///     };
///
/// A backend that waits for input polls the input and `token().fd()`, and gives up when the second
/// is readable.
/// The guest's first request, exit or reset, stays until the run that it ends has returned. A stop
/// stands apart from it until a run has ended by it: the guest's request comes first. Everything
/// here is safe from any thread.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>

namespace portico {

class RunControl;

/// Tells whoever waits that the run is to end. Copyable; valid as long as its RunControl.
class StopToken {
 public:
  /// A token that never stops anything: for tests and for backends outside a machine.
  StopToken() = default;

  /// Whether the run is to end.
  [[nodiscard]] bool stopping() const noexcept;

  /// A descriptor to poll for POLLIN beside the input; it stays readable once the run is to end. -1
  /// (which poll ignores) for a token that never stops. Never read from it.
  [[nodiscard]] int fd() const noexcept;

 private:
  friend class RunControl;

  explicit StopToken(RunControl const& control) noexcept : control_{&control} {}

  RunControl const* control_ = nullptr;
};

/// The machine's brake.
class RunControl {
 public:
  /// What was asked for.
  enum class Request : std::uint32_t { none, stop, exit, reset };

  /// Throws std::system_error if the host has no descriptor left.
  RunControl() = default;

  RunControl(RunControl const&) = delete;
  RunControl& operator=(RunControl const&) = delete;
  ~RunControl() = default;

  /// Ends the run with `GuestExit{code}`: the guest itself asked for it.
  void exit(int code) noexcept {
    ask(std::uint64_t{static_cast<std::uint32_t>(code)} << 32 |
            static_cast<std::uint32_t>(Request::exit),
        guest_mask);
  }

  /// Ends the run with `Reset`.
  void reset() noexcept { ask(static_cast<std::uint32_t>(Request::reset), guest_mask); }

  /// Ends the run with `Requested`, or the next one if this one ends in another way. A handler's
  /// request ends the run as the handler returns. From elsewhere use `Machine::stop`, which also
  /// gets a vCPU out of its guest.
  void stop() noexcept { ask(stop_bit, stop_bit); }

  /// Whether something was asked for.
  [[nodiscard]] bool stopping() const noexcept {
    return (state_.load(std::memory_order_acquire) & (guest_mask | stop_bit)) != 0;
  }

  /// What ends the run: the guest's request if there is one.
  [[nodiscard]] Request request() const noexcept {
    std::uint64_t const state = state_.load(std::memory_order_acquire);
    if ((state & guest_mask) != 0) return static_cast<Request>(state & guest_mask);
    return (state & stop_bit) != 0 ? Request::stop : Request::none;
  }

  /// The code given to `exit`.
  [[nodiscard]] int code() const noexcept {
    return static_cast<int>(
        static_cast<std::uint32_t>(state_.load(std::memory_order_acquire) >> 32));
  }

  /// For a backend that blocks.
  [[nodiscard]] StopToken token() const noexcept { return StopToken{*this}; }

  /// A descriptor that is readable while a request stands.
  [[nodiscard]] int fd() const noexcept { return wake_.get(); }

  /// Takes all requests back: for the machine, when a run has returned with `Requested`.
  void clear() noexcept { keep(0); }

  /// Takes back what the guest asked for, and no stop: for the machine, when a run has returned
  /// with anything else.
  void clear_guest_request() noexcept { keep(stop_bit); }

 private:
  // The code, and below it one word for everything, so that a look at it is one load.
  static constexpr std::uint64_t guest_mask = 0xFF;  ///< a Request, exit or reset
  static constexpr std::uint64_t stop_bit = 0x100;

  /// Adds `bits`, unless something stands in `place` already.
  void ask(std::uint64_t bits, std::uint64_t place) noexcept {
    // The request and the readable descriptor come and go together; looking at it takes no lock.
    std::lock_guard const guard{mutex_};
    std::uint64_t const state = state_.load(std::memory_order_relaxed);
    if ((state & place) != 0) return;
    state_.store(state | bits, std::memory_order_release);
    if (state != 0) return;
    std::uint64_t const one = 1;
    [[maybe_unused]] auto const written = ::write(wake_.get(), &one, sizeof one);
  }

  void keep(std::uint64_t mask) noexcept {
    std::lock_guard const guard{mutex_};
    std::uint64_t const kept = state_.load(std::memory_order_relaxed) & mask;
    state_.store(kept, std::memory_order_release);
    if (kept != 0) return;
    std::uint64_t count = 0;
    [[maybe_unused]] auto const drained = ::read(wake_.get(), &count, sizeof count);
  }

  std::mutex mutex_;
  std::atomic<std::uint64_t> state_{0};
  Fd wake_ = detail::make_event();
};

inline bool StopToken::stopping() const noexcept {
  return control_ != nullptr && control_->stopping();
}

inline int StopToken::fd() const noexcept { return control_ != nullptr ? control_->fd() : -1; }

}  // namespace portico
