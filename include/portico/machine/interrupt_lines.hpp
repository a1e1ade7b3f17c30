/// The interrupt lines of a board's entries, tied to the pins of controllers.
///
///     #include <portico/machine/interrupt_lines.hpp>
///     template <class Board, class Vm>
///     void interrupt(Vm& vm, Board const& board, std::size_t entry) {
///       static portico::detail::InterruptLines<Board> lines;
///       lines.connect(board, [&](std::uint32_t number) {
///         return portico::detail::kernel_pin(vm, number);
///       });
///       lines[entry].pulse();
///     }
///
/// Internal to the library; Machine uses it. A board without lines costs nothing here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <portico/base/hex.hpp>
#include <portico/device/access.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/machine/placement.hpp>

namespace portico::detail {

/// One line for each entry; those without Irq<n> lead nowhere.
template <class Board>
class InterruptLines {
 public:
  /// Ties the lines to their pins; `pin(number)` makes one, before any device uses it.
  template <class MakePin>
  void connect(Board const& board, MakePin pin) {
    if constexpr (Board::has_irq) {
      for (std::size_t entry = 0; entry < Board::size; ++entry) {
        std::optional<std::uint32_t> const number = board.irq_of(entry);
        if (!number) continue;
        if (!pins_[*number]) pins_[*number].emplace([&] { return pin(*number); });
        wires_[entry].connect(pins_[*number]->pin);
        lines_[entry] = IrqLine{wires_[entry]};
      }
    }
  }

  [[nodiscard]] IrqLine& operator[](std::size_t entry) noexcept { return lines_[entry]; }

  /// The pin of a line that an entry has.
  [[nodiscard]] IrqPin& pin(std::uint32_t number) noexcept { return pins_[number]->pin; }

  /// Whether an entry has a line.
  [[nodiscard]] static bool wanted(Board const& board) noexcept {
    if constexpr (Board::has_irq)
      for (std::size_t entry = 0; entry < Board::size; ++entry)
        if (board.irq_of(entry)) return true;
    return false;
  }

 private:
  /// A pin has a lock: it is made in place.
  struct Pin {
    template <class Make>
    explicit Pin(Make make) : pin(make()) {}

    IrqPin pin;
  };

  std::array<std::optional<Pin>, Board::has_irq ? 24 : 0> pins_;
  std::array<IrqWire, Board::has_irq ? Board::size : 0> wires_;
  std::array<IrqLine, Board::size> lines_{};
};

/// A pin of KVM's controllers.
template <class Vm>
IrqPin kernel_pin(Vm& vm, std::uint32_t number) {
  return IrqPin{vm.fd().get(), KVM_IRQ_LINE, number};
}

/// Addresses that KVM answers itself.
struct KernelRange {
  Space space;
  std::uint64_t base;
  std::uint64_t size;
  char const* owner;
};

inline constexpr KernelRange local_apic_range{Space::mmio, 0xFEE0'0000, 0x1000, "local APIC"};
inline constexpr std::array<KernelRange, 5> irqchip_ranges{
    {{Space::port, 0x20, 2, "8259A"},
     {Space::port, 0xA0, 2, "8259A"},
     {Space::port, 0x4D0, 2, "8259A"},
     {Space::mmio, 0xFEC0'0000, 0x100, "IOAPIC"},
     local_apic_range}};
inline constexpr std::array<KernelRange, 2> pit_ranges{
    {{Space::port, 0x40, 4, "8254"}, {Space::port, 0x61, 1, "8254"}}};

/// Refuses entries whose accesses would never leave the kernel with std::invalid_argument.
template <class Board, class Ranges>
void refuse_hidden_entries(Board const& board, Ranges const& kernel) {
  board.for_each_range([&](Space space, std::uint64_t base, std::uint64_t size,
                           std::string_view name) {
    for (KernelRange const& range : kernel)
      if (space == range.space && overlap(base, size, range.base, range.size))
        throw std::invalid_argument{"map entry '" + std::string{name} + "' at " + hex(base) +
                                    " lies where KVM's " + range.owner +
                                    " is: the guest would never reach it; move it, or put all " +
                                    "interrupt controllers into the board"};
  });
}

}  // namespace portico::detail
