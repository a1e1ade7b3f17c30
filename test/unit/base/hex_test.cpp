#include <gtest/gtest.h>

#include <cstdint>

#include <portico/base/hex.hpp>

namespace portico {
namespace {

TEST(Hex, IsWrittenAsInManuals) {
  EXPECT_EQ(hex(0), "0x0");
  EXPECT_EQ(hex(0xF), "0xf");
  EXPECT_EQ(hex(0x10), "0x10");
  EXPECT_EQ(hex(0x1234'5678'9ABC), "0x123456789abc");
  EXPECT_EQ(hex(UINT64_MAX), "0xffffffffffffffff");
}

}  // namespace
}  // namespace portico
