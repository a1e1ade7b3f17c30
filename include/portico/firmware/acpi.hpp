/// All ACPI tables of a board, in one piece for one place in memory.
///
///     #include <portico/firmware/acpi.hpp>
///     #include <portico/memory/guest_memory.hpp>
///
///     /// Gives the address of the root pointer, which a kernel also finds by itself there.
///     std::uint64_t install(portico::DescribedBoard const& board, portico::GuestMemory& ram) {
///       std::string const tables = portico::acpi::tables(board, {.cpus = 2}, 0xE'0000);
///       bool const is_ram = ram.copy_out(0xE'0000, gsl::as_bytes(gsl::span{tables}));
///       return is_ram ? 0xE'0000 : 0;
///     }
///
/// RSDP, RSDT, XSDT, FADT, DSDT, FACS where there are power-management registers, MADT where there
/// are APICs. Limits: no PCI, no power button, no methods. Source: ACPI specification 6.4, section
/// 5.2.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/firmware/acpi_tables.hpp>
#include <portico/firmware/described_board.hpp>

namespace portico {

/// What the map does not know of a machine.
struct FirmwareMachine {
  unsigned cpus = 1;      ///< their APIC IDs are 0, 1, ...
  bool apics = true;      ///< there are local APICs and an IOAPIC
  bool has_8259s = true;  ///< beside them, a pair of 8259As
};

namespace acpi {

/// The tables as they stand at guest address `base`, a multiple of 16; the root pointer is first.
inline Table tables(DescribedBoard const& board, FirmwareMachine machine, std::uint64_t base) {
  constexpr std::size_t rsdp_size = 36;
  constexpr std::uint64_t alignment = 64;  // FACS needs it
  Table all(rsdp_size, '\0');
  auto const add = [&](Table const& one) {
    all.resize(align_up(all.size(), alignment), '\0');
    std::uint64_t const address = base + all.size();
    all += one;
    return address;
  };
  std::uint64_t facs = 0;
  if (board.power() != nullptr) {
    Table made(64, '\0');
    made.replace(0, 4, "FACS");
    put(made, 4, std::uint32_t{64});
    put(made, 32, std::uint8_t{2});
    facs = add(made);
  }
  std::uint64_t const described = add(dsdt(board, machine.cpus));
  std::vector<std::uint64_t> listed{add(fadt(board, facs, described))};
  if (machine.apics) listed.push_back(add(madt(board, machine.cpus, machine.has_8259s)));
  Table narrow;
  Table wide;
  for (std::uint64_t const address : listed) {
    narrow += aml::detail::number(static_cast<std::uint32_t>(address));
    wide += aml::detail::number(address);
  }
  std::uint64_t const rsdt = add(table("RSDT", 1, narrow));
  std::uint64_t const xsdt = add(table("XSDT", 1, wide));

  all.replace(0, 8, "RSD PTR ");
  all.replace(9, 6, "PORTIC");
  put(all, 15, std::uint8_t{2});
  put(all, 16, static_cast<std::uint32_t>(rsdt));
  put(all, 20, std::uint32_t{rsdp_size});
  put(all, 24, xsdt);
  set_checksum(all, 8, 0, 20);
  set_checksum(all, 32, 0, rsdp_size);
  return all;
}

}  // namespace acpi

}  // namespace portico
