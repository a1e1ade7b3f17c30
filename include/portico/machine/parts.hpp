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

namespace portico {

/// Where an image goes and where its first instruction and its stack are, in guest-physical bytes.
struct Start {
  std::uint64_t address = 0;             ///< of the image's first byte
  std::optional<std::uint64_t> entry{};  ///< default: the image's first byte
  std::optional<std::uint64_t> stack{};  ///< initial rsp; default: the end of RAM's first region
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
    requires(!std::is_invocable_r_v<Board, Source>)
  BoardHolder(std::in_place_t, Source&& source) : board(std::forward<Source>(source)) {}

  template <class Source>
    requires std::is_invocable_r_v<Board, Source>
  BoardHolder(std::in_place_t, Source&& source) : board(std::forward<Source>(source)()) {}

  Board board;
};

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
