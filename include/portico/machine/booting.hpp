/// Starts an image that brings a boot protocol: tables into memory, the image, the first vCPU's
/// registers.
///
///     #include <portico/boot/elf_image.hpp>
///     #include <portico/machine/booting.hpp>
///
///     void boot(auto& machine) { machine.load(portico::ElfImage{"kernel"}); }
///
/// Machine::load(image) needs this header; the umbrella leaves it out, as course guests do.
#pragma once

#include <cstdint>
#include <optional>

#include <portico/boot/memory_map.hpp>
#include <portico/firmware/described_board.hpp>
#include <portico/firmware/install.hpp>
#include <portico/kvm/boot_msrs.hpp>
#include <portico/kvm/cpu_state.hpp>
#include <portico/machine/memory_slots.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/long_mode.hpp>

namespace portico::detail {

/// Sets up a machine's memory, its vCPUs' boot registers and vCPU 0; throws what the image throws.
/// Machine::load finds it by its arguments. `Chip` is the machine's Irqchip, `apics` says whether
/// there are local APICs.
template <class Image, class Machine, class Chip>
void boot_image(Image const& image, Machine& machine, MemorySlots& slots, Chip, bool apics) {
  GuestMemory& memory = machine.memory();
  DescribedBoard const described = describe_board(machine.board());
  BootLayout layout = install_firmware(
      described, memory,
      {.cpus = machine.vcpu_count(), .apics = apics, .has_8259s = Chip::has_8259s});
  if (std::optional<LongMode> const mode = image.long_mode()) {
    std::uint64_t const bytes = mode->table_bytes(memory.regions());
    layout.page_tables =
        slots.place_tables(machine.vm(), machine.board(), memory, bytes, mode->windows());
    mode->build_tables(memory.tail(), layout.page_tables, memory.regions());
    layout.memory_map.add({layout.page_tables, bytes, MemoryKind::reserved});
  }
  kvm::set_cpu_state(machine.vcpu(), image.boot(memory, layout));
  for (unsigned index = 0; index < machine.vcpu_count(); ++index)
    kvm::set_boot_msrs(machine.vcpu(index));
}

}  // namespace portico::detail
