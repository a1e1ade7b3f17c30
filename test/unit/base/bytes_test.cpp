#include <gtest/gtest.h>

#include <array>

#include <portico/base/bytes.hpp>

namespace portico {
namespace {

TEST(Bytes, LoadsAndStoresLittleEndianAtAnyAlignment) {
  std::array<std::byte, 16> bytes{};
  for (std::size_t at = 0; at < 8; ++at) {
    bytes.fill(std::byte{0xEE});
    store(bytes.data() + at, std::uint32_t{0x1234'5678});
    EXPECT_EQ(bytes[at], std::byte{0x78});
    EXPECT_EQ(bytes[at + 3], std::byte{0x12});
    EXPECT_EQ(bytes[at + 4], std::byte{0xEE});
    EXPECT_EQ(load<std::uint32_t>(bytes.data() + at), 0x1234'5678U);
    EXPECT_EQ(load<std::uint16_t>(bytes.data() + at + 1), 0x3456U);
  }
}

TEST(Bytes, CarriesWholeStructures) {
  struct Pair {
    std::uint8_t first;
    std::uint64_t second;
  };

  std::array<std::byte, sizeof(Pair) + 1> bytes{};
  store(bytes.data() + 1, Pair{7, ~std::uint64_t{0}});
  EXPECT_EQ(load<Pair>(bytes.data() + 1).first, 7);
  EXPECT_EQ(load<Pair>(bytes.data() + 1).second, ~std::uint64_t{0});
}

}  // namespace
}  // namespace portico
