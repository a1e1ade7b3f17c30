/// A plain ELF executable as a guest: loaded by its physical addresses (p_paddr), started at its
/// entry in the mode that its class says.
///
///     #include <portico/boot/elf_image.hpp>
///     #include <portico/machine/booting.hpp>
///     #include <portico/portico.hpp>
///
///     int main(int, char** argv) {
///       portico::Machine machine{portico::GuestMemory{8 * portico::MiB}, portico::DeviceMap<>{}};
///       machine.load(portico::ElfImage{argv[1]});     // ELF64: long mode; ELF32: protected mode
///       return std::holds_alternative<portico::Halted>(machine.run()) ? 0 : 1;
///     }
///
/// An ELF64 file starts as LongMode says, with RAM mapped onto itself; an ELF32 file without
/// paging. The stack grows down from the end of RAM below 4 GiB, a page of which the image must
/// leave free, or from where the options say. Limits: see elf_file.hpp; nothing is handed to the
/// guest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <portico/boot/elf_file.hpp>
#include <portico/boot/memory_map.hpp>
#include <portico/boot/room.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/cpu_state.hpp>
#include <portico/x86/long_mode.hpp>
#include <portico/x86/protected_mode.hpp>

namespace portico {

/// How an ELF executable starts.
struct ElfOptions {
  /// For ELF64: what is mapped, and by which pages.
  LongMode long_mode = LongMode{PageSize::k2MiB};
  /// The initial stack pointer.
  std::optional<std::uint64_t> stack{};
};

/// An open executable, for Machine::load.
class ElfImage {
 public:
  /// Opens it and checks its headers; an ImageError names the field that is wrong.
  explicit ElfImage(std::string path, ElfOptions options = {})
      : ElfImage{ImageFile{std::move(path), "ELF"}, options} {}

  explicit ElfImage(ImageFile file, ElfOptions options = {})
      : file_{std::move(file)}, options_{options}, is_64_{ElfFile{file_}.is_64()} {}

  /// Whether page tables are needed, and which.
  [[nodiscard]] std::optional<LongMode> long_mode() const noexcept {
    return is_64_ ? std::optional{options_.long_mode} : std::nullopt;
  }

  /// Loads it; gives the state of vCPU 0.
  [[nodiscard]] x86::CpuState boot(GuestMemory& memory, BootLayout const& layout) const {
    Room room{file_, memory, layout.memory_map};
    ElfFile const elf{file_};
    elf.load(room);
    std::uint64_t const entry = elf.entry();
    std::uint64_t const stack = options_.stack ? *options_.stack : take_stack(room);
    if (is_64_) return LongMode::cpu_state(layout.page_tables, entry, stack);
    return ProtectedMode{static_cast<std::uint32_t>(entry), static_cast<std::uint32_t>(stack)}
        .cpu_state();
  }

 private:
  [[nodiscard]] std::uint64_t take_stack(Room& room) const {
    std::uint64_t const top = room.end_of_ram(4 * GiB);
    room.take("the stack", top < GuestMemory::page_bytes ? 0 : top - GuestMemory::page_bytes,
              GuestMemory::page_bytes);
    return top;
  }

  ImageFile file_;
  ElfOptions options_;
  bool is_64_;
};

}  // namespace portico
