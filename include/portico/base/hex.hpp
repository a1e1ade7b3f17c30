/// Numbers in messages.
///
///     #include <portico/base/hex.hpp>
///     std::string where(std::uint64_t rip) { return " at rip " + portico::hex(rip); }
///
/// `hex_text` in base/text.hpp is the same for template arguments.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace portico {

/// A number as manuals write it: `0x1f`, without leading zeros.
[[nodiscard]] inline std::string hex(std::uint64_t value) {
  std::array<char, 16> text{};
  std::size_t first = text.size();
  do {
    text[--first] = "0123456789abcdef"[value % 16];
    value /= 16;
  } while (value != 0);
  return "0x" + std::string{text.data() + first, text.size() - first};
}

}  // namespace portico
