// What a fuzzer reads its decisions from; at the end of the input everything is 0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace portico::fuzz {

class Input {
 public:
  Input(std::uint8_t const* data, std::size_t size) : at_{data}, end_{data + size} {}

  [[nodiscard]] bool empty() const { return at_ == end_; }

  template <class Value>
  Value take() {
    Value value{};
    std::size_t const size = std::min(sizeof value, static_cast<std::size_t>(end_ - at_));
    if (size > 0) std::memcpy(&value, at_, size);
    at_ += size;
    return value;
  }

  /// 0 to `limit` - 1.
  std::uint64_t below(std::uint64_t limit) { return take<std::uint16_t>() % limit; }

  /// An address near `point`, or anywhere: most checks fail at edges.
  std::uint64_t address_near(std::uint64_t point) {
    auto const distance = static_cast<std::uint64_t>(std::int64_t{take<std::int8_t>()});
    return distance == 127 ? take<std::uint64_t>() : point + distance;
  }

 private:
  std::uint8_t const* at_;
  std::uint8_t const* end_;
};

/// Ends the fuzzer with the input as its finding.
inline void require(bool holds, char const* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace portico::fuzz
