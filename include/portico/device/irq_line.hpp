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

#include <atomic>
#include <cstdint>
#include <mutex>

namespace portico {

/// A pin of an interrupt controller, reached by one ioctl; devices that share it drive it together:
/// it is high while any of them holds it.
class IrqPin {
 public:
  /// `request` is the ioctl on `descriptor` that takes a {u32 pin, u32 level} (KVM_IRQ_LINE); the
  /// descriptor stays the caller's and outlives the pin.
  IrqPin(int descriptor, unsigned long request, std::uint32_t number) noexcept
      : descriptor_{descriptor}, request_{request}, number_{number} {}

  /// One of the devices begins or ends to hold the pin. From any thread.
  void change(bool up) noexcept {
    std::lock_guard const guard{mutex_};
    // Two threads that drive one wire may arrive here in the other order: what counts is the sum.
    bool const was_high = holders_ > 0;
    holders_ += up ? 1 : -1;
    bool const is_high = holders_ > 0;
    if (is_high == was_high) return;

    struct {
      std::uint32_t number;
      std::uint32_t level;
    } line{number_, is_high ? 1U : 0U};

    if (::ioctl(descriptor_, request_, &line) < 0) failed_.fetch_add(1, std::memory_order_relaxed);
  }

  /// How often the host refused.
  [[nodiscard]] std::uint64_t failed() const noexcept {
    return failed_.load(std::memory_order_relaxed);
  }

 private:
  std::mutex mutex_;
  int holders_ = 0;
  std::atomic<std::uint64_t> failed_{0};
  int descriptor_;
  unsigned long request_;
  std::uint32_t number_;
};

/// One entry's end of a line: to a pin, or to nowhere, where only the counters tell (as in a test).
class IrqWire {
 public:
  IrqWire() = default;

  /// Before any device uses the line; the pin outlives the wire.
  void connect(IrqPin& pin) noexcept { pin_ = &pin; }

  /// Drives the line. From any thread.
  void set(bool level) noexcept {
    if (level_.exchange(level, std::memory_order_acq_rel) == level) return;
    if (level) raised_.fetch_add(1, std::memory_order_relaxed);
    if (pin_ != nullptr) pin_->change(level);
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
    set(true);
    set(false);
  }

 private:
  IrqWire* wire_ = nullptr;
};

}  // namespace portico
