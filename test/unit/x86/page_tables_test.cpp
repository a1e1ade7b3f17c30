#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/cpu_state.hpp>
#include <portico/x86/long_mode.hpp>
#include <portico/x86/page_tables.hpp>

namespace portico {
namespace {

constexpr std::uint64_t tables_address = 0x7'0000'0000;  // far from everything that is mapped

/// Tables in host memory, and the walk that a CPU makes through them.
class Tables {
 public:
  explicit Tables(std::uint64_t bytes)
      : memory_(static_cast<std::size_t>(bytes), std::byte{0xCC}) {}

  gsl::span<std::byte> memory() { return memory_; }

  struct Page {
    std::uint64_t address;
    std::uint64_t size;
    std::uint64_t flags;  ///< bits 0 to 11 of the last entry
  };

  /// Where a guest address leads to; nothing if it is not mapped.
  std::optional<Page> walk(std::uint64_t address) const {
    std::uint64_t table = tables_address;
    for (unsigned shift = 39;; shift -= 9) {
      std::uint64_t const offset = table - tables_address + (address >> shift) % 512 * 8;
      if (offset + 8 > memory_.size()) {
        ADD_FAILURE() << "an entry leads out of the tables";
        return std::nullopt;
      }
      auto const entry = load<std::uint64_t>(memory_.data() + offset);
      if ((entry & 1) == 0) {
        EXPECT_EQ(entry, 0U) << "what is not present is 0";
        return std::nullopt;
      }
      std::uint64_t const size = std::uint64_t{1} << shift;
      EXPECT_EQ(entry & 0x26, 0x26U) << "writable, user, accessed";
      std::uint64_t const target = entry & 0x000F'FFFF'FFFF'F000;
      if (shift == 12 || (entry & 0x80) != 0) {
        EXPECT_EQ(target % size, 0U);
        return Page{target + address % size, size, entry & 0xFFF};
      }
      EXPECT_EQ(entry & 0xFF8, 0x20U) << "a table is neither uncached nor dirty";
      table = target;
    }
  }

  /// The addresses below `top` that are mapped, page by page; each must be onto itself.
  std::uint64_t mapped_below(std::uint64_t top) const {
    std::uint64_t mapped = 0;
    for (std::uint64_t address = 0; address < top;) {
      std::optional<Page> const page = walk(address);
      std::uint64_t const step = page ? page->size : 4 * KiB;
      if (page) {
        EXPECT_EQ(page->address, address);
        mapped += step;
      }
      address += step;
    }
    return mapped;
  }

 private:
  std::vector<std::byte> memory_;
};

/// The tables of `mode` for RAM in `ram`, in exactly the memory that it asks for.
Tables tables_of(LongMode const& mode, gsl::span<Region const> ram) {
  Tables tables{mode.table_bytes(ram)};
  mode.build_tables(tables.memory(), tables_address, ram);
  return tables;
}

Tables tables_of(LongMode const& mode, std::uint64_t ram_size) {
  Region const ram{0, ram_size, nullptr};
  return tables_of(mode, {&ram, 1});
}

struct Case {
  std::uint64_t ram;
  PageSize page;
  std::uint64_t tables;       ///< expected number of tables
  std::uint64_t large_pages;  ///< expected number of 2 MiB pages
};

class MappedRam : public testing::TestWithParam<Case> {};

TEST_P(MappedRam, IsAllOfItAndNothingElse) {
  Case const expected = GetParam();
  LongMode const mode{expected.page};
  EXPECT_EQ(mode.table_bytes(expected.ram), expected.tables * 4 * KiB);
  Tables const tables = tables_of(mode, expected.ram);
  EXPECT_EQ(tables.mapped_below(expected.ram + 6 * MiB), expected.ram);
  EXPECT_FALSE(tables.walk(expected.ram)) << "the first byte behind RAM";
  EXPECT_FALSE(tables.walk(tables_address)) << "the tables themselves";
  EXPECT_FALSE(tables.walk(0xFFFF'FFFF'FFFF'F000));
  std::uint64_t large = 0;
  for (std::uint64_t address = 0; address < expected.ram;) {
    auto const page = tables.walk(address);
    ASSERT_TRUE(page);
    EXPECT_EQ(page->flags, page->size == 2 * MiB ? 0xE7U : 0x67U);
    large += page->size == 2 * MiB ? 1 : 0;
    address += page->size;
  }
  EXPECT_EQ(large, expected.large_pages);
}

INSTANTIATE_TEST_SUITE_P(
    PageTables, MappedRam,
    testing::Values(Case{4 * KiB, PageSize::k4KiB, 4, 0}, Case{2 * MiB, PageSize::k4KiB, 4, 0},
                    Case{4 * MiB, PageSize::k4KiB, 5, 0}, Case{8 * MiB, PageSize::k4KiB, 7, 0},
                    Case{2 * MiB, PageSize::k2MiB, 3, 1}, Case{4 * MiB, PageSize::k2MiB, 3, 2},
                    Case{8 * MiB, PageSize::k2MiB, 3, 4}, Case{3 * MiB, PageSize::k2MiB, 4, 1},
                    Case{2 * MiB - 4 * KiB, PageSize::k2MiB, 4, 0},
                    Case{4 * KiB, PageSize::k2MiB, 4, 0},
                    Case{GiB + 4 * KiB, PageSize::k2MiB, 5, 512},
                    Case{5 * GiB, PageSize::k2MiB, 7, 2560}));

TEST(PageTables, RegionsWithAHoleLeaveTheHole) {
  Region const ram[] = {{0, 3 * MiB, nullptr}, {4 * GiB, 2 * MiB, nullptr}};
  Tables const tables = tables_of(LongMode{PageSize::k2MiB}, ram);
  EXPECT_EQ(tables.mapped_below(8 * MiB), 3 * MiB);
  EXPECT_FALSE(tables.walk(4 * GiB - 1));
  ASSERT_TRUE(tables.walk(4 * GiB));
  EXPECT_EQ(tables.walk(4 * GiB)->size, 2 * MiB);
  EXPECT_FALSE(tables.walk(4 * GiB + 2 * MiB));
}

TEST(PageTables, AWindowIsUncachedAndBesideRam) {
  LongMode const mode{PageSize::k2MiB, {{0x20'0000, 2 * MiB, PageSize::k2MiB, Caching::uncached}}};
  EXPECT_EQ(mode.table_bytes(2 * MiB), 3 * 4 * KiB);
  Tables const tables = tables_of(mode, 2 * MiB);
  ASSERT_TRUE(tables.walk(0x20'0080));
  EXPECT_EQ(tables.walk(0x20'0080)->address, 0x20'0080U);
  EXPECT_EQ(tables.walk(0x20'0080)->size, 2 * MiB);
  EXPECT_EQ(tables.walk(0x20'0080)->flags, 0xFFU) << "PCD and PWT besides";
  EXPECT_EQ(tables.walk(0)->flags, 0xE7U) << "RAM stays cached";
  EXPECT_EQ(tables.mapped_below(8 * MiB), 4 * MiB);
}

TEST(PageTables, RangesThatShareATableAreCountedOnce) {
  LongMode const mode{PageSize::k4KiB,
                      {{0x18'0000, 4 * KiB, PageSize::k2MiB, Caching::uncached},
                       {0xD000'0000, 8 * KiB, PageSize::k4KiB, Caching::uncached}}};
  EXPECT_EQ(mode.table_bytes(MiB), (1 + 1 + 2 + 2) * 4 * KiB);
  Tables const tables = tables_of(mode, MiB);
  EXPECT_EQ(tables.walk(0x18'0000)->flags, 0x7FU);
  EXPECT_EQ(tables.walk(0xD000'1FFF)->address, 0xD000'1FFFU);
  EXPECT_FALSE(tables.walk(0xD000'2000));
  EXPECT_EQ(tables.mapped_below(4 * MiB), MiB + 4 * KiB);
}

TEST(PageTables, SizesAreKnownToTheCompiler) {
  static_assert(LongMode{PageSize::k4KiB}.table_bytes(8 * MiB) == 28 * KiB);
  static_assert(LongMode{PageSize::k2MiB}.table_bytes(8 * MiB) == 12 * KiB);
}

TEST(PageTables, GuestMemorysTailHoldsThem) {
  for (std::uint64_t const size : {4 * KiB, 2 * MiB, 8 * MiB, 256 * MiB, 15 * GiB, 64 * GiB}) {
    GuestMemory const ram{size};
    EXPECT_LE(LongMode{PageSize::k4KiB}.table_bytes(ram.regions()), ram.tail().size()) << size;
  }
}

/// Maps ranges one after another into tables that have `room` bytes.
void map_all(std::uint64_t room, std::uint64_t address,
             std::initializer_list<IdentityRange> ranges) {
  std::vector<std::byte> memory(static_cast<std::size_t>(room));
  PageTables tables{memory, address};
  for (IdentityRange const& range : ranges) tables.map(range);
}

using PageTablesDeathTest = testing::Test;

TEST(PageTablesDeathTest, OverlapsAndTooLittleRoomAreTheCallersFault) {
  IdentityRange const two_pages{0, 8 * KiB};
  IdentityRange const second_page{4 * KiB, 4 * KiB};
  IdentityRange const large_page{0, 2 * MiB, PageSize::k2MiB};
  IdentityRange const crooked{0x123, 4 * KiB};
  IdentityRange const too_high{std::uint64_t{1} << 47, 4 * KiB};
  map_all(32 * KiB, 0x1000, {two_pages});
  EXPECT_DEATH(map_all(32 * KiB, 0x1001, {}), "");
  EXPECT_DEATH(map_all(32 * KiB, 0x1000, {two_pages, second_page}), "");
  EXPECT_DEATH(map_all(32 * KiB, 0x1000, {large_page, second_page}), "");
  EXPECT_DEATH(map_all(32 * KiB, 0x1000, {second_page, large_page}), "");
  EXPECT_DEATH(map_all(12 * KiB, 0x1000, {two_pages}), "");
  EXPECT_DEATH(map_all(32 * KiB, 0x1000, {crooked}), "");
  EXPECT_DEATH(map_all(32 * KiB, 0x1000, {too_high}), "");
}

}  // namespace
}  // namespace portico
