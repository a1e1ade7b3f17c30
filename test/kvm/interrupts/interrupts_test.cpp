// A guest with handlers, on each kind of controllers: in the kernel, split, all in the board.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include <portico/base/hex.hpp>
#include <portico/device/locked.hpp>
#include <portico/device/offload.hpp>
#include <portico/devices/i8254.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/devices/uart16550.hpp>
#include <portico/machine/msi_line.hpp>
#include <portico/portico.hpp>

#include "support/requires.hpp"

namespace portico {
namespace {

// --- Devices of guest.S

struct Pulse {
  static constexpr auto threads = Threads::any;

  void write(std::uint8_t, IrqLine& line) { line.pulse(); }

  using doorbells = Doorbells<Doorbell<0, &Pulse::write>>;
};

constexpr std::uint8_t level_rounds = 50;

/// Raises its line when it is given a number, and lowers it when it was told so as often.
struct LevelLine {
  void write(std::uint8_t times, IrqLine& line) {
    left = times != 0 ? times : left == 0 ? 0 : left - 1;
    line.set(left != 0);
  }

  std::uint8_t read() { return static_cast<std::uint8_t>(left); }

  using doorbells = Doorbells<Doorbell<0, &LevelLine::write, level_rounds>>;

  int left = 0;
};

/// Pulses its line when the time is over, in units of 10 microseconds.
struct Ticker {
  void write(std::uint8_t time, Clock& clock) {
    clock.arm(clock.now() + time * std::uint64_t{10'000});
  }

  void deadline(IrqLine& line) { line.pulse(); }
};

struct Counter {
  static constexpr auto threads = Threads::any;

  void write(std::uint8_t by) { value += by; }

  std::uint8_t read() { return static_cast<std::uint8_t>(value.load()); }

  std::atomic<int> value = 0;
};

struct Exit {
  static constexpr auto threads = Threads::any;

  void write(std::uint8_t code, RunControl& control) { control.exit(code); }
};

template <template <class> class Where, class... Controllers>
using BoardAt = DeviceMap<
    Where<Port<0x80, Pulse, Irq<4>>>, Where<Port<0x81, Locked<LevelLine>, Irq<11, Level>>>,
    Port<0x82, Locked<Ticker>, Irq<5>>, Port<0x85, Counter>, Port<0x501, Exit>, Controllers...>;

template <class Entry>
using InPlace = Entry;
template <class Entry>
using OffTheVcpu = Offload<Entry>;

template <class... Controllers>
using BoardWith = BoardAt<InPlace, Controllers...>;
using Pics = On<Locked<Pic8259A>, Ranges<Ports<0x20, 2>, Ports<0xA0, 2>, Ports<0x4D0, 2>>>;
using KernelBoard = BoardWith<>;
using SplitBoard = BoardWith<Pics, Mmio<0xFEC0'0000, IoApic>>;
using PicBoard = BoardWith<Pics>;
// The lines of two devices are irqfds of KVM's controllers, or driven by a thread of the device's.
using OffloadedKernelBoard = BoardAt<OffTheVcpu>;
using OffloadedSplitBoard = BoardAt<OffTheVcpu, Pics, Mmio<0xFEC0'0000, IoApic>>;
using OffloadedPicBoard = BoardAt<OffTheVcpu, Pics>;

/// Takes everything, and has nothing to say.
struct Drain {
  static Input try_read() { return {}; }

  static Input read(StopToken) { return {}; }

  Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const&) {
    taken += bytes.size();
    return {.taken = bytes.size()};
  }

  static bool flushes_lines() { return false; }

  std::uint64_t taken = 0;
};

struct Serial : Uart16550<Drain> {
  Serial() : Uart16550{Drain{}} {}
};

using BusyBoard = BoardWith<Pics, Mmio<0xFEC0'0000, IoApic>, Port<0x3F8, Serial, Irq<3>>,
                            On<Pit8254, Ranges<Ports<0x40, 4>, Ports<0x61, 1>>, Irq<0>>>;

enum Scenario : std::uint32_t {
  pulses_by_pic,
  level_by_pic,
  halts_by_pic,
  pulses_by_ioapic,
  level_by_ioapic,
  halts_by_ioapic,
  starts_others,
  waits_for_messages,
  halts_for_good,
  storm,
  masked_by_pic,
  forgets_ends,
  fastest_timer,
  floods_uart
};

/// A machine with the guest in it.
template <class Board, unsigned Max = 1>
struct Guest {
  explicit Guest(Scenario scenario, std::uint32_t rounds = 0)
      : machine{GuestMemory{2 * MiB}, [] { return Board{}; }, Vcpus<Max>{}} {
    machine.load(FlatImage{std::getenv("PORTICO_INTERRUPTS_GUEST")},
                 LongMode{PageSize::k4KiB, {{0xFEC0'0000, 4 * KiB}, {0xFEE0'0000, 4 * KiB}}});
    EXPECT_TRUE(machine.memory().write(0x9000, std::uint32_t{scenario}));
    EXPECT_TRUE(machine.memory().write(0x9004, rounds));
  }

  /// Runs it to its end, which must be that with 1.
  void expect_success() {
    Stop const stop = run();
    ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
    EXPECT_EQ(std::get<GuestExit>(stop).code, 1);
  }

  Stop run() {
    std::atomic<bool> over = false;
    std::thread limiting{[&] {
      auto const end =
          std::chrono::steady_clock::now() + std::chrono::seconds{20} * test::time_scale();
      while (!over && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
      if (over) return;
      ADD_FAILURE() << "the guest did not end in time; " << counts();
      machine.stop();
    }};
    Stop const stop = machine.run();
    over = true;
    limiting.join();
    return stop;
  }

  [[nodiscard]] std::uint64_t count(unsigned vector) {
    return machine.memory().template read<std::uint64_t>(0x9100 + 8 * vector).value_or(0);
  }

  [[nodiscard]] std::string counts() {
    std::string text;
    for (unsigned vector = 0; vector < 0x80; ++vector)
      if (count(vector) != 0) text += hex(vector) + ": " + std::to_string(count(vector)) + " ";
    return text;
  }

  Machine<Board, Vcpus<Max>> machine;
};

template <class Board>
struct Interrupts : testing::Test {
  void SetUp() override {
    PORTICO_REQUIRES(kvm, capability(KVM_CAP_IRQCHIP), capability(KVM_CAP_SPLIT_IRQCHIP));
  }
};

struct Names {
  template <class Board>
  static std::string GetName(int) {
    return detail::Irqchip<Board>::kind == IrqchipKind::kernel  ? "Kernel"
           : detail::Irqchip<Board>::kind == IrqchipKind::split ? "Split"
                                                                : "Board";
  }
};

// --- Through the 8259A, wherever it is

template <class Board>
struct ByPic : Interrupts<Board> {};

using AllBoards = testing::Types<KernelBoard, SplitBoard, PicBoard>;
TYPED_TEST_SUITE(ByPic, AllBoards, Names);

TYPED_TEST(ByPic, EachPulseIsAnInterrupt) {
  Guest<TypeParam> guest{pulses_by_pic, 200};
  guest.expect_success();
  EXPECT_EQ(guest.count(0x24), 200U) << guest.counts();
}

TYPED_TEST(ByPic, ALevelComesUntilItIsLowered) {
  Guest<TypeParam> guest{level_by_pic, level_rounds};
  guest.expect_success();
  EXPECT_EQ(guest.count(0x2B), 50U) << guest.counts();
}

TYPED_TEST(ByPic, ADeadlineWakesAHaltedGuest) {
  Guest<TypeParam> guest{halts_by_pic, 50};
  guest.expect_success();
  EXPECT_EQ(guest.count(0x25), 50U) << guest.counts();
}

TYPED_TEST(ByPic, WhatIsMaskedWaits) {
  Guest<TypeParam> guest{masked_by_pic};
  guest.expect_success();
  EXPECT_EQ(guest.count(0x24), 1U) << guest.counts();
}

TYPED_TEST(ByPic, AForgottenEndHoldsBackTheLineAndThoseBelow) {
  Guest<TypeParam> guest{forgets_ends, 50};
  guest.expect_success();
  EXPECT_EQ(guest.count(0x24), 2U) << guest.counts();
  EXPECT_EQ(guest.count(0x25), 1U) << guest.counts();
}

TYPED_TEST(ByPic, AStopEndsAHalt) {
  Guest<TypeParam> guest{halts_for_good};
  for (int round = 0; round < 3; ++round) {
    std::thread stopping{[&] {
      while (guest.machine.template get<Counter>().value == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
      guest.machine.stop();
    }};
    Stop const stop = guest.run();
    EXPECT_TRUE(std::holds_alternative<Requested>(stop)) << describe(stop);
    stopping.join();
  }
}

// --- Through the IOAPIC, in the kernel or in the board

template <class Board>
struct ByIoApic : Interrupts<Board> {};

using BoardsWithApics = testing::Types<KernelBoard, SplitBoard>;
TYPED_TEST_SUITE(ByIoApic, BoardsWithApics, Names);

TYPED_TEST(ByIoApic, EachPulseIsAnInterrupt) {
  Guest<TypeParam> guest{pulses_by_ioapic, 200};
  guest.expect_success();
  EXPECT_EQ(guest.count(0x31), 200U) << guest.counts();
}

TYPED_TEST(ByIoApic, ALevelComesUntilItIsLowered) {
  Guest<TypeParam> guest{level_by_ioapic, level_rounds};
  guest.expect_success();
  // KVM's own IOAPIC sends it once more where the vendor module is kvm_pvm (Linux 6.18).
  std::uint64_t const more = detail::Irqchip<TypeParam>::kind == IrqchipKind::kernel ? 1 : 0;
  EXPECT_GE(guest.count(0x42), 50U) << guest.counts();
  EXPECT_LE(guest.count(0x42), 50U + more) << guest.counts();
}

TYPED_TEST(ByIoApic, ADeadlineWakesAHaltedGuest) {
  Guest<TypeParam> guest{halts_by_ioapic, 50};
  guest.expect_success();
  EXPECT_EQ(guest.count(0x32), 50U) << guest.counts();
}

TYPED_TEST(ByIoApic, MessagesComeByEventfd) {
  Guest<TypeParam> guest{waits_for_messages, 20};
  MsiLine msi{guest.machine, MsiMessage{0xFEE0'0000, 0x61}};
  std::atomic<bool> over = false;
  std::thread sending{[&] {
    while (guest.machine.template get<Counter>().value == 0 && !over)
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    for (std::uint64_t sent = 0; sent < 20 && !over; ++sent) {
      msi.line().pulse();
      while (guest.count(0x61) <= sent && !over)
        std::this_thread::sleep_for(std::chrono::microseconds{200});
    }
  }};
  guest.expect_success();
  over = true;
  sending.join();
  EXPECT_EQ(guest.count(0x61), 20U) << guest.counts();
}

// --- Through irqfds, or from a thread of the device's

template <class Board>
struct Offloading : Interrupts<Board> {};

using OffloadedBoards =
    testing::Types<OffloadedKernelBoard, OffloadedSplitBoard, OffloadedPicBoard>;
TYPED_TEST_SUITE(Offloading, OffloadedBoards, Names);

TYPED_TEST(Offloading, EachPulseIsAnInterrupt) {
  Guest<TypeParam> by_pic{pulses_by_pic, 200};
  by_pic.expect_success();
  EXPECT_EQ(by_pic.count(0x24), 200U) << by_pic.counts();
  if constexpr (detail::Irqchip<TypeParam>::has_local_apics) {
    Guest<TypeParam> by_ioapic{pulses_by_ioapic, 200};
    by_ioapic.expect_success();
    EXPECT_EQ(by_ioapic.count(0x31), 200U) << by_ioapic.counts();
  }
}

/// The guest ends each interrupt while the device still holds the line: it comes again.
TYPED_TEST(Offloading, ALevelComesUntilItIsLowered) {
  Guest<TypeParam> by_pic{level_by_pic, level_rounds};
  by_pic.expect_success();
  EXPECT_EQ(by_pic.count(0x2B), level_rounds) << by_pic.counts();
  if constexpr (detail::Irqchip<TypeParam>::has_local_apics) {
    Guest<TypeParam> by_ioapic{level_by_ioapic, level_rounds};
    by_ioapic.expect_success();
    std::uint64_t const more = detail::Irqchip<TypeParam>::kind == IrqchipKind::kernel ? 1 : 0;
    EXPECT_GE(by_ioapic.count(0x42), level_rounds) << by_ioapic.counts();
    EXPECT_LE(by_ioapic.count(0x42), level_rounds + more) << by_ioapic.counts();
  }
}

/// Resident memory of this process, in bytes.
std::uint64_t resident() {
  std::ifstream file{"/proc/self/statm"};
  std::uint64_t pages = 0;
  file >> pages >> pages;
  return pages * 4096;
}

/// vCPU 0 has only trouble to give; vCPU 1 counts, and stays in its guest. Both go on for a while,
/// and the monitor grows by nothing that depends on how long.
template <class Board, class Trouble>
void expect_others_go_on(Scenario scenario, Trouble trouble) {
  Guest<Board, 2> guest{scenario};
  auto& counter = guest.machine.template get<Counter>().value;
  std::atomic<bool> over = false;
  std::uint64_t grown = ~std::uint64_t{0};
  std::thread watching{[&] {
    auto const wait_for = [&](std::uint64_t troubles, int counts) {
      std::uint64_t const first = trouble(guest);
      int const before = counter;
      while ((trouble(guest) < first + troubles || counter < before + counts) && !over)
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    };
    wait_for(500, 500);
    std::uint64_t const before = resident();
    wait_for(2000, 500);
    std::uint64_t const after = resident();
    if (!over) grown = after > before ? after - before : 0;
    guest.machine.stop();
  }};
  // mov al, 1; out 0x85, al; jmp to the out
  std::uint8_t const code[] = {0xB0, 0x01, 0xE6, 0x85, 0xEB, 0xFC};
  ASSERT_TRUE(guest.machine.memory().copy_out(0xC000, gsl::as_bytes(gsl::span{code})));
  kvm_regs registers = guest.machine.vcpu(0).regs();
  registers.rip = 0xC000;
  guest.machine.vcpu(1).set_sregs(guest.machine.vcpu(0).sregs());
  guest.machine.vcpu(1).set_regs(registers);
  guest.machine.vcpu(1).set_mp_state({KVM_MP_STATE_RUNNABLE});
  Stop const stop = guest.run();
  EXPECT_TRUE(std::holds_alternative<Requested>(stop)) << describe(stop) << guest.counts();
  over = true;
  watching.join();
  EXPECT_LE(grown, 4 * MiB);
}

TYPED_TEST(ByIoApic, AStormOfOneVcpuLeavesTheOthersAlone) {
  // A level that is ended over and over, and that nobody lowers.
  expect_others_go_on<TypeParam>(storm, [](auto& guest) { return guest.count(0x42); });
}

struct Busy : Interrupts<BusyBoard> {};

TEST_F(Busy, TheTimerAtItsHighestRateLeavesTheOthersAlone) {
  expect_others_go_on<BusyBoard>(fastest_timer, [](auto& guest) { return guest.count(0x20); });
}

TEST_F(Busy, AFloodOfOutputLeavesTheOthersAlone) {
  expect_others_go_on<BusyBoard>(floods_uart, [](auto& guest) { return guest.count(0); });
}

template <class Board, unsigned Count>
void expect_start_of_all() {
  Guest<Board, Count> guest{starts_others, Count - 1};
  guest.expect_success();
  EXPECT_EQ(guest.machine.template get<Counter>().value.load(), static_cast<int>(Count) - 1);
}

TYPED_TEST(ByIoApic, TheFirstVcpuStartsTheOthers) {
  expect_start_of_all<TypeParam, 2>();
  expect_start_of_all<TypeParam, 4>();
}

TYPED_TEST(ByIoApic, AnEndFindsThoseThatWereNeverStarted) {
  Guest<TypeParam, 4> guest{pulses_by_pic, 5};
  guest.expect_success();
}

}  // namespace
}  // namespace portico
