#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <vector>

#include <portico/boot/memory_map.hpp>
#include <portico/boot/room.hpp>

#include "image_builder.hpp"

namespace portico {
namespace {

std::vector<MemoryRange> map_of(std::vector<Region> const& regions) {
  auto const map = pc_memory_map(regions);
  return {map.ranges().begin(), map.ranges().end()};
}

TEST(MemoryMap, IsAPcsBelow1MiB) {
  EXPECT_EQ(map_of({{0, 16 * MiB, nullptr}}),
            (std::vector<MemoryRange>{{0, 0x9'FC00, MemoryKind::ram},
                                      {0x9'FC00, 0x400, MemoryKind::reserved},
                                      {0xE'0000, 0x2'0000, MemoryKind::reserved},
                                      {0x10'0000, 15 * MiB, MemoryKind::ram}}));
}

TEST(MemoryMap, KeepsToTheRegions) {
  EXPECT_EQ(map_of({{0x1000, 0x9'E000, nullptr}}),
            (std::vector<MemoryRange>{{0x1000, 0x9'E000, MemoryKind::ram}}));
  EXPECT_EQ(map_of({{0xF'F000, 0x2000, nullptr}, {4 * GiB, MiB, nullptr}}),
            (std::vector<MemoryRange>{{0xF'F000, 0x1000, MemoryKind::reserved},
                                      {0x10'0000, 0x1000, MemoryKind::ram},
                                      {4 * GiB, MiB, MemoryKind::ram}}));
}

TEST(MemoryMap, StaysInOrder) {
  MemoryMap map;
  map.add({0x3000, 0x1000});
  map.add({0x1000, 0x1000, MemoryKind::acpi});
  map.add({0x9000, 0});
  map.add({0x2000, 0x1000});
  ASSERT_EQ(map.ranges().size(), 3U);
  EXPECT_EQ(map.ranges()[0].kind, MemoryKind::acpi);
  EXPECT_EQ(map.ranges()[2].base, 0x3000U);
}

class RoomTest : public testing::Test {
 protected:
  ImageFile image_{"image", gsl::span<std::byte const>{}};
  GuestMemory memory_{{0, 0x10'0000}, {0x10'0000, 0x1000}, {0x20'0000, 0x2000}};
  MemoryMap map_ = pc_memory_map(memory_.regions());
  Room room_{image_, memory_, map_};
};

TEST_F(RoomTest, TheLowestPlaceIsFreeAndAligned) {
  EXPECT_EQ(room_.find_low(16, 1, 0, 4 * GiB), 0U);
  EXPECT_EQ(room_.find_low(16, 4096, 1, 4 * GiB), 4096U);
  room_.take("one", 0, 100);
  EXPECT_EQ(room_.find_low(16, 1, 0, 4 * GiB), 100U);
  EXPECT_EQ(room_.find_low(16, 64, 0, 4 * GiB), 128U);
  EXPECT_EQ(room_.find_low(0x2000, 1, 0x9'F000, 4 * GiB), 0x20'0000U);  // the first that holds it
  EXPECT_EQ(room_.find_low(0x2000, 1, 0x9'F000, 0x20'1FFF), std::nullopt);
  EXPECT_EQ(room_.find_low(0x10'0000, 1, 0, 4 * GiB), std::nullopt);
  EXPECT_EQ(room_.find_low(~std::uint64_t{0}, 1, 0, ~std::uint64_t{0}), std::nullopt);
}

TEST_F(RoomTest, TheHighestPlaceIsFreeAndAligned) {
  EXPECT_EQ(room_.find_high(16, 1, 0, 4 * GiB), 0x20'1FF0U);
  EXPECT_EQ(room_.find_high(16, 4096, 0, 4 * GiB), 0x20'1000U);
  room_.take("one", 0x20'1000, 1);
  EXPECT_EQ(room_.find_high(0x1000, 4096, 0, 4 * GiB), 0x20'0000U);
  EXPECT_EQ(room_.find_high(0x1001, 1, 0, 4 * GiB), 0x9'EBFFU);  // no piece above has room
  EXPECT_EQ(room_.find_high(16, 1, 0, 0x8000), 0x7FF0U);
  EXPECT_EQ(room_.find_high(16, 1, 0x7FF1, 0x8000), std::nullopt);
  EXPECT_EQ(room_.find_high(~std::uint64_t{0}, 1, 0, 4 * GiB), std::nullopt);
}

TEST_F(RoomTest, NothingIsTakenTwiceOrOutsideOfRam) {
  room_.take("one", 0x1000, 0x1000);
  EXPECT_EQ(test::complaint([&] { room_.take("two", 0x1FFF, 1); }),
            "two: 1 bytes at 0x1fff overlap one at 0x1000 to 0x1fff");
  EXPECT_EQ(room_.take("three", 0x2000, 1).size(), 1U);
  EXPECT_EQ(test::complaint([&] { room_.take("four", 0x10'0FFF, 2); }),
            "four: 2 bytes at 0x100fff do not lie in RAM, which is at 0x0 to 0x9fbff, 0x100000 to "
            "0x100fff, 0x200000 to 0x201fff");
  EXPECT_EQ(test::complaint([&] {
              room_.take("five", ~std::uint64_t{0}, ~std::uint64_t{0});
            }).substr(0, 5),
            "five:");
  EXPECT_EQ(room_.end_of_taken(), 0x2001U);
  EXPECT_EQ(room_.end_of_ram(0x20'1FFF), 0x10'1000U);
}

}  // namespace
}  // namespace portico
