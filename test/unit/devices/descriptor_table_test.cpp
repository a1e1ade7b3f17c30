#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <portico/devices/descriptor_table.hpp>

namespace {

using portico::DescriptorTable;

TEST(DescriptorTable, TheLowestFreeNumberIsUsed) {
  DescriptorTable table;
  EXPECT_EQ(table.add(0), 3);
  EXPECT_EQ(table.add(0), 4);
  EXPECT_EQ(table.add(0), 5);
  table.remove(4);
  table.remove(3);
  EXPECT_EQ(table.add(0), 3);
  EXPECT_EQ(table.add(0), 4);
  EXPECT_EQ(table.add(0), 6);
}

TEST(DescriptorTable, HoldsSixteenThousandThreeHundredAndEightyFour) {
  DescriptorTable table;
  for (std::int32_t number = 3; number < 3 + 16'384; ++number) ASSERT_EQ(table.add(1), number);
  EXPECT_TRUE(table.full());
  EXPECT_EQ(table.add(1), -1);
  table.remove(9000);
  EXPECT_FALSE(table.full());
  EXPECT_EQ(table.add(1), 9000);
}

TEST(DescriptorTable, KnowsNoNumberThatItDidNotGive) {
  DescriptorTable table;
  EXPECT_EQ(table.add(1), 3);
  for (std::int32_t number : {std::numeric_limits<std::int32_t>::min(), -1, 0, 2, 4, 16'387,
                              std::numeric_limits<std::int32_t>::max()}) {
    EXPECT_EQ(table.find(number), nullptr) << number;
    table.remove(number);
  }
  EXPECT_NE(table.find(3), nullptr);
  EXPECT_EQ(table.add(1), 4);
}

TEST(DescriptorTable, AnEntryBeginsAtTheFileStart) {
  DescriptorTable table;
  auto const number = table.add(7);
  table.find(number)->offset = 100;
  table.remove(number);
  EXPECT_EQ(table.add(8), number);
  EXPECT_EQ(table.find(number)->file, 8);
  EXPECT_EQ(table.find(number)->offset, 0U);
}

TEST(DescriptorTable, PutsAnEntryWhereItWasSavedUnlessTheNumberIsImpossible) {
  DescriptorTable table;
  EXPECT_EQ(table.put(10, {1, 5}), 10);
  EXPECT_EQ(table.put(10, {2, 6}), -1);
  EXPECT_EQ(table.put(2, {1, 0}), -1);
  EXPECT_EQ(table.put(16'387, {1, 0}), -1);
  EXPECT_EQ(table.put(16'386, {1, 0}), 16'386);
  EXPECT_EQ(table.add(1), 3);
  std::vector<std::int32_t> numbers;
  std::as_const(table).for_each(
      [&](std::int32_t number, auto const&) { numbers.push_back(number); });
  EXPECT_EQ(numbers, (std::vector<std::int32_t>{3, 10, 16'386}));
}

}  // namespace
