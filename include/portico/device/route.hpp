/// From a number to a constant: a balanced tree of compares over a table that the compiler knows.
///
///     #include <portico/device/route.hpp>
///     inline constexpr std::array spans{portico::Span{0x20, 2}, portico::Span{0xE9, 1}};
///     int which(std::uint64_t port) {
///       return portico::route<spans>(port,
///           []<std::size_t Index>() { return static_cast<int>(Index); },
///           [] { return -1; });
///     }
///
/// No table is left at run time: each step is one compare with a constant, and the call at the end
/// is direct and inlined. The depth is the logarithm of the number of spans.
#pragma once

#include <cstddef>
#include <cstdint>

namespace portico {

/// Consecutive numbers: addresses of a range, or offsets of a register.
struct Span {
  std::uint64_t base = 0;
  std::uint64_t size = 1;
};

namespace detail {

template <auto const& Spans, std::size_t Low, std::size_t High, class Key, class Found,
          class Missed>
[[gnu::always_inline]] constexpr auto route_between(Key key, Found& found, Missed& missed) {
  if constexpr (Low == High) {
    return missed();
  } else if constexpr (Low + 1 == High) {
    constexpr Span span = Spans[Low];
    if constexpr (span.size == 1) {
      if (key == static_cast<Key>(span.base)) return found.template operator()<Low>();
    } else {
      if (static_cast<Key>(key - static_cast<Key>(span.base)) < span.size)
        return found.template operator()<Low>();
    }
    return missed();
  } else {
    constexpr std::size_t middle = Low + (High - Low) / 2;
    if (key < static_cast<Key>(Spans[middle].base))
      return route_between<Spans, Low, middle>(key, found, missed);
    return route_between<Spans, middle, High>(key, found, missed);
  }
}

}  // namespace detail

/// Calls `found.operator()<Index>()` for the span that holds `key`, or `missed()`. `Spans` is an
/// array of static duration, in ascending order, without overlaps. Both return one type.
template <auto const& Spans, class Key, class Found, class Missed>
[[gnu::always_inline]] constexpr auto route(Key key, Found&& found, Missed&& missed) {
  return detail::route_between<Spans, 0, Spans.size()>(key, found, missed);
}

}  // namespace portico
