/// Sizes, and values in the byte order of the wire.
///
///     #include <portico/base/bytes.hpp>
///     std::array<std::byte, 4> data{};
///     portico::store(data.data(), std::uint32_t{0x12345678});
///     auto const value = portico::load<std::uint32_t>(data.data());   // 0x12345678
///     constexpr std::uint64_t ram = 8 * portico::MiB;
///
/// Registers and guest structures are little-endian, and so must be the host: no byte is ever
/// swapped.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace portico {

static_assert(std::endian::native == std::endian::little,
              "Portico emulates little-endian machines and runs on little-endian hosts only");

/// Binary multiples of a byte.
inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr std::uint64_t GiB = 1024 * MiB;

/// Reads a value from `source`, which needs no alignment and holds at least `sizeof(Value)` bytes.
template <class Value>
  requires std::is_trivially_copyable_v<Value>
[[nodiscard, gnu::always_inline]] inline Value load(std::byte const* source) noexcept {
  Value value;
  std::memcpy(&value, source, sizeof(Value));
  return value;
}

/// Writes a value to `target`, which needs no alignment and has room for `sizeof(Value)` bytes.
template <class Value>
  requires std::is_trivially_copyable_v<Value>
[[gnu::always_inline]] inline void store(std::byte* target, Value const& value) noexcept {
  std::memcpy(target, &value, sizeof(Value));
}

/// The smallest multiple of `alignment`, a power of two, that is not below `value`.
[[nodiscard]] constexpr std::uint64_t align_up(std::uint64_t value,
                                               std::uint64_t alignment) noexcept {
  return (value + alignment - 1) & ~(alignment - 1);
}

}  // namespace portico
