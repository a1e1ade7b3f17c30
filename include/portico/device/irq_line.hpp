/// A device's interrupt line.
///
///     #include <portico/portico.hpp>
///     struct Doorbell {
///       void write(std::uint8_t, portico::IrqLine& line) { line.pulse(); }   // asks for its line
///     };
///     using Board = portico::DeviceMap<portico::Port<0x70, Doorbell, portico::Irq<5>>>;
///
/// The entry decides the line's number and whether it is edge or level; the machine connects it.
/// The handle is small, may be copied and kept for the machine's life, and is safe from any thread.
/// A failing call to the host is counted, never thrown.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include <portico/device/irq_inputs.hpp>

namespace portico {

/// A pin of an interrupt controller; devices that share it drive it together: it is high while any
/// of them holds it. There are three kinds, for controllers in the kernel, for messages, and for
/// controllers in the board.
class IrqPin {
 public:
  /// `request` is the ioctl on `descriptor` that takes a {u32 pin, u32 level} (KVM_IRQ_LINE); the
  /// descriptor stays the caller's and outlives the pin.
  IrqPin(int descriptor, unsigned long request, std::uint32_t number) noexcept
      : way_{Way::ioctl}, descriptor_{descriptor}, request_{request}, number_{number} {}

  /// Each rise signals an eventfd (which an irqfd turns into an interrupt); the descriptor stays the
  /// caller's and outlives the pin.
  explicit IrqPin(int eventfd) noexcept : way_{Way::event}, descriptor_{eventfd} {}

  /// Line `number` of `inputs`, which outlive the pin.
  IrqPin(IrqInputs& inputs, std::uint32_t number) noexcept
      : way_{Way::input}, inputs_{&inputs}, number_{number} {}

  /// A wire goes to a level; `held` is the level that it had, and changes under the pin's lock, so
  /// that two threads that drive one wire leave each rise its own. True if it changed. From any
  /// thread.
  bool set(std::atomic<bool>& held, bool level) noexcept {
    std::lock_guard const guard{mutex_};
    return change(held, level);
  }

  /// A wire goes up and down again, and nobody drives the pin in between; one that is up already
  /// only goes down. True if it rose. From any thread.
  bool pulse(std::atomic<bool>& held) noexcept {
    std::lock_guard const guard{mutex_};
    bool const rose = change(held, true);
    change(held, false);
    return rose;
  }

  /// The controller has taken the pin down by itself, as after an interrupt's end: up again, if a
  /// wire still holds it. From any thread.
  void resample() noexcept {
    std::lock_guard const guard{mutex_};
    if (holders_ > 0) drive(true);
  }

  /// How often the host refused.
  [[nodiscard]] std::uint64_t failed() const noexcept {
    return failed_.load(std::memory_order_relaxed);
  }

 private:
  /// Not a variant: that would be most of what this header costs a compiler.
  enum class Way : std::uint8_t { ioctl, event, input };

  /// With the lock held.
  bool change(std::atomic<bool>& held, bool level) noexcept {
    if (held.load(std::memory_order_relaxed) == level) return false;
    holders_ += level ? 1 : -1;
    if (holders_ == (level ? 1 : 0)) drive(level);
    held.store(level, std::memory_order_release);
    return true;
  }

  void drive(bool level) noexcept {
    if (!tell(level)) failed_.fetch_add(1, std::memory_order_relaxed);
  }

  /// False if the host refuses.
  [[nodiscard]] bool tell(bool level) const noexcept {
    switch (way_) {
      case Way::ioctl: {
        struct {
          std::uint32_t number;
          std::uint32_t level;
        } line{number_, level ? 1U : 0U};

        return ::ioctl(descriptor_, request_, &line) >= 0;
      }
      case Way::event: {
        std::uint64_t const one = 1;
        return !level || ::write(descriptor_, &one, sizeof one) == sizeof one;
      }
      case Way::input:
        inputs_->change(number_, level);
        return true;
    }
    return false;
  }

  std::mutex mutex_;
  int holders_ = 0;  ///< wires that are up
  std::atomic<std::uint64_t> failed_{0};
  Way way_;
  int descriptor_ = -1;          ///< ioctl, event
  unsigned long request_ = 0;    ///< ioctl
  IrqInputs* inputs_ = nullptr;  ///< input
  std::uint32_t number_ = 0;     ///< ioctl, input
};

/// One entry's end of a line: to a pin, or to nowhere, where only the counters tell (as in a test).
class IrqWire {
 public:
  IrqWire() = default;

  /// Before any device uses the line; the pin outlives the wire.
  void connect(IrqPin& pin) noexcept { pin_ = &pin; }

  /// Drives the line. From any thread.
  void set(bool level) noexcept {
    // Not without the pin's lock: while another thread drives it up the guest may take the interrupt
    // and let it fall again, and that fall must come after the rise, not be taken for done.
    bool const changed = pin_ != nullptr
                             ? pin_->set(level_, level)
                             : level_.exchange(level, std::memory_order_acq_rel) != level;
    if (changed && level) raised_.fetch_add(1, std::memory_order_relaxed);
  }

  /// Drives the line up and down: an edge, whatever other threads do to it. From any thread.
  void pulse() noexcept {
    if (pin_ == nullptr) {
      set(true);
      set(false);
    } else if (pin_->pulse(level_)) {
      raised_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  /// The level last set.
  [[nodiscard]] bool level() const noexcept { return level_.load(std::memory_order_acquire); }

  /// How often the line went from low to high.
  [[nodiscard]] std::uint64_t raised() const noexcept {
    return raised_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<bool> level_{false};
  std::atomic<std::uint64_t> raised_{0};
  IrqPin* pin_ = nullptr;
};

/// A handle on a wire, given to a handler that asks for `IrqLine&`.
class IrqLine {
 public:
  /// A line that nobody connected: calls do nothing.
  IrqLine() = default;

  explicit IrqLine(IrqWire& wire) noexcept : wire_{&wire} {}

  /// Holds the line at a level: for `Irq<n, Level>`.
  void set(bool level) const noexcept {
    if (wire_ != nullptr) wire_->set(level);
  }

  /// Raises and lowers the line: one interrupt on an edge-triggered pin.
  void pulse() const noexcept {
    if (wire_ != nullptr) wire_->pulse();
  }

 private:
  IrqWire* wire_ = nullptr;
};

}  // namespace portico
