/// An ELF kernel with a PVH entry, such as Linux's vmlinux: no decompression, no real-mode code.
///
///     #include <portico/boot/pvh_kernel.hpp>
///     #include <portico/machine/booting.hpp>
///     #include <portico/portico.hpp>
///
///     template <class Board>
///     void boot(portico::Machine<Board>& machine) {
///       machine.load(portico::PvhKernel{
///           "vmlinux", {.initrd = "initrd", .command_line = "console=ttyS0"}});
///     }
///
/// The kernel is loaded by its program headers; the initial file system, as module 0, at the
/// highest address below 2 GiB; the start info, with the memory map and the address of the ACPI
/// tables, and the command line in conventional memory. The CPU starts in 32-bit protected mode
/// without paging, at the address in the note XEN_ELFNOTE_PHYS32_ENTRY, with the start info's
/// address in EBX.
///
/// Limits: version 1 of the start info; one module. Source: Xen, docs/misc/pvh.pandoc and
/// public/arch-x86/hvm/start_info.h.
#pragma once

#include <cstddef>
#include <cstdint>
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
#include <portico/boot/room.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/cpu_state.hpp>
#include <portico/x86/long_mode.hpp>
#include <portico/x86/protected_mode.hpp>

namespace portico {

/// What a kernel with a PVH entry is given.
struct PvhOptions {
  std::string initrd{};        ///< path of an initial file system; empty: none
  std::string command_line{};  ///< without a 0 in it
};

/// An open kernel with all that it is booted with, for Machine::load.
class PvhKernel {
 public:
  /// Opens the files and checks the headers; an ImageError names the field that is wrong.
  explicit PvhKernel(std::string path, PvhOptions options = {})
      : PvhKernel{ImageFile{std::move(path), "ELF"}, std::move(options)} {}

  explicit PvhKernel(ImageFile kernel, PvhOptions options = {})
      : kernel_{std::move(kernel)},
        command_line_{std::move(options.command_line)},
        entry_{read_entry(kernel_)} {
    if (!options.initrd.empty()) initrd_.emplace(std::move(options.initrd), "initial file system");
  }

  /// The address of the first instruction.
  [[nodiscard]] std::uint32_t entry() const noexcept { return entry_; }

  /// No page tables.
  [[nodiscard]] std::optional<LongMode> long_mode() const noexcept { return std::nullopt; }

  /// Loads everything; gives the state of vCPU 0.
  [[nodiscard]] x86::CpuState boot(GuestMemory& memory, BootLayout const& layout) const {
    Room room{kernel_, memory, layout.memory_map};
    ElfFile{kernel_}.load(room);
    StartInfo info{};
    info.rsdp = layout.rsdp;
    info.command_line = detail::put_text(room, kernel_, "the command line", command_line_);
    info.memory_map = put_memory_map(room, layout.memory_map);
    info.memory_map_entries = static_cast<std::uint32_t>(layout.memory_map.ranges().size());
    if (initrd_) {
      Module const module{
          detail::put_file(room, *initrd_, "the initial file system", highest_initrd),
          initrd_->size(), 0, 0};
      info.module_count = 1;
      info.modules = detail::put(room, kernel_, "the list of modules", bytes_of(module));
    }
    std::uint64_t const start_info = detail::put(room, kernel_, "hvm_start_info", bytes_of(info));

    x86::CpuState state = ProtectedMode{entry_, 0}.cpu_state();
    state.rbx = start_info;
    detail::put_gdt(room, kernel_, state);
    return state;
  }

 private:
  // Linux takes no initial file system above.
  static constexpr std::uint64_t highest_initrd = 2 * GiB;

  struct StartInfo {
    std::uint32_t magic = 0x336E'C578;
    std::uint32_t version = 1;
    std::uint32_t flags = 0;
    std::uint32_t module_count = 0;
    std::uint64_t modules = 0;
    std::uint64_t command_line = 0;
    std::uint64_t rsdp = 0;
    std::uint64_t memory_map = 0;
    std::uint32_t memory_map_entries = 0;
    std::uint32_t reserved = 0;
  };

  static_assert(sizeof(StartInfo) == 56);

  struct Module {
    std::uint64_t address, size, command_line, reserved;
  };

  struct MapEntry {
    std::uint64_t address, size;
    std::uint32_t type, reserved;
  };

  template <class Structure>
  static gsl::span<std::byte const> bytes_of(Structure const& structure) noexcept {
    return {reinterpret_cast<std::byte const*>(&structure), sizeof structure};
  }

  static std::uint32_t read_entry(ImageFile const& kernel) {
    ElfFile const elf{kernel};
    auto const entry = elf.pvh_entry();
    if (!entry)
      kernel.fail(
          "has no note XEN_ELFNOTE_PHYS32_ENTRY, so it has no PVH entry (Linux: CONFIG_PVH)");
    if (*entry >= 4 * GiB)
      kernel.fail("XEN_ELFNOTE_PHYS32_ENTRY is " + hex(*entry) +
                  "; an address below 4 GiB is needed");
    for (ElfSegment const& segment : elf.segments())
      if (segment.type == ElfFile::loaded && *entry >= segment.address &&
          *entry - segment.address < segment.memory_size)
        return static_cast<std::uint32_t>(*entry);
    kernel.fail("XEN_ELFNOTE_PHYS32_ENTRY " + hex(*entry) +
                " lies in none of its PT_LOAD segments");
  }

  std::uint64_t put_memory_map(Room& room, MemoryMap const& map) const {
    std::vector<MapEntry> entries;
    for (MemoryRange const& range : map.ranges())
      entries.push_back({range.base, range.size, static_cast<std::uint32_t>(range.kind), 0});
    return detail::put(
        room, kernel_, "the memory map",
        {reinterpret_cast<std::byte const*>(entries.data()), entries.size() * sizeof(MapEntry)});
  }

  ImageFile kernel_;
  std::optional<ImageFile> initrd_;
  std::string command_line_;
  std::uint32_t entry_;
};

}  // namespace portico
