/// Which boot protocol an image is made for, by what it holds.
///
///     #include <portico/boot/image_kind.hpp>
///
///     bool is_linux(char const* path) {
///       portico::ImageFile const file{path, "kernel"};
///       return portico::image_kind(file) == portico::ImageKind::bzimage;
///     }
///
/// It looks for marks, and checks nothing else: what it names may still refuse the image. A kernel
/// for several protocols is a Multiboot kernel first, then one with a PVH entry. Limits: a flat
/// binary has no mark, so it is unknown.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/boot/elf_file.hpp>
#include <portico/boot/image_file.hpp>
#include <portico/boot/multiboot_header.hpp>

namespace portico {

/// The protocols, and the class that loads each.
enum class ImageKind : std::uint8_t {
  unknown,
  bzimage,    ///< LinuxKernel
  multiboot,  ///< MultibootKernel
  pvh,        ///< PvhKernel
  elf,        ///< ElfImage
};

namespace detail {

/// "HdrS" in the setup header (Linux, Documentation/arch/x86/boot.rst).
inline bool is_bzimage(ImageFile const& image) {
  constexpr std::uint64_t header = 0x202;
  if (!image.holds(header, 4)) return false;
  auto const mark = image.get<std::array<char, 4>>("the setup header", header);
  return std::memcmp(mark.data(), "HdrS", mark.size()) == 0;
}

/// The magic number and a checksum that fits (Multiboot specification 0.6.96, section 3.1.1).
inline bool is_multiboot(ImageFile const& image) {
  std::vector<std::byte> start(std::min(image.size(), MultibootHeader::search_bytes));
  image.read("its beginning", 0, start);
  for (std::size_t at = 0; at + 12 <= start.size(); at += 4)
    if (load<std::uint32_t>(&start[at]) == MultibootHeader::magic &&
        MultibootHeader::magic + load<std::uint32_t>(&start[at + 4]) +
                load<std::uint32_t>(&start[at + 8]) ==
            0)
      return true;
  return false;
}

}  // namespace detail

/// The image's kind; an ImageError if it is an ELF file whose headers are wrong.
inline ImageKind image_kind(ImageFile const& image) {
  constexpr std::uint32_t phys32_entry = 18;  // XEN_ELFNOTE_PHYS32_ENTRY
  if (detail::is_multiboot(image)) return ImageKind::multiboot;
  if (ElfFile::is_elf(image))
    return ElfFile{image}.number_in_note("Xen", phys32_entry) ? ImageKind::pvh : ImageKind::elf;
  return detail::is_bzimage(image) ? ImageKind::bzimage : ImageKind::unknown;
}

}  // namespace portico
