// Interrupt controllers in the board, over vCPUs that play scripts: injection, halts, messages.
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include <portico/device/dynamic_map.hpp>
#include <portico/device/locked.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/machine/msi_line.hpp>
#include <portico/x86/real_mode.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeVcpu;

/// Drives its line as the guest says, and lets a test have it.
struct Raiser {
  static constexpr auto threads = Threads::any;

  void write(std::uint8_t level, IrqLine& line) {
    if (level == 2)
      line.pulse();
    else
      line.set(level != 0);
    if (!known) kept = line;
    known = true;
  }

  IrqLine kept{};
  std::atomic<bool> known = false;  ///< then another thread may use it
};

struct Exit {
  static constexpr auto threads = Threads::any;

  void write(std::uint8_t code, RunControl& control) { control.exit(code); }
};

using Pics = On<Locked<Pic8259A>, Ranges<Ports<0x20, 2>, Ports<0xA0, 2>, Ports<0x4D0, 2>>>;
template <class... More>
using BoardWith =
    DeviceMap<Pics, Port<0x80, Raiser, Irq<4>, Named<"edge">>,
              Port<0x81, Raiser, Irq<11, Level>, Named<"level">>, Port<0x90, Exit>, More...>;
using PicBoard = BoardWith<>;
using SplitBoard = BoardWith<Mmio<0xFEC0'0000, IoApic>>;

auto out(std::uint16_t port, std::uint8_t value) {
  return [=](FakeVcpu& played) {
    played.exits_with_out(port, 1, std::string(1, static_cast<char>(value)));
  };
}

/// The same at an exit where KVM says whether an interrupt may be queued.
auto out(std::uint16_t port, std::uint8_t value, bool ready) {
  return [=](FakeVcpu& played) {
    out(port, value)(played);
    played.takes_interrupts(ready);
  };
}

auto halts(bool flag = true) {
  return [=](FakeVcpu& played) {
    played.exits(KVM_EXIT_HLT);
    played.takes_interrupts(flag, flag);
  };
}

/// As a PC's firmware leaves it: vectors from 0x20 and 0x28, nothing masked.
void set_up(Pic8259A& pic, std::uint8_t icw4 = 0x01) {
  pic.write_master_command(0x11);
  pic.write_slave_command(0x11);
  for (std::uint8_t const value : {std::uint8_t{0x20}, std::uint8_t{0x04}, icw4, std::uint8_t{0}})
    pic.write_master_data(value);
  for (int const value : {0x28, 0x02, 0x01, 0x00})
    pic.write_slave_data(static_cast<std::uint8_t>(value));
  pic.write_elcr2(0x08);  // line 11 is a level
}

using Vectors = std::vector<std::uint8_t>;

template <class Machine>
void wait_until(Machine& machine, auto condition) {
  for (int round = 0; !condition(); ++round) {
    timespec const moment{0, 1'000'000};
    ::nanosleep(&moment, nullptr);
    if (round < 20'000) continue;
    ADD_FAILURE() << "it did not come";
    machine.stop();
    return;
  }
}

// --- All outside

struct PicMachine : testing::Test {
  FakeMachine<PicBoard> machine{GuestMemory{4 * KiB}, [] { return PicBoard{}; }};
  FakeVcpu& vcpu = machine.vcpu();

  PicMachine() { set_up(machine.get<Pic8259A>()); }

  void expect_exit() {
    Stop const stop = machine.run();
    EXPECT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
    EXPECT_TRUE(vcpu.is_at_end());
  }
};

TEST_F(PicMachine, GetsNothingFromTheKernel) {
  EXPECT_FALSE(machine.vm().has_irqchip);
  EXPECT_EQ(machine.vm().ioapic_routes, 0U);
}

TEST_F(PicMachine, QueuesAnInterruptThatTheGuestCanTake) {
  vcpu.plays(out(0x80, 2, true), [](FakeVcpu& played) {
    EXPECT_EQ(played.interrupts, Vectors{0x24});
    EXPECT_FALSE(played.window_is_asked_for());
    out(0x90, 0)(played);
  });
  expect_exit();
}

TEST_F(PicMachine, WaitsForTheWindow) {
  vcpu.plays(
      out(0x80, 2, false),
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{});
        EXPECT_TRUE(played.window_is_asked_for());
        played.exits(KVM_EXIT_IRQ_WINDOW_OPEN);
        played.takes_interrupts(true);
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x24});
        EXPECT_FALSE(played.window_is_asked_for());
        out(0x90, 0)(played);
      });
  expect_exit();
}

TEST_F(PicMachine, AnyExitIsAWindow) {
  // KVM may be late with its own exit for it.
  vcpu.plays(out(0x80, 2, false), out(0x7F, 0, false), out(0x7F, 0, true), [](FakeVcpu& played) {
    EXPECT_EQ(played.interrupts, Vectors{0x24});
    out(0x90, 0)(played);
  });
  expect_exit();
}

TEST_F(PicMachine, AWindowIsUsedOnce) {
  // With automatic EOI the next interrupt waits at once. KVM_RUN may come back without having been
  // in the guest: then the page says nothing new.
  set_up(machine.get<Pic8259A>(), 0x03);
  vcpu.plays(
      out(0x80, 2, false), out(0x81, 1, true),
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x2B});
        EXPECT_TRUE(played.window_is_asked_for());
        return EINTR;
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x2B});
        EXPECT_TRUE(played.window_is_asked_for());
        out(0x7F, 0, true)(played);
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, (Vectors{0x2B, 0x24}));
        EXPECT_FALSE(played.window_is_asked_for());
        out(0x90, 0)(played);
      });
  expect_exit();
}

TEST_F(PicMachine, ALevelComesAgainUntilItFalls) {
  vcpu.plays(
      out(0x81, 1, true),
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x2B});
        out(0xA0, 0x20, true)(played);  // the ends of both
      },
      out(0x20, 0x20, true),
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, (Vectors{0x2B, 0x2B}));
        out(0x81, 0, true)(played);
      },
      out(0xA0, 0x20, true), out(0x20, 0x20, true),
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts.size(), 2U);
        EXPECT_FALSE(played.window_is_asked_for());
        out(0x90, 0)(played);
      });
  expect_exit();
}

TEST_F(PicMachine, AMaskHoldsBackUntilItIsTakenOff) {
  vcpu.plays(
      out(0x21, 0x10, true), out(0x80, 2, true),
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{});
        EXPECT_FALSE(played.window_is_asked_for());
        out(0x21, 0x00, true)(played);
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x24});
        out(0x90, 0)(played);
      });
  expect_exit();
}

TEST_F(PicMachine, AFailureOfKvmEndsTheRun) {
  vcpu.refuses_interrupts = EINVAL;
  vcpu.plays(out(0x80, 2, true));
  Stop const stop = machine.run();
  ASSERT_TRUE(std::holds_alternative<HostError>(stop)) << describe(stop);
  EXPECT_STREQ(std::get<HostError>(stop).call, "KVM_INTERRUPT");
  EXPECT_EQ(std::get<HostError>(stop).error, EINVAL);
  vcpu.refuses_interrupts = 0;
  vcpu.plays([](FakeVcpu&) { return EFAULT; });
  Stop const second = machine.run();
  ASSERT_TRUE(std::holds_alternative<HostError>(second)) << describe(second);
  EXPECT_STREQ(std::get<HostError>(second).call, "KVM_RUN");
}

TEST_F(PicMachine, AnInterruptThatKvmHasNoRoomForIsKept) {
  vcpu.refuses_interrupts = EEXIST;
  vcpu.plays(
      out(0x80, 2, true),
      [](FakeVcpu& played) {
        EXPECT_TRUE(played.window_is_asked_for());
        played.refuses_interrupts = 0;
        out(0x7F, 0, true)(played);
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x24});
        out(0x90, 0)(played);
      });
  expect_exit();
}

TEST_F(PicMachine, AHaltWithInterruptsOffEndsTheRun) {
  vcpu.plays(halts(false));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
}

TEST_F(PicMachine, ALineWakesAHaltedGuest) {
  std::atomic<bool> halted = false;
  vcpu.plays(
      out(0x80, 0), out(0x81, 0),
      [&](FakeVcpu& played) {
        halts()(played);
        halted = true;
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x24});
        out(0x90, 0)(played);
      });
  std::thread raising{[&] {
    wait_until(machine, [&] { return halted.load(); });
    machine.get<"edge">().kept.pulse();
  }};
  expect_exit();
  raising.join();
}

TEST_F(PicMachine, AMaskedLineDoesNotWake) {
  std::atomic<bool> halted = false;
  vcpu.plays(
      out(0x80, 0), out(0x81, 0), out(0x21, 0x10),
      [&](FakeVcpu& played) {
        halts()(played);
        halted = true;
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x2B});
        out(0x90, 0)(played);
      });
  int const before = vcpu.runs;
  std::thread raising{[&] {
    wait_until(machine, [&] { return halted.load(); });
    for (int round = 0; round < 1000; ++round) machine.get<"edge">().kept.pulse();
    machine.get<"level">().kept.set(true);
  }};
  expect_exit();
  raising.join();
  EXPECT_LT(vcpu.runs - before, 10);  // 1000 pulses got nobody out of anything
}

TEST_F(PicMachine, ALineGetsAGuestOutThatNeverExits) {
  std::atomic<bool> inside = false;
  vcpu.plays(
      out(0x80, 0),
      [&](FakeVcpu& played) {
        inside = true;
        int const error = played.spin();
        played.takes_interrupts(true);
        return error;
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x24});
        out(0x90, 0)(played);
        return 0;
      });
  std::thread raising{[&] {
    wait_until(machine, [&] { return inside.load(); });
    machine.get<"edge">().kept.pulse();
  }};
  expect_exit();
  raising.join();
}

TEST_F(PicMachine, AStopEndsAHaltAndTheNextRunHaltsOn) {
  std::atomic<bool> halted = false;
  vcpu.plays(out(0x80, 0), [&](FakeVcpu& played) {
    halts()(played);
    halted = true;
  });
  for (int round = 0; round < 3; ++round) {
    std::thread stopping{[&] {
      wait_until(machine, [&] { return halted.load(); });
      machine.stop();
    }};
    Stop const stop = machine.run();
    EXPECT_TRUE(std::holds_alternative<Requested>(stop)) << describe(stop);
    stopping.join();
  }
  vcpu.plays([](FakeVcpu& played) {
    EXPECT_EQ(played.interrupts, Vectors{0x24});
    out(0x90, 0)(played);
  });
  std::thread raising{[&] { machine.get<"edge">().kept.pulse(); }};
  expect_exit();
  raising.join();
}

struct NoImage {
  void load(GuestMemory&, std::uint64_t, std::uint64_t) const {}
};

TEST_F(PicMachine, ALoadAfterAStopDuringAHaltForgetsTheHalt) {
  std::atomic<bool> halted = false;
  vcpu.plays([&](FakeVcpu& played) {
    halts()(played);
    halted = true;
  });
  std::thread stopping{[&] {
    wait_until(machine, [&] { return halted.load(); });
    machine.stop();
  }};
  EXPECT_TRUE(std::holds_alternative<Requested>(machine.run()));
  stopping.join();
  machine.load(NoImage{}, RealMode{.segment_base = 0});
  vcpu.plays(out(0x90, 7));
  std::atomic<bool> over = false;
  std::thread limiting{[&] { wait_until(machine, [&] { return over.load(); }); }};
  Stop const stop = machine.run();
  over = true;
  limiting.join();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(std::get<GuestExit>(stop).code, 7);
}

TEST_F(PicMachine, AStormIsAsManyInterruptsAsTheGuestTakes) {
  // Line 4 goes up and down as fast as it can; the guest takes ten.
  std::atomic<bool> over = false;
  vcpu.plays(out(0x80, 0));
  for (int taken = 0; taken < 10; ++taken) vcpu.plays(halts(), out(0x20, 0x20, false));
  vcpu.plays(out(0x90, 0));
  std::thread raising{[&] {
    wait_until(machine, [&] { return machine.get<"edge">().known.load(); });
    while (!over) machine.get<"edge">().kept.pulse();
  }};
  int const before = vcpu.runs;
  expect_exit();
  over = true;
  raising.join();
  EXPECT_GE(vcpu.interrupts.size(), 9U);
  EXPECT_LE(vcpu.interrupts.size(), 12U);
  EXPECT_LT(vcpu.runs - before, 80);
}

TEST(PicMachineByHand, PassesLinesOnWhenItIsAsked) {
  FakeMachine<PicBoard, DeadlinesByHand> machine{GuestMemory{4 * KiB}, [] { return PicBoard{}; }};
  set_up(machine.get<Pic8259A>());
  machine.vcpu().plays(out(0x80, 0), halts(), [](FakeVcpu& played) {
    EXPECT_EQ(played.interrupts, Vectors{0x24});
    out(0x90, 0)(played);
  });
  std::atomic<bool> over = false;
  std::thread servicing{[&] {
    timespec const moment{0, 2'000'000};
    wait_until(machine, [&] { return machine.get<"edge">().known.load(); });
    while (!over) {
      machine.get<"edge">().kept.pulse();
      machine.service_deadlines();
      ::nanosleep(&moment, nullptr);
    }
  }};
  EXPECT_TRUE(std::holds_alternative<GuestExit>(machine.run()));
  over = true;
  servicing.join();
}

// --- Split

struct SplitMachine : testing::Test {
  FakeMachine<SplitBoard, Vcpus<2>> machine{GuestMemory{4 * KiB}, [] { return SplitBoard{}; },
                                            Vcpus<2>{2}};
  FakeVcpu& first = machine.vcpu(0);
  FakeVcpu& second = machine.vcpu(1);
  using Sent = std::vector<MsiMessage>;

  SplitMachine() { machine.get<Pic8259A>().write_master_data(0xFF); }

  /// A write to a register of the IOAPIC, two stores.
  void ioapic(FakeVcpu& vcpu, std::uint32_t index, std::uint32_t value) {
    vcpu.plays([=](FakeVcpu& played) { played.exits_with_store(0xFEC0'0000, index, 4); },
               [=](FakeVcpu& played) { played.exits_with_store(0xFEC0'0010, value, 4); });
  }

  void ends_of_interrupt(FakeVcpu& vcpu, std::uint8_t vector) {
    vcpu.plays([=](FakeVcpu& played) {
      played.exits(KVM_EXIT_IOAPIC_EOI);
      played.page().eoi.vector = vector;
    });
  }

  void expect_sent(FakeVcpu& vcpu, Sent const& expected) {
    vcpu.plays([=, this](FakeVcpu& played) {
      EXPECT_EQ(machine.vm().sent(), expected);
      out(0x7F, 0)(played);
    });
  }

  void run() {
    first.plays(out(0x90, 0));
    if (second.is_at_end()) second.plays([](FakeVcpu& played) { return played.spin(); });
    Stop const stop = machine.run();
    EXPECT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
    EXPECT_TRUE(first.is_at_end());
  }
};

constexpr std::uint32_t level = 1U << 15;
constexpr MsiMessage edge_message{0xFEE0'0000, 0x31};
constexpr MsiMessage level_message{0xFEE0'1000, 0xC042};

TEST_F(SplitMachine, PutsLocalApicsIntoTheKernel) {
  EXPECT_FALSE(machine.vm().has_irqchip);
  EXPECT_EQ(machine.vm().ioapic_routes, 24U);
}

TEST_F(SplitMachine, AnEdgeIsAMessageBeforeTheGuestGoesOn) {
  ioapic(first, 0x18, 0x31);
  first.plays(out(0x80, 2));
  expect_sent(first, {edge_message});
  first.plays(out(0x80, 2));
  expect_sent(first, {edge_message, edge_message});
  run();
  EXPECT_TRUE(machine.vm().routes.empty());  // edges need none
}

TEST_F(SplitMachine, ALevelHasARouteBeforeItIsSentAndEnds) {
  first.plays(out(0x81, 1));
  ioapic(first, 0x27, 1U << 24);
  expect_sent(first, {});
  ioapic(first, 0x26, level | 0x42);
  expect_sent(first, {level_message});
  ends_of_interrupt(first, 0x42);
  expect_sent(first, {level_message, level_message});  // the line is still up
  first.plays(out(0x81, 0));
  ends_of_interrupt(first, 0x42);
  expect_sent(first, {level_message, level_message});
  first.plays(out(0x81, 1));
  expect_sent(first, {level_message, level_message, level_message});
  run();
  ASSERT_EQ(machine.vm().routes.size(), 1U);
  kvm_irq_routing_entry const& route = machine.vm().routes[0];
  EXPECT_EQ(route.gsi, 11U);
  EXPECT_EQ(route.type, std::uint32_t{KVM_IRQ_ROUTING_MSI});
  EXPECT_EQ(route.u.msi.address_lo, 0xFEE0'1000U);
  EXPECT_EQ(route.u.msi.data, 0xC042U);
  EXPECT_EQ(machine.vm().routes_before_message, 0U);
}

TEST_F(SplitMachine, ALostEndHoldsItsLineAndNoOther) {
  ioapic(first, 0x27, 1U << 24);
  ioapic(first, 0x26, level | 0x42);
  ioapic(first, 0x18, 0x31);
  Sent expected{level_message};
  first.plays(out(0x81, 1));
  for (int round = 0; round < 50; ++round) {
    first.plays(out(0x81, 0), out(0x81, 1), out(0x80, 2));
    expected.push_back(edge_message);
  }
  expect_sent(first, expected);
  run();
}

TEST_F(SplitMachine, RoutesThatKvmRefusesAreCounted) {
  machine.vm().refuses_routes = true;
  first.plays(out(0x81, 1));
  ioapic(first, 0x26, level | 0x42);
  run();
  EXPECT_EQ(machine.vm().sent().size(), 1U);  // and the run went on
}

TEST_F(SplitMachine, AnyVcpuMayRaise) {
  std::atomic<bool> redirected = false;
  std::atomic<bool> raised = false;
  ioapic(first, 0x18, 0x31);
  first.plays([&](FakeVcpu& played) {
    redirected = true;
    wait_until(machine, [&] { return raised.load(); });
    out(0x7F, 0)(played);
  });
  expect_sent(first, {edge_message});
  second.plays(
      [&](FakeVcpu& played) {
        wait_until(machine, [&] { return redirected.load(); });
        out(0x80, 2)(played);
      },
      [&](FakeVcpu& played) {
        raised = true;
        return played.spin();
      });
  run();
}

TEST_F(SplitMachine, AThreadOfTheProgramsMayRaise) {
  std::atomic<bool> inside = false;
  std::atomic<bool> over = false;
  ioapic(first, 0x18, 0x31);
  first.plays(out(0x80, 0), [&](FakeVcpu& played) {
    inside = true;
    while (!over) std::this_thread::yield();
    out(0x7F, 0)(played);
  });
  std::thread raising{[&] {
    wait_until(machine, [&] { return inside.load(); });
    machine.get<"edge">().kept.pulse();
    wait_until(machine, [&] { return !machine.vm().sent().empty(); });
    over = true;
  }};
  run();
  raising.join();
  EXPECT_EQ(machine.vm().sent(), Sent{edge_message});
}

TEST_F(SplitMachine, The8259AInterruptsTheFirstVcpuFromTheSecondsThread) {
  set_up(machine.get<Pic8259A>());
  std::atomic<bool> inside = false;
  first.plays(
      [&](FakeVcpu& played) {
        inside = true;
        int const error = played.spin();
        played.takes_interrupts(true);
        return error;
      },
      [&](FakeVcpu& played) {
        EXPECT_EQ(played.interrupts, Vectors{0x24});
        out(0x7F, 0)(played);
        return 0;
      });
  second.plays(
      [&](FakeVcpu& played) {
        wait_until(machine, [&] { return inside.load(); });
        out(0x80, 2)(played);
      },
      [](FakeVcpu& played) { return played.spin(); });
  run();
  EXPECT_EQ(second.interrupts, Vectors{});
}

// --- In the kernel

TEST(KernelMachine, HasControllersWithoutALineIfItIsAskedTo) {
  using Board = DeviceMap<Port<0x90, Exit>>;
  FakeMachine<Board> without{GuestMemory{4 * KiB}, Board{}};
  EXPECT_FALSE(without.vm().has_irqchip);
  FakeMachine<Board, KernelIrqchip> with{GuestMemory{4 * KiB}, Board{}, KernelIrqchip{}};
  EXPECT_TRUE(with.vm().has_irqchip);
  EXPECT_FALSE(with.vm().has_pit);
  FakeMachine<Board, KernelPit> pit{GuestMemory{4 * KiB}, Board{}, KernelPit{}};
  EXPECT_TRUE(pit.vm().has_irqchip);
  EXPECT_TRUE(pit.vm().has_pit);
  EXPECT_EQ(pit.vm().pit_flags, std::uint32_t{KVM_PIT_SPEAKER_DUMMY});
}

/// Whether `cpuid` shows a local APIC: APIC (EDX), x2APIC and the TSC deadline (ECX) of leaf 1.
template <class... Options>
bool shows_local_apic(auto make_board) {
  using Made = decltype(make_board());
  FakeMachine<Made, HostCpuid, Options...> machine{GuestMemory{4 * KiB}, make_board, HostCpuid{},
                                                   Options{}...};
  kvm_cpuid_entry2 const leaf = *machine.vcpu().cpuid->find(1);
  bool const apic = (leaf.edx >> 9 & 1) != 0;
  EXPECT_EQ((leaf.ecx >> 21 & 1) != 0, apic);
  EXPECT_EQ((leaf.ecx >> 24 & 1) != 0, apic);
  // KVM shows it as long as this is on, whatever the leaf was.
  EXPECT_EQ(machine.vcpu().special.apic_base, apic ? 0xFEE0'0900U : 0xFEE0'0100U);
  return apic;
}

TEST(Cpuid, ShowsALocalApicWhereThereIsOne) {
  using Plain = DeviceMap<Port<0x90, Exit>>;
  auto const plain = [] { return Plain{}; };
  EXPECT_FALSE(shows_local_apic(plain));
  EXPECT_TRUE(shows_local_apic<KernelIrqchip>(plain));
  EXPECT_TRUE(shows_local_apic<KernelPit>(plain));
  EXPECT_FALSE(shows_local_apic([] { return PicBoard{}; }));
  EXPECT_TRUE(shows_local_apic([] { return SplitBoard{}; }));
  using Placed = DynamicMap<Raiser>;
  EXPECT_FALSE(shows_local_apic([] { return Placed{}; }));
  EXPECT_TRUE(shows_local_apic([] {
    Placed board;
    board.place<Raiser>({.base = 0x80, .irq = 4});
    return board;
  }));
}

template <class Board, class... Options>
std::string refusal() {
  try {
    FakeMachine<Board, Options...> const machine{GuestMemory{4 * KiB}, Board{}, Options{}...};
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "nothing";
}

TEST(KernelMachine, RefusesEntriesThatTheKernelWouldHide) {
  EXPECT_NE((refusal<DeviceMap<Port<0x21, Exit>>, KernelIrqchip>()).find("'Exit' at 0x21"),
            std::string::npos);
  EXPECT_NE((refusal<DeviceMap<Port<0x40, Exit>>, KernelPit>()).find("8254"), std::string::npos);
  EXPECT_NE((refusal<DeviceMap<Mmio<0xFEE0'0300, Exit>>, KernelIrqchip>()).find("local APIC"),
            std::string::npos);
  EXPECT_EQ((refusal<DeviceMap<Port<0x40, Exit>>, KernelIrqchip>()), "nothing");
  EXPECT_EQ((refusal<DeviceMap<Port<0x21, Exit>>>()), "nothing");
}

TEST(Msi, LinesAreRoutedSignalledAndTakenBack) {
  using Board = DeviceMap<Port<0x90, Exit>>;
  FakeMachine<Board, KernelIrqchip> machine{GuestMemory{4 * KiB}, Board{}, KernelIrqchip{}};
  auto const messages = [&] {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> found;
    for (kvm_irq_routing_entry const& route : machine.vm().routes)
      if (route.type == KVM_IRQ_ROUTING_MSI) found.emplace_back(route.gsi, route.u.msi.data);
    return found;
  };
  using Messages = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  {
    MsiLine first{machine, {0xFEE0'0000, 0x41}};
    EXPECT_EQ(machine.vm().routes.size(), 16U + 24 + 1);  // the controllers' own stay
    auto second =
        std::make_unique<MsiLine<decltype(machine)>>(machine, MsiMessage{0xFEE0'1000, 0x42});
    EXPECT_EQ(messages(), (Messages{{24, 0x41}, {25, 0x42}}));
    ASSERT_EQ(machine.vm().irqfds.size(), 2U);
    EXPECT_EQ(machine.vm().irqfds[1].gsi, 25U);
    EXPECT_EQ(machine.vm().irqfds[1].fd, static_cast<std::uint32_t>(second->descriptor()));
    second->line().pulse();
    second->line().pulse();
    std::uint64_t count = 0;
    EXPECT_EQ(::read(second->descriptor(), &count, sizeof count),
              static_cast<ssize_t>(sizeof count));
    EXPECT_EQ(count, 2U);
    first.change({0xFEE0'0000, 0x51});
    EXPECT_EQ(messages(), (Messages{{24, 0x51}, {25, 0x42}}));
    second.reset();
    EXPECT_EQ(messages(), (Messages{{24, 0x51}}));
    ASSERT_EQ(machine.vm().irqfds.size(), 3U);
    EXPECT_EQ(machine.vm().irqfds[2].flags, std::uint32_t{KVM_IRQFD_FLAG_DEASSIGN});
    MsiLine third{machine, {0xFEE0'0000, 0x61}};
    EXPECT_EQ(third.gsi(), 25U);  // a free one again
  }
  EXPECT_EQ(messages(), Messages{});
}

}  // namespace
}  // namespace portico
