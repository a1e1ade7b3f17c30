#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include <portico/memory/guest_memory.hpp>

namespace portico {
namespace {

constexpr std::uint64_t page = 4 * KiB;
constexpr std::uint64_t top = std::numeric_limits<std::uint64_t>::max();

TEST(GuestMemory, BeginsAtZeroAndIsZeroed) {
  GuestMemory const memory{2 * MiB};
  EXPECT_EQ(memory.size(), 2 * MiB);
  ASSERT_EQ(memory.regions().size(), 1U);
  EXPECT_EQ(memory.regions()[0].base, 0U);
  EXPECT_EQ(memory.regions()[0].size, 2 * MiB);
  auto const all = memory.span(0, memory.size());
  ASSERT_TRUE(all);
  EXPECT_EQ(all->data(), memory.regions()[0].host);
  for (std::size_t at = 0; at < all->size(); at += 512) EXPECT_EQ((*all)[at], std::byte{0});
}

TEST(GuestMemory, RefusesSizesThatAreNoPages) {
  EXPECT_THROW(GuestMemory{0}, std::invalid_argument);
  EXPECT_THROW(GuestMemory{1}, std::invalid_argument);
  EXPECT_THROW(GuestMemory{page - 1}, std::invalid_argument);
  EXPECT_THROW(GuestMemory{page + 1}, std::invalid_argument);
  EXPECT_THROW(GuestMemory{top}, std::invalid_argument);
  EXPECT_NO_THROW(GuestMemory{page});
}

TEST(GuestMemory, ReportsThatTheHostHasNoRoom) {
  try {
    GuestMemory const memory{std::uint64_t{1} << 60};
    FAIL() << "the host has an exabyte";
  } catch (std::system_error const& error) {
    EXPECT_NE(std::string{error.what()}.find("mmap of 1152921504606846976 bytes"),
              std::string::npos)
        << error.what();
  }
  // So large that the page tables behind it would overflow the number.
  EXPECT_THROW(GuestMemory{top - page + 1}, std::system_error);
}

TEST(GuestMemory, RefusesPlacesThatCannotStand) {
  EXPECT_THROW(GuestMemory(std::initializer_list<RegionPlace>{}), std::invalid_argument);
  EXPECT_THROW((GuestMemory{{0, page}, {0, page}}), std::invalid_argument);
  EXPECT_THROW((GuestMemory{{page, page}, {0, page}}), std::invalid_argument);
  EXPECT_THROW((GuestMemory{{0, 2 * page}, {page, page}}), std::invalid_argument);
  EXPECT_THROW((GuestMemory{{1, page}}), std::invalid_argument);
  EXPECT_THROW((GuestMemory{{0, page}, {2 * page, 1}}), std::invalid_argument);
  EXPECT_THROW((GuestMemory{{0, page}, {2 * page, 0}}), std::invalid_argument);
  EXPECT_THROW((GuestMemory{{top - page + 1, 2 * page}}), std::invalid_argument);
  EXPECT_THROW((GuestMemory{{0 * page, page},
                            {1 * page, page},
                            {2 * page, page},
                            {3 * page, page},
                            {4 * page, page},
                            {5 * page, page},
                            {6 * page, page},
                            {7 * page, page},
                            {8 * page, page}}),
               std::invalid_argument);
}

/// Two regions with a hole, then one that adjoins the second.
GuestMemory three_regions() {
  return GuestMemory{{page, 2 * page}, {8 * page, page}, {9 * page, 3 * page}};
}

TEST(GuestMemory, StandsAtFixedPlaces) {
  GuestMemory const memory = three_regions();
  EXPECT_EQ(memory.size(), 6 * page);
  ASSERT_EQ(memory.regions().size(), 3U);
  EXPECT_EQ(memory.regions()[2].base, 9 * page);
  EXPECT_EQ(memory.regions()[2].host, memory.regions()[0].host + 3 * page);
}

TEST(GuestMemory, SpansReachToEachEndAndNoFurther) {
  GuestMemory const memory = three_regions();
  EXPECT_FALSE(memory.span(0, 1));
  EXPECT_FALSE(memory.span(page - 1, 1));
  EXPECT_FALSE(memory.span(page - 1, 2));
  EXPECT_TRUE(memory.span(page, 1));
  EXPECT_TRUE(memory.span(page, 2 * page));
  EXPECT_FALSE(memory.span(page, 2 * page + 1));
  EXPECT_TRUE(memory.span(3 * page - 1, 1));
  EXPECT_FALSE(memory.span(3 * page - 1, 2));
  EXPECT_FALSE(memory.span(3 * page, 1));
  EXPECT_TRUE(memory.span(12 * page - 8, 8));
  EXPECT_FALSE(memory.span(12 * page - 8, 9));
  EXPECT_FALSE(memory.span(12 * page, 1));

  auto const some = memory.span(8 * page + 16, 32);
  ASSERT_TRUE(some);
  EXPECT_EQ(some->size(), 32U);
  EXPECT_EQ(some->data(), memory.regions()[1].host + 16);
}

TEST(GuestMemory, SpansNeverCrossRegionsThatAdjoin) {
  GuestMemory const memory = three_regions();
  EXPECT_FALSE(memory.span(9 * page - 1, 2));
  EXPECT_FALSE(memory.span(8 * page, 4 * page));
  EXPECT_TRUE(memory.contains(9 * page - 1, 2));
  EXPECT_TRUE(memory.contains(8 * page, 4 * page));
  EXPECT_FALSE(memory.contains(8 * page, 4 * page + 1));
}

TEST(GuestMemory, NothingOverflows) {
  GuestMemory const memory = three_regions();
  for (std::uint64_t const address : {std::uint64_t{0}, std::uint64_t{1}, page, 3 * page - 1,
                                      9 * page, 12 * page, top - page, top - 1, top}) {
    for (std::uint64_t const length : {top, top - 1, top - page + 1, top / 2 + 1}) {
      EXPECT_FALSE(memory.span(address, length)) << address << " " << length;
      EXPECT_FALSE(memory.contains(address, length)) << address << " " << length;
    }
  }
  // The sum is small again.
  EXPECT_FALSE(memory.span(top, 2));
  EXPECT_FALSE(memory.contains(top - page + 1, 2 * page));
  EXPECT_FALSE(memory.span(page + 1, top));
}

TEST(GuestMemory, RamMayEndAtTheLastAddress) {
  // The last page that a number can tell: an end would be 0.
  EXPECT_THROW((GuestMemory{{top - page + 1, page}}), std::invalid_argument);
  GuestMemory const memory{{top - 2 * page + 1, page}};
  EXPECT_TRUE(memory.span(top - 2 * page + 1, page));
  EXPECT_FALSE(memory.span(top - 2 * page + 1, page + 1));
  EXPECT_FALSE(memory.span(top - page, 2));
  EXPECT_FALSE(memory.span(0, 1));
}

TEST(GuestMemory, NoBytesAreAnEmptySpanInsideRam) {
  GuestMemory const memory = three_regions();
  for (std::uint64_t const address : {page, 2 * page, 3 * page, 12 * page}) {
    auto const none = memory.span(address, 0);
    ASSERT_TRUE(none) << address;
    EXPECT_TRUE(none->empty());
  }
  EXPECT_FALSE(memory.span(4 * page, 0));
  EXPECT_FALSE(memory.span(top, 0));
  EXPECT_TRUE(memory.contains(page, 0));
  EXPECT_TRUE(memory.copy_in(page, {}));
  EXPECT_FALSE(memory.contains(top, 0));
  EXPECT_FALSE(memory.copy_out(top, {}));
}

std::vector<std::byte> counted(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t at = 0; at < size; ++at) bytes[at] = static_cast<std::byte>(at * 7 + 1);
  return bytes;
}

TEST(GuestMemory, CopiesCrossRegionsThatAdjoin) {
  GuestMemory const memory = three_regions();
  std::vector<std::byte> const sent = counted(page + 100);
  ASSERT_TRUE(memory.copy_out(9 * page - 50, sent));
  EXPECT_EQ(*memory.read<std::byte>(9 * page - 50), sent[0]);
  EXPECT_EQ(*memory.read<std::byte>(9 * page), sent[50]);
  std::vector<std::byte> back(sent.size());
  ASSERT_TRUE(memory.copy_in(9 * page - 50, back));
  EXPECT_EQ(back, sent);
}

TEST(GuestMemory, CopiesAllOrNothing) {
  GuestMemory const memory = three_regions();
  std::vector<std::byte> const sent = counted(page);
  EXPECT_FALSE(memory.copy_out(3 * page - 100, sent));  // into the hole
  EXPECT_EQ(*memory.read<std::byte>(3 * page - 100), std::byte{0});
  EXPECT_FALSE(memory.copy_out(12 * page - 100, sent));  // past the end
  EXPECT_EQ(*memory.read<std::byte>(12 * page - 100), std::byte{0});
  EXPECT_FALSE(memory.copy_out(page - 100, sent));  // from below
  EXPECT_EQ(*memory.read<std::byte>(page), std::byte{0});

  std::vector<std::byte> received(page, std::byte{0xEE});
  EXPECT_FALSE(memory.copy_in(12 * page - 100, received));
  EXPECT_EQ(received[0], std::byte{0xEE});
}

TEST(GuestMemory, ReadsAndWritesValues) {
  GuestMemory const memory = three_regions();
  ASSERT_TRUE(memory.write(9 * page - 3, std::uint64_t{0x1122'3344'5566'7788}));
  EXPECT_EQ(memory.read<std::uint64_t>(9 * page - 3), 0x1122'3344'5566'7788U);
  EXPECT_EQ(memory.read<std::uint8_t>(9 * page), 0x55);
  EXPECT_FALSE(memory.read<std::uint16_t>(12 * page - 1));
  EXPECT_FALSE(memory.write(3 * page - 1, std::uint16_t{1}));
  EXPECT_EQ(memory.read<std::uint8_t>(3 * page - 1), 0);
  EXPECT_FALSE(memory.read<std::uint32_t>(top - 1));
}

TEST(GuestMemory, LeavesAHole) {
  GuestMemory memory{4 * page};
  ASSERT_TRUE(memory.write(3 * page, std::uint32_t{0xABCD}));
  memory.leave_hole(2 * page, 100 * page);
  EXPECT_EQ(memory.size(), 4 * page);
  ASSERT_EQ(memory.regions().size(), 2U);
  EXPECT_EQ(memory.regions()[0].size, 2 * page);
  EXPECT_EQ(memory.regions()[1].base, 100 * page);
  EXPECT_EQ(memory.regions()[1].size, 2 * page);
  EXPECT_FALSE(memory.span(2 * page, 1));
  EXPECT_EQ(memory.read<std::uint32_t>(101 * page), 0xABCDU);
  EXPECT_FALSE(memory.span(102 * page, 1));
}

TEST(GuestMemory, AHoleAboveRamChangesNothing) {
  GuestMemory memory{4 * page};
  memory.leave_hole(4 * page, 100 * page);
  EXPECT_EQ(memory.regions().size(), 1U);
}

TEST(GuestMemory, FixedPlacesStayWhereTheyAre) {
  GuestMemory memory{{0, 4 * page}};
  memory.leave_hole(2 * page, 100 * page);
  ASSERT_EQ(memory.regions().size(), 1U);
  EXPECT_EQ(memory.regions()[0].size, 4 * page);
}

TEST(GuestMemory, TheTailIsNoRamAndStandsBehindIt) {
  GuestMemory const memory{8 * MiB};
  auto const tail = memory.tail();
  // Tables for 8 MiB by 4 KiB pages: four of the lowest level and one of each above it.
  EXPECT_GE(tail.size(), 7 * page);
  EXPECT_EQ(tail.data(), memory.regions()[0].host + 8 * MiB);
  EXPECT_FALSE(memory.span(8 * MiB, 1));
  std::memset(tail.data(), 0xFF, tail.size());
  EXPECT_EQ(memory.read<std::uint8_t>(8 * MiB - 1), 0);
}

TEST(GuestMemory, MovesAndKeepsHostAddresses) {
  GuestMemory first{4 * page};
  std::byte* const host = first.regions()[0].host;
  ASSERT_TRUE(first.write(0, std::uint8_t{9}));
  GuestMemory second{std::move(first)};
  EXPECT_EQ(second.regions()[0].host, host);
  EXPECT_EQ(second.read<std::uint8_t>(0), 9);
  // NOLINTNEXTLINE(bugprone-use-after-move): what a move leaves is the subject
  EXPECT_EQ(first.size(), 0U);
  EXPECT_FALSE(first.span(0, 1));
  EXPECT_TRUE(first.tail().empty());

  GuestMemory third{page};
  third = std::move(second);
  EXPECT_EQ(third.size(), 4 * page);
  EXPECT_EQ(third.regions()[0].host, host);
  GuestMemory& self = third;
  third = std::move(self);
  EXPECT_EQ(third.read<std::uint8_t>(0), 9);
}

/// Byte by byte, as a person would check it.
bool is_ram(GuestMemory const& memory, std::uint64_t address) {
  for (Region const& region : memory.regions())
    if (address >= region.base && address - region.base < region.size) return true;
  return false;
}

TEST(GuestMemory, AgreesWithByteByByteLooks) {
  GuestMemory const memory = three_regions();
  std::mt19937_64 random{2026};
  std::vector<std::byte> buffer;
  for (int round = 0; round < 2000; ++round) {
    std::uint64_t const address = random() % (13 * page);
    std::uint64_t const length = random() % (round % 2 == 0 ? 64 : 2 * page) + 1;
    bool all = true;
    for (std::uint64_t at = 0; at < length && all; ++at) all = is_ram(memory, address + at);
    buffer.assign(length, std::byte{0x5A});
    EXPECT_EQ(memory.contains(address, length), all) << address << " " << length;
    EXPECT_EQ(memory.copy_in(address, buffer), all) << address << " " << length;
    EXPECT_TRUE(all || !memory.span(address, length)) << address << " " << length;
  }
}

TEST(GuestMemory, MuchRamStandsSoThatTheHostCanUseHugePages) {
  GuestMemory memory{64 * MiB + 4 * KiB};
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.regions()[0].host) % (2 * MiB), 0U);
  // All of it is there, and the room behind it, and nothing is given back twice.
  EXPECT_TRUE(memory.write(64 * MiB + 4 * KiB - 1, std::uint8_t{1}));
  memory.tail()[memory.tail().size() - 1] = std::byte{2};
  GuestMemory const moved{std::move(memory)};
  EXPECT_EQ(moved.read<std::uint8_t>(64 * MiB + 4 * KiB - 1), std::uint8_t{1});
}

}  // namespace
}  // namespace portico
