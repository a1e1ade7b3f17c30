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

#include <array>
#include <cstdint>
#include <cstring>

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

}  // namespace detail

/// The image's kind; an ImageError if it is an ELF file whose headers are wrong.
inline ImageKind image_kind(ImageFile const& image) {
  if (MultibootHeader::is_in(image)) return ImageKind::multiboot;
  if (ElfFile::is_elf(image)) return ElfFile{image}.pvh_entry() ? ImageKind::pvh : ImageKind::elf;
  return detail::is_bzimage(image) ? ImageKind::bzimage : ImageKind::unknown;
}

}  // namespace portico
