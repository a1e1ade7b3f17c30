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

namespace portico {

/// What stands behind a line: a pin of an interrupt controller reached by one ioctl, or nothing (a
/// test reads the counters).
class IrqWire {
 public:
  /// A wire that ends nowhere: raises are counted only.
  IrqWire() = default;

  /// Connects to pin `pin` behind `descriptor`: `request` is the ioctl that takes a {u32 pin, u32
  /// level} (KVM_IRQ_LINE). The descriptor stays the caller's and outlives the wire. Before any
  /// device uses the line.
  void connect(int descriptor, unsigned long request, std::uint32_t pin) noexcept {
    descriptor_ = descriptor;
    request_ = request;
    pin_ = pin;
  }

  /// Drives the line. From any thread.
  void set(bool level) noexcept {
    bool const before = level_.exchange(level, std::memory_order_acq_rel);
    if (level && !before) raised_.fetch_add(1, std::memory_order_relaxed);
    if (descriptor_ < 0) return;

    struct {
      std::uint32_t pin;
      std::uint32_t level;
    } line{pin_, level ? 1U : 0U};

    if (::ioctl(descriptor_, request_, &line) < 0) failed_.fetch_add(1, std::memory_order_relaxed);
  }

  /// The level last set.
  [[nodiscard]] bool level() const noexcept { return level_.load(std::memory_order_acquire); }

  /// How often the line went from low to high.
  [[nodiscard]] std::uint64_t raised() const noexcept {
    return raised_.load(std::memory_order_relaxed);
  }

  /// How often the host refused.
  [[nodiscard]] std::uint64_t failed() const noexcept {
    return failed_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<bool> level_{false};
  std::atomic<std::uint64_t> raised_{0};
  std::atomic<std::uint64_t> failed_{0};
  int descriptor_ = -1;
  unsigned long request_ = 0;
  std::uint32_t pin_ = 0;
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
