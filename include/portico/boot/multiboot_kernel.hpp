/// A Multiboot 1 kernel with its modules: an ELF file, or one that brings its own addresses.
///
///     #include <portico/boot/multiboot_kernel.hpp>
///     #include <portico/machine/booting.hpp>
///     #include <portico/portico.hpp>
///
///     template <class Board>
///     void boot(portico::Machine<Board>& machine) {
///       machine.load(portico::MultibootKernel{
///           "kernel", {.command_line = "quiet", .modules = {{"initramfs"}, {"fs.img", "ro"}}}});
///     }
///
/// The kernel is loaded by its own addresses or its program headers, modules above it, each at a
/// page; the information structure, memory map and texts in conventional memory. The CPU starts in
/// 32-bit protected mode without paging, with 0x2BADB002 in EAX and the structure's address in EBX.
///
/// In the structure: mem_lower and mem_upper, command line, modules, memory map, boot loader name
/// (flags 0, 2, 3, 6, 9). Limits: no symbols, no drives, no APM, no video. Source: Multiboot
/// specification 0.6.96, sections 3.2 and 3.3.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/base/hex.hpp>
#include <portico/boot/elf_file.hpp>
#include <portico/boot/handover.hpp>
#include <portico/boot/image_file.hpp>
#include <portico/boot/memory_map.hpp>
#include <portico/boot/multiboot_header.hpp>
#include <portico/boot/room.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/cpu_state.hpp>
#include <portico/x86/long_mode.hpp>
#include <portico/x86/protected_mode.hpp>

namespace portico {

/// A file that is loaded beside a Multiboot kernel.
struct MultibootModule {
  std::string path;
  std::string string{};  ///< what the kernel is told with it; empty: the path
};

/// What a Multiboot kernel is given.
struct MultibootOptions {
  std::string command_line{};  ///< without a 0 in it
  std::vector<MultibootModule> modules{};
};

/// An open kernel with all that it is booted with, for Machine::load.
class MultibootKernel {
 public:
  /// Opens the files and checks the headers; an ImageError names the field that is wrong.
  explicit MultibootKernel(std::string path, MultibootOptions options = {})
      : MultibootKernel{ImageFile{std::move(path), "Multiboot kernel"}, std::move(options)} {}

  explicit MultibootKernel(ImageFile kernel, MultibootOptions options = {})
      : kernel_{std::move(kernel)},
        header_{kernel_},
        command_line_{std::move(options.command_line)} {
    if (!header_.placement()) {
      if (!ElfFile::is_elf(kernel_))
        kernel_.fail("Multiboot flags: bit 16 is clear, so it must be an ELF file, and it is not");
      static_cast<void>(ElfFile{kernel_}.entry());
    }
    for (MultibootModule& module : options.modules) {
      std::string string = module.string.empty() ? module.path : std::move(module.string);
      modules_.push_back({ImageFile{std::move(module.path), "module"}, std::move(string)});
    }
  }

  [[nodiscard]] MultibootHeader const& header() const noexcept { return header_; }

  /// No page tables.
  [[nodiscard]] std::optional<LongMode> long_mode() const noexcept { return std::nullopt; }

  /// Loads everything; gives the state of vCPU 0.
  [[nodiscard]] x86::CpuState boot(GuestMemory& memory, BootLayout const& layout) const {
    Room room{kernel_, memory, layout.memory_map};
    std::uint64_t const entry = load_kernel(room);
    Information info{};
    put_memory(room, layout.memory_map, info);
    put_modules(room, info);
    info[command_line] = narrow(detail::put_text(room, kernel_, "the command line", command_line_));
    info[boot_loader_name] =
        narrow(detail::put_text(room, kernel_, "the loader's name", "Portico"));
    info[flags] |= 1U << 2 | 1U << 9;

    x86::CpuState state = ProtectedMode{narrow(entry), 0}.cpu_state();
    state.rax = 0x2BAD'B002;
    state.rbx = detail::put(room, kernel_, "the Multiboot information",
                            {reinterpret_cast<std::byte const*>(info.data()), sizeof info}, 4);
    detail::put_gdt(room, kernel_, state);
    return state;
  }

 private:
  struct Module {
    ImageFile file;
    std::string string;
  };

  // The information structure as 32-bit fields; the last ones, from drives on, are 0.
  using Information = std::array<std::uint32_t, 29>;
  static constexpr std::size_t flags = 0;
  static constexpr std::size_t mem_lower = 1;
  static constexpr std::size_t mem_upper = 2;
  static constexpr std::size_t command_line = 4;
  static constexpr std::size_t mods_count = 5;
  static constexpr std::size_t mods_addr = 6;
  static constexpr std::size_t mmap_length = 11;
  static constexpr std::size_t mmap_addr = 12;
  static constexpr std::size_t boot_loader_name = 16;

  static std::uint32_t narrow(std::uint64_t address) noexcept {
    return static_cast<std::uint32_t>(address);  // all that is placed here is below 4 GiB
  }

  std::uint64_t load_kernel(Room& room) const {
    if (std::optional<MultibootPlacement> const& place = header_.placement()) {
      gsl::span<std::byte> const target =
          room.take("the kernel, load_addr", place->address, place->memory_size);
      auto const from_file = static_cast<std::size_t>(place->file_size);
      kernel_.read("the kernel", place->file_offset, target.first(from_file));
      std::memset(target.data() + from_file, 0, target.size() - from_file);
      return place->entry;
    }
    ElfFile const elf{kernel_};
    elf.load(room);
    if (elf.entry() >= 4 * GiB)
      kernel_.fail("e_entry " + hex(elf.entry()) +
                   ": an address below 4 GiB is needed, for the CPU starts in 32-bit mode");
    return elf.entry();
  }

  /// mem_lower and mem_upper, in KiB from 0 and from 1 MiB on, and the map.
  void put_memory(Room& room, MemoryMap const& map, Information& info) const {
    constexpr std::size_t entry_bytes = 24;
    std::vector<std::byte> entries(entry_bytes * map.ranges().size());
    std::byte* at = entries.data();
    for (MemoryRange const& range : map.ranges()) {
      store(at, std::uint32_t{entry_bytes - 4});  // this field does not count itself
      store(at + 4, range.base);
      store(at + 12, range.size);
      store(at + 20, static_cast<std::uint32_t>(range.kind));
      at += entry_bytes;
      if (range.kind != MemoryKind::ram) continue;
      std::uint64_t const below_4g = std::min(range.end(), 4 * GiB);
      if (range.base == 0) info[mem_lower] = narrow(range.size / KiB);
      if (range.base == pc::high_memory) info[mem_upper] = narrow((below_4g - range.base) / KiB);
    }
    info[mmap_length] = static_cast<std::uint32_t>(entries.size());
    info[mmap_addr] = narrow(detail::put(room, kernel_, "the memory map", entries, 4));
    info[flags] |= 1U << 0 | 1U << 6;
  }

  void put_modules(Room& room, Information& info) const {
    std::vector<std::uint32_t> list;
    for (Module const& module : modules_) {
      std::uint64_t const place = place_module(room, module.file);
      module.file.read("the module", 0, room.take("module", place, module.file.size()));
      list.push_back(narrow(place));
      list.push_back(narrow(place + module.file.size()));
      list.push_back(
          narrow(detail::put_text(room, module.file, "the module's string", module.string)));
      list.push_back(0);
    }
    info[flags] |= 1U << 3;
    if (list.empty()) return;
    info[mods_count] = static_cast<std::uint32_t>(modules_.size());
    info[mods_addr] =
        narrow(detail::put(room, kernel_, "the list of modules",
                           {reinterpret_cast<std::byte const*>(list.data()), list.size() * 4}, 4));
  }

  /// Above the kernel and the modules before; below, only if there is no room.
  static std::uint64_t place_module(Room const& room, ImageFile const& file) {
    std::uint64_t const above = std::max(room.end_of_taken(), pc::high_memory);
    auto place = room.find_low(file.size(), GuestMemory::page_bytes, above, 4 * GiB);
    if (!place) place = room.find_high(file.size(), GuestMemory::page_bytes, 0, 4 * GiB);
    if (!place)
      file.fail("there is no room for this module of " + std::to_string(file.size()) +
                " bytes in RAM");
    return *place;
  }

  ImageFile kernel_;
  MultibootHeader header_;
  std::string command_line_;
  std::vector<Module> modules_;
};

}  // namespace portico
