/// Puts a board's tables into a guest's memory, and lays out what a boot protocol tells about it.
///
///     #include <portico/firmware/install.hpp>
///
///     template <class Board>
///     portico::BootLayout prepare(Board const& board, portico::GuestMemory& ram) {
///       return portico::install_firmware(portico::describe_board(board), ram, {.cpus = 1});
///     }
///
/// ACPI tables stand from 0xE'0000 on, the MP table at 0xF'0000, where kernels look for them; RAM
/// that has no such addresses gets none.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <portico/boot/memory_map.hpp>
#include <portico/firmware/acpi.hpp>
#include <portico/firmware/described_board.hpp>
#include <portico/firmware/mp_table.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// Writes the tables; the layout's page tables are still 0.
inline BootLayout install_firmware(DescribedBoard const& board, GuestMemory& memory,
                                   FirmwareMachine machine) {
  BootLayout layout{.memory_map = pc_memory_map(memory.regions())};
  if (!memory.span(pc::firmware, pc::high_memory - pc::firmware)) return layout;
  auto const write = [&](std::uint64_t address, std::uint64_t end, std::string const& bytes) {
    auto const* const first = reinterpret_cast<std::byte const*>(bytes.data());
    if (bytes.size() > end - address || !memory.copy_out(address, {first, bytes.size()}))
      throw std::length_error{"the tables for this map need " + std::to_string(bytes.size()) +
                              " bytes, and there is room for " + std::to_string(end - address)};
  };
  layout.rsdp = pc::firmware;
  write(pc::firmware, pc::mp_table, acpi::tables(board, machine, pc::firmware));
  if (machine.apics)
    write(pc::mp_table, pc::high_memory,
          mp::table(board, machine.cpus, pc::mp_table, machine.has_8259s));
  return layout;
}

}  // namespace portico
