/// Interrupt lines of offloaded entries as irqfds of KVM's controllers.
///
///     #include <portico/machine/irqfds.hpp>
///     template <class Board, class Vm>
///     void tie(Vm& vm, portico::detail::IrqFds<Board>& irqfds) {
///       int const event = irqfds.tie(vm, 5, true);   // line 5, level-triggered
///       irqfds.untie(vm);
///     }
///
/// Internal to the library; Machine uses it. KVM's controllers take a level-triggered irqfd down
/// when the guest ends the interrupt, and say so on a second eventfd: whoever still holds the line
/// raises it again then (KVM_IRQFD_FLAG_RESAMPLE).
#pragma once

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/kvm/abi.hpp>

namespace portico::detail {

/// The irqfds of one board, by line.
template <class Board>
class IrqFds {
 public:
  /// Whether an offloaded entry has this line.
  [[nodiscard]] static constexpr bool wanted(std::uint32_t number) noexcept {
    for (auto const& entry : Board::entries)
      if (entry.offloaded && entry.has_irq && entry.irq == number) return true;
    return false;
  }

  /// Ties a line, once: the eventfd that raises it. Throws std::system_error.
  template <class Vm>
  int tie(Vm& vm, std::uint32_t number, bool level) {
    Line& line = lines_[number];
    Fd raise = make_event();
    if (level) line.resample = make_event();
    vm.irqfd(request(raise, line.resample, number, 0));
    line.raise = std::move(raise);
    return line.raise.get();
  }

  /// The eventfd of a level-triggered line that KVM signals when the guest has ended an interrupt,
  /// for the first who asks; else -1.
  [[nodiscard]] int take_resample(std::uint32_t number) noexcept {
    return std::exchange(lines_[number].is_taken, true) ? -1 : lines_[number].resample.get();
  }

  /// It was signalled: `pin` is the line's.
  void resampled(std::uint32_t number, IrqPin& pin) noexcept {
    std::uint64_t count = 0;
    if (::read(lines_[number].resample.get(), &count, sizeof count) == sizeof count) pin.resample();
  }

  /// Takes all of them back.
  template <class Vm>
  void untie(Vm& vm) noexcept {
    for (std::uint32_t number = 0; number < lines_.size(); ++number) {
      if (!lines_[number].raise) continue;
      try {
        vm.irqfd(request(lines_[number].raise, {}, number, KVM_IRQFD_FLAG_DEASSIGN));
      } catch (std::system_error const&) {
        // It goes with the VM then.
      }
    }
  }

 private:
  struct Line {
    Fd raise{};
    Fd resample{};
    bool is_taken = false;
  };

  static kvm_irqfd request(Fd const& raise, Fd const& resample, std::uint32_t number,
                           std::uint32_t flags) {
    kvm_irqfd wanted{};
    wanted.fd = static_cast<std::uint32_t>(raise.get());
    wanted.gsi = number;
    wanted.flags = flags;
    if (resample) {
      wanted.flags |= KVM_IRQFD_FLAG_RESAMPLE;
      wanted.resamplefd = static_cast<std::uint32_t>(resample.get());
    }
    return wanted;
  }

  std::array<Line, 24> lines_{};
};

}  // namespace portico::detail
