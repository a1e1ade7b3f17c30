/// What a boot protocol needs of an ELF executable: its segments, its entry, its notes.
///
///     #include <portico/boot/elf_file.hpp>
///
///     /// Loads an executable by its physical addresses; gives where its first instruction is.
///     std::uint64_t load(portico::ImageFile const& file, portico::GuestMemory& ram) {
///       portico::ElfFile const elf{file};                    // ImageError: which field is wrong
///       portico::MemoryMap const map = portico::pc_memory_map(ram.regions());
///       portico::Room room{file, ram, map};
///       elf.load(room);
///       return elf.entry();
///     }
///
/// Every field is checked when the file is opened; addresses are, when it is loaded. Limits:
/// little-endian, x86, ET_EXEC without an interpreter, at most 128 program headers; sections and
/// symbols are not looked at. Source: System V ABI, chapters 4 and 5; its AMD64 supplement.
#pragma once

#include <algorithm>
#include <array>
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
#include <portico/boot/room.hpp>

namespace portico {

namespace detail {

/// The ELF header; `Word` is an address: 32 or 64 bits.
template <class Word>
struct ElfHeader {
  std::array<std::uint8_t, 16> ident;
  std::uint16_t type;
  std::uint16_t machine;
  std::uint32_t version;
  Word entry;
  Word program_headers;
  Word section_headers;
  std::uint32_t flags;
  std::uint16_t header_size;
  std::uint16_t program_header_size;
  std::uint16_t program_header_count;
  std::uint16_t section_header_size;
  std::uint16_t section_header_count;
  std::uint16_t section_names;
};

static_assert(sizeof(ElfHeader<std::uint32_t>) == 52 && sizeof(ElfHeader<std::uint64_t>) == 64);

struct ElfProgramHeader32 {
  std::uint32_t type, offset, virtual_address, address, file_size, memory_size, flags, alignment;
};

struct ElfProgramHeader64 {
  std::uint32_t type, flags;
  std::uint64_t offset, virtual_address, address, file_size, memory_size, alignment;
};

static_assert(sizeof(ElfProgramHeader32) == 32 && sizeof(ElfProgramHeader64) == 56);

}  // namespace detail

/// A program header, whatever the file's class. Sizes in bytes.
struct ElfSegment {
  std::uint32_t type = 0;
  std::uint64_t offset = 0;           ///< in the file
  std::uint64_t file_size = 0;        ///< at most memory_size; the rest is 0
  std::uint64_t virtual_address = 0;  ///< where the program believes to be
  std::uint64_t address = 0;          ///< where it is loaded
  std::uint64_t memory_size = 0;
  std::uint64_t alignment = 0;
};

/// A checked ELF file; it borrows the image.
class ElfFile {
 public:
  static constexpr std::uint32_t loaded = 1;  ///< PT_LOAD
  static constexpr std::uint32_t note = 4;    ///< PT_NOTE
  static constexpr unsigned max_program_headers = 128;

  /// Reads the headers; an ImageError names the first field that is wrong.
  explicit ElfFile(ImageFile const& image) : image_{image} {
    auto const ident = image.get<std::array<std::uint8_t, 16>>("the ELF header", 0);
    if (std::memcmp(ident.data(), magic.data(), magic.size()) != 0)
      image.fail("is no ELF file: it does not begin with 0x7f 'E' 'L' 'F'");
    if (ident[4] != 1 && ident[4] != 2) expected("EI_CLASS", ident[4], "1 (32-bit) or 2 (64-bit)");
    if (ident[5] != 1) expected("EI_DATA", ident[5], "1 (little-endian)");
    if (ident[6] != 1) expected("EI_VERSION", ident[6], "1");
    is_64_ = ident[4] == 2;
    if (is_64_)
      read_headers<std::uint64_t, detail::ElfProgramHeader64>(machine_x86_64, "62 (x86-64)");
    else
      read_headers<std::uint32_t, detail::ElfProgramHeader32>(machine_386, "3 (386)");
    check_segments();
  }

  /// Whether a file begins as an ELF file does.
  [[nodiscard]] static bool is_elf(ImageFile const& image) {
    if (!image.holds(0, magic.size())) return false;
    auto const start = image.get<std::array<std::uint8_t, 4>>("its beginning", 0);
    return std::memcmp(start.data(), magic.data(), magic.size()) == 0;
  }

  [[nodiscard]] bool is_64() const noexcept { return is_64_; }

  [[nodiscard]] gsl::span<ElfSegment const> segments() const& noexcept { return segments_; }
  gsl::span<ElfSegment const> segments() const&& = delete;  // they would be gone at once

  /// The guest address of the first instruction: e_entry, a virtual address, moved along with the
  /// segment that holds it; a file in which no segment does may mean a physical address. An
  /// ImageError if it lies in no segment either way.
  [[nodiscard]] std::uint64_t entry() const {
    for (ElfSegment const& segment : segments_)
      if (holds(segment, segment.virtual_address, entry_))
        return segment.address + (entry_ - segment.virtual_address);
    for (ElfSegment const& segment : segments_)
      if (holds(segment, segment.address, entry_)) return entry_;
    image_.fail("e_entry " + hex(entry_) + " lies in none of its PT_LOAD segments");
  }

  /// Puts every PT_LOAD segment at its physical address; an ImageError if it cannot stand there.
  void load(Room& room) const {
    for (std::size_t index = 0; index < segments_.size(); ++index) {
      ElfSegment const& segment = segments_[index];
      if (segment.type != loaded || segment.memory_size == 0) continue;
      std::string const what = name_of(index);
      gsl::span<std::byte> const target =
          room.take(what + ", p_paddr", segment.address, segment.memory_size);
      auto const from_file = static_cast<std::size_t>(segment.file_size);
      image_.read(what, segment.offset, target.first(from_file));
      std::memset(target.data() + from_file, 0, target.size() - from_file);
    }
  }

  /// Where a kernel for PVH is entered, by its note XEN_ELFNOTE_PHYS32_ENTRY, if it has one.
  [[nodiscard]] std::optional<std::uint64_t> pvh_entry() const {
    constexpr std::uint32_t phys32_entry = 18;
    return number_in_note("Xen", phys32_entry);
  }

  /// The number, of 4 or 8 bytes, that a note of this name and type holds, if there is one.
  [[nodiscard]] std::optional<std::uint64_t> number_in_note(std::string_view name,
                                                            std::uint32_t type) const {
    for (std::size_t index = 0; index < segments_.size(); ++index) {
      if (segments_[index].type != note) continue;
      if (auto const found = number_in(index, name, type)) return found;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::array<std::uint8_t, 4> magic{0x7F, 'E', 'L', 'F'};
  static constexpr std::uint16_t machine_386 = 3;
  static constexpr std::uint16_t machine_x86_64 = 62;
  static constexpr std::uint16_t executable = 2;
  static constexpr std::uint32_t interpreter = 3;
  static constexpr std::uint64_t max_note_bytes = 64 * KiB;

  [[noreturn, gnu::cold]] void expected(std::string_view field, std::uint64_t found,
                                        std::string_view wanted) const {
    image_.fail(std::string{field} + " is " + std::to_string(found) + "; " + std::string{wanted} +
                " is needed");
  }

  static std::string name_of(std::size_t index) {
    return "program header " + std::to_string(index);
  }

  static bool holds(ElfSegment const& segment, std::uint64_t base, std::uint64_t at) noexcept {
    return segment.type == loaded && at >= base && at - base < segment.memory_size;
  }

  template <class Word, class ProgramHeader>
  void read_headers(std::uint16_t machine, std::string_view machine_text) {
    auto const header = image_.get<detail::ElfHeader<Word>>("the ELF header", 0);
    if (header.machine != machine) expected("e_machine", header.machine, machine_text);
    if (header.type != executable)
      expected("e_type", header.type, "2 (ET_EXEC, linked with -no-pie)");
    if (header.program_header_size != sizeof(ProgramHeader))
      expected("e_phentsize", header.program_header_size, std::to_string(sizeof(ProgramHeader)));
    if (header.program_header_count == 0 || header.program_header_count > max_program_headers)
      expected("e_phnum", header.program_header_count, "1 to 128");
    entry_ = header.entry;
    std::uint64_t const table_size = sizeof(ProgramHeader) * header.program_header_count;
    if (!image_.holds(header.program_headers, table_size))
      image_.fail("is truncated: e_phoff " + hex(header.program_headers) +
                  " and e_phnum reach past the file's end at " + hex(image_.size()));
    for (unsigned index = 0; index < header.program_header_count; ++index) {
      auto const found = image_.get<ProgramHeader>(
          "a program header", header.program_headers + index * sizeof(ProgramHeader));
      segments_.push_back({found.type, found.offset, found.file_size, found.virtual_address,
                           found.address, found.memory_size, found.alignment});
    }
  }

  void check_segments() const {
    bool any = false;
    for (std::size_t index = 0; index < segments_.size(); ++index) {
      ElfSegment const& segment = segments_[index];
      if (segment.type == interpreter)
        image_.fail(name_of(index) +
                    " is PT_INTERP: it wants a dynamic linker; link it with -static");
      if (segment.type != loaded && segment.type != note) continue;
      if (!image_.holds(segment.offset, segment.file_size))
        image_.fail("is truncated: " + name_of(index) + ", p_offset " + hex(segment.offset) +
                    " and p_filesz " + hex(segment.file_size) + " reach past the file's end at " +
                    hex(image_.size()));
      if (segment.type != loaded) continue;
      if (segment.file_size > segment.memory_size)
        image_.fail(name_of(index) + ": p_filesz " + hex(segment.file_size) +
                    " is larger than p_memsz " + hex(segment.memory_size));
      any = any || segment.memory_size > 0;
    }
    if (!any) image_.fail("has no PT_LOAD segment: there is nothing to load");
  }

  /// Looks through one PT_NOTE segment; notes that do not fit it end the search there.
  [[nodiscard]] std::optional<std::uint64_t> number_in(std::size_t index, std::string_view name,
                                                       std::uint32_t type) const {
    ElfSegment const& segment = segments_[index];
    std::vector<std::byte> bytes(std::min(segment.file_size, max_note_bytes));
    image_.read("a note", segment.offset, bytes);
    std::uint64_t const alignment = segment.alignment == 8 ? 8 : 4;
    for (std::uint64_t at = 0; bytes.size() - at >= note_header;) {
      std::uint64_t const name_size = portico::load<std::uint32_t>(&bytes[at]);
      std::uint64_t const value_size = portico::load<std::uint32_t>(&bytes[at + 4]);
      std::uint64_t const value_at = at + align_up(note_header + name_size, alignment);
      std::uint64_t const next = align_up(value_at + value_size, alignment);
      if (value_at + value_size > bytes.size()) break;
      bool const is_wanted =
          portico::load<std::uint32_t>(&bytes[at + 8]) == type && name_size == name.size() + 1 &&
          std::memcmp(bytes.data() + at + note_header, name.data(), name.size()) == 0;
      if (is_wanted && value_size == 4) return portico::load<std::uint32_t>(&bytes[value_at]);
      if (is_wanted && value_size == 8) return portico::load<std::uint64_t>(&bytes[value_at]);
      if (next > bytes.size()) break;
      at = next;
    }
    return std::nullopt;
  }

  static constexpr std::uint64_t note_header = 12;

  ImageFile const& image_;
  std::vector<ElfSegment> segments_;
  std::uint64_t entry_ = 0;
  bool is_64_ = false;
};

}  // namespace portico
