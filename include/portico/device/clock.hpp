/// Time for devices: what it is now, and one deadline each.
///
///     #include <portico/device/clock.hpp>
///     struct Blinker {
///       void write(std::uint8_t, portico::Clock& clock) {
///         clock.arm(clock.now() + 1'000'000);     // in a millisecond
///       }
///       void deadline() { lit = !lit; }           // where the machine services deadlines,
///       bool lit = false;                         // not on the vCPU's thread
///     };
///
/// Nanoseconds of the host's monotonic clock, or of a test's own. No device asks the host for the
/// time in any other way.
#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

#include <portico/device/alarm.hpp>

namespace portico {

/// Where the time comes from: the host's monotonic clock, or a number that a test moves.
class TimeSource {
 public:
  /// The host's CLOCK_MONOTONIC.
  TimeSource() = default;

  /// A time that stands still until `set`. Nanoseconds.
  [[nodiscard]] static TimeSource manual(std::uint64_t start = 0) { return TimeSource{start}; }

  TimeSource(TimeSource const& other) noexcept
      : manual_{other.manual_}, nanoseconds_{other.nanoseconds_.load()} {}

  TimeSource& operator=(TimeSource const&) = delete;
  ~TimeSource() = default;

  /// Moves a manual time. Nanoseconds; from any thread.
  void set(std::uint64_t nanoseconds) noexcept { nanoseconds_.store(nanoseconds); }

  /// Nanoseconds since an arbitrary start. From any thread.
  [[nodiscard]] std::uint64_t now() const noexcept {
    if (manual_) return nanoseconds_.load();
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(time.tv_nsec);
  }

 private:
  explicit TimeSource(std::uint64_t start) : manual_{true}, nanoseconds_{start} {}

  bool manual_ = false;
  std::atomic<std::uint64_t> nanoseconds_{0};
};

/// A device's clock, given to a handler that asks for `Clock&`. Safe from any thread.
class Clock {
 public:
  static constexpr std::uint64_t never = ~std::uint64_t{0};

  /// A clock on `source`. `alarm` wakes whoever services deadlines, if he sleeps; nullptr if nobody
  /// does. Both outlive the clock.
  explicit Clock(TimeSource const& source, Alarm* alarm = nullptr) noexcept
      : source_{&source}, alarm_{alarm} {}

  /// Nanoseconds; comparable with `arm`.
  [[nodiscard]] std::uint64_t now() const noexcept { return source_->now(); }

  /// Asks for the device's `deadline()` to be called at `deadline` (nanoseconds) or soon after;
  /// replaces the one before.
  void arm(std::uint64_t deadline) noexcept {
    // Sequentially consistent, as the alarm is: either this sees him asleep, or he the deadline.
    deadline_.store(deadline, std::memory_order_seq_cst);
    if (alarm_ != nullptr) alarm_->due(deadline);
  }

  /// Takes the deadline back. A call of `deadline()` that has begun goes on.
  void cancel() noexcept { arm(never); }

  /// The deadline that is armed, or `never`.
  [[nodiscard]] std::uint64_t deadline() const noexcept {
    return deadline_.load(std::memory_order_seq_cst);
  }

  /// For whoever services deadlines: true once for each deadline that `now` has reached.
  [[nodiscard]] bool take_due(std::uint64_t now) noexcept {
    std::uint64_t armed = deadline();
    return armed <= now &&
           deadline_.compare_exchange_strong(armed, never, std::memory_order_acq_rel);
  }

 private:
  TimeSource const* source_;
  Alarm* alarm_;
  std::atomic<std::uint64_t> deadline_{never};
};

}  // namespace portico
