/// The interrupt lines of a board's entries, tied to KVM's in-kernel controllers.
///
///     #include <portico/machine/interrupt_lines.hpp>
///     template <class Board, class Vm>
///     void interrupt(Vm& vm, Board const& board, std::size_t entry) {
///       static portico::detail::InterruptLines<Board> lines;
///       lines.connect(vm, board);       // before the first vCPU
///       lines[entry].pulse();
///     }
///
/// Internal to the library; Machine uses it. A board without lines gets no controllers, and costs
/// nothing here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <portico/device/irq_line.hpp>
#include <portico/kvm/abi.hpp>

namespace portico::detail {

/// One line for each entry; those without Irq<n> lead nowhere.
template <class Board>
class InterruptLines {
 public:
  /// Puts interrupt controllers into the VM if an entry has a line, and ties the lines to their
  /// pins.
  template <class Vm>
  void connect(Vm& vm, Board const& board) {
    if constexpr (Board::has_irq) {
      bool made = false;
      for (std::size_t entry = 0; entry < Board::size; ++entry) {
        std::optional<std::uint32_t> const number = board.irq_of(entry);
        if (!number) continue;
        if (!std::exchange(made, true)) vm.create_irqchip();
        if (!pins_[*number]) pins_[*number].emplace(vm.fd().get(), KVM_IRQ_LINE, *number);
        wires_[entry].connect(*pins_[*number]);
        lines_[entry] = IrqLine{wires_[entry]};
      }
    }
  }

  [[nodiscard]] IrqLine& operator[](std::size_t entry) noexcept { return lines_[entry]; }

 private:
  std::array<std::optional<IrqPin>, Board::has_irq ? 24 : 0> pins_;
  std::array<IrqWire, Board::has_irq ? Board::size : 0> wires_;
  std::array<IrqLine, Board::size> lines_{};
};

}  // namespace portico::detail
