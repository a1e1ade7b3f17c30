// Images, page tables, and the memory slots that KVM is told about.
#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <portico/device/locked.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/machine/booting.hpp>
#include <portico/x86/long_mode.hpp>
#include <portico/x86/real_mode.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeVm;

constexpr std::uint64_t page = 4 * KiB;

struct Device {
  void write(std::uint32_t) {}
};

/// Notes where it is loaded.
struct Image {
  void load(GuestMemory& memory, std::uint64_t at, std::uint64_t room) const {
    address = at;
    limit = room;
    if (refuses) throw std::runtime_error{"no room"};
    EXPECT_TRUE(memory.write(at, std::uint32_t{0xF4F4'F4F4}));
  }

  mutable std::uint64_t address = 0;
  mutable std::uint64_t limit = 0;
  bool refuses = false;
};

LongMode const small_pages{PageSize::k4KiB};
LongMode const large_pages{PageSize::k2MiB};

std::vector<FakeVm::Slot> const& slots_of(auto& machine) { return machine.vm().slots; }

TEST(Loading, SlotsAreRegisteredWhenTheMachineIsComplete) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{2 * MiB}, DeviceMap<>{}};
  EXPECT_TRUE(slots_of(machine).empty());
  machine.run();
  ASSERT_EQ(slots_of(machine).size(), 1U);
  EXPECT_EQ(slots_of(machine)[0].number, 0U);
  EXPECT_EQ(slots_of(machine)[0].address, 0U);
  EXPECT_EQ(slots_of(machine)[0].size, 2 * MiB);
  EXPECT_EQ(slots_of(machine)[0].host, machine.memory().regions()[0].host);
  machine.run();
  EXPECT_EQ(slots_of(machine).size(), 1U);  // once
}

TEST(Loading, TablesBehindRamShareItsSlot) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{2 * MiB}, DeviceMap<>{}};
  machine.load(Image{}, small_pages);
  std::uint64_t const tables = small_pages.table_bytes(2 * MiB);
  ASSERT_EQ(slots_of(machine).size(), 1U);
  EXPECT_EQ(slots_of(machine)[0].size, 2 * MiB + tables);
  EXPECT_EQ(machine.vcpu().special.cr3, 2 * MiB);
  EXPECT_FALSE(machine.memory().span(2 * MiB, 1));  // and are no RAM
}

TEST(Loading, TablesWithADeviceBehindRamHaveASlotOfTheirOwn) {
  using Board = DeviceMap<Mmio<0x20'0000, Device>>;
  FakeMachine<Board> machine{GuestMemory{2 * MiB}, Board{}};
  machine.load(Image{}, small_pages);
  ASSERT_EQ(slots_of(machine).size(), 2U);
  EXPECT_EQ(slots_of(machine)[0].size, 2 * MiB);
  EXPECT_EQ(slots_of(machine)[1].number, 1U);
  EXPECT_EQ(slots_of(machine)[1].address, 2 * MiB + page);  // the page after the device's
  EXPECT_EQ(slots_of(machine)[1].host, machine.memory().tail().data());
  EXPECT_EQ(machine.vcpu().special.cr3, 2 * MiB + page);
}

TEST(Loading, TablesFindAGapBetweenDevices) {
  // Each gap is too small for six pages of tables, until the last.
  using Board = DeviceMap<Mmio<0x20'1000, Device, Named<"a">>, Mmio<0x20'4FFC, Device, Named<"b">>,
                          Mmio<0x20'A000, Device, Named<"c">>>;
  FakeMachine<Board> machine{GuestMemory{2 * MiB}, Board{}};
  ASSERT_EQ(small_pages.table_bytes(2 * MiB), 4 * page);
  machine.load(Image{}, small_pages);
  EXPECT_EQ(machine.vcpu().special.cr3, 0x20'5000U);
}

TEST(Loading, TablesNeverStandAmongTheControllers) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{{0, page}, {0xFEBF'F000, page}}, DeviceMap<>{}};
  machine.load(Image{}, LongMode{PageSize::k4KiB}, Start{.stack = 0x800});
  EXPECT_EQ(machine.vcpu().special.cr3, 4 * GiB);
  ASSERT_EQ(slots_of(machine).size(), 3U);
  EXPECT_EQ(slots_of(machine)[2].address, 4 * GiB);
}

TEST(Loading, EachRegionHasASlot) {
  using Board = DeviceMap<Mmio<0x20'0000, Device>>;
  FakeMachine<Board> machine{GuestMemory{4 * MiB}, Board{}};
  machine.load(Image{}, large_pages);
  ASSERT_EQ(slots_of(machine).size(), 2U);
  EXPECT_EQ(slots_of(machine)[0].size, 2 * MiB);
  EXPECT_EQ(slots_of(machine)[1].address, 4 * GiB);
  EXPECT_EQ(slots_of(machine)[1].size,
            2 * MiB + large_pages.table_bytes(machine.memory().regions()));
  EXPECT_EQ(machine.vcpu().special.cr3, 4 * GiB + 2 * MiB);
}

TEST(Loading, AStartInLongMode) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{2 * MiB}, DeviceMap<>{}};
  Image const image;
  machine.load(image, small_pages);
  EXPECT_EQ(image.address, 0U);
  EXPECT_EQ(image.limit, 2 * MiB - page);  // up to the stack's page
  EXPECT_EQ(machine.vcpu().registers.rip, 0U);
  EXPECT_EQ(machine.vcpu().registers.rsp, 2 * MiB);
  EXPECT_EQ(machine.vcpu().registers.rflags, 2U);
  EXPECT_NE(machine.vcpu().special.efer, 0U);
}

TEST(Loading, AStartElsewhere) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{2 * MiB}, DeviceMap<>{}};
  Image const image;
  machine.load(image, small_pages, {.address = 0x8000, .entry = 0x8010, .stack = 0x1'0008});
  EXPECT_EQ(image.address, 0x8000U);
  EXPECT_EQ(image.limit, 0x8000U);  // the stack's page begins at 0x10000
  EXPECT_EQ(machine.vcpu().registers.rip, 0x8010U);
  EXPECT_EQ(machine.vcpu().registers.rsp, 0x1'0008U);
  // A stack below the image, or none in RAM, takes no room from it.
  machine.load(image, small_pages, {.address = 0x8000, .stack = 0x8000});
  EXPECT_EQ(image.limit, 2 * MiB);
  EXPECT_EQ(machine.vcpu().registers.rip, 0x8000U);
  machine.load(image, small_pages, {.stack = 0});
  EXPECT_EQ(image.limit, 2 * MiB);
}

TEST(Loading, AStartInRealMode) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{2 * MiB}, DeviceMap<>{}};
  machine.load(Image{}, RealMode{.segment_base = 0x1'0000, .ip = 0x100, .sp = 0x200},
               {.address = 0x1'0000});
  EXPECT_EQ(machine.vcpu().registers.rip, 0x100U);
  EXPECT_EQ(machine.vcpu().special.cs.base, 0x1'0000U);
  machine.run();
  ASSERT_EQ(slots_of(machine).size(), 1U);
  EXPECT_EQ(slots_of(machine)[0].size, 2 * MiB);  // no tables
}

TEST(Loading, AnImagesExceptionComesOut) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{page}, DeviceMap<>{}};
  Image image;
  image.refuses = true;
  EXPECT_THROW(machine.load(image, small_pages), std::runtime_error);
  EXPECT_TRUE(slots_of(machine).empty());
}

TEST(Loading, LaterTablesFitIntoTheRoomOfTheFirst) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{4 * MiB}, DeviceMap<>{}};
  machine.load(Image{}, small_pages);
  machine.load(Image{}, large_pages);  // needs less
  EXPECT_EQ(slots_of(machine).size(), 1U);

  FakeMachine<DeviceMap<>> other{GuestMemory{4 * MiB}, DeviceMap<>{}};
  other.load(Image{}, large_pages);
  EXPECT_THROW(other.load(Image{}, small_pages), std::logic_error);
}

/// An image with a boot protocol of its own.
struct Kernel {
  [[nodiscard]] std::optional<LongMode> long_mode() const { return mode; }

  [[nodiscard]] x86::CpuState boot(GuestMemory& memory, BootLayout const& given) const {
    layout = given;
    EXPECT_TRUE(memory.read<std::uint64_t>(given.rsdp));
    return LongMode::cpu_state(given.page_tables, 0x10'0200, 0);
  }

  std::optional<LongMode> mode = large_pages;
  mutable BootLayout layout{};
};

struct Port8 {
  static constexpr auto threads = Threads::any;
  void write(std::uint8_t) {}
};

TEST(Loading, AKernelIsToldAboutTheMachine) {
  using Board = DeviceMap<Port<0x3F8, Port8, Irq<4>>>;
  FakeMachine<Board, Vcpus<2>> machine{GuestMemory{4 * MiB}, Board{}, Vcpus<2>{}};
  Kernel const kernel;
  machine.load(kernel);
  EXPECT_EQ(machine.vcpu().registers.rip, 0x10'0200U);
  EXPECT_EQ(machine.vcpu().special.cr3, 4 * MiB);
  EXPECT_EQ(kernel.layout.rsdp, 0xE'0000U);
  EXPECT_EQ(machine.memory().read<std::uint32_t>(0xF'0000), 0x5F50'4D5FU);  // the MP table
  MemoryRange const last = kernel.layout.memory_map.ranges()[4];
  EXPECT_EQ(last.base, 4 * MiB);  // the page tables are nobody's
  EXPECT_EQ(last.size, large_pages.table_bytes(4 * MiB));
  EXPECT_EQ(last.kind, MemoryKind::reserved);
  for (unsigned index = 0; index < 2; ++index)
    EXPECT_EQ(machine.vcpu(index).msrs[kvm::msr_mtrr_default_type], 0x806U);
}

template <class Board>
std::uint32_t madt_flags() {
  FakeMachine<Board> machine{GuestMemory{4 * MiB}, [] { return Board{}; }};
  machine.load(Kernel{});
  for (std::uint64_t at = 0xE'0000; at < 0xF'0000; at += 64)
    if (machine.memory().template read<std::uint32_t>(at) == 0x4349'5041U)  // "APIC"
      return *machine.memory().template read<std::uint32_t>(at + 40);
  ADD_FAILURE() << "no table";
  return 0;
}

TEST(Loading, AKernelIsToldOf8259sWhereThereAreSome) {
  using Pics = On<Locked<Pic8259A>, Ranges<Ports<0x20, 2>, Ports<0xA0, 2>, Ports<0x4D0, 2>>>;
  using Apic = Mmio<0xFEC0'0000, IoApic>;
  EXPECT_EQ((madt_flags<DeviceMap<Port<0x3F8, Port8, Irq<4>>>>()), 1U);
  EXPECT_EQ((madt_flags<DeviceMap<Pics, Apic>>()), 1U);
  EXPECT_EQ((madt_flags<DeviceMap<Apic>>()), 0U);
}

TEST(Loading, AKernelWithoutPagingAndLinesGetsNoTablesForThem) {
  FakeMachine<DeviceMap<>> machine{GuestMemory{4 * MiB}, DeviceMap<>{}};
  Kernel const kernel{.mode = std::nullopt};
  machine.load(kernel);
  EXPECT_EQ(kernel.layout.memory_map.ranges().size(), 4U);
  EXPECT_EQ(machine.memory().read<std::uint32_t>(0xF'0000), 0U);
  EXPECT_TRUE(slots_of(machine).empty());
}

}  // namespace
}  // namespace portico
