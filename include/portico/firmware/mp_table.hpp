/// Intel's MultiProcessor table: processors and interrupt lines for kernels without ACPI.
///
///     #include <portico/firmware/mp_table.hpp>
///
///     std::string two_processors(portico::DescribedBoard const& board) {
///       return portico::mp::table(board, 2, 0xF'0000);   // the floating pointer is first
///     }
///
/// One bus, ISA; its interrupts 0 to 15, and the map's lines above, go to the IOAPIC's pins of the
/// same number. Source: MultiProcessor Specification 1.4, chapter 4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <portico/firmware/acpi_tables.hpp>
#include <portico/firmware/described_board.hpp>

namespace portico::mp {

/// The table as it stands at guest address `base`, a multiple of 16 below 4 GiB; `cpus` local APICs
/// with IDs from 0 on, at most 254; `has_8259s` tells of a pair of 8259As at their LINT0.
inline std::string table(DescribedBoard const& board, unsigned cpus, std::uint64_t base,
                         bool has_8259s = true) {
  using aml::detail::byte;
  using aml::detail::number;
  constexpr unsigned apic_version = 0x14;
  constexpr unsigned io_apic_version = 0x11;
  constexpr unsigned lines = 24;
  Expects(cpus >= 1 && cpus <= 254);
  unsigned const io_apic = cpus;  // IDs must differ

  std::uint16_t count = 0;
  std::string entries;
  auto const add = [&](std::string const& entry) {
    entries += entry;
    ++count;
  };
  for (unsigned cpu = 0; cpu < cpus; ++cpu)
    add(byte(0) + byte(cpu) + byte(apic_version) + byte(cpu == 0 ? 3 : 1) +
        number(std::uint32_t{0x600}) + number(std::uint32_t{0x201}) + number(std::uint64_t{0}));
  add(byte(1) + byte(0) + "ISA   ");
  add(byte(2) + byte(io_apic) + byte(io_apic_version) + byte(1) + number(acpi::io_apic_address));
  for (unsigned line = 0; line < lines; ++line) {
    bool level = false;
    bool used = line < 16;
    for (DescribedDevice const& device : board.devices) {
      if (device.irq != line) continue;
      used = true;
      level = level || device.level;
    }
    constexpr std::uint16_t active_high_level = 0b1101;
    if (used)
      add(byte(3) + byte(0) + number(level ? active_high_level : std::uint16_t{0}) + byte(0) +
          byte(line) + byte(io_apic) + byte(line));
  }
  // The 8259s at LINT0, NMI at LINT1, of every processor.
  if (has_8259s)
    add(byte(4) + byte(3) + number(std::uint16_t{0}) + byte(0) + byte(0) + byte(0xFF) + byte(0));
  add(byte(4) + byte(1) + number(std::uint16_t{0}) + byte(0) + byte(0) + byte(0xFF) + byte(1));

  constexpr std::size_t pointer_size = 16;
  constexpr std::size_t header_size = 44;
  std::string made(pointer_size + header_size, '\0');
  made += entries;
  made.replace(0, 4, "_MP_");
  acpi::put(made, 4, static_cast<std::uint32_t>(base + pointer_size));
  acpi::put(made, 8, std::uint8_t{1});
  acpi::put(made, 9, std::uint8_t{4});
  acpi::set_checksum(made, 10, 0, pointer_size);
  made.replace(pointer_size, 4, "PCMP");
  acpi::put(made, pointer_size + 4, static_cast<std::uint16_t>(made.size() - pointer_size));
  acpi::put(made, pointer_size + 6, std::uint8_t{4});
  made.replace(pointer_size + 8, 8, "PORTICO ");
  made.replace(pointer_size + 16, 12, "MACHINE     ");
  acpi::put(made, pointer_size + 34, count);
  acpi::put(made, pointer_size + 36, acpi::local_apic_address);
  acpi::set_checksum(made, pointer_size + 7, pointer_size, made.size() - pointer_size);
  return made;
}

}  // namespace portico::mp
