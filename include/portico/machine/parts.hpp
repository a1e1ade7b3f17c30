/// Small parts of a machine: where an image starts, what was unclaimed, who owns the board.
///
///     #include <portico/machine/parts.hpp>
///     // An image linked at 0x8000, its stack growing down from there: for Machine::load.
///     constexpr portico::Start start{.address = 0x8000, .stack = 0x8000};
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <portico/base/made_by.hpp>
#include <portico/device/rules.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// Where an image goes and where its first instruction and its stack are, in guest-physical bytes.
struct Start {
  std::optional<std::uint64_t> address{};  ///< of the image's first byte; default: the mode's
  std::optional<std::uint64_t> entry{};    ///< default: the image's first byte
  std::optional<std::uint64_t> stack{};    ///< initial rsp; default: the end of RAM's first region
};

/// Accesses that no register took, and that therefore gave all ones or were dropped.
struct Unclaimed {
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
};

namespace detail {

/// A board, from itself or from a callable whose result is elided.
template <class Board>
struct BoardHolder {
  template <class Source>
    requires(!std::is_invocable_r_v<Board, Source> && std::is_constructible_v<Board, Source>)
  BoardHolder(std::in_place_t, Source&& source) : board(std::forward<Source>(source)) {}

  template <class Source>
    requires(!std::is_invocable_r_v<Board, Source> && !std::is_constructible_v<Board, Source>)
  BoardHolder(std::in_place_t, Source&&) : board(rules::nothing<Board()>()()) {
    [[maybe_unused]] rules::board_cannot_be_moved<Board> const error{};
  }

  template <class Source>
    requires std::is_invocable_r_v<Board, Source>
  BoardHolder(std::in_place_t, Source&& source) : board(made_by(std::forward<Source>(source))) {}

  Board board;
};

/// A virtual machine with nothing in it, in which any CPU mode can be.
template <class System>
auto make_vm(System const& system) {
  auto vm = system.create_vm();
  vm.reserve_real_mode_pages();
  return vm;
}

/// Where a mode expects an image: RealMode at its segments' base, others at 0.
template <class Mode>
constexpr std::uint64_t load_address(Mode const& mode) noexcept {
  if constexpr (requires { mode.segment_base; })
    return mode.segment_base;
  else
    return 0;
}

/// The bytes that an image may have: all but the page below the stack, if the stack is above it.
inline std::uint64_t image_limit(GuestMemory const& memory, std::uint64_t address,
                                 std::uint64_t stack) {
  Region const& first = memory.regions()[0];
  std::uint64_t const stack_page = (stack - 1) & ~(GuestMemory::page_bytes - 1);
  bool const below_stack = address < stack_page && stack_page < first.base + first.size;
  return below_stack ? stack_page - address : memory.size();
}

/// The board that a machine's constructor gets, or gets made.
template <class Source>
struct BoardFrom {
  using type = Source;
};

template <class Source>
  requires std::is_invocable_v<Source>
struct BoardFrom<Source> {
  using type = std::invoke_result_t<Source>;
};

}  // namespace detail

}  // namespace portico
