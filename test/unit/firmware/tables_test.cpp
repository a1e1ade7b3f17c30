// The tables that a board's guest gets: what is in them, and that they add up.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/device/dynamic_map.hpp>
#include <portico/firmware/acpi.hpp>
#include <portico/firmware/install.hpp>
#include <portico/firmware/kernel_arguments.hpp>
#include <portico/firmware/mp_table.hpp>

#include "boards.hpp"

namespace portico {
namespace {

using test::FullBoard;
using test::SmallBoard;

template <class Value>
Value get(std::string_view bytes, std::size_t offset) {
  EXPECT_LE(offset + sizeof(Value), bytes.size());
  return load<Value>(reinterpret_cast<std::byte const*>(bytes.data()) + offset);
}

unsigned sum(std::string_view bytes) {
  unsigned total = 0;
  for (char const byte : bytes) total += static_cast<std::uint8_t>(byte);
  return total & 0xFF;
}

TEST(Description, IsTheMapsOwn) {
  DescribedBoard const board = describe_board(FullBoard{});
  ASSERT_EQ(board.devices.size(), 6U);
  DescribedDevice const* const uart = board.find("PNP0501");
  ASSERT_NE(uart, nullptr);
  EXPECT_EQ(uart->name, "com1");
  EXPECT_EQ(uart->ranges[0].base, 0x3F8U);
  EXPECT_EQ(uart->ranges[0].size, 8U);
  EXPECT_EQ(uart->irq, 4U);
  EXPECT_FALSE(uart->level);
  EXPECT_EQ(board.find("PNP0303")->ranges.size(), 2U);
  EXPECT_EQ(board.find("PNP0A03"), nullptr);
  EXPECT_EQ(board.power()->name, "Power");
  EXPECT_TRUE(board.interrupts());
  EXPECT_FALSE(describe_board(DeviceMap<>{}).interrupts());
}

TEST(Description, OfADynamicMapIsWhatWasPlaced) {
  DynamicMap<test::Virtio, test::Silent> map;
  map.place<test::Virtio>(
      {.space = Space::mmio, .base = 0xD000'0000, .size = 0x1000, .irq = 5, .level = true});
  map.place<test::Silent>({.space = Space::port, .base = 0x80});
  DescribedBoard const board = describe_board(map);
  ASSERT_EQ(board.devices.size(), 2U);
  EXPECT_EQ(board.devices[0].role.hid, "LNRO0005");
  EXPECT_EQ(board.devices[0].ranges[0].base, 0xD000'0000U);
  EXPECT_TRUE(board.devices[0].level);
  EXPECT_TRUE(board.devices[1].role.hid.empty());
}

/// The table at the guest address that a pointer gives, with its checksum verified.
std::string_view table_at(std::string const& all, std::uint64_t base, std::uint64_t address) {
  std::string_view const rest = std::string_view{all}.substr(address - base);
  auto const length = get<std::uint32_t>(rest, 4);
  EXPECT_LE(length, rest.size());
  std::string_view const table = rest.substr(0, length);
  if (table.substr(0, 4) != "FACS") {
    EXPECT_EQ(sum(table), 0U) << table.substr(0, 4);
  }
  return table;
}

/// The XSDT's tables by name; the RSDT must say the same.
std::string_view find_table(std::string const& all, std::uint64_t base, std::string_view name) {
  std::string_view const xsdt = table_at(all, base, get<std::uint64_t>(all, 24));
  std::string_view const rsdt = table_at(all, base, get<std::uint32_t>(all, 16));
  EXPECT_EQ((xsdt.size() - 36) / 8, (rsdt.size() - 36) / 4);
  for (std::size_t index = 0; index < (xsdt.size() - 36) / 8; ++index) {
    auto const address = get<std::uint64_t>(xsdt, 36 + 8 * index);
    EXPECT_EQ(get<std::uint32_t>(rsdt, 36 + 4 * index), address);
    std::string_view const table = table_at(all, base, address);
    if (table.substr(0, 4) == name) return table;
  }
  return {};
}

TEST(Acpi, TheRootLeadsToTablesThatAddUp) {
  constexpr std::uint64_t base = 0xE'0000;
  std::string const all = acpi::tables(describe_board(FullBoard{}), {.cpus = 2}, base);
  EXPECT_EQ(all.substr(0, 8), "RSD PTR ");
  EXPECT_EQ(sum(std::string_view{all}.substr(0, 20)), 0U);
  EXPECT_EQ(sum(std::string_view{all}.substr(0, 36)), 0U);
  EXPECT_EQ(get<std::uint8_t>(all, 15), 2U);
  std::string_view const fadt = find_table(all, base, "FACP");
  ASSERT_EQ(fadt.size(), 276U);
  EXPECT_EQ(table_at(all, base, get<std::uint64_t>(fadt, 140)).substr(0, 4), "DSDT");
  EXPECT_EQ(get<std::uint32_t>(fadt, 40), get<std::uint64_t>(fadt, 140));
  EXPECT_EQ(table_at(all, base, get<std::uint32_t>(fadt, 36)).substr(0, 4), "FACS");
  EXPECT_EQ(get<std::uint32_t>(fadt, 36) % 64, 0U);
  EXPECT_FALSE(find_table(all, base, "APIC").empty());
  std::string const without =
      acpi::tables(describe_board(FullBoard{}), {.cpus = 1, .apics = false}, base);
  EXPECT_TRUE(find_table(without, base, "APIC").empty());
}

TEST(Acpi, FixedRegistersStandWhereTheMapHasThem) {
  std::string const fadt = acpi::fadt(describe_board(FullBoard{}), 0x1000, 0x2000);
  EXPECT_EQ(get<std::uint16_t>(fadt, 46), 9U);
  EXPECT_EQ(get<std::uint32_t>(fadt, 56), 0x600U);  // PM1a_EVT_BLK
  EXPECT_EQ(get<std::uint32_t>(fadt, 64), 0x604U);  // PM1a_CNT_BLK
  EXPECT_EQ(get<std::uint32_t>(fadt, 76), 0x608U);  // PM_TMR_BLK
  EXPECT_EQ(get<std::uint8_t>(fadt, 88), 4U);
  EXPECT_EQ(get<std::uint8_t>(fadt, 89), 2U);
  EXPECT_EQ(get<std::uint8_t>(fadt, 91), 4U);
  EXPECT_EQ(get<std::uint64_t>(fadt, 152), 0x600U);
  EXPECT_EQ(get<std::uint16_t>(fadt, 109), 0x7U);  // legacy devices, i8042, no VGA, a clock
  EXPECT_EQ(get<std::uint32_t>(fadt, 112) & (1U << 20 | 1U << 8 | 1U << 4), 0U);
  EXPECT_NE(get<std::uint32_t>(fadt, 112) & (1U << 10), 0U);
  EXPECT_EQ(get<std::uint64_t>(fadt, 120), 0x60CU);  // the reset register
  EXPECT_EQ(get<std::uint8_t>(fadt, 128), 1U);
}

TEST(Acpi, WithoutThemTheHardwareIsReduced) {
  std::string const fadt = acpi::fadt(describe_board(SmallBoard{}), 0, 0x2000);
  EXPECT_EQ(get<std::uint32_t>(fadt, 36), 0U);
  EXPECT_EQ(get<std::uint32_t>(fadt, 56), 0U);
  EXPECT_EQ(get<std::uint16_t>(fadt, 109), 0x25U);  // legacy devices, no VGA, no clock
  EXPECT_EQ(get<std::uint32_t>(fadt, 112) & (1U << 20 | 1U << 4), 1U << 20 | 1U << 4);
  EXPECT_EQ(get<std::uint32_t>(fadt, 112) & (1U << 10), 0U);
}

TEST(Acpi, EachProcessorHasALocalApicAndLevelLinesAreToldApart) {
  std::string const madt = acpi::madt(describe_board(FullBoard{}), 3);
  std::vector<unsigned> processors;
  std::vector<unsigned> overrides;
  std::size_t at = 44;
  while (at < madt.size()) {
    auto const type = get<std::uint8_t>(madt, at);
    if (type == 0) processors.push_back(get<std::uint8_t>(madt, at + 3));
    if (type == 1) {
      EXPECT_EQ(get<std::uint32_t>(madt, at + 4), 0xFEC0'0000U);
    }
    if (type == 2) {
      EXPECT_EQ(get<std::uint8_t>(madt, at + 3), get<std::uint32_t>(madt, at + 4));
      EXPECT_EQ(get<std::uint16_t>(madt, at + 8), 0xDU);
      overrides.push_back(get<std::uint8_t>(madt, at + 3));
    }
    ASSERT_GT(get<std::uint8_t>(madt, at + 1), 0U);
    at += get<std::uint8_t>(madt, at + 1);
  }
  EXPECT_EQ(at, madt.size());
  EXPECT_EQ(processors, (std::vector<unsigned>{0, 1, 2}));
  EXPECT_EQ(overrides, (std::vector<unsigned>{9, 5}));  // not 16, which is no ISA interrupt
}

TEST(Aml, LengthsAndNumbersAreEncodedInTheirShortestForm) {
  EXPECT_EQ(aml::integer(0), std::string("\0", 1));
  EXPECT_EQ(aml::integer(1), "\1");
  EXPECT_EQ(aml::integer(2), "\x0A\2");
  EXPECT_EQ(aml::integer(0x1234), "\x0B\x34\x12");
  EXPECT_EQ(aml::integer(0x1234'5678), "\x0C\x78\x56\x34\x12");
  EXPECT_EQ(aml::integer(0x1'0000'0000), std::string("\x0E\0\0\0\0\1\0\0\0", 9));
  EXPECT_EQ(aml::hardware_id("PNP0501"), "\x0C\x41\xD0\x05\x01");
  EXPECT_EQ(aml::hardware_id("LNRO0005").substr(0, 2), "\x0DL");
  for (std::size_t const size : {0U, 62U, 63U, 64U, 4093U, 4094U, 4095U, 70'000U}) {
    std::string const coded = aml::detail::with_length(std::string(size, 'x'));
    unsigned const more = static_cast<std::uint8_t>(coded[0]) >> 6;
    std::size_t length = static_cast<std::uint8_t>(coded[0]) & (more == 0 ? 0x3F : 0xF);
    for (unsigned index = 1; index <= more; ++index)
      length |= std::size_t{static_cast<std::uint8_t>(coded[index])} << (8 * index - 4);
    EXPECT_EQ(length, coded.size()) << size;
    EXPECT_EQ(coded.size(), size + 1 + more);
  }
}

TEST(MpTable, HasProcessorsAndLines) {
  std::string const all = mp::table(describe_board(FullBoard{}), 2, 0xF'0000);
  EXPECT_EQ(all.substr(0, 4), "_MP_");
  EXPECT_EQ(sum(std::string_view{all}.substr(0, 16)), 0U);
  EXPECT_EQ(get<std::uint32_t>(all, 4), 0xF'0010U);
  std::string_view const table = std::string_view{all}.substr(16);
  EXPECT_EQ(table.substr(0, 4), "PCMP");
  EXPECT_EQ(get<std::uint16_t>(table, 4), table.size());
  EXPECT_EQ(sum(table), 0U);
  unsigned processors = 0;
  unsigned count = 0;
  std::vector<unsigned> level;
  std::vector<unsigned> lines;
  for (std::size_t at = 44; at < table.size(); ++count) {
    auto const type = get<std::uint8_t>(table, at);
    if (type == 0) {
      EXPECT_EQ(get<std::uint8_t>(table, at + 1), processors++);
    }
    if (type == 2) {
      EXPECT_EQ(get<std::uint8_t>(table, at + 1), 2U);
    }
    if (type == 3) {
      lines.push_back(get<std::uint8_t>(table, at + 7));
      if (get<std::uint16_t>(table, at + 2) != 0) level.push_back(lines.back());
      EXPECT_EQ(get<std::uint8_t>(table, at + 5), lines.back());
      EXPECT_EQ(get<std::uint8_t>(table, at + 6), 2U);
    }
    at += type == 0 ? 20 : 8;
  }
  EXPECT_EQ(processors, 2U);
  EXPECT_EQ(count, get<std::uint16_t>(table, 34));
  EXPECT_EQ(lines.size(), 17U);
  EXPECT_EQ(level, (std::vector<unsigned>{5, 9, 16}));
}

TEST(Tables, TellOfThe8259sWhereThereAreSome) {
  DescribedBoard const board = describe_board(FullBoard{});
  for (bool const expected : {true, false}) {
    FirmwareMachine const machine{.cpus = 1, .has_8259s = expected};
    std::string const all = acpi::tables(board, machine, 0xE'0000);
    EXPECT_EQ(get<std::uint32_t>(find_table(all, 0xE'0000, "APIC"), 40), expected ? 1U : 0U);

    GuestMemory memory{2 * MiB};
    install_firmware(board, memory, machine);
    unsigned external = 0;  // entries that lead the 8259s to a local APIC
    unsigned nmi = 0;
    std::uint64_t at = 0xF'0010 + 44;
    for (unsigned left = *memory.read<std::uint16_t>(0xF'0010 + 34); left != 0; --left) {
      auto const type = *memory.read<std::uint8_t>(at);
      external += type >= 3 && *memory.read<std::uint8_t>(at + 1) == 3 ? 1U : 0U;
      nmi += type == 4 && *memory.read<std::uint8_t>(at + 1) == 1 ? 1U : 0U;
      at += type == 0 ? 20 : 8;
    }
    EXPECT_EQ(external, expected ? 1U : 0U);
    EXPECT_EQ(nmi, 1U);
    EXPECT_EQ(at, 0xF'0010 + *memory.read<std::uint16_t>(0xF'0010 + 4));
  }
}

TEST(Arguments, AreTheMapsOwn) {
  DescribedBoard const full = describe_board(FullBoard{});
  EXPECT_EQ(virtio_mmio_arguments(full),
            "virtio_mmio.device=0x1000@0xd0000000:5 virtio_mmio.device=0x1000@0x1000000000:16");
  EXPECT_EQ(kernel_arguments(full), "pci=off");
  EXPECT_EQ(kernel_arguments(describe_board(SmallBoard{})), "pci=off reboot=t");
}

TEST(Install, TablesStandWhereKernelsLook) {
  GuestMemory memory{2 * MiB};
  BootLayout const layout = install_firmware(describe_board(FullBoard{}), memory, {.cpus = 1});
  EXPECT_EQ(layout.rsdp, 0xE'0000U);
  EXPECT_EQ(memory.read<std::uint32_t>(0xE'0000), 0x2044'5352U);
  EXPECT_EQ(memory.read<std::uint32_t>(0xF'0000), 0x5F50'4D5FU);
  EXPECT_EQ(layout.memory_map.ranges().size(), 4U);
  EXPECT_EQ(layout.memory_map.ranges()[2], (MemoryRange{0xE'0000, 0x2'0000, MemoryKind::reserved}));
}

TEST(Install, ASmallMemoryHasNone) {
  GuestMemory memory{512 * KiB};
  BootLayout const layout = install_firmware(describe_board(FullBoard{}), memory, {.cpus = 1});
  EXPECT_EQ(layout.rsdp, 0U);
  ASSERT_EQ(layout.memory_map.ranges().size(), 1U);
  EXPECT_EQ(layout.memory_map.ranges()[0], (MemoryRange{0, 512 * KiB, MemoryKind::ram}));
}

}  // namespace
}  // namespace portico
