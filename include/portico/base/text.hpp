/// Text as a template argument: names of entries, and the guilty parties in a compile error.
///
///     #include <portico/base/text.hpp>
///     template <portico::FixedText Name> struct Label { static constexpr auto text = Name.view();
///     }; static_assert(Label<"com1">::text == "com1");
///     static_assert(portico::hex_text<0x3FF>.view() == "0x3ff");
///
/// Clang cuts such an argument at 32 characters in its messages: keep them short.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace portico {

/// A text of `Size` characters that can be a template argument.
template <std::size_t Size>
struct FixedText {
  char characters[Size + 1] = {};

  constexpr FixedText() = default;

  // NOLINTNEXTLINE(google-explicit-constructor,cppcoreguidelines-avoid-c-arrays): so that
  // `Named<"com1">` works
  consteval FixedText(char const (&text)[Size + 1]) {
    // With the zero: Clang prints an array as a text only if each of its elements was written.
    for (std::size_t index = 0; index <= Size; ++index) characters[index] = text[index];
  }

  /// The characters, without the closing zero.
  // NOLINTNEXTLINE(bugprone-string-constructor): a text may be empty
  [[nodiscard]] constexpr std::string_view view() const { return {characters, Size}; }

  friend constexpr bool operator==(FixedText const&, FixedText const&) = default;
};

template <std::size_t Size>
FixedText(char const (&)[Size]) -> FixedText<Size - 1>;

/// A text as a type: what a compile error shows.
template <FixedText Characters>
struct Text {
  static constexpr std::string_view value = Characters.view();
};

namespace detail {

consteval std::size_t digits_of(std::uint64_t value, std::uint64_t base) {
  std::size_t digits = 1;
  while (value >= base) {
    value /= base;
    ++digits;
  }
  return digits;
}

template <std::uint64_t Value, std::uint64_t Base, std::size_t Prefix>
consteval auto number_text() {
  FixedText<digits_of(Value, Base) + Prefix> text;
  text.characters[digits_of(Value, Base) + Prefix] = 0;  // see FixedText's constructor
  if (Prefix == 2) {
    text.characters[0] = '0';
    text.characters[1] = 'x';
  }
  std::uint64_t rest = Value;
  for (std::size_t index = digits_of(Value, Base); index > 0; --index) {
    text.characters[Prefix + index - 1] = "0123456789abcdef"[rest % Base];
    rest /= Base;
  }
  return text;
}

}  // namespace detail

/// A number in hexadecimal, as `0x3ff`.
template <std::uint64_t Value>
inline constexpr auto hex_text = detail::number_text<Value, 16, 2>();

/// A number in decimal.
template <std::uint64_t Value>
inline constexpr auto decimal_text = detail::number_text<Value, 10, 0>();

}  // namespace portico
