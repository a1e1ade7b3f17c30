/// The pieces that boot protocols hand to a kernel beside its image: a command line, an initial
/// file system, descriptor tables.
///
///     #include <portico/boot/handover.hpp>
///
///     /// Puts a command line into conventional memory; gives its address.
///     std::uint64_t put(portico::Room& room, portico::ImageFile const& kernel) {
///       return portico::detail::put_text(room, kernel, "the command line", "console=ttyS0");
///     }
///
/// Internal to boot/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/base/hex.hpp>
#include <portico/boot/image_file.hpp>
#include <portico/boot/memory_map.hpp>
#include <portico/boot/room.hpp>
#include <portico/x86/cpu_state.hpp>
#include <portico/x86/descriptors.hpp>

namespace portico::detail {

/// Where small structures go: conventional memory above its first 64 KiB, which kernels like to
/// have for themselves; on a machine that has none, the highest place below 4 GiB.
inline std::uint64_t place_small(Room const& room, ImageFile const& image, std::string_view what,
                                 std::uint64_t size, std::uint64_t alignment) {
  std::optional<std::uint64_t> place =
      room.find_low(size, alignment, 64 * KiB, pc::conventional_end);
  if (!place) place = room.find_high(size, alignment, 0, 4 * GiB);
  if (!place)
    image.fail(std::string{what} + ": there is no room for " + std::to_string(size) +
               " bytes in RAM");
  return *place;
}

/// Puts a structure or a table somewhere; gives its address.
inline std::uint64_t put(Room& room, ImageFile const& image, std::string_view what,
                         gsl::span<std::byte const> bytes, std::uint64_t alignment = 8) {
  std::uint64_t const place = place_small(room, image, what, bytes.size(), alignment);
  room.write(what, place, bytes);
  return place;
}

/// Puts a text and a 0 behind it somewhere; gives its address. An ImageError if there is a 0 in it.
inline std::uint64_t put_text(Room& room, ImageFile const& image, std::string_view what,
                              std::string const& text) {
  if (text.find('\0') != std::string::npos)
    image.fail(std::string{what} + " has a character 0 in it, which would end it there");
  return put(room, image, what, {reinterpret_cast<std::byte const*>(text.c_str()), text.size() + 1},
             1);
}

/// Loads a whole file as high as possible, at a page, so that it ends at or below `limit`; gives
/// its address.
inline std::uint64_t put_file(Room& room, ImageFile const& file, std::string_view what,
                              std::uint64_t limit) {
  auto const place = room.find_high(file.size(), GuestMemory::page_bytes, pc::high_memory, limit);
  if (!place)
    file.fail(std::string{what} + " of " + std::to_string(file.size()) +
              " bytes: there is no room for it in RAM from 0x100000 to " + hex(limit - 1) +
              " beside the kernel");
  file.read(what, 0, room.take(what, *place, file.size()));
  return *place;
}

/// A descriptor table with the segments of `state`, each at its selector, and GDTR set to it.
inline void put_gdt(Room& room, ImageFile const& image, x86::CpuState& state) {
  std::array<std::uint64_t, 4> table{};
  for (x86::Segment const& segment : {state.cs, state.ds})
    table.at(segment.selector / 8U) = x86::descriptor(segment);
  state.gdt.base = put(room, image, "the descriptor table",
                       {reinterpret_cast<std::byte const*>(table.data()), sizeof table});
  state.gdt.limit = sizeof table - 1;
}

}  // namespace portico::detail
