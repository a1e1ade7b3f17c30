/// ACPI Machine Language: the few terms that describe devices, each a function that gives bytes.
///
///     #include <portico/firmware/aml.hpp>
///
///     portico::aml::Bytes describe_uart() {
///       namespace aml = portico::aml;
///       return aml::scope("_SB_",
///           aml::device("COM1",
///               aml::name("_HID", aml::hardware_id("PNP0501")) +
///               aml::name("_CRS", aml::resources(aml::ports(0x3F8, 8) +
///                                                aml::interrupt(4, {.level = false})))));
///     }
///
/// Limits: no methods, no names outside of \_SB and the root. Source: ACPI specification 6.4,
/// chapters 20 (AML) and 6.4 (resources).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>

namespace portico::aml {

/// Encoded terms; two of them joined are the one after the other.
using Bytes = std::basic_string<char>;

namespace detail {

template <class Value>
Bytes number(Value value) {
  Bytes bytes(sizeof value, '\0');
  store(reinterpret_cast<std::byte*>(bytes.data()), value);
  return bytes;
}

inline Bytes byte(unsigned value) { return {static_cast<char>(value)}; }

/// PkgLength counts itself: one to four bytes.
inline Bytes package_length(std::size_t content) {
  if (content + 1 < 0x40) return byte(static_cast<unsigned>(content + 1));
  unsigned more = 1;
  while (content + 1 + more >= std::size_t{1} << (4 + 8 * more)) ++more;
  Expects(more <= 3);
  std::size_t const length = content + 1 + more;
  Bytes bytes = byte(static_cast<unsigned>(more << 6 | (length & 0xF)));
  for (unsigned index = 0; index < more; ++index)
    bytes += byte(static_cast<unsigned>(length >> (4 + 8 * index) & 0xFF));
  return bytes;
}

inline Bytes with_length(Bytes const& content) { return package_length(content.size()) + content; }

/// A NameSeg: four characters.
inline Bytes segment(std::string_view name) {
  Expects(name.size() == 4);
  return Bytes{name};
}

inline Bytes large_resource(unsigned type, Bytes const& content) {
  return byte(type) + number(static_cast<std::uint16_t>(content.size())) + content;
}

}  // namespace detail

/// An integer in its shortest form.
inline Bytes integer(std::uint64_t value) {
  if (value <= 1) return detail::byte(static_cast<unsigned>(value));
  if (value <= 0xFF) return detail::byte(0x0A) + detail::number(static_cast<std::uint8_t>(value));
  if (value <= 0xFFFF)
    return detail::byte(0x0B) + detail::number(static_cast<std::uint16_t>(value));
  if (value <= 0xFFFF'FFFF)
    return detail::byte(0x0C) + detail::number(static_cast<std::uint32_t>(value));
  return detail::byte(0x0E) + detail::number(value);
}

/// A string of ASCII characters.
inline Bytes text(std::string_view value) {
  return detail::byte(0x0D) + Bytes{value} + detail::byte(0);
}

/// A hardware ID: an EISA ID such as "PNP0501" as a number, any other as text.
inline Bytes hardware_id(std::string_view id) {
  auto const is_digit = [](char digit) {
    return (digit >= '0' && digit <= '9') || (digit >= 'A' && digit <= 'F');
  };
  bool eisa = id.size() == 7;
  for (std::size_t index = 0; eisa && index < 7; ++index)
    eisa = index < 3 ? id[index] >= 'A' && id[index] <= 'Z' : is_digit(id[index]);
  if (!eisa) return text(id);
  std::uint32_t value = 0;
  for (char const letter : id.substr(0, 3))
    value = value << 5 | static_cast<std::uint32_t>(letter - 'A' + 1);
  for (char const digit : id.substr(3))
    value = value << 4 | static_cast<std::uint32_t>(digit <= '9' ? digit - '0' : digit - 'A' + 10);
  return detail::byte(0x0C) + detail::number(__builtin_bswap32(value));
}

/// Name (`segment`, value); `segment` has four characters.
inline Bytes name(std::string_view segment, Bytes const& value) {
  return detail::byte(0x08) + detail::segment(segment) + value;
}

/// Package () { elements }.
inline Bytes package(std::initializer_list<Bytes> elements) {
  Bytes content = detail::byte(static_cast<unsigned>(elements.size()));
  for (Bytes const& element : elements) content += element;
  return detail::byte(0x12) + detail::with_length(content);
}

/// Buffer () { bytes }.
inline Bytes buffer(Bytes const& bytes) {
  return detail::byte(0x11) + detail::with_length(integer(bytes.size()) + bytes);
}

/// Device (`segment`) { body }.
inline Bytes device(std::string_view segment, Bytes const& body) {
  return detail::byte(0x5B) + detail::byte(0x82) +
         detail::with_length(detail::segment(segment) + body);
}

/// Scope (\segment) { body }.
inline Bytes scope(std::string_view segment, Bytes const& body) {
  return detail::byte(0x10) +
         detail::with_length(detail::byte('\\') + detail::segment(segment) + body);
}

/// ResourceTemplate () { descriptors }.
inline Bytes resources(Bytes const& descriptors) {
  return buffer(descriptors + detail::byte(0x79) + detail::byte(0));
}

namespace detail {

/// QWordMemory or QWordIO: a fixed range of any size.
inline Bytes wide_range(unsigned type, unsigned type_flags, std::uint64_t base,
                        std::uint64_t size) {
  constexpr unsigned consumed_and_fixed_at_both_ends = 0x0D;
  return large_resource(0x8A, byte(type) + byte(consumed_and_fixed_at_both_ends) +
                                  byte(type_flags) + number(std::uint64_t{0}) + number(base) +
                                  number(base + (size - 1)) + number(std::uint64_t{0}) +
                                  number(size));
}

}  // namespace detail

/// Ports, all 16 address bits decoded.
inline Bytes ports(std::uint64_t base, std::uint64_t size) {
  if (size > 0xFF) return detail::wide_range(1, 3, base, size);
  auto const port = detail::number(static_cast<std::uint16_t>(base));
  return detail::byte(0x47) + detail::byte(1) + port + port + detail::byte(1) +
         detail::byte(static_cast<unsigned>(size));
}

/// Addresses of device registers.
inline Bytes addresses(std::uint64_t base, std::uint64_t size) {
  if (base + (size - 1) > 0xFFFF'FFFF) return detail::wide_range(0, 1, base, size);
  return detail::large_resource(0x86, detail::byte(1) +
                                          detail::number(static_cast<std::uint32_t>(base)) +
                                          detail::number(static_cast<std::uint32_t>(size)));
}

/// How an interrupt line works; always active high.
struct InterruptMode {
  bool level = false;
  bool shared = false;
};

/// Interrupt line `number` of the IOAPIC.
inline Bytes interrupt(std::uint32_t number, InterruptMode mode) {
  unsigned const flags = 1U | (mode.level ? 0U : 2U) | (mode.shared ? 8U : 0U);
  return detail::large_resource(0x89,
                                detail::byte(flags) + detail::byte(1) + detail::number(number));
}

}  // namespace portico::aml
