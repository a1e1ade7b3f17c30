/// Four-level page tables, built by the host in memory that the guest's CPU will read them from.
///
///     #include <portico/x86/page_tables.hpp>
///
///     /// Maps 1 GiB at 0, with the tables at guest address 0x4000'0000; gives the value for CR3.
///     std::uint64_t map_one_gib(gsl::span<std::byte> memory) {
///       constexpr portico::IdentityRange ram{0, portico::GiB, portico::PageSize::k2MiB};
///       Expects(memory.size() >= portico::table_bytes({&ram, 1}));
///       portico::PageTables tables{memory, 0x4000'0000};
///       tables.map(ram);
///       return tables.root();
///     }
///
/// Each page is present, writable, for user and supervisor, and marked accessed and dirty already,
/// so that the CPU never writes to the tables. Where a range's ends leave no room for a 2 MiB page
/// it is mapped by 4 KiB pages: nothing outside the range ever is.
///
/// Limits: identity mappings below 128 TiB (four levels, lower half); ranges do not overlap.
/// Format: Intel SDM 3A, section 4.5; AMD APM 2, section 5.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>

namespace portico {

/// The largest page that a mapping uses.
enum class PageSize : std::uint8_t { k4KiB, k2MiB };

/// Whether the CPU may cache what is mapped: devices are mapped uncached (PCD and PWT).
enum class Caching : std::uint8_t { cached, uncached };

/// Guest addresses mapped onto themselves; address and size in bytes, multiples of 4 KiB.
struct IdentityRange {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  PageSize page = PageSize::k4KiB;
  Caching caching = Caching::cached;

  [[nodiscard]] constexpr std::uint64_t end() const noexcept { return address + size; }
};

namespace detail {

/// Whether mapping `range` needs a table of its own in the aligned block of 2^shift bytes at
/// `block`.
constexpr bool needs_table(IdentityRange const& range, std::uint64_t block,
                           unsigned shift) noexcept {
  std::uint64_t const block_end = block + (std::uint64_t{1} << shift);
  bool const touches = range.address < block_end && range.end() > block;
  bool const covers = range.address <= block && range.end() >= block_end;
  bool const one_page = shift == 21 && range.page == PageSize::k2MiB && covers;
  return touches && !one_page;
}

/// How many tables describe aligned blocks of 2^shift bytes, when all of `ranges` are mapped.
constexpr std::uint64_t count_tables(gsl::span<IdentityRange const> ranges,
                                     unsigned shift) noexcept {
  std::uint64_t const step = std::uint64_t{1} << shift;
  std::uint64_t count = 0;
  for (std::size_t index = 0; index < ranges.size(); ++index) {
    IdentityRange const& range = ranges[index];
    for (std::uint64_t block = range.address & ~(step - 1); block < range.end(); block += step) {
      bool needed = needs_table(range, block, shift);
      for (std::size_t earlier = 0; needed && earlier < index; ++earlier) {
        needed = !needs_table(ranges[earlier], block, shift);  // counted there
      }
      count += needed ? 1 : 0;
    }
  }
  return count;
}

}  // namespace detail

/// The bytes that page tables for `ranges` take, exactly.
constexpr std::uint64_t table_bytes(gsl::span<IdentityRange const> ranges) noexcept {
  return 4 * KiB *
         (1 + detail::count_tables(ranges, 39) + detail::count_tables(ranges, 30) +
          detail::count_tables(ranges, 21));
}

/// Builds tables one range after another; holds nothing but where it is.
class PageTables {
 public:
  /// `memory` is what the guest finds at `address`, a multiple of 4 KiB; it is cleared as it is
  /// used.
  PageTables(gsl::span<std::byte> memory, std::uint64_t address)
      : memory_{memory}, address_{address} {
    Expects(address % page_bytes == 0 && address < top - memory.size());
    add_table();
  }

  /// Maps a range that nothing mapped overlaps; `memory` must have room, as table_bytes() says.
  void map(IdentityRange const& range) {
    Expects(range.address % page_bytes == 0 && range.size % page_bytes == 0);
    Expects(range.size <= top && range.address <= top - range.size);
    for (std::uint64_t at = range.address; at < range.end();) at = map_within_block(range, at);
  }

  /// The guest address of the topmost table: the value for CR3.
  [[nodiscard]] std::uint64_t root() const noexcept { return address_; }

  /// Bytes of `memory` that hold tables by now.
  [[nodiscard]] std::uint64_t used() const noexcept { return used_; }

 private:
  static constexpr std::uint64_t page_bytes = 4 * KiB;
  static constexpr std::uint64_t block_bytes = 2 * MiB;
  static constexpr std::uint64_t top = std::uint64_t{1} << 47;
  static constexpr unsigned entry_bytes = 8;

  static constexpr std::uint64_t present = 1U << 0;
  static constexpr std::uint64_t writable = 1U << 1;
  static constexpr std::uint64_t user = 1U << 2;
  static constexpr std::uint64_t write_through = 1U << 3;
  static constexpr std::uint64_t cache_disabled = 1U << 4;
  static constexpr std::uint64_t accessed = 1U << 5;
  static constexpr std::uint64_t dirty = 1U << 6;
  static constexpr std::uint64_t large = 1U << 7;
  static constexpr std::uint64_t address_bits = 0x000F'FFFF'FFFF'F000;

  /// Maps what of `range` lies from `at` on within at's 2 MiB block; gives where it stopped.
  std::uint64_t map_within_block(IdentityRange const& range, std::uint64_t at) {
    std::uint64_t const page =
        present | writable | user | accessed | dirty |
        (range.caching == Caching::uncached ? cache_disabled | write_through : 0);
    std::uint64_t const directory = below(below(0, at, 39), at, 30);
    std::uint64_t const block_end = (at | (block_bytes - 1)) + 1;
    if (range.page == PageSize::k2MiB && at % block_bytes == 0 && range.end() >= block_end) {
      set(directory, at, 21, at | page | large);
      return block_end;
    }
    std::uint64_t const table = below(directory, at, 21);
    for (; at < block_end && at < range.end(); at += page_bytes) set(table, at, 12, at | page);
    return at;
  }

  /// The offset of the table that `table`'s entry for `at` leads to; made if there is none.
  std::uint64_t below(std::uint64_t table, std::uint64_t at, unsigned shift) {
    std::byte* const entry = entry_of(table, at, shift);
    auto const value = load<std::uint64_t>(entry);
    if (value != 0) {
      Expects((value & large) == 0);  // otherwise two ranges overlap
      return (value & address_bits) - address_;
    }
    std::uint64_t const made = add_table();
    store(entry, (address_ + made) | present | writable | user | accessed);
    return made;
  }

  void set(std::uint64_t table, std::uint64_t at, unsigned shift, std::uint64_t value) {
    std::byte* const entry = entry_of(table, at, shift);
    Expects(load<std::uint64_t>(entry) == 0);  // otherwise two ranges overlap
    store(entry, value);
  }

  std::byte* entry_of(std::uint64_t table, std::uint64_t at, unsigned shift) const noexcept {
    return memory_.data() + table + (at >> shift) % 512 * entry_bytes;
  }

  std::uint64_t add_table() {
    Expects(memory_.size() - used_ >= page_bytes);
    std::memset(memory_.data() + used_, 0, page_bytes);
    return std::exchange(used_, used_ + page_bytes);
  }

  gsl::span<std::byte> memory_;
  std::uint64_t address_;
  std::uint64_t used_ = 0;
};

}  // namespace portico
