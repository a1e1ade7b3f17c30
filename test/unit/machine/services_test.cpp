// What a machine gives to its devices: memory, lines, clocks, the brake.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include <portico/device/dynamic_map.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeVcpu;

/// Copies a block: the address comes from the guest.
struct Copier {
  void write(std::uint32_t address, GuestMemory& memory) {
    auto const value = memory.read<std::uint32_t>(address);
    done = value && memory.write(address + 4, *value + 1);
  }

  bool done = false;
};

struct Timer {
  void write(std::uint8_t delay, Clock& clock) { clock.arm(clock.now() + delay); }

  void deadline(Clock& clock, IrqLine& line) {
    fired.push_back(clock.now());
    line.pulse();
    if (again != 0) clock.arm(clock.now() + std::exchange(again, 0));
  }

  std::vector<std::uint64_t> fired{};
  std::uint64_t again = 0;
};

struct Watchdog {
  void write(std::uint8_t delay, Clock& clock) { clock.arm(clock.now() + delay); }

  void deadline(RunControl& control) { control.exit(99); }
};

struct Raiser {
  void write(std::uint8_t level, IrqLine& line) { line.set(level != 0); }
};

using Board = DeviceMap<Port<0x24, Copier>, Port<0x40, Timer, Irq<0>>, Port<0x50, Watchdog>,
                        Port<0x60, Raiser, Irq<5, Level, Shared>, Named<"one">>,
                        Port<0x61, Raiser, Irq<5, Level, Shared>, Named<"two">>>;

struct MachineServices : testing::Test {
  FakeMachine<Board, DeadlinesByHand> machine{GuestMemory{64 * KiB}, Board{}};

  Stop out(std::uint16_t port, std::string const& data, std::uint8_t width = 1) {
    machine.vcpu().plays([=](FakeVcpu& played) { played.exits_with_out(port, width, data); });
    return machine.run();
  }
};

TEST_F(MachineServices, MemoryIsTheMachines) {
  ASSERT_TRUE(machine.memory().write(0x100, std::uint32_t{41}));
  out(0x24, std::string{"\x00\x01\x00\x00", 4}, 4);
  EXPECT_TRUE(machine.get<Copier>().done);
  EXPECT_EQ(machine.memory().read<std::uint32_t>(0x104), 42U);
  out(0x24, "\xFF\xFF\xFF\xFF", 4);
  EXPECT_FALSE(machine.get<Copier>().done);
}

TEST_F(MachineServices, NoDeadlineIsDueBeforeOneIsArmed) {
  EXPECT_EQ(machine.service_deadlines(), Clock::never);
  EXPECT_TRUE(machine.get<Timer>().fired.empty());
}

TEST_F(MachineServices, ADeadlineIsCalledOnceItIsDue) {
  out(0x40, "\x01");  // a nanosecond from now on
  while (machine.service_deadlines() != Clock::never) std::this_thread::yield();
  EXPECT_EQ(machine.get<Timer>().fired.size(), 1U);
  machine.service_deadlines();
  EXPECT_EQ(machine.get<Timer>().fired.size(), 1U);
}

TEST_F(MachineServices, TheNextDeadlineIsTold) {
  machine.get<Timer>().again = 1'000'000'000'000;
  std::uint64_t const before = machine.clock().now();
  out(0x40, "\x01");
  std::uint64_t next = 0;
  do {
    next = machine.service_deadlines();
  } while (machine.get<Timer>().fired.empty());
  EXPECT_GE(next, machine.get<Timer>().fired[0] + 1'000'000'000'000);
  EXPECT_LE(next, machine.clock().now() + 1'000'000'000'000);
  EXPECT_GT(next, before);
}

TEST_F(MachineServices, ADeadlineEndsTheRunOfAGuestThatSpins) {
  machine.vcpu().plays([](FakeVcpu& played) { played.exits_with_out(0x50, 1, "\x01"); },
                       [](FakeVcpu& played) { return played.spin(); });
  std::atomic<bool> over = false;
  std::thread servicing{[&] {
    timespec const moment{0, 1'000'000};
    while (!over) {
      machine.service_deadlines();
      ::nanosleep(&moment, nullptr);
    }
  }};
  Stop const stop = machine.run();
  over = true;
  servicing.join();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(std::get<GuestExit>(stop).code, 99);
}

TEST_F(MachineServices, ABoardWithLinesGetsControllers) {
  EXPECT_TRUE(machine.vm().has_irqchip);
  EXPECT_TRUE(machine.vm().has_real_mode_pages);
  FakeMachine<DeviceMap<>> plain{GuestMemory{4 * KiB}, DeviceMap<>{}};
  EXPECT_FALSE(plain.vm().has_irqchip);
}

TEST_F(MachineServices, TheHostsCpuidIsForWhoAsks) {
  EXPECT_FALSE(machine.vcpu().cpuid.has_value());
  FakeMachine<DeviceMap<>, HostCpuid> asking{GuestMemory{4 * KiB}, DeviceMap<>{}, HostCpuid{}};
  EXPECT_TRUE(asking.vcpu().cpuid.has_value());
}

// --- A map whose addresses are known at run time

TEST(MachineOfADynamicMap, GivesEachDeviceItsOwn) {
  using Dynamic = DynamicMap<Raiser, Timer, Copier>;
  FakeMachine<Dynamic, DeadlinesByHand> machine{GuestMemory{64 * KiB}, [] {
                                                  Dynamic board;
                                                  board.place<Copier>({.base = 0x24});
                                                  board.place<Timer>({.base = 0x40, .irq = 0});
                                                  board.place<Raiser>({.base = 0x60, .irq = 5});
                                                  return board;
                                                }};
  EXPECT_TRUE(machine.vm().has_irqchip);
  ASSERT_TRUE(machine.memory().write(0x100, std::uint32_t{41}));
  machine.vcpu().plays(
      [](FakeVcpu& played) {
        played.exits_with_out(0x24, 4, std::string_view{"\x00\x01\x00\x00", 4});
      },
      [](FakeVcpu& played) { played.exits_with_out(0x40, 1, "\x01"); },
      [](FakeVcpu& played) { played.exits_with_out(0x60, 1, "\x01"); },
      [](FakeVcpu& played) { played.exits_with_out(0x61, 1, "\x01"); });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(machine.memory().read<std::uint32_t>(0x104), 42U);
  EXPECT_EQ(machine.unclaimed().writes, 1U);
  while (machine.service_deadlines() != Clock::never) std::this_thread::yield();
  EXPECT_EQ(machine.board().find<Timer>("Timer")->fired.size(), 1U);
}

TEST(MachineOfADynamicMap, RefusesADeviceInRam) {
  using Dynamic = DynamicMap<Copier>;
  try {
    FakeMachine<Dynamic> const machine{
        GuestMemory{{0, 64 * KiB}}, [] {
          Dynamic board;
          board.place<Copier>({.space = Space::mmio, .base = 0x8000, .name = "copier"});
          return board;
        }};
    FAIL() << "the copier stands in RAM";
  } catch (std::invalid_argument const& error) {
    EXPECT_NE(std::string{error.what()}.find("'copier' at 0x8000"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace portico
