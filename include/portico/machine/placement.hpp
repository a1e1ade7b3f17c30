/// Where RAM, page tables and devices stand in a guest's physical addresses.
///
///     #include <portico/machine/placement.hpp>
///     #include <portico/memory/guest_memory.hpp>
///     template <class Board>
///     auto place(Board const& board, portico::GuestMemory& memory, std::uint64_t table_bytes) {
///       portico::detail::fit_memory(board, memory);         // RAM leaves the devices' addresses out
///       return portico::detail::free_address(board, memory, table_bytes);
///     }
///
/// Internal to the library; Machine uses it. An entry inside RAM would never exit and be silently
/// dead, so it is refused.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/base/hex.hpp>
#include <portico/device/access.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/page_tables.hpp>

namespace portico::detail {

/// From the IOAPIC to the end of the first 4 GiB: interrupt controllers, and pages that KVM needs
/// on some Intel processors.
inline constexpr std::uint64_t controllers_base = 0xFEC0'0000;
inline constexpr std::uint64_t four_gib = 4 * GiB;

constexpr bool overlap(std::uint64_t first, std::uint64_t first_size, std::uint64_t second,
                       std::uint64_t second_size) noexcept {
  return first < second + second_size && second < first + first_size;
}

/// Lays RAM around the map's addresses, and refuses what cannot stand together with
/// std::invalid_argument.
template <class Board>
void fit_memory(Board const& board, GuestMemory& memory) {
  std::uint64_t lowest = controllers_base;
  board.for_each_range([&](Space space, std::uint64_t base, std::uint64_t, std::string_view) {
    if (space == Space::mmio && base < lowest) lowest = base;
  });
  std::uint64_t const hole = lowest & ~(GuestMemory::page_bytes - 1);
  if (hole > 0) memory.leave_hole(hole, four_gib);
  board.for_each_range(
      [&](Space space, std::uint64_t base, std::uint64_t size, std::string_view name) {
        if (space != Space::mmio) return;
        for (Region const& region : memory.regions())
          if (overlap(base, size, region.base, region.size))
            throw std::invalid_argument{"map entry '" + std::string{name} + "' at " + hex(base) +
                                        " lies in RAM from " + hex(region.base) + " to " +
                                        hex(region.base + region.size - 1) +
                                        ": the guest would never reach it; move one of them"};
      });
}

/// What a mode maps beside RAM, if anything: no place for page tables.
template <class Mode>
gsl::span<IdentityRange const> windows_of([[maybe_unused]] Mode const& mode) noexcept {
  if constexpr (requires { mode.windows(); })
    return mode.windows();
  else
    return {};
}

/// The lowest address above all RAM where `bytes` bytes are free of entries, windows and
/// controllers.
template <class Board>
std::uint64_t free_address(Board const& board, GuestMemory const& memory, std::uint64_t bytes,
                           gsl::span<IdentityRange const> windows = {}) {
  Region const& last = memory.regions()[memory.regions().size() - 1];
  std::uint64_t address = last.base + last.size;
  for (bool moved = true; moved;) {
    moved = false;
    auto const avoid = [&](std::uint64_t base, std::uint64_t size) {
      if (!overlap(address, bytes, base, size)) return;
      address = align_up(base + size, GuestMemory::page_bytes);
      moved = true;
    };
    for (IdentityRange const& window : windows) avoid(window.address, window.size);
    if (overlap(address, bytes, controllers_base, four_gib - controllers_base)) {
      address = four_gib;
      moved = true;
    }
    board.for_each_range(
        [&](Space space, std::uint64_t base, std::uint64_t size, std::string_view) {
          if (space == Space::mmio) avoid(base, size);
        });
  }
  return address;
}

}  // namespace portico::detail
