/// 64-bit mode from the first instruction on: page tables outside RAM, flat segments, ring 0.
///
///     #include <portico/memory/guest_memory.hpp>
///     #include <portico/x86/long_mode.hpp>
///
///     /// RAM at 0; the tables come right behind it, where the guest's pages do not reach.
///     portico::x86::CpuState prepare(portico::GuestMemory& ram) {
///       portico::LongMode const mode{portico::PageSize::k4KiB};
///       mode.build_tables(ram.tail(), ram.size(), ram.regions());
///       return mode.cpu_state(ram.size(), 0, ram.size());  // cr3, rip, rsp
///     }
///
/// The state: CR0 = PE, MP, ET, NE, WP, AM, PG; CR4 = PAE, OSFXSR, OSXMMEXCPT; EFER = LME, LMA;
/// rflags = 2; other general registers 0. RAM is mapped onto itself, present, writable and for user
/// mode, and so are the windows that are asked for, such as a device's; nothing else is. The tables
/// stand where the guest's image and stack never are, and need not be mapped themselves.
///
/// Limits: four levels, no execute-disable, no GDT, IDT or TSS in memory: a guest that takes
/// interrupts or loads a segment register brings its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/cpu_state.hpp>
#include <portico/x86/page_tables.hpp>

namespace portico {

/// How a guest starts in 64-bit mode; a small value.
class LongMode {
 public:
  static constexpr std::size_t max_windows = 4;

  /// RAM by pages of `page`, and `windows` (at most 4) mapped onto themselves beside it,
  /// overlapping neither RAM nor each other.
  constexpr explicit LongMode(PageSize page = PageSize::k4KiB,
                              std::initializer_list<IdentityRange> windows = {})
      : LongMode{page, gsl::span<IdentityRange const>{windows.begin(), windows.size()}} {}

  /// The same with windows that are known at run time.
  constexpr LongMode(PageSize page, gsl::span<IdentityRange const> windows) : page_{page} {
    Expects(windows.size() <= max_windows);
    for (IdentityRange const& window : windows) windows_[window_count_++] = window;
  }

  [[nodiscard]] constexpr PageSize page() const noexcept { return page_; }

  /// What is mapped beside RAM.
  [[nodiscard]] constexpr gsl::span<IdentityRange const> windows() const noexcept {
    return {windows_.data(), window_count_};
  }

  /// Bytes of page tables for RAM in `ram` and the windows, exactly.
  [[nodiscard]] constexpr std::uint64_t table_bytes(gsl::span<Region const> ram) const noexcept {
    Ranges const all = ranges(ram);
    return portico::table_bytes({all.list.data(), all.count});
  }

  /// Bytes of page tables for `ram_size` bytes of RAM at 0 and the windows, exactly.
  [[nodiscard]] constexpr std::uint64_t table_bytes(std::uint64_t ram_size) const noexcept {
    Region const ram{0, ram_size, nullptr};
    return table_bytes(gsl::span<Region const>{&ram, 1});
  }

  /// Builds the tables in `tables`, which the guest's CPU will find at `tables_address`; at least
  /// table_bytes() long.
  void build_tables(gsl::span<std::byte> tables, std::uint64_t tables_address,
                    gsl::span<Region const> ram) const {
    Ranges const all = ranges(ram);
    PageTables builder{tables, tables_address};
    for (std::size_t index = 0; index < all.count; ++index) builder.map(all.list[index]);
  }

  /// The registers for the first instruction, at `entry`, with `stack` in RSP and the tables at
  /// `tables_address`.
  [[nodiscard]] static constexpr x86::CpuState cpu_state(std::uint64_t tables_address,
                                                         std::uint64_t entry,
                                                         std::uint64_t stack) noexcept {
    namespace cr0 = x86::cr0;
    namespace cr4 = x86::cr4;
    namespace efer = x86::efer;
    constexpr x86::Segment data{.limit = 0xFFFF'FFFF, .selector = 0x10, .db = true, .g = true};
    x86::CpuState state;
    state.rip = entry;
    state.rsp = stack;
    state.cs = {.limit = 0xFFFF'FFFF,
                .selector = 0x8,
                .type = x86::SegmentType::code,
                .l = true,
                .g = true};
    state.ds = state.es = state.fs = state.gs = state.ss = data;
    state.idt.limit = 0;
    state.cr0 = cr0::pe | cr0::mp | cr0::et | cr0::ne | cr0::wp | cr0::am | cr0::pg;
    state.cr3 = tables_address;
    state.cr4 = cr4::pae | cr4::osfxsr | cr4::osxmmexcpt;
    state.efer = efer::lme | efer::lma;
    return state;
  }

 private:
  struct Ranges {
    std::array<IdentityRange, GuestMemory::max_regions + max_windows> list{};
    std::size_t count = 0;
  };

  constexpr Ranges ranges(gsl::span<Region const> ram) const noexcept {
    Ranges all;
    for (Region const& region : ram)
      all.list[all.count++] = {region.base, region.size, page_, Caching::cached};
    for (std::size_t index = 0; index < window_count_; ++index)
      all.list[all.count++] = windows_[index];
    return all;
  }

  PageSize page_;
  std::array<IdentityRange, max_windows> windows_{};
  std::size_t window_count_ = 0;
};

}  // namespace portico
