/// Waiting for a descriptor of the host without a thread of one's own: a network tap, a completion
/// queue, a terminal.
///
///     #include <portico/device/irq_line.hpp>
///     #include <portico/device/watch.hpp>
///     struct Receiver {
///       void enable(std::uint8_t, portico::Watch& watch) { watch.arm(descriptor); }
///       void event(portico::Watch& watch, portico::IrqLine& line) {   // on the I/O thread
///         line.pulse();
///         watch.arm(descriptor);                                      // and the next time
///       }
///       int descriptor;
///     };
///
/// A device that has an `event` gets a watch, as it gets a clock if it has a `deadline`: armed, it
/// calls `event` once, when the descriptor can be read. A device that cannot take more now does not
/// arm it, and nothing spins. Source: epoll(7), EPOLLONESHOT.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>

namespace portico {

/// A device's watch, given to a handler that asks for `Watch&`. Safe from any thread.
class Watch {
 public:
  static constexpr int nothing = -1;

  /// A watch that nobody keeps: `armed` tells what it is for, as in a test.
  Watch() = default;

  Watch(Watch const&) = delete;
  Watch& operator=(Watch const&) = delete;
  ~Watch() = default;

  /// Asks for one call of the device's `event()` when `descriptor` can be read, or has failed;
  /// replaces what was armed before. The descriptor stays the caller's, and is good until it is
  /// disarmed. False if the host refuses (a regular file cannot be waited for).
  bool arm(int descriptor) noexcept {
    int const before = armed_.exchange(descriptor, std::memory_order_acq_rel);
    if (keeper_ < 0) return true;
    if (before != nothing && before != descriptor) stop(before);
    constexpr std::uint32_t once = EPOLLIN | EPOLLONESHOT;
    // It is there still, but mute, after its one event.
    return control(EPOLL_CTL_MOD, descriptor, once) || control(EPOLL_CTL_ADD, descriptor, once);
  }

  /// Until it is armed again no data that come call `event()`: for a device that is about to look for
  /// itself, so that nobody else wakes up for what it finds. A call that has begun goes on; a failure
  /// of the descriptor, and that its other end is gone, are still told, once (epoll_ctl(2)). False
  /// if it need not be: nothing is armed, or `event()` comes on the device's own thread, which looks
  /// first and then waits.
  [[nodiscard]] bool mute() noexcept {
    int const descriptor = armed();
    if (keeper_ < 0 || descriptor == nothing || !wakes_another_) return false;
    return control(EPOLL_CTL_MOD, descriptor, EPOLLONESHOT);
  }

  /// Takes it back. A call of `event()` that has begun goes on.
  void disarm() noexcept {
    int const before = armed_.exchange(nothing, std::memory_order_acq_rel);
    if (keeper_ >= 0 && before != nothing) stop(before);
  }

  /// The descriptor that is waited for, or `nothing`.
  [[nodiscard]] int armed() const noexcept { return armed_.load(std::memory_order_acquire); }

  /// For whoever keeps the watch: `epoll` reports `number` when the event has come, on the thread
  /// that calls the device, or on another. Before any device arms it; the descriptor outlives the
  /// watch.
  void keep(int epoll, std::uint64_t number, bool on_the_devices_thread = false) noexcept {
    keeper_ = epoll;
    number_ = number;
    wakes_another_ = !on_the_devices_thread;
  }

  /// For whoever keeps the watch, before the device's `event`: whether it is armed still.
  [[nodiscard]] bool take() noexcept { return armed() != nothing; }

 private:
  void stop(int descriptor) const noexcept { control(EPOLL_CTL_DEL, descriptor, 0); }

  bool control(int operation, int descriptor, std::uint32_t events) const noexcept {
    epoll_event wanted{};
    wanted.events = events;
    wanted.data.u64 = number_;
    return ::epoll_ctl(keeper_, operation, descriptor, &wanted) == 0;
  }

  int keeper_ = -1;
  std::uint64_t number_ = 0;
  bool wakes_another_ = true;
  std::atomic<int> armed_{nothing};
};

}  // namespace portico
