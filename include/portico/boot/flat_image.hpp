/// A flat binary: a file whose bytes are copied into RAM as they are, and run from the first one.
///
///     #include <portico/boot/flat_image.hpp>
///     #include <portico/memory/guest_memory.hpp>
///
///     int load(char const* path, portico::GuestMemory& ram) {
///       try {
///         portico::FlatImage{path}.load(ram, 0, ram.size() - 4 * portico::KiB);  // room for a stack
///         return 0;
///       } catch (portico::ImageError const& error) {
///         std::fprintf(stderr, "%s\n", error.what());  // "guest.img: is empty; ..."
///         return 2;
///       }
///     }
///
/// Limits: regular files only. An ELF file is refused with the command that makes it flat. The file
/// is opened once, and read into RAM with no copy in between; what changes it afterwards is not
/// seen.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/hex.hpp>
#include <portico/boot/image_file.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// An open flat binary; move-only.
class FlatImage {
 public:
  /// Opens the file and looks at what it is; an ImageError if it is missing, unreadable, empty, no
  /// regular file, or an ELF file.
  explicit FlatImage(std::string path) : file_{std::move(path), "flat binary"} { refuse_elf(); }

  /// The name as given.
  [[nodiscard]] std::string const& path() const noexcept { return file_.name(); }

  /// The file's size when it was opened, in bytes; never 0.
  [[nodiscard]] std::uint64_t size() const noexcept { return file_.size(); }

  /// The open file, still owned here: which file it is, and that no guest overwrites it, can be
  /// asked of it.
  [[nodiscard]] int fd() const noexcept { return file_.fd(); }

  /// Copies the image to guest address `address`; an ImageError if it is longer than `limit` bytes,
  /// or does not lie in RAM, or cannot be read.
  void load(GuestMemory& memory, std::uint64_t address = 0,
            std::uint64_t limit = std::numeric_limits<std::uint64_t>::max()) const {
    std::uint64_t room = 0;
    for (Region const& region : memory.regions()) {
      std::uint64_t const offset = address - region.base;  // wraps below the base, past every size
      if (offset < region.size) room = std::min(limit, region.size - offset);
    }
    auto const target = memory.span(address, size());
    if (size() > room || !target) fail_for_room(memory.size(), address, room);
    file_.read("the image", 0, *target);
  }

 private:
  [[noreturn, gnu::cold]] void fail_for_room(std::uint64_t memory_size, std::uint64_t address,
                                             std::uint64_t room) const {
    std::string text = "is too large: " + std::to_string(size()) + " bytes, but guest memory of " +
                       std::to_string(memory_size) + " bytes has room for at most " +
                       std::to_string(room);
    if (address != 0) text += " from " + hex(address) + " on";
    file_.fail(text);
  }

  void refuse_elf() const {
    std::array<std::byte, 4> start{};
    if (size() < start.size()) return;
    file_.read("its beginning", 0, start);
    if (std::memcmp(start.data(), "\177ELF", start.size()) != 0) return;
    file_.fail(
        "is an ELF file; a flat binary is needed, from: ld --oformat binary -T guest.ld -o "
        "guest.img guest.o, or: "
        "objcopy -O binary " +
        path() + " " + path() + ".img");
  }

  ImageFile file_;
};

}  // namespace portico
