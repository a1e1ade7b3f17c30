// Virtio devices that a machine may lack, and what its tables say of those that it has.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include <portico/device/dynamic_map.hpp>
#include <portico/device/locked.hpp>
#include <portico/firmware/acpi_tables.hpp>
#include <portico/firmware/described_board.hpp>
#include <portico/firmware/kernel_arguments.hpp>
#include <portico/firmware/mp_table.hpp>
#include <portico/virtio/entropy.hpp>
#include <portico/virtio/optional.hpp>

#include "unit/virtio/probe.hpp"

namespace portico {
namespace {

using MaybeEntropy = OptionalVirtio<Entropy>;
using MaybeProbe = OptionalVirtio<test::Probe>;

template <class Transport>
concept HasEvent = requires { &Transport::event; };
static_assert(HasEvent<VirtioMmio<MaybeProbe>> && !HasEvent<VirtioMmio<MaybeEntropy>>);

TEST(OptionalVirtio, an_empty_place_has_device_id_0_and_does_nothing) {
  test::VirtioRig<MaybeProbe> rig;
  EXPECT_EQ(rig.read(0x000), 0x7472'6976U);
  EXPECT_EQ(rig.read(0x008), 0U);
  EXPECT_EQ(rig.offered() & VirtioFeature::of_the_device, 0U);
  EXPECT_EQ(rig.device().get(), nullptr);
  EXPECT_FALSE(rig.transport().is_present());
  rig.start();  // no driver does
  rig.set_config<std::uint32_t>(0, 1);
  ASSERT_TRUE(rig.queue(0).add({{rig.allocate(16), 16, true}}));
  rig.kick(0);
  EXPECT_FALSE(rig.event());
  EXPECT_FALSE(rig.queue(0).use());
  rig.write(0x070, 0);
  EXPECT_EQ(rig.read(0x070), 0U);
}

TEST(OptionalVirtio, a_device_gets_all_calls) {
  test::VirtioRig<MaybeProbe> rig{[] {
    return MaybeProbe{std::in_place, [](std::size_t, VirtioQueues& queues) {
                        while (auto chain = queues[0].take()) (void)chain->write(std::uint8_t{7});
                      }};
  }};
  test::Probe& probe = *rig.device().get();
  EXPECT_EQ(rig.read(0x008), 63U);
  EXPECT_EQ(rig.offered() & VirtioFeature::of_the_device, 7U);
  EXPECT_FALSE(rig.negotiate(test::version_1 | 2));
  rig.start();
  EXPECT_EQ(rig.config<std::uint32_t>(0), 0x1234'5678U);
  rig.set_config<std::uint16_t>(4, 5);
  EXPECT_EQ(rig.request(0, {}, 1), std::vector<std::byte>{std::byte{7}});
  EXPECT_TRUE(rig.event());
  rig.write(0x030, 0);
  rig.write(0x0C0, 1);
  rig.write(0x070, 0);
  // The first reset is that of the driver that was refused.
  EXPECT_EQ(probe.calls, (std::vector<std::string>{"reset", "reset", "activate", "write_config 4 2",
                                                   "event", "reset_queue 0", "reset"}));
  probe.state.value = 5;
  auto const saved = rig.transport().save();
  EXPECT_EQ(saved.device.value, 5);
  test::VirtioRig<MaybeProbe> other{[] { return MaybeProbe{std::in_place}; }};
  other.transport().load(saved);
  EXPECT_EQ(other.device().get()->state.value, 5);
}

using First = Mmio<0xD000'0000, VirtioMmio<MaybeEntropy>, Irq<5>, Named<"first">>;
using Second = Mmio<0xD000'0200, Locked<VirtioMmio<MaybeEntropy>>, Irq<10, Level>, Named<"second">>;
using BothPlaces = DeviceMap<First, Second>;

BothPlaces board(bool first, bool second) {
  auto const make = [](bool is_there) {
    return is_there ? MaybeEntropy{std::in_place} : MaybeEntropy{};
  };
  return BothPlaces{[&] { return make(first); }, [&] { return make(second); }};
}

/// AML of one device: _HID LNRO0005, _UID, and _CRS with 0x200 bytes and an interrupt.
std::string described(std::string_view name, char uid, std::string_view base,
                      std::string_view interrupt) {
  using namespace std::string_view_literals;
  std::string text{"\x5B\x82\x3A"};
  text += name;
  text += "\x08_HID\x0DLNRO0005\0"sv;
  text += "\x08_UID"sv;
  text += uid;
  text += "\x08_CRS\x11\x1A\x0A\x17\x86\x09\x00\x01"sv;
  text += base;
  text += "\x00\x02\x00\x00\x89\x06\x00"sv;
  text += interrupt;
  text += "\x79\x00"sv;
  return text;
}

TEST(VirtioTables, have_each_device_that_is_there) {
  using namespace std::string_view_literals;
  std::string const table = acpi::dsdt(describe_board(board(true, true)), 1);
  // Consumer and edge-triggered; level-triggered; then one interrupt.
  for (std::string const& device :
       {described("D000", 0, "\x00\x00\x00\xD0"sv, "\x03\x01\x05\x00\x00\x00"sv),
        described("D001", 1, "\x00\x02\x00\xD0"sv, "\x01\x01\x0A\x00\x00\x00"sv)})
    EXPECT_NE(table.find(device), std::string::npos) << testing::PrintToString(table);
  EXPECT_EQ(virtio_mmio_arguments(describe_board(board(true, true))),
            "virtio_mmio.device=0x200@0xd0000000:5 virtio_mmio.device=0x200@0xd0000200:10");
}

TEST(VirtioTables, are_those_of_a_board_without_what_is_not_there) {
  DescribedBoard const without = describe_board(DeviceMap<>{});
  DescribedBoard const empty = describe_board(board(false, false));
  EXPECT_TRUE(empty.devices.empty());
  EXPECT_FALSE(empty.interrupts());
  EXPECT_EQ(acpi::dsdt(empty, 2), acpi::dsdt(without, 2));
  EXPECT_EQ(acpi::madt(empty, 2), acpi::madt(without, 2));
  EXPECT_EQ(mp::table(empty, 2, 0xF'0000), mp::table(without, 2, 0xF'0000));
  EXPECT_EQ(virtio_mmio_arguments(empty), "");

  BothPlaces const one = board(false, true);
  DescribedBoard const second = describe_board(one);
  ASSERT_EQ(second.devices.size(), 1U);
  EXPECT_EQ(second.devices[0].name, "second");
  EXPECT_NE(acpi::madt(second, 2), acpi::madt(without, 2));
}

TEST(VirtioTables, leave_out_empty_places_of_a_dynamic_map) {
  DynamicMap<VirtioMmio<MaybeEntropy>> map;
  map.place<VirtioMmio<MaybeEntropy>>(
      {.space = Space::mmio, .base = 0xD000'0000, .name = "first", .irq = 5}, MaybeEntropy{});
  map.place<VirtioMmio<MaybeEntropy>>(
      {.space = Space::mmio, .base = 0xD000'0200, .name = "second", .irq = 6},
      [] { return MaybeEntropy{std::in_place}; });
  DescribedBoard const described = describe_board(map);
  ASSERT_EQ(described.devices.size(), 1U);
  EXPECT_EQ(described.devices[0].irq, 6U);
  EXPECT_EQ(described.devices[0].ranges[0].size, 0x200U);
}

}  // namespace
}  // namespace portico
