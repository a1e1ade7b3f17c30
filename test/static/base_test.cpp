// Texts and names, and match and route in constant expressions.
#include <array>
#include <cstdint>
#include <variant>

#include <portico/base/bytes.hpp>
#include <portico/base/match.hpp>
#include <portico/base/names.hpp>
#include <portico/base/text.hpp>
#include <portico/device/route.hpp>

namespace base_test {

// --- Texts

static_assert(portico::FixedText{"com1"}.view() == "com1");
static_assert(portico::FixedText{""}.view().empty());
static_assert(portico::FixedText{"a"} == portico::FixedText{"a"});
static_assert(!(portico::FixedText{"a"} == portico::FixedText{"b"}));
static_assert(portico::Text<"com1">::value == "com1");
static_assert(std::is_same_v<portico::Text<"com1">, portico::Text<"com1">>);
static_assert(!std::is_same_v<portico::Text<"com1">, portico::Text<"com2">>);

static_assert(portico::hex_text<0>.view() == "0x0");
static_assert(portico::hex_text<9>.view() == "0x9");
static_assert(portico::hex_text<0xA>.view() == "0xa");
static_assert(portico::hex_text<0xF>.view() == "0xf");
static_assert(portico::hex_text<0x10>.view() == "0x10");
static_assert(portico::hex_text<0x3FF>.view() == "0x3ff");
static_assert(portico::hex_text<0xD000'0000>.view() == "0xd0000000");
static_assert(portico::hex_text<~std::uint64_t{0}>.view() == "0xffffffffffffffff");
static_assert(portico::decimal_text<0>.view() == "0");
static_assert(portico::decimal_text<10>.view() == "10");
static_assert(portico::decimal_text<~std::uint64_t{0}>.view() == "18446744073709551615");

// --- Names

namespace inner {

struct Serial {
  void write(std::uint8_t);
  std::uint8_t read() const noexcept;
  void write_all(std::uint32_t, Serial&);
};

template <class Type>
struct Box {
  void open(std::uint8_t);
};

}  // namespace inner

using portico::function_name;
using portico::type_name;

static_assert(type_name<inner::Serial>() == "Serial");
static_assert(type_name<int>() == "int");
static_assert(type_name<inner::Box<int>>() == "Box<int>");
static_assert(type_name<inner::Box<inner::Serial>>().starts_with("Box<"));
static_assert(type_name<inner::Box<inner::Serial>>().ends_with("Serial>"));
static_assert(function_name<&inner::Serial::write>() == "write");
static_assert(function_name<&inner::Serial::read>() == "read");
static_assert(function_name<&inner::Serial::write_all>() == "write_all");
static_assert(function_name<&inner::Box<inner::Serial>::open>() == "open");

// --- Sizes

static_assert(portico::KiB == 1024 && portico::MiB == 1024 * 1024 &&
              portico::GiB == 1024 * 1024 * 1024);
static_assert(portico::align_up(0, 4096) == 0);
static_assert(portico::align_up(1, 4096) == 4096);
static_assert(portico::align_up(4096, 4096) == 4096);
static_assert(portico::align_up(4097, 4096) == 8192);

// --- match at compile time

struct A {
  int value = 1;
};

struct B {
  int value = 2;
};

using Either = std::variant<A, B>;

// By value: GCC 12 takes no address of a temporary in a constant expression.
constexpr int value_of(Either either) {
  return portico::match(either, [](A a) { return a.value; }, [](B b) { return b.value; });
}

static_assert(value_of(A{}) == 1 && value_of(B{}) == 2);
constexpr int any_value_of(Either const either) {
  return portico::match(either, [](auto const& any) { return any.value; });
}

static_assert(any_value_of(B{}) == 2);

// The handlers' results have a common type.
static_assert(std::is_same_v<
              decltype(portico::match(Either{}, [](A) { return 1; }, [](B) { return 2L; })), long>);

// A handler may change what the variant holds.
constexpr int increased() {
  Either either{A{5}};
  portico::match(either, [](auto& any) { ++any.value; });
  return value_of(either);
}

static_assert(increased() == 6);

// --- route at compile time, for each number below, in and above each span

constexpr std::array spans{portico::Span{0x20, 2}, portico::Span{0x22, 1}, portico::Span{0xE9, 1},
                           portico::Span{0x3F8, 8}, portico::Span{0xFFF8, 8}};
constexpr std::array<portico::Span, 0> no_spans{};

template <auto const& Spans, class Key>
constexpr int routed(Key key) {
  return portico::route<Spans>(
      key, []<std::size_t Index>() { return static_cast<int>(Index); }, [] { return -1; });
}

constexpr int expected(std::uint64_t key) {
  for (std::size_t index = 0; index < spans.size(); ++index)
    if (key >= spans[index].base && key - spans[index].base < spans[index].size)
      return static_cast<int>(index);
  return -1;
}

static_assert([] {
  for (std::uint32_t key = 0; key < 0x500; ++key)
    if (routed<spans>(key) != expected(key)) return false;
  for (std::uint32_t key = 0xFF00; key < 0x1'0100; ++key)
    if (routed<spans>(key) != expected(key)) return false;
  return true;
}());
static_assert(routed<spans>(~std::uint64_t{0}) == -1);
static_assert(routed<no_spans>(std::uint32_t{0}) == -1);

}  // namespace base_test
