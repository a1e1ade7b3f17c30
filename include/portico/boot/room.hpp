/// Who has which piece of RAM while an image is loaded: nothing is put over anything else, or where
/// the guest is told that there is no RAM.
///
///     #include <portico/boot/room.hpp>
///
///     void load(portico::ImageFile const& file, portico::GuestMemory& ram,
///               portico::MemoryMap const& map) {
///       portico::Room room{file, ram, map};
///       file.read("the kernel", 0, room.take("the kernel", 0x10'0000, file.size()));
///       auto const text = room.find_high(100, 1, 0, portico::pc::conventional_end).value();
///       room.write("the command line", text, gsl::span<std::byte const>{});   // no longer free
///     }
///
/// What does not fit ends in an ImageError that names the image, the piece and what is in its way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/base/hex.hpp>
#include <portico/boot/image_file.hpp>
#include <portico/boot/memory_map.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// Keeps account of the pieces; it borrows all that it is made from.
class Room {
 public:
  Room(ImageFile const& image, GuestMemory& memory, MemoryMap const& map) noexcept
      : image_{image}, memory_{memory}, map_{map} {}

  /// Takes `size` bytes at `address`, which the image asks for; an ImageError if they are not all
  /// RAM in one piece, or taken already. `what` is kept for messages: a name for the piece.
  gsl::span<std::byte> take(std::string_view what, std::uint64_t address, std::uint64_t size) {
    if (size == 0) return {};
    if (!is_ram(address, size)) refuse(what, address, size, no_ram_text(address, size));
    if (Taken const* const other = taken_in(address, size))
      refuse(what, address, size,
             "overlap " + other->what + " at " + range_text(other->address, other->size));
    auto const span = memory_.span(address, size);
    if (!span) refuse(what, address, size, "cross the border of two regions of RAM");
    taken_.push_back({std::string{what}, address, size});
    return *span;
  }

  /// Takes the place that find_low() or find_high() gave, and copies `bytes` there.
  void write(std::string_view what, std::uint64_t address, gsl::span<std::byte const> bytes) {
    gsl::span<std::byte> const target = take(what, address, bytes.size());
    if (!bytes.empty()) std::memcpy(target.data(), bytes.data(), bytes.size());
  }

  /// The lowest free place of `size` bytes from `from` on that ends at or below `limit`;
  /// `alignment` is a power of two.
  [[nodiscard]] std::optional<std::uint64_t> find_low(std::uint64_t size, std::uint64_t alignment,
                                                      std::uint64_t from,
                                                      std::uint64_t limit) const {
    for (MemoryRange const& range : map_.ranges()) {
      if (range.kind != MemoryKind::ram) continue;
      std::uint64_t at = range.base > from ? range.base : from;
      for (;;) {
        std::uint64_t const aligned = align_up(at, alignment);
        if (aligned < at || !fits(range, aligned, size, limit)) break;
        Taken const* const other = taken_in(aligned, size);
        if (other == nullptr) return aligned;
        at = other->address + other->size;
      }
    }
    return std::nullopt;
  }

  /// The highest free place of `size` bytes from `from` on that ends at or below `limit`;
  /// `alignment` is a power of two.
  [[nodiscard]] std::optional<std::uint64_t> find_high(std::uint64_t size, std::uint64_t alignment,
                                                       std::uint64_t from,
                                                       std::uint64_t limit) const {
    std::optional<std::uint64_t> best;
    for (MemoryRange const& range : map_.ranges()) {
      if (range.kind != MemoryKind::ram) continue;
      std::uint64_t end = range.end() < limit ? range.end() : limit;
      while (end >= size && end > range.base) {
        std::uint64_t const at = (end - size) & ~(alignment - 1);
        if (at < range.base || at < from) break;
        Taken const* const other = taken_in(at, size);
        if (other == nullptr) {
          best = at;  // ranges ascend: a later one is higher
          break;
        }
        end = other->address;
      }
    }
    return best;
  }

  /// The highest end of RAM that is not above `limit`; 0 if there is none.
  [[nodiscard]] std::uint64_t end_of_ram(std::uint64_t limit) const noexcept {
    std::uint64_t end = 0;
    for (MemoryRange const& range : map_.ranges())
      if (range.kind == MemoryKind::ram && range.end() <= limit) end = range.end();
    return end;
  }

  /// The end of the highest piece that is taken; 0 if there is none.
  [[nodiscard]] std::uint64_t end_of_taken() const noexcept {
    std::uint64_t end = 0;
    for (Taken const& taken : taken_)
      if (taken.address + taken.size > end) end = taken.address + taken.size;
    return end;
  }

 private:
  struct Taken {
    std::string what;
    std::uint64_t address;
    std::uint64_t size;
  };

  static bool fits(MemoryRange const& range, std::uint64_t at, std::uint64_t size,
                   std::uint64_t limit) noexcept {
    std::uint64_t const end = range.end() < limit ? range.end() : limit;
    return at >= range.base && at < end && size <= end - at;
  }

  /// Whether all of it is RAM by the map; neighbours in the map count as one.
  [[nodiscard]] bool is_ram(std::uint64_t address, std::uint64_t size) const noexcept {
    for (MemoryRange const& range : map_.ranges()) {
      if (range.kind != MemoryKind::ram || address < range.base) continue;
      std::uint64_t const offset = address - range.base;
      if (offset >= range.size) continue;
      if (size <= range.size - offset) return true;
      size -= range.size - offset;
      address = range.end();
    }
    return false;
  }

  [[nodiscard]] Taken const* taken_in(std::uint64_t address, std::uint64_t size) const noexcept {
    for (Taken const& taken : taken_)
      if (address < taken.address + taken.size && taken.address < address + size) return &taken;
    return nullptr;
  }

  static std::string range_text(std::uint64_t address, std::uint64_t size) {
    return hex(address) + " to " + hex(address + (size - 1));
  }

  [[noreturn, gnu::cold]] void refuse(std::string_view what, std::uint64_t address,
                                      std::uint64_t size, std::string const& why) const {
    image_.fail(std::string{what} + ": " + std::to_string(size) + " bytes at " + hex(address) +
                " " + why);
  }

  /// Why bytes are no RAM, and what would be.
  [[nodiscard]] std::string no_ram_text(std::uint64_t address, std::uint64_t size) const {
    for (MemoryRange const& range : map_.ranges())
      if (range.kind != MemoryKind::ram && address < range.end() &&
          (size > range.base - address || address >= range.base))
        return "reach into " + range_text(range.base, range.size) +
               ", which the machine's tables or its firmware have";
    std::string text = "do not lie in RAM, which is at ";
    bool first = true;
    for (MemoryRange const& range : map_.ranges()) {
      if (range.kind != MemoryKind::ram) continue;
      text += (first ? "" : ", ") + range_text(range.base, range.size);
      first = false;
    }
    return text;
  }

  ImageFile const& image_;
  GuestMemory& memory_;
  MemoryMap const& map_;
  std::vector<Taken> taken_;
};

}  // namespace portico
