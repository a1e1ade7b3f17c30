/// A machine's interrupts: lines, controllers, and the ways to its vCPUs, as far as its board has
/// them.
///
///     #include <portico/machine/interrupts.hpp>
///     template <class Board, class Vm>
///     void set_up(Vm& vm, Board const& board, portico::Alarm& alarm) {
///       using Chip = portico::detail::Irqchip<Board>;
///       portico::detail::Interrupts<Board, Chip> interrupts{alarm};
///       interrupts.connect(vm, board, false);      // before the first vCPU
///     }
///
/// Internal to the library; Machine uses it. What a board does not have takes no room and no code.
#pragma once

#include <cstdint>
#include <type_traits>

#include <portico/device/alarm.hpp>
#include <portico/device/irq_inputs.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/machine/board_controllers.hpp>
#include <portico/machine/gsi_routes.hpp>
#include <portico/machine/injection.hpp>
#include <portico/machine/interrupt_lines.hpp>
#include <portico/machine/irqchip_kind.hpp>
#include <portico/machine/irqfds.hpp>

namespace portico::detail {

/// Takes whatever the part would take that a machine does not have.
template <int Part>
struct Absent {
  template <class... Arguments>
  explicit constexpr Absent(Arguments const&...) noexcept {}
};

template <class Board, class Chip>
struct Interrupts {
  static constexpr IrqchipKind kind = Chip::kind;
  /// Lines of offloaded entries that lead to KVM's controllers.
  static constexpr bool has_irqfds = Board::has_offloads && kind == IrqchipKind::kernel;

  explicit Interrupts(Alarm& alarm) : controllers{alarm} {}

  /// Makes the controllers that are to be in the kernel, with an 8254 if `pit`, and ties the lines
  /// to pins. Before the first vCPU. Throws std::invalid_argument where an entry stands in their
  /// place. Whether vCPUs have local APICs now: a board that is placed at run time, and has no line,
  /// gets none.
  template <class Vm>
  bool connect(Vm& vm, Board const& board, bool pit) {
    if constexpr (kind == IrqchipKind::kernel) {
      if (!Chip::asked_for && !InterruptLines<Board>::wanted(board)) return false;
      refuse_hidden_entries(board, irqchip_ranges);
      vm.create_irqchip();
      if constexpr (requires { vm.create_pit2(std::uint32_t{}); }) {
        if (pit) refuse_hidden_entries(board, pit_ranges);
        // KVM has port 0x61, where the guest sees channel 2, only with its dummy of a speaker.
        if (pit) vm.create_pit2(KVM_PIT_SPEAKER_DUMMY);
      }
      lines.connect(board, [&](std::uint32_t number) {
        if constexpr (has_irqfds)
          if (irqfds.wanted(number)) return IrqPin{irqfds.tie(vm, number, is_level(number))};
        return kernel_pin(vm, number);
      });
    } else if constexpr (Chip::in_board) {
      if constexpr (kind == IrqchipKind::split) {
        refuse_hidden_entries(board, std::array{local_apic_range});
        vm.split_irqchip(IrqInputs::lines);
      }
      lines.connect(board,
                    [&](std::uint32_t number) { return IrqPin{controllers.inputs(), number}; });
    }
    return Chip::has_local_apics;
  }

  /// Whether lines did something that controllers in the board have not heard of.
  [[nodiscard]] bool changed() noexcept {
    if constexpr (Chip::in_board)
      return controllers.inputs().changed();
    else
      return false;
  }

  /// For a thread that looks at `changed` after each handler.
  class Attending {
   public:
    explicit Attending(Interrupts& interrupts) noexcept : guard_{inputs_of(interrupts)} {}

   private:
    static decltype(auto) inputs_of([[maybe_unused]] Interrupts& interrupts) noexcept {
      if constexpr (Chip::in_board)
        return (interrupts.controllers.inputs());
      else
        return 0;
    }

    [[no_unique_address]] std::conditional_t<Chip::in_board, IrqInputs::Attending, Absent<0>>
        guard_;
  };

  /// All entries on a line are of one kind: the map sees to that.
  [[nodiscard]] static constexpr bool is_level(std::uint32_t number) noexcept {
    for (auto const& entry : Board::entries)
      if (entry.has_irq && entry.irq == number) return entry.level;
    return false;
  }

  InterruptLines<Board> lines{};
  [[no_unique_address]] std::conditional_t<has_irqfds, IrqFds<Board>, Absent<5>> irqfds{};
  [[no_unique_address]] std::conditional_t<Chip::in_board, BoardControllers<Chip>, Absent<1>>
      controllers;
  [[no_unique_address]] std::conditional_t<kind == IrqchipKind::kernel, GsiRoutes, Absent<2>>
      routes{true};
  [[no_unique_address]] std::conditional_t<Chip::has_pic, Injection, Absent<3>> injection{};
  [[no_unique_address]] std::conditional_t<kind == IrqchipKind::board, HaltedVcpu, Absent<4>>
      halted{};
};

}  // namespace portico::detail
