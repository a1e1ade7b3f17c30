// Offloaded and coalesced entries without KVM: what the machine tells its VM, and when it takes it
// back; who calls the handlers.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include <portico/device/coalesced.hpp>
#include <portico/device/offload.hpp>
#include <portico/machine/map_text.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeSystem;
using test::FakeVcpu;
using test::FakeVm;

/// What a machine told its VM, in order, beyond its end.
struct Told {
  std::vector<kvm_ioeventfd> ioeventfds{};
  std::vector<kvm_irqfd> irqfds{};
  std::vector<std::string> order{};
};

Told told;

struct TellingVm : FakeVm {
  void ioeventfd(kvm_ioeventfd const& request) {
    told.ioeventfds.push_back(request);
    told.order.emplace_back((request.flags & KVM_IOEVENTFD_FLAG_DEASSIGN) != 0 ? "-ioeventfd"
                                                                               : "+ioeventfd");
  }

  void irqfd(kvm_irqfd const& request) {
    told.irqfds.push_back(request);
    told.order.emplace_back((request.flags & KVM_IRQFD_FLAG_DEASSIGN) != 0 ? "-irqfd" : "+irqfd");
  }

  void coalesce(kvm_coalesced_mmio_zone const& zone) {
    FakeVm::coalesce(zone);
    told.order.emplace_back("+zone");
  }

  void uncoalesce(kvm_coalesced_mmio_zone const& zone) {
    FakeVm::uncoalesce(zone);
    told.order.emplace_back("-zone");
  }
};

struct TellingSystem : FakeSystem {
  [[nodiscard]] TellingVm create_vm() const { return TellingVm{}; }
};

template <class Board, class... Options>
using TellingMachine = Machine<Board, Hypervisor<TellingSystem>, Options...>;

/// Rings, and is heard when it goes.
struct Bells {
  ~Bells() { told.order.emplace_back("device"); }

  void ring(std::uint32_t value) {
    std::lock_guard const guard{mutex};
    rang.push_back(value);
    thread = std::this_thread::get_id();
  }

  std::uint32_t sum() { return static_cast<std::uint32_t>(rang.size()); }

  void any(std::uint16_t, IrqLine& line) {
    ++wild;
    line.set(true);
  }

  void event(Watch& watch) {
    ++events;
    watch.disarm();
  }

  void wait_for(std::uint8_t, Watch& watch) { watch.arm(input.get()); }

  using registers = Registers<ReadWrite<0, &Bells::sum, &Bells::ring>, WriteOnly<4, &Bells::any>,
                              WriteOnly<6, &Bells::wait_for>>;
  using doorbells = Doorbells<Doorbell<0, &Bells::ring, 1, 2>, Doorbell<4, &Bells::any>>;

  std::mutex mutex{};
  std::vector<std::uint32_t> rang{};
  std::atomic<int> wild = 0;
  std::atomic<int> events = 0;
  std::atomic<std::thread::id> thread{};
  Fd input{::eventfd(1, EFD_CLOEXEC)};
};

void signal(kvm_ioeventfd const& bell) {
  std::uint64_t const one = 1;
  ASSERT_EQ(::write(bell.fd, &one, sizeof one), 8);
}

struct OffloadedMachine : testing::Test {
  void SetUp() override { told = {}; }
};

using Board = DeviceMap<Offload<Mmio<0xD000'0000, Bells, Irq<5, Level>, Stride<8>>>>;

TEST_F(OffloadedMachine, TellsTheVmOfEachValueAndLine) {
  TellingMachine<Board> const machine{GuestMemory{4 * KiB}, [] { return Board{}; }};
  ASSERT_EQ(told.ioeventfds.size(), 3U);
  EXPECT_EQ(told.ioeventfds[0].addr, 0xD000'0000U);
  EXPECT_EQ(told.ioeventfds[0].len, 4U);
  EXPECT_EQ(told.ioeventfds[0].datamatch, 1U);
  EXPECT_EQ(told.ioeventfds[0].flags, std::uint32_t{KVM_IOEVENTFD_FLAG_DATAMATCH});
  EXPECT_EQ(told.ioeventfds[1].datamatch, 2U);
  EXPECT_EQ(told.ioeventfds[2].addr, 0xD000'0020U);
  EXPECT_EQ(told.ioeventfds[2].len, 2U);
  EXPECT_EQ(told.ioeventfds[2].flags, 0U);
  ASSERT_EQ(told.irqfds.size(), 1U);
  EXPECT_EQ(told.irqfds[0].gsi, 5U);
  EXPECT_EQ(told.irqfds[0].flags, std::uint32_t{KVM_IRQFD_FLAG_RESAMPLE});
}

TEST_F(OffloadedMachine, TakesEverythingBackBeforeTheDevicesGo) {
  {
    TellingMachine<Board> const machine{GuestMemory{4 * KiB}, [] { return Board{}; }};
  }
  EXPECT_EQ(told.order, (std::vector<std::string>{"+irqfd", "+ioeventfd", "+ioeventfd",
                                                  "+ioeventfd", "-ioeventfd", "-ioeventfd",
                                                  "-ioeventfd", "-irqfd", "device"}));
  // KVM compares all of a request with what it has.
  for (std::size_t bell = 0; bell < 3; ++bell) {
    EXPECT_EQ(told.ioeventfds[bell].addr, told.ioeventfds[bell + 3].addr);
    EXPECT_EQ(told.ioeventfds[bell].fd, told.ioeventfds[bell + 3].fd);
    EXPECT_EQ(told.ioeventfds[bell].datamatch, told.ioeventfds[bell + 3].datamatch);
  }
}

TEST_F(OffloadedMachine, CallsTheHandlersOnAThreadOfTheDevices) {
  TellingMachine<Board> machine{GuestMemory{4 * KiB}, [] { return Board{}; }};
  auto& bells = machine.get<Bells>();
  machine.vcpu().plays(
      [&](FakeVcpu& played) {
        signal(told.ioeventfds[1]);
        timespec const moment{0, 100'000};
        for (int round = 0; bells.thread.load() == std::thread::id{} && round < 50'000; ++round)
          ::nanosleep(&moment, nullptr);
        signal(told.ioeventfds[0]);
        signal(told.ioeventfds[2]);
        played.exits_with_load(0xD000'0000, 4);  // sees what rang before
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.mmio() & 0xFFFF'FFFF, 2U);
        played.exits(KVM_EXIT_HLT);
      });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(bells.rang, (std::vector<std::uint32_t>{2, 1}));
  EXPECT_EQ(bells.wild, 1);
  EXPECT_NE(bells.thread.load(), std::thread::id{});
}

TEST_F(OffloadedMachine, WhatRangLastIsDoneWhenTheRunIsOver) {
  TellingMachine<Board> machine{GuestMemory{4 * KiB}, [] { return Board{}; }};
  for (int round = 1; round <= 100; ++round) {
    machine.vcpu().plays([&](FakeVcpu& played) {
      signal(told.ioeventfds[0]);
      signal(told.ioeventfds[2]);
      played.exits(KVM_EXIT_HLT);
    });
    EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
    EXPECT_EQ(machine.get<Bells>().rang.size(), static_cast<std::size_t>(round));
    EXPECT_EQ(machine.get<Bells>().wild, round);
  }
}

TEST_F(OffloadedMachine, ItsEventsComeThereToo) {
  TellingMachine<Board, DeadlinesByHand> machine{GuestMemory{4 * KiB}, [] { return Board{}; }};
  machine.vcpu().plays([](FakeVcpu& played) { played.exits_with_store(0xD000'0030, 0, 1); });
  machine.run();
  EXPECT_EQ(machine.get<Bells>().events, 1);
  machine.service_deadlines();
  EXPECT_EQ(machine.get<Bells>().events, 1);
}

/// The controller lowers a level at the interrupt's end; who still holds it raises it again.
TEST_F(OffloadedMachine, AHeldLineIsRaisedAgain) {
  TellingMachine<Board> machine{GuestMemory{4 * KiB}, [] { return Board{}; }};
  auto const raised = [] {
    std::uint64_t count = 0;
    return ::read(static_cast<int>(told.irqfds[0].fd), &count, sizeof count) == 8 ? count : 0;
  };
  auto const end_interrupt = [&](FakeVcpu& played) {
    std::uint64_t const one = 1;
    ASSERT_EQ(::write(static_cast<int>(told.irqfds[0].resamplefd), &one, sizeof one), 8);
    played.exits(KVM_EXIT_HLT);
  };
  machine.vcpu().plays(end_interrupt);
  machine.run();
  EXPECT_EQ(raised(), 0U);
  machine.vcpu().plays([&](FakeVcpu& played) {
    signal(told.ioeventfds[2]);
    played.exits(KVM_EXIT_HLT);
  });
  machine.run();
  EXPECT_EQ(raised(), 1U);
  machine.vcpu().plays(end_interrupt);
  machine.run();
  EXPECT_EQ(raised(), 1U);
}

/// An edge needs no resampling, nor does a line of controllers in the board need KVM.
struct Ringer {
  static constexpr bool doorbells_in_order = false;

  void ring(std::uint8_t, IrqLine& line) { line.pulse(); }

  using registers = Registers<WriteOnly<0, &Ringer::ring>>;
  using doorbells = Doorbells<Doorbell<0, &Ringer::ring>>;
};

TEST_F(OffloadedMachine, AnEdgeIsAPlainIrqFd) {
  using Edges =
      DeviceMap<Offload<Port<0x300, Ringer, Irq<6>>, AnyWidth>, Port<0x310, Ringer, Irq<7>>>;
  TellingMachine<Edges> machine{GuestMemory{4 * KiB}, [] { return Edges{}; }};
  ASSERT_EQ(told.irqfds.size(), 1U);
  EXPECT_EQ(told.irqfds[0].gsi, 6U);
  EXPECT_EQ(told.irqfds[0].flags, 0U);
  ASSERT_EQ(told.ioeventfds.size(), 1U);
  EXPECT_EQ(told.ioeventfds[0].len, 0U);
  EXPECT_EQ(told.ioeventfds[0].flags, std::uint32_t{KVM_IOEVENTFD_FLAG_PIO});
  machine.vcpu().plays([&](FakeVcpu& played) {
    signal(told.ioeventfds[0]);
    played.exits(KVM_EXIT_HLT);
  });
  machine.run();
  std::uint64_t count = 0;
  EXPECT_EQ(::read(static_cast<int>(told.irqfds[0].fd), &count, sizeof count), 8);
  EXPECT_EQ(count, 1U);
}

TEST(OffloadedWithoutAMachine, IsTheDeviceBehindALock) {
  Board board;
  IrqWire wire;
  IrqLine line{wire};
  Watch watch;
  Context context{line, watch};
  EXPECT_TRUE(board.store(0xD000'0000, std::uint32_t{1}, context));
  EXPECT_EQ(board.load<std::uint32_t>(0xD000'0000, context), 1U);
  EXPECT_TRUE(Board::entries[0].offloaded);
}

// --- Coalesced

struct Log {
  void byte(std::uint8_t value) { text += static_cast<char>(value); }

  std::uint8_t count() { return static_cast<std::uint8_t>(text.size()); }

  using registers = Registers<ReadWrite<0, &Log::count, &Log::byte>>;

  std::string text{};
};

using Gathering =
    DeviceMap<Coalesced<Port<0xE9, Log, Named<"port">>>,
              Coalesced<Mmio<0xD000'0000, Log, Named<"mmio">>>, Port<0x10, Log, Named<"plain">>>;

struct CoalescedMachine : testing::Test {
  void SetUp() override { told = {}; }
};

TEST_F(CoalescedMachine, TellsTheVmOfEachRegister) {
  {
    TellingMachine<Gathering> machine{GuestMemory{4 * KiB}, Gathering{}};
    std::vector<kvm_coalesced_mmio_zone> const& zones = machine.vm().zones;
    ASSERT_EQ(zones.size(), 2U);
    EXPECT_EQ(zones[0].addr, 0xE9U);
    EXPECT_EQ(zones[0].size, 1U);
    EXPECT_EQ(zones[0].pio, 1U);
    EXPECT_EQ(zones[1].addr, 0xD000'0000U);
    EXPECT_EQ(zones[1].pio, 0U);
  }
  EXPECT_EQ(told.order, (std::vector<std::string>{"+zone", "+zone", "-zone", "-zone"}));
}

TEST(MapText, SaysWhereAnEntryWorks) {
  EXPECT_NE(map_text<Gathering>().find("Log  coalesced\n"), std::string::npos)
      << map_text<Gathering>();
  EXPECT_NE(map_text<Board>().find("Bells  irq 5 level  offloaded\n"), std::string::npos)
      << map_text<Board>();
}

TEST_F(CoalescedMachine, WhatWasGatheredComesBeforeTheExit) {
  FakeMachine<Gathering> machine{GuestMemory{4 * KiB}, Gathering{}};
  machine.vcpu().plays(
      [](FakeVcpu& played) {
        for (char const letter : std::string{"gather"})
          played.writes_coalesced(Space::port, 0xE9, 1, static_cast<std::uint8_t>(letter));
        played.writes_coalesced(Space::mmio, 0xD000'0000, 1, 'x');
        played.writes_coalesced(Space::mmio, 0xD000'0000, 2, 'y');  // no such register
        played.exits_with_in(0xE9, 1);
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.io()[0], std::byte{6});
        played.writes_coalesced(Space::port, 0xE9, 1, 'e');
        return played.is_kicked() ? EINTR : EAGAIN;
      },
      [&](FakeVcpu& played) {
        EXPECT_EQ(machine.get<"port">().text, "gathere");
        played.writes_coalesced(Space::port, 0xE9, 1, 'd');
        played.exits(KVM_EXIT_HLT);
      });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(machine.get<"port">().text, "gathered");
  EXPECT_EQ(machine.get<"mmio">().text, "x");
  EXPECT_EQ(machine.unclaimed().writes, 1U);
}

TEST_F(CoalescedMachine, EveryWriteIsAnExitWhereTheHostCannot) {
  FakeVm::coalesced_page = 0;
  FakeMachine<Gathering> machine{GuestMemory{4 * KiB}, Gathering{}};
  FakeVm::coalesced_page = 2;
  EXPECT_TRUE(machine.vm().zones.empty());
  machine.vcpu().plays([](FakeVcpu& played) { played.exits_with_out(0xE9, 1, "a"); });
  machine.run();
  EXPECT_EQ(machine.get<"port">().text, "a");
}

}  // namespace
}  // namespace portico
