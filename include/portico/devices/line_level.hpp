/// An interrupt line's level, computed under a device's lock and driven without it.
///
///     #include <portico/devices/line_level.hpp>
///     std::mutex mutex;                  // the device's
///     portico::detail::LineLevel level;  // guarded by it
///     void update(bool interrupts, portico::IrqLine const& line) {
///       std::unique_lock lock{mutex};
///       level.want(interrupts);
///       level.settle(lock, line);        // unlocks it for each change, and locks it again
///     }
///
/// Two threads that change a device at once would otherwise have to raise their interrupts under
/// its lock, or might leave the line at the level that was right before. Internal to the device
/// models.
#pragma once

#include <mutex>
#include <utility>

#include <portico/device/irq_line.hpp>

namespace portico::detail {

/// Guarded by the device's lock.
class LineLevel {
 public:
  /// What the line should be from now on.
  void want(bool level) noexcept { wanted_ = level; }

  /// The cause went away and came back: if the line is high it falls before it rises, so that an
  /// edge-triggered controller sees another interrupt.
  void fall_first() noexcept { falls_ = true; }

  /// Drives the line until it is as wanted. If another thread is doing so it does this, too.
  template <class Line>
  void settle(std::unique_lock<std::mutex>& lock, Line line) noexcept {
    if (driving_) return;
    driving_ = true;
    while (falls_ || level_ != wanted_) {
      bool const fall = std::exchange(falls_, false) && level_;
      bool const level = !fall && wanted_;
      if (std::exchange(level_, level) == level) continue;
      lock.unlock();
      line.set(level);
      lock.lock();
    }
    driving_ = false;
  }

 private:
  bool wanted_ = false;
  bool level_ = false;  // as driven last
  bool falls_ = false;
  bool driving_ = false;
};

}  // namespace portico::detail
