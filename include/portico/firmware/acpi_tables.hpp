/// The single ACPI tables that are made from a board: FADT, MADT, DSDT.
///
///     #include <portico/firmware/acpi_tables.hpp>
///
///     portico::acpi::Table describe(portico::DescribedBoard const& board) {
///       return portico::acpi::dsdt(board, 4);          // devices, and four processors
///     }
///
/// acpi.hpp puts them together and into memory. Source: ACPI specification 6.4, section 5.2 and
/// chapter 6.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/firmware/aml.hpp>
#include <portico/firmware/described_board.hpp>

namespace portico::acpi {

/// A table's bytes.
using Table = aml::Bytes;

inline constexpr std::uint32_t local_apic_address = 0xFEE0'0000;
inline constexpr std::uint32_t io_apic_address = 0xFEC0'0000;
inline constexpr std::uint8_t sci_line = 9;

template <class Value>
void put(Table& table, std::size_t offset, Value value) {
  Expects(offset + sizeof value <= table.size());
  store(reinterpret_cast<std::byte*>(table.data()) + offset, value);
}

/// Makes the sum of `length` bytes from `from` on 0, by the byte at `at`.
inline void set_checksum(Table& table, std::size_t at, std::size_t from, std::size_t length) {
  table[at] = 0;
  unsigned sum = 0;
  for (std::size_t index = from; index < from + length; ++index)
    sum += static_cast<std::uint8_t>(table[index]);
  table[at] = static_cast<char>(0U - sum);
}

/// A table with its header and checksum around `body`.
inline Table table(std::string_view signature, unsigned revision, Table const& body) {
  constexpr std::size_t header_size = 36;
  Table made(header_size, '\0');
  made.replace(0, 4, signature);
  made += body;
  put(made, 4, static_cast<std::uint32_t>(made.size()));
  put(made, 8, static_cast<std::uint8_t>(revision));
  made.replace(10, 6, "PORTIC");
  made.replace(16, 8, "PORTICO ");
  put(made, 24, std::uint32_t{1});
  made.replace(28, 4, "PRTC");
  put(made, 32, std::uint32_t{1});
  set_checksum(made, 9, 0, made.size());
  return made;
}

namespace detail {

/// A generic address structure: a register of `bits` bits.
inline void put_register(Table& table, std::size_t offset, Space space, std::uint64_t address,
                         unsigned bits) {
  put(table, offset, static_cast<std::uint8_t>(space == Space::port ? 1 : 0));
  put(table, offset + 1, static_cast<std::uint8_t>(bits));
  put(table, offset + 3, static_cast<std::uint8_t>(bits == 8 ? 1 : bits == 16 ? 2 : 3));
  put(table, offset + 4, address);
}

/// A fixed register block in both of its forms: an old 32-bit port, and a generic address.
inline void put_block(Table& table, std::size_t port_at, std::size_t length_at, std::size_t generic,
                      DescribedRange const& range, std::uint64_t offset, unsigned bytes) {
  std::uint64_t const address = range.base + offset;
  if (range.space == Space::port) put(table, port_at, static_cast<std::uint32_t>(address));
  put(table, length_at, static_cast<std::uint8_t>(bytes));
  put_register(table, generic, range.space, address, 8 * bytes);
}

inline void put_power(Table& table, DescribedDevice const& device) {
  AcpiPowerManagement const& power = *device.role.power;
  DescribedRange const& range = device.ranges[0];
  put(table, 46, static_cast<std::uint16_t>(device.irq.value_or(sci_line)));
  put_block(table, 56, 88, 148, range, power.event, 4);
  put_block(table, 64, 89, 172, range, power.control, 2);
  if (power.timer) put_block(table, 76, 91, 208, range, *power.timer, 4);
}

}  // namespace detail

/// Fixed description: with power-management registers if the board has them, otherwise
/// hardware-reduced; `facs` and `dsdt` are addresses.
inline Table fadt(DescribedBoard const& board, std::uint64_t facs, std::uint64_t dsdt) {
  constexpr std::uint32_t wbinvd = 1U << 0;
  constexpr std::uint32_t c1 = 1U << 2;
  constexpr std::uint32_t no_power_button = 1U << 4;
  constexpr std::uint32_t no_sleep_button = 1U << 5;
  constexpr std::uint32_t no_alarm = 1U << 6;  // of the clock, in the fixed registers
  constexpr std::uint32_t timer_32_bits = 1U << 8;
  constexpr std::uint32_t has_reset = 1U << 10;
  constexpr std::uint32_t hardware_reduced = 1U << 20;
  constexpr std::uint16_t legacy_devices = 1U << 0;
  constexpr std::uint16_t i8042 = 1U << 1;
  constexpr std::uint16_t no_vga = 1U << 2;
  constexpr std::uint16_t no_rtc = 1U << 5;

  Table made(276, '\0');
  std::uint32_t flags = wbinvd | c1 | no_sleep_button | no_alarm;
  DescribedDevice const* const power = board.power();
  if (power != nullptr) {
    put(made, 36, static_cast<std::uint32_t>(facs));
    detail::put_power(made, *power);
    if (power->role.power->timer_has_32_bits) flags |= timer_32_bits;
    if (!power->role.power->power_button) flags |= no_power_button;
  } else {
    flags |= hardware_reduced | no_power_button;
  }
  put(made, 40, static_cast<std::uint32_t>(dsdt));
  put(made, 140, dsdt);
  put(made, 96, std::uint16_t{0xFFFF});  // C2 and C3: not there
  put(made, 98, std::uint16_t{0xFFFF});

  std::uint16_t boot_flags = no_vga;
  if (board.find("PNP0501") != nullptr) boot_flags |= legacy_devices;
  if (board.find("PNP0303") != nullptr) boot_flags |= legacy_devices | i8042;
  if (board.find("PNP0B00") == nullptr)
    boot_flags |= no_rtc;
  else
    put(made, 108, std::uint8_t{0x32});  // the century, as in a PC
  put(made, 109, boot_flags);

  if (DescribedDevice const* const device = board.reset()) {
    flags |= has_reset;
    DescribedRange const& range = device->ranges[0];
    detail::put_register(made, 116, range.space, range.base + device->role.reset->offset, 8);
    put(made, 128, device->role.reset->value);
  }
  put(made, 112, flags);
  put(made, 131, std::uint8_t{3});  // ACPI 6.3: the last change to this table
  return table("FACP", 6, made.substr(36));
}

/// Interrupt controllers: a local APIC for each of `cpus` processors, with IDs from 0 on, an IOAPIC
/// for lines 0 to 23, and those lines of the ISA bus that are no ISA interrupts; `has_8259s` tells of
/// a pair of 8259As, which a kernel masks then.
inline Table madt(DescribedBoard const& board, unsigned cpus, bool has_8259s = true) {
  using aml::detail::byte;
  using aml::detail::number;
  constexpr std::uint32_t pcat_compat = 1;
  Table body = number(local_apic_address) + number(has_8259s ? pcat_compat : std::uint32_t{0});
  for (unsigned cpu = 0; cpu < cpus; ++cpu)
    body += byte(0) + byte(8) + byte(cpu) + byte(cpu) + number(std::uint32_t{1});
  body +=
      byte(1) + byte(12) + byte(0) + byte(0) + number(io_apic_address) + number(std::uint32_t{0});
  constexpr std::uint16_t active_high_level = 0b1101;
  std::array<bool, 16> told{};
  auto const override_line = [&](std::uint32_t line) {
    if (line >= told.size() || told[line]) return;
    told[line] = true;
    body += byte(2) + byte(10) + byte(0) + byte(line) + number(line) + number(active_high_level);
  };
  for (DescribedDevice const& device : board.devices)
    if (device.irq && device.level) override_line(*device.irq);
  if (DescribedDevice const* const power = board.power())
    override_line(power->irq.value_or(sci_line));
  constexpr unsigned all_processors = 0xFF;
  body +=
      byte(4) + byte(6) + byte(all_processors) + number(std::uint16_t{0}) + byte(1);  // LINT1: NMI
  return table("APIC", 5, body);
}

namespace detail {

/// How many devices with the same hardware ID stand before it.
inline unsigned number_among_its_kind(DescribedBoard const& board, std::size_t index) {
  unsigned before = 0;
  for (std::size_t other = 0; other < index; ++other)
    before += board.devices[other].role.hid == board.devices[index].role.hid ? 1 : 0;
  return before;
}

}  // namespace detail

/// Devices and processors.
inline Table dsdt(DescribedBoard const& board, unsigned cpus) {
  Table body;
  auto const numbered = [](char letter, std::size_t index) {
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "%c%03X", letter, static_cast<unsigned>(index & 0xFFF));
    return std::string{text.data()};
  };
  for (unsigned cpu = 0; cpu < cpus; ++cpu)
    body += aml::device(numbered('C', cpu), aml::name("_HID", aml::text("ACPI0007")) +
                                                aml::name("_UID", aml::integer(cpu)));
  for (std::size_t index = 0; index < board.devices.size(); ++index) {
    DescribedDevice const& device = board.devices[index];
    if (device.role.hid.empty()) continue;
    Table where;
    for (DescribedRange const& range : device.ranges)
      where += range.space == Space::port ? aml::ports(range.base, range.size)
                                          : aml::addresses(range.base, range.size);
    if (device.irq)
      where += aml::interrupt(*device.irq, {.level = device.level, .shared = device.shared});
    body += aml::device(
        numbered('D', index),
        aml::name("_HID", aml::hardware_id(device.role.hid)) +
            aml::name("_UID", aml::integer(detail::number_among_its_kind(board, index))) +
            aml::name("_CRS", aml::resources(where)));
  }
  Table block = aml::scope("_SB_", body);
  if (DescribedDevice const* const power = board.power()) {
    Table const type = aml::integer(power->role.power->soft_off);
    block += aml::name("_S5_", aml::package({type, type, aml::integer(0), aml::integer(0)}));
  }
  return table("DSDT", 2, block);
}

}  // namespace portico::acpi
