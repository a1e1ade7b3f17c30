/// What a guest is told about its physical addresses: which are RAM, which are taken. The entries
/// are those of the PC's e820 call, which all boot protocols hand on.
///
///     #include <portico/boot/memory_map.hpp>
///     #include <portico/memory/guest_memory.hpp>
///
///     std::uint64_t usable_bytes(portico::GuestMemory const& ram) {
///       std::uint64_t sum = 0;
///       for (portico::MemoryRange const& range : portico::pc_memory_map(ram.regions()).ranges())
///         if (range.kind == portico::MemoryKind::ram) sum += range.size;
///       return sum;                             // 256 MiB of RAM: all but its 385 KiB below 1 MiB
///     }
///
/// Below 1 MiB it is a PC: conventional memory up to 0x9FC00, 1 KiB of extended BIOS data, a hole
/// for adapters, and from 0xE0000 on what the firmware keeps: here, tables. Limits: 32 ranges.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// What is at an address; the values are e820's (ACPI specification 6.4, section 15).
enum class MemoryKind : std::uint32_t { ram = 1, reserved = 2, acpi = 3 };

/// Consecutive guest-physical addresses of one kind. Sizes in bytes.
struct MemoryRange {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  MemoryKind kind = MemoryKind::ram;

  [[nodiscard]] constexpr std::uint64_t end() const noexcept { return base + size; }

  friend constexpr bool operator==(MemoryRange const&, MemoryRange const&) = default;
};

/// Places of a PC below 1 MiB, in bytes.
namespace pc {
inline constexpr std::uint64_t conventional_end = 0x9'FC00;
inline constexpr std::uint64_t extended_data = 0x9'FC00;  ///< 1 KiB
inline constexpr std::uint64_t adapters = 0xA'0000;
inline constexpr std::uint64_t firmware = 0xE'0000;  ///< ACPI tables; the MP table follows
inline constexpr std::uint64_t mp_table = 0xF'0000;
inline constexpr std::uint64_t high_memory = 0x10'0000;
}  // namespace pc

/// A short list of ranges, ascending by base; a value.
class MemoryMap {
 public:
  static constexpr std::size_t max_ranges = 32;

  /// Adds a range that overlaps none that is there; one of size 0 is left out.
  constexpr void add(MemoryRange range) {
    if (range.size == 0) return;
    Expects(count_ < max_ranges);
    std::size_t at = count_++;
    for (; at > 0 && ranges_[at - 1].base > range.base; --at) ranges_[at] = ranges_[at - 1];
    ranges_[at] = range;
  }

  [[nodiscard]] constexpr gsl::span<MemoryRange const> ranges() const noexcept {
    return {ranges_.data(), count_};
  }

 private:
  std::array<MemoryRange, max_ranges> ranges_{};
  std::size_t count_ = 0;
};

/// The map of a PC whose RAM is `regions`.
constexpr MemoryMap pc_memory_map(gsl::span<Region const> regions) {
  constexpr std::array parts{
      MemoryRange{0, pc::conventional_end, MemoryKind::ram},
      MemoryRange{pc::extended_data, pc::adapters - pc::extended_data, MemoryKind::reserved},
      MemoryRange{pc::firmware, pc::high_memory - pc::firmware, MemoryKind::reserved},
      MemoryRange{pc::high_memory, 0 - pc::high_memory, MemoryKind::ram}};
  MemoryMap map;
  for (Region const& region : regions) {
    for (MemoryRange const& part : parts) {
      // Last addresses, since the last part's end does not fit 64 bits.
      std::uint64_t const last = region.base + (region.size - 1);
      std::uint64_t const part_last = part.base + (part.size - 1);
      std::uint64_t const from = region.base > part.base ? region.base : part.base;
      std::uint64_t const to = last < part_last ? last : part_last;
      if (from <= to) map.add({from, to - from + 1, part.kind});
    }
  }
  return map;
}

/// What a boot protocol needs to know of a machine, beside its memory.
struct BootLayout {
  MemoryMap memory_map{};
  std::uint64_t rsdp = 0;         ///< guest address of the ACPI tables' root; 0: there are none
  std::uint64_t page_tables = 0;  ///< for CR3, if the image asked for page tables
};

}  // namespace portico
