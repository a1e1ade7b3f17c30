/// A device's status bits where several threads change them, with an interrupt line that follows.
///
///     #include <portico/devices/status_word.hpp>
///     constexpr std::uint32_t busy = 1, interrupt = 2;
///     portico::StatusWord status{interrupt};      // the line is high while this bit is set
///     void finished(portico::IrqLine const& line) {      // on whatever thread
///       status.change(line, [](std::uint32_t now) { return (now & ~busy) | interrupt; });
///     }
///
/// A change is a function of the bits before it, and may be called more than once. For
/// level-triggered lines that no other part of the device drives.
#pragma once

#include <atomic>
#include <cstdint>

#include <portico/device/irq_line.hpp>

namespace portico {

/// Safe from any thread; no lock.
class StatusWord {
 public:
  /// The bits before and after a change.
  struct Change {
    std::uint32_t before;
    std::uint32_t after;
  };

  /// `interrupt` are the bits that hold the line up.
  explicit StatusWord(std::uint32_t interrupt) noexcept : interrupt_{interrupt} {}

  [[nodiscard]] std::uint32_t bits() const noexcept {
    return bits_.load(std::memory_order_acquire);
  }

  /// Replaces the bits by `next(bits)`, and lets the line follow.
  template <class Next>
  Change change(IrqLine const& line, Next next) {
    Change done{bits(), 0};
    do done.after = next(done.before);
    while (!bits_.compare_exchange_weak(done.before, done.after, std::memory_order_acq_rel));
    // Two threads may arrive here in the other order: whoever drives the line last looks again.
    for (bool level = wants_line();;) {
      line.set(level);
      if (bool const now = wants_line(); now != level)
        level = now;
      else
        return done;
    }
  }

  /// Puts bits back that were saved. The line stays as it is: whoever restores a machine restores
  /// its lines.
  void load(std::uint32_t bits) noexcept { bits_.store(bits, std::memory_order_release); }

 private:
  [[nodiscard]] bool wants_line() const noexcept { return (bits() & interrupt_) != 0; }

  std::atomic<std::uint32_t> bits_{0};
  std::uint32_t interrupt_;
};

}  // namespace portico
