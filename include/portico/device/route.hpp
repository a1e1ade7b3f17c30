/// From a number to a constant: which of the spans that the compiler knows holds it.
///
///     #include <portico/device/route.hpp>
///     inline constexpr std::array spans{portico::Span{0x20, 2}, portico::Span{0xE9, 1}};
///     int which(std::uint64_t port) {
///       return portico::route<spans>(port,
///           []<std::size_t Index>() { return static_cast<int>(Index); },
///           [] { return -1; });
///     }
///
/// Nothing is built at run time, and every call at the end is direct and inlined. What a branch
/// predictor cannot guess is what costs, so there are three forms (measured by bench/dispatch):
/// - up to eight spans: one compare with a constant after the other, which for numbers that come at
///   random mispredicts less than once in all; a balanced tree does once for every two levels;
/// - more: one switch, where spans lie wide apart after one load from a constant table;
/// - out of reach of a table of 64 Ki cells: a tree of compares with leaves of the first form.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace portico {

/// Consecutive numbers: addresses of a range, or offsets of a register.
struct Span {
  std::uint64_t base = 0;
  std::uint64_t size = 1;
};

namespace detail {

inline constexpr std::size_t few_spans = 8;
inline constexpr std::uint64_t most_cells = 0x1'0000;
inline constexpr std::uint64_t most_cases = 256;  // of which a switch is made

/// Spans on a grid: cell c holds the numbers from first + (c << shift) on, all of one span or of
/// none.
struct Grid {
  std::uint64_t first = 0;
  unsigned shift = 0;
  std::uint64_t cells = 0;
};

/// The coarsest grid for spans, or what has bases and sizes too, in ascending order.
template <class Spans>
constexpr Grid grid_of(Spans const& spans) {
  std::uint64_t const first = spans.front().base;
  std::uint64_t bits = 0;
  for (auto const& span : spans) bits |= (span.base - first) | span.size;
  auto const shift = static_cast<unsigned>(std::countr_zero(bits));
  return {first, shift, (spans.back().base - first + spans.back().size) >> shift};
}

template <auto const& Spans>
inline constexpr Grid grid = grid_of(Spans);

/// For each cell the number of its span, counted from 1, or 0.
template <auto const& Spans>
inline constexpr auto cells = [] {
  using Cell = std::conditional_t<(Spans.size() < 256), std::uint8_t, std::uint16_t>;
  std::array<Cell, grid<Spans>.cells> result{};
  for (std::size_t index = 0; index < Spans.size(); ++index) {
    std::uint64_t const begin = (Spans[index].base - grid<Spans>.first) >> grid<Spans>.shift;
    std::uint64_t const end = begin + (Spans[index].size >> grid<Spans>.shift);
    for (std::uint64_t cell = begin; cell < end; ++cell)
      result[cell] = static_cast<Cell>(index + 1);
  }
  return result;
}();

/// What the search hands an access over to: for each span a class, `Found::Take<Index>`, whose
/// `take` gets these three members of it. A class and not a function with one instance for each
/// span: then no name has the map's in it, and those are long.
template <class Found, std::size_t Index>
[[gnu::always_inline]] constexpr void reach(Found& found) {
  Found::template Take<Index>::take(found.slots, found.operation, found.context);
}

// All of these return the number of the span, counted from 1, or 0.

template <auto const& Spans, std::size_t Low, std::size_t High, class Key, class Found>
[[gnu::always_inline]] constexpr std::size_t route_one_by_one(Key key, Found& found) {
  if constexpr (Low == High) {
    return 0;
  } else {
    constexpr Span span = Spans[Low];
    bool here = false;
    if constexpr (span.size == 1)
      here = key == static_cast<Key>(span.base);
    else
      here = static_cast<Key>(key - static_cast<Key>(span.base)) < span.size;
    if (here) {
      reach<Found, Low>(found);
      return Low + 1;
    }
    // Nothing, but that the compiler forgets what `key` is not: else it would make a switch of more
    // than four compares, and of that a tree.
    if constexpr (Spans.size() > 4)
      if (!__builtin_constant_p(key)) asm("" : "+r"(key));
    return route_one_by_one<Spans, Low + 1, High>(key, found);
  }
}

template <auto const& Spans, std::size_t Low, std::size_t High, class Key, class Found>
[[gnu::always_inline]] constexpr std::size_t route_by_halves(Key key, Found& found) {
  if constexpr (High - Low <= few_spans) {
    return route_one_by_one<Spans, Low, High>(key, found);
  } else {
    constexpr std::size_t middle = Low + (High - Low) / 2;
    if (key < static_cast<Key>(Spans[middle].base))
      return route_by_halves<Spans, Low, middle>(key, found);
    return route_by_halves<Spans, middle, High>(key, found);
  }
}

/// Whether each span is one cell, and these are few: then the cell itself says which span it is.
template <auto const& Spans>
inline constexpr bool cells_are_cases = [] {
  if (grid<Spans>.cells > most_cases) return false;
  for (Span const& span : Spans)
    if (span.size >> grid<Spans>.shift != 1) return false;
  return true;
}();

/// Case n is span n, counted from 1.
template <std::size_t Count>
inline constexpr auto counted = [] {
  std::array<std::uint16_t, Count + 1> result{};
  for (std::size_t number = 1; number <= Count; ++number)
    result[number] = static_cast<std::uint16_t>(number);
  return result;
}();

// NOLINTBEGIN(bugprone-macro-parentheses): all arguments are sums
// C++20 has no way to make the cases of a switch from a pack. This is reach() once more, without a
// function for each case.
#define PORTICO_CASE(n)                                                                        \
  case First + (n):                                                                            \
    if constexpr (numbers[n] != 0)                                                             \
      Found::template Take<numbers[n] - 1>::take(found.slots, found.operation, found.context); \
    break;
#define PORTICO_CASES_4(n) \
  PORTICO_CASE(n) PORTICO_CASE(n + 1) PORTICO_CASE(n + 2) PORTICO_CASE(n + 3)
#define PORTICO_CASES_16(n) \
  PORTICO_CASES_4(n) PORTICO_CASES_4(n + 4) PORTICO_CASES_4(n + 8) PORTICO_CASES_4(n + 12)
#define PORTICO_CASES_64(n) \
  PORTICO_CASES_16(n)       \
  PORTICO_CASES_16(n + 16) PORTICO_CASES_16(n + 32) PORTICO_CASES_16(n + 48)
// NOLINTEND(bugprone-macro-parentheses)

/// The numbers from one place on, and 0 for what a switch has cases for and there is no number.
template <class Number, std::size_t Count>
consteval std::array<std::size_t, most_cases> numbers_from(std::size_t first,
                                                           std::array<Number, Count> const& all) {
  std::array<std::size_t, most_cases> numbers{};
  for (std::size_t index = first; index < Count && index - first < most_cases; ++index)
    numbers[index - first] = all[index];
  return numbers;
}

/// Case n reaches span Numbers[n], counted from 1.
template <auto const& Numbers, std::size_t First, class Found>
// NOLINTNEXTLINE(readability-function-size): the lines are the macros'
[[gnu::always_inline]] constexpr void route_by_case(std::uint64_t which, Found& found) {
  constexpr std::size_t left = Numbers.size() - First;
  constexpr auto numbers = numbers_from(First, Numbers);
  if constexpr (left <= 16) {
    switch (which) {
      PORTICO_CASES_16(0)
      default:
        break;
    }
  } else if constexpr (left <= 64) {
    switch (which) {
      PORTICO_CASES_64(0)
      default:
        break;
    }
  } else {
    switch (which) {
      PORTICO_CASES_64(0)
      PORTICO_CASES_64(64)
      PORTICO_CASES_64(128)
      PORTICO_CASES_64(192)
      default:
        if constexpr (left > most_cases) route_by_case<Numbers, First + most_cases>(which, found);
        break;
    }
  }
}

#undef PORTICO_CASES_64
#undef PORTICO_CASES_16
#undef PORTICO_CASES_4
#undef PORTICO_CASE

/// Takes an access to the span that holds `key`, and returns that span's number, counted from 1; or
/// returns 0.
template <auto const& Spans, class Key, class Found>
[[gnu::always_inline]] constexpr std::size_t route_to(Key key, Found& found) {
  if constexpr (Spans.size() <= few_spans) {
    return route_one_by_one<Spans, 0, Spans.size()>(key, found);
  } else if constexpr (grid<Spans>.cells <= most_cells) {
    constexpr Grid grid = detail::grid<Spans>;
    // Cast at each step: arithmetic makes an int of a narrow key.
    auto const cell =
        static_cast<Key>(static_cast<Key>(key - static_cast<Key>(grid.first)) >> grid.shift);
    std::size_t const number = cell < grid.cells ? cells<Spans>[cell] : 0;
    if constexpr (cells_are_cases<Spans>)
      route_by_case<cells<Spans>, 0>(cell, found);
    else
      route_by_case<counted<Spans.size()>, 1>(number, found);
    return number;
  } else {
    return route_by_halves<Spans, 0, Spans.size()>(key, found);
  }
}

/// A function with an instance for each span, and what it returned.
template <class Function, class Result>
struct Calls {
  template <std::size_t Index>
  struct Take {
    [[gnu::always_inline]] static constexpr void take(Function& function, Result& result,
                                                      void const*) {
      result = function.template operator()<Index>();
    }
  };

  Function& slots;
  Result operation{};
  void const* context = nullptr;
};

}  // namespace detail

/// Calls `found.operator()<Index>()` for the span that holds `key`, or `missed()`. `Spans` is an
/// array of static duration, in ascending order, without overlaps. Both return one type, which has a
/// default constructor.
template <auto const& Spans, class Key, class Found, class Missed>
[[gnu::always_inline]] constexpr auto route(Key key, Found&& found, Missed&& missed) {
  detail::Calls<std::remove_reference_t<Found>, decltype(missed())> calls{found};
  return detail::route_to<Spans>(key, calls) != 0 ? calls.operation : missed();
}

}  // namespace portico
