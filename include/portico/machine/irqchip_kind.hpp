/// Which interrupt controllers a board's machine has, and where: the board's type says it.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/ioapic.hpp>
///     #include <portico/machine/irqchip_kind.hpp>
///     using Board = portico::DeviceMap<portico::Mmio<0xFEC0'0000, portico::IoApic>>;
///     static_assert(portico::detail::Irqchip<Board>::kind == portico::IrqchipKind::split);
///
/// An IOAPIC in the board: only the local APICs are KVM's. An 8259A pair alone: all is outside, for
/// one vCPU. Neither, but an entry with a line (or the option KernelIrqchip): all is KVM's. Else
/// there are none. Irq<n> is line n of each controller that has one: of the 8259A pair below 16, of
/// the IOAPIC below 24.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <portico/base/text.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/interrupt_controller.hpp>
#include <portico/machine/options.hpp>

namespace portico {

/// Where the controllers are.
enum class IrqchipKind : std::uint8_t { none, kernel, split, board };

namespace detail {

template <class Device>
struct IsVectorController {
  static constexpr bool value = VectorController<Device>;
};

template <class Device>
struct IsMessageController {
  static constexpr bool value = MessageController<Device>;
};

inline constexpr std::size_t no_entry = ~std::size_t{0};

/// How many controllers of a kind there are; boards that are placed at run time have none.
template <class Board, template <class> class Test>
consteval std::size_t controller_count() {
  if constexpr (requires { Board::template count_where<Test>; })
    return Board::template count_where<Test>;
  else
    return 0;
}

/// The entry of the first.
template <class Board, template <class> class Test>
consteval std::size_t controller_entry() {
  if constexpr (controller_count<Board, Test>() > 0)
    return Board::template first_where<Test>;
  else
    return no_entry;
}

/// An entry whose line the 8259A pair lacks.
template <class Board>
consteval std::size_t entry_beyond_the_pic() {
  for (std::size_t index = 0; index < Board::size; ++index)
    if (Board::entries[index].has_irq && Board::entries[index].irq >= 16) return index;
  return no_entry;
}

template <class Board, std::size_t Entry>
consteval auto check_controller() {
  if constexpr (Entry != no_entry) {
    using Held = typename Board::template HeldAt<Entry>;
    if constexpr (!safe_for_threads<Held>()) {
      [[maybe_unused]] rules::controller_needs_a_lock<Held> const error{};
    }
  }
  return std::true_type{};
}

/// What is known at compile time about a machine's controllers.
template <class Board, class... Options>
struct Irqchip {
  static constexpr std::size_t pic = controller_entry<Board, IsVectorController>();
  static constexpr std::size_t ioapic = controller_entry<Board, IsMessageController>();
  static constexpr bool has_pic = pic != no_entry;
  static constexpr bool has_ioapic = ioapic != no_entry;
  static constexpr bool in_board = has_pic || has_ioapic;
  static constexpr bool asked_for =
      one_of<KernelIrqchip, Options...> || one_of<KernelPit, Options...>;
  static constexpr IrqchipKind kind = has_ioapic                    ? IrqchipKind::split
                                      : has_pic                     ? IrqchipKind::board
                                      : asked_for || Board::has_irq ? IrqchipKind::kernel
                                                                    : IrqchipKind::none;
  /// Local APICs in the kernel take messages, wake halted vCPUs, and start others.
  static constexpr bool has_local_apics = kind == IrqchipKind::kernel || kind == IrqchipKind::split;
  /// KVM's controllers come with a pair of 8259As, the board's as it says.
  static constexpr bool has_8259s = kind == IrqchipKind::kernel || has_pic;

  static consteval auto check() {
    if constexpr (controller_count<Board, IsVectorController>() > 1 ||
                  controller_count<Board, IsMessageController>() > 1) {
      [[maybe_unused]] rules::board_has_several_controllers<Board> const error{};
    } else if constexpr (in_board && asked_for) {
      using Option = std::conditional_t<one_of<KernelPit, Options...>, KernelPit, KernelIrqchip>;
      [[maybe_unused]] rules::controllers_are_in_the_board<Option, Board> const error{};
    } else if constexpr (kind == IrqchipKind::board && max_vcpus_of<Options...> > 1) {
      [[maybe_unused]] rules::controller_serves_one_vcpu<typename Board::template HeldAt<pic>> const
          error{};
    } else if constexpr (kind == IrqchipKind::board) {
      constexpr std::size_t beyond = entry_beyond_the_pic<Board>();
      if constexpr (beyond != no_entry) {
        [[maybe_unused]] rules::irq_line_beyond_the_controller<
            Text<decimal_text<Board::entries[beyond].irq>>,
            typename Board::template HeldAt<beyond>> const error{};
      }
    }
    return std::bool_constant<decltype(check_controller<Board, pic>())::
                                  value&& decltype(check_controller<Board, ioapic>())::value>{};
  }
};

}  // namespace detail

}  // namespace portico
