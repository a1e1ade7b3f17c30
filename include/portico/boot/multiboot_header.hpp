/// The Multiboot header: what a kernel asks of its loader.
///
///     #include <portico/boot/multiboot_header.hpp>
///
///     bool wants_aligned_modules(portico::ImageFile const& kernel) {
///       return portico::MultibootHeader{kernel}.aligns_modules();     // ImageError: what is wrong
///     }
///
/// Source: Multiboot specification 0.6.96, section 3.1.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/base/hex.hpp>
#include <portico/boot/image_file.hpp>

namespace portico {

/// Where a kernel that brings its own addresses goes. Sizes in bytes.
struct MultibootPlacement {
  std::uint64_t file_offset = 0;
  std::uint64_t file_size = 0;
  std::uint64_t address = 0;
  std::uint64_t memory_size = 0;  ///< what is beyond file_size is 0
  std::uint64_t entry = 0;
};

/// A checked header; a value.
class MultibootHeader {
 public:
  static constexpr std::uint32_t magic = 0x1BAD'B002;
  static constexpr std::uint64_t search_bytes = 8192;

  /// Finds it in the image's first 8192 bytes; an ImageError if there is none, or names the field
  /// that is wrong or asks for what there is not.
  explicit MultibootHeader(ImageFile const& image) {
    find(image);
    if ((flags_ & video_mode) != 0)
      image.fail("Multiboot flags " + hex(flags_) +
                 ": bit 2 asks for a video mode, and there is no display");
    if ((flags_ & required & ~known) != 0)
      image.fail("Multiboot flags " + hex(flags_) +
                 ": bits 3 to 15 ask for what is not defined; 0 is needed");
    if ((flags_ & address_fields) != 0) read_placement(image);
  }

  /// Whether the image has one where it is looked for; its fields may still be wrong.
  [[nodiscard]] static bool is_in(ImageFile const& image) {
    return search(image).offset.has_value();
  }

  /// Whether modules have to begin at pages.
  [[nodiscard]] bool aligns_modules() const noexcept { return (flags_ & page_align) != 0; }

  /// The header's own addresses, if it has any; otherwise it is an ELF file's that counts.
  [[nodiscard]] std::optional<MultibootPlacement> const& placement() const noexcept {
    return placement_;
  }

 private:
  static constexpr std::uint32_t page_align = 1U << 0;
  static constexpr std::uint32_t memory_info = 1U << 1;
  static constexpr std::uint32_t video_mode = 1U << 2;
  static constexpr std::uint32_t known = page_align | memory_info | video_mode;
  static constexpr std::uint32_t required = 0xFFFF;
  static constexpr std::uint32_t address_fields = 1U << 16;

  struct Found {
    std::optional<std::uint64_t> offset{};
    std::optional<std::uint64_t> wrong{};  ///< the first that does not add up
    std::uint32_t flags = 0;
  };

  /// A magic number whose checksum is wrong may be any number in the image: the search goes on.
  static Found search(ImageFile const& image) {
    std::vector<std::byte> start(std::min(image.size(), search_bytes));
    image.read("its beginning", 0, start);
    Found found;
    for (std::uint64_t at = 0; at + 12 <= start.size(); at += 4) {
      if (load<std::uint32_t>(&start[at]) != magic) continue;
      found.flags = load<std::uint32_t>(&start[at + 4]);
      if (magic + found.flags + load<std::uint32_t>(&start[at + 8]) == 0) {
        found.offset = at;
        return found;
      }
      if (!found.wrong) found.wrong = at;
    }
    return found;
  }

  void find(ImageFile const& image) {
    Found const found = search(image);
    if (!found.offset && found.wrong)
      image.fail("Multiboot checksum: the header at " + hex(*found.wrong) +
                 " does not add up to 0 with its magic number and its flags");
    if (!found.offset)
      image.fail(
          "has no Multiboot header (0x1badb002, at a multiple of 4) in its first 8192 bytes");
    offset_ = *found.offset;
    flags_ = found.flags;
  }

  void read_placement(ImageFile const& image) {
    auto const field = [&](unsigned index) {
      return std::uint64_t{image.get<std::uint32_t>("the Multiboot header", offset_ + 4 * index)};
    };
    std::uint64_t const header_addr = field(3);
    std::uint64_t const load_addr = field(4);
    std::uint64_t const load_end_addr = field(5);
    std::uint64_t const bss_end_addr = field(6);
    std::uint64_t const entry_addr = field(7);
    if (load_addr > header_addr)
      image.fail("load_addr " + hex(load_addr) + " is above header_addr " + hex(header_addr));
    if (header_addr - load_addr > offset_)
      image.fail("load_addr " + hex(load_addr) +
                 " lies before the file's first byte, by header_addr " + hex(header_addr) +
                 " and the header's offset " + hex(offset_));
    MultibootPlacement place{.file_offset = offset_ - (header_addr - load_addr),
                             .file_size = 0,
                             .address = load_addr,
                             .memory_size = 0,
                             .entry = entry_addr};
    place.file_size = image.size() - place.file_offset;
    if (load_end_addr != 0) {
      if (load_end_addr <= load_addr)
        image.fail("load_end_addr " + hex(load_end_addr) + " is not above load_addr " +
                   hex(load_addr));
      if (load_end_addr - load_addr > place.file_size)
        image.fail("is truncated: load_end_addr " + hex(load_end_addr) + " needs " +
                   std::to_string(load_end_addr - load_addr) + " bytes from " +
                   hex(place.file_offset) + " on, and the file ends at " + hex(image.size()));
      place.file_size = load_end_addr - load_addr;
    }
    place.memory_size = place.file_size;
    if (bss_end_addr != 0) {
      if (bss_end_addr < load_addr || bss_end_addr - load_addr < place.file_size)
        image.fail("bss_end_addr " + hex(bss_end_addr) + " is below the end of what is loaded, " +
                   hex(load_addr + place.file_size));
      place.memory_size = bss_end_addr - load_addr;
    }
    if (entry_addr < load_addr || entry_addr - load_addr >= place.memory_size)
      image.fail("entry_addr " + hex(entry_addr) + " lies outside of the kernel, which is at " +
                 hex(load_addr));
    placement_ = place;
  }

  std::uint64_t offset_ = 0;
  std::uint32_t flags_ = 0;
  std::optional<MultibootPlacement> placement_;
};

}  // namespace portico
