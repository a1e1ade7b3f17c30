// Every number around every span, in each of route's forms, against a plain search.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <portico/device/route.hpp>

namespace {

using portico::Span;

/// `Count` spans of `Size`, every third one of twice that, at least `Step` apart.
template <std::size_t Count, std::uint64_t Base, std::uint64_t Step, std::uint64_t Size>
inline constexpr auto spaced = [] {
  std::array<Span, Count> result{};
  std::uint64_t base = Base;
  for (std::size_t index = 0; index < Count; ++index) {
    std::uint64_t const size = Step >= 2 * Size && index % 3 == 1 ? 2 * Size : Size;
    result[index] = {base, size};
    base += Step + (index % 2 == 0 ? 0 : Step > Size ? Size : 0);
  }
  return result;
}();

template <auto const& Spans, class Key>
int routed(std::uint64_t number) {
  return portico::route<Spans>(
      static_cast<Key>(number), []<std::size_t Index>() { return static_cast<int>(Index); },
      [] { return -1; });
}

template <auto const& Spans>
int searched(std::uint64_t number) {
  for (std::size_t index = 0; index < Spans.size(); ++index)
    if (number - Spans[index].base < Spans[index].size) return static_cast<int>(index);
  return -1;
}

template <auto const& Spans, class Key>
void expect_same(std::uint64_t number) {
  int const expected = searched<Spans>(number);
  int const actual = routed<Spans, Key>(number);
  ASSERT_EQ(actual, expected) << "number 0x" << std::hex << number << std::dec << ", "
                              << Spans.size() << " spans from 0x" << std::hex << Spans[0].base;
}

template <auto const& Spans>
void check_ports() {
  for (std::uint64_t port = 0; port <= 0xFFFF; ++port) {
    expect_same<Spans, std::uint32_t>(port);
    if (testing::Test::HasFatalFailure()) return;
  }
}

/// All numbers near each span's ends, and far outside.
template <auto const& Spans>
void check_addresses() {
  for (Span const& span : Spans)
    for (std::uint64_t near = 0; near < 8; ++near) {
      expect_same<Spans, std::uint64_t>(span.base - 4 + near);
      expect_same<Spans, std::uint64_t>(span.base + span.size - 4 + near);
      expect_same<Spans, std::uint64_t>(span.base + span.size / 2);
      if (testing::Test::HasFatalFailure()) return;
    }
  for (std::uint64_t const far : {std::uint64_t{0}, std::uint64_t{0x1000}, ~std::uint64_t{0},
                                  std::uint64_t{1} << 63, (std::uint64_t{1} << 52) - 1}) {
    expect_same<Spans, std::uint64_t>(far);
    // The same low 32 bits as a span, in another 4 GiB.
    expect_same<Spans, std::uint64_t>(Spans[0].base + (std::uint64_t{1} << 32));
  }
}

template <std::size_t Count>
void check_counts() {
  check_ports<spaced<Count, 0, 1, 1>>();                         // one after the other from 0
  check_ports<spaced<Count, 0x20, 3, 1>>();                      // with gaps
  check_ports<spaced<Count, 0x80, 40, 1>>();                     // far apart
  check_ports<spaced<Count, 0x100, 64, 8>>();                    // ranges
  check_ports<spaced<Count, 0x21, 5, 5>>();                      // ranges that touch, at odd places
  check_addresses<spaced<Count, 0xD000'0000, 0x1000, 0x200>>();  // a grid of cells
  check_addresses<spaced<Count, 0xD000'0000, 0x100'0001, 0x11>>();  // out of reach of any table
}

TEST(Route, OneSpan) { check_counts<1>(); }
TEST(Route, FewSpans) {
  check_counts<2>();
  check_counts<7>();
  check_counts<8>();
}
TEST(Route, FirstCountWithASwitch) { check_counts<9>(); }
TEST(Route, AroundTheSizesOfTheSwitch) {
  check_counts<15>();
  check_counts<16>();
  check_counts<17>();
  check_counts<63>();
  check_counts<64>();
  check_counts<65>();
}
TEST(Route, AroundTheSizesOfTheTable) {
  check_counts<254>();
  check_counts<255>();
  check_counts<256>();
  check_counts<257>();
}

inline constexpr std::array whole{Span{0, 0x10000}};
inline constexpr std::array last{Span{0xFFFF, 1}};
inline constexpr auto to_the_end = [] {
  std::array<Span, 12> result{};
  for (std::size_t index = 0; index < 12; ++index) result[index] = {index * 2, 1};
  result[11] = {0xFFF0, 0x10};
  return result;
}();

TEST(Route, EndsOfThePortSpace) {
  check_ports<whole>();
  check_ports<last>();
  check_ports<to_the_end>();
}

TEST(Route, IsAConstantExpression) {
  static constexpr auto& few = spaced<4, 0x20, 3, 1>;
  static constexpr auto& many = spaced<40, 0x20, 3, 1>;
  static constexpr auto index_of = []<std::size_t Index>() { return static_cast<int>(Index); };
  static constexpr auto none = [] { return -1; };
  static_assert(portico::route<few>(std::uint32_t{0x20}, index_of, none) == 0);
  static_assert(portico::route<many>(std::uint32_t{0x20}, index_of, none) == 0);
  static_assert(portico::route<many>(std::uint32_t{0x1F}, index_of, none) == -1);
}

}  // namespace
