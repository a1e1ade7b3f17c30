// Where RAM and devices stand: RAM leaves the map's addresses out, or the machine is refused.
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;

constexpr std::uint64_t page = 4 * KiB;

struct Device {
  void write(std::uint32_t) {}
};

template <std::uint64_t Base, std::uint64_t Bytes = 4>
using At = DeviceMap<Mmio<Base, Device, Size<Bytes>, Named<"device">>>;

template <class Board>
std::string why_refused(GuestMemory memory) {
  try {
    FakeMachine<Board> const machine{std::move(memory), Board{}};
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Placement, RamBelowTheDevicesStaysInOnePiece) {
  FakeMachine<At<0xD000'0000>> machine{GuestMemory{16 * page}, At<0xD000'0000>{}};
  ASSERT_EQ(machine.memory().regions().size(), 1U);
  EXPECT_EQ(machine.memory().regions()[0].size, 16 * page);
}

TEST(Placement, RamGoesAroundTheDevices) {
  FakeMachine<At<0x8000>> machine{GuestMemory{16 * page}, At<0x8000>{}};
  auto const regions = machine.memory().regions();
  ASSERT_EQ(regions.size(), 2U);
  EXPECT_EQ(regions[0].base, 0U);
  EXPECT_EQ(regions[0].size, 0x8000U);
  EXPECT_EQ(regions[1].base, 4 * GiB);
  EXPECT_EQ(regions[1].size, 8 * page);
  EXPECT_EQ(machine.memory().size(), 16 * page);
}

TEST(Placement, AHoleBeginsAtAPage) {
  FakeMachine<At<0x8010>> machine{GuestMemory{16 * page}, At<0x8010>{}};
  EXPECT_EQ(machine.memory().regions()[0].size, 0x8000U);
}

TEST(Placement, LargeRamLeavesTheControllersOut) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{5 * GiB}, DeviceMap<>{}};
  auto const regions = machine.memory().regions();
  ASSERT_EQ(regions.size(), 2U);
  EXPECT_EQ(regions[0].size, 0xFEC0'0000U);
  EXPECT_EQ(regions[1].base, 4 * GiB);
  EXPECT_EQ(regions[1].size, 5 * GiB - 0xFEC0'0000U);
}

TEST(Placement, ADeviceInRamIsRefusedWithBothNamed) {
  // Below the first page there is nowhere to go.
  std::string const low = why_refused<At<0x800>>(GuestMemory{16 * page});
  EXPECT_EQ(low,
            "map entry 'device' at 0x800 lies in RAM from 0x0 to 0xffff: the guest would never "
            "reach it; move one of them");
  // RAM at fixed places stays there.
  EXPECT_NE(why_refused<At<0x8000>>(GuestMemory{{0, 16 * page}}).find("0x8000 lies in RAM"),
            std::string::npos);
  EXPECT_EQ(why_refused<At<0x8000>>(GuestMemory{{0, 8 * page}, {9 * page, page}}), "accepted");
  // Above 4 GiB, where RAM goes on behind its hole.
  EXPECT_NE(
      (why_refused<DeviceMap<Mmio<0x8000, Device>, Mmio<0x1'0000'1000, Device, Named<"far">>>>(
           GuestMemory{16 * page}))
          .find("'far' at 0x100001000 lies in RAM from 0x100000000"),
      std::string::npos);
}

TEST(Placement, OneByteOfOverlapIsEnough) {
  EXPECT_NE((why_refused<At<0x7FFC, 5>>(GuestMemory{{0x8000, page}})), "accepted");
  EXPECT_EQ((why_refused<At<0x7FFC, 4>>(GuestMemory{{0x8000, page}})), "accepted");
  EXPECT_NE((why_refused<At<0x8FFF, 4>>(GuestMemory{{0x8000, page}})), "accepted");
  EXPECT_EQ((why_refused<At<0x9000, 4>>(GuestMemory{{0x8000, page}})), "accepted");
  EXPECT_NE((why_refused<At<0x7000, 0x4000>>(GuestMemory{{0x8000, page}})), "accepted");
}

TEST(Placement, PortsNeverQuarrelWithRam) {
  using Board = DeviceMap<Port<0x80, Device>>;
  EXPECT_EQ(why_refused<Board>(GuestMemory{{0, 16 * page}}), "accepted");
}

}  // namespace
}  // namespace portico
