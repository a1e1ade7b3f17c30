// The small devices of a PC: power, resets, keyboard controller, POST and exit ports. The
// differential tests compare the larger ones with QEMU's.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/acpi_power.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/devices/i8042.hpp>
#include <portico/devices/post_port.hpp>
#include <portico/devices/ps2_keyboard.hpp>
#include <portico/devices/pvpanic.hpp>
#include <portico/devices/reset_ports.hpp>

namespace portico {
namespace {

using Board =
    DeviceMap<Port<0x80, PostPort, Named<"post">>, Port<0xED, PostPort, Named<"delay">>,
              Port<0x92, SystemControlPortA>, Port<0xCF9, ResetControl>, Port<0xF4, DebugExit<>>,
              Port<0xF8, DebugExit<ExitStatus::plain>>, Port<0x600, AcpiPower, Irq<9, Level>>,
              On<I8042, Ranges<Ports<0x60>, Ports<0x64>>, Irq<1>>, Port<0x505, PvPanic>>;
static_assert(Board::safe_for_threads);

class PlatformTest : public testing::Test {
 protected:
  template <class Value = std::uint8_t>
  Value in(std::uint16_t port) {
    return board.in<Value>(port, context);
  }

  template <class Value>
  void out(std::uint16_t port, Value value) {
    ASSERT_TRUE(board.out(port, value, context));
  }

  void out8(std::uint16_t port, unsigned value) { out(port, static_cast<std::uint8_t>(value)); }

  /// What was asked for; asks for nothing any more.
  RunControl::Request request() {
    auto const asked = control.request();
    control.clear();
    return asked;
  }

  /// All bytes that the keyboard controller has.
  std::vector<unsigned> replies() {
    std::vector<unsigned> bytes;
    while ((in(0x64) & 0x01) != 0) bytes.push_back(in(0x60));
    return bytes;
  }

  std::vector<unsigned> ask(unsigned command) {
    out8(0x64, command);
    return replies();
  }

  std::vector<unsigned> tell(unsigned byte) {
    out8(0x60, byte);
    return replies();
  }

  void set_command_byte(unsigned value) {
    out8(0x64, 0x60);
    out8(0x60, value);
  }

  bool press(std::vector<std::uint8_t> const& codes) { return board.get<I8042>().type(codes); }

  TimeSource time = TimeSource::manual(0);
  Clock clock{time};
  RunControl control;
  IrqWire wire;
  IrqLine line{wire};
  Context<Clock, RunControl, IrqLine> context{clock, control, line};
  Board board{PostPort{},
              PostPort{},
              SystemControlPortA{},
              ResetControl{},
              DebugExit<>{},
              DebugExit<ExitStatus::plain>{},
              [] { return AcpiPower{}; },
              [] { return I8042{}; },
              PvPanic{6}};
  AcpiPower& acpi = board.get<AcpiPower>();
};

using Bytes = std::vector<unsigned>;
using enum RunControl::Request;

// --- Ports

TEST_F(PlatformTest, ThePostPortKeepsItsCode) {
  out8(0x80, 0x5A);
  EXPECT_EQ(in(0x80), 0x5A);
  EXPECT_EQ(board.get<"post">().code(), 0x5A);
  EXPECT_EQ(in(0xED), 0x00);
  board.get<"delay">().load({0x77});
  EXPECT_EQ(in(0xED), 0x77);
  EXPECT_EQ(board.get<"delay">().save(), PostPort::State{0x77});
}

TEST_F(PlatformTest, APanicEndsTheRunAndOtherEventsDoNot) {
  EXPECT_EQ(in(0x505), 0x01);
  for (unsigned const event : {0x00U, 0x02U, 0x04U, 0xFEU}) {
    out8(0x505, event);
    EXPECT_EQ(request(), none) << event;
  }
  out8(0x505, 0x03);
  EXPECT_EQ(control.code(), 6);
  EXPECT_EQ(request(), exit);
}

TEST_F(PlatformTest, TheExitPortDoublesAsQemuDoes) {
  out8(0xF4, 0x10);
  EXPECT_EQ(control.code(), 0x21);
  EXPECT_EQ(request(), exit);
  out(0xF4, std::uint16_t{0x1234});
  EXPECT_EQ(control.code(), 0x2469);
  EXPECT_EQ(request(), exit);
  out(0xF4, std::uint32_t{0});
  EXPECT_EQ(control.code(), 1);
  EXPECT_EQ(request(), exit);
  EXPECT_EQ(in<std::uint32_t>(0xF4), 0U);
  EXPECT_EQ(request(), none);
  out8(0xF8, 7);
  EXPECT_EQ(control.code(), 7);
}

TEST_F(PlatformTest, PortAResetsAtTheEdgeOnly) {
  EXPECT_EQ(in(0x92), 0x02);
  out8(0x92, 0x00);
  EXPECT_EQ(in(0x92), 0x00);
  EXPECT_EQ(request(), none);
  out8(0x92, 0x03);
  EXPECT_EQ(request(), reset);
  EXPECT_EQ(in(0x92), 0x03);
  out8(0x92, 0xFF);
  EXPECT_EQ(request(), none) << "it was 1 already";
  EXPECT_EQ(in(0x92), 0x03);
  out8(0x92, 0x02);
  out8(0x92, 0x01);
  EXPECT_EQ(request(), reset);
}

TEST_F(PlatformTest, TheResetControlResetsWithBitTwo) {
  out8(0xCF9, 0x02);
  EXPECT_EQ(in(0xCF9), 0x02);
  EXPECT_EQ(request(), none);
  out8(0xCF9, 0x06);
  EXPECT_EQ(request(), reset);
  EXPECT_EQ(in(0xCF9), 0x02);
  out8(0xCF9, 0x04);
  EXPECT_EQ(request(), reset);
  EXPECT_EQ(in(0xCF9), 0x00);
}

// --- ACPI

TEST_F(PlatformTest, SoftOffEndsTheRunAndOtherSleepsDoNot) {
  for (unsigned type = 0; type < 8; ++type) {
    out(0x604, static_cast<std::uint16_t>(0x2000 | type << 10));
    EXPECT_EQ(in<std::uint16_t>(0x604), type << 10 | 1) << "SLP_EN reads 0, SCI_EN 1";
    EXPECT_EQ(control.code(), 0);
    EXPECT_EQ(request(), type == AcpiPower::soft_off ? exit : none) << type;
  }
  out(0x604, static_cast<std::uint16_t>(AcpiPower::soft_off << 10));
  EXPECT_EQ(request(), none) << "without SLP_EN";
}

TEST_F(PlatformTest, TheTimerCountsAtItsRate) {
  EXPECT_EQ(in<std::uint32_t>(0x608), 0U);
  time.set(1'000'000'000);
  EXPECT_EQ(in<std::uint32_t>(0x608), 3'579'545U);
  time.set(86'400'000'000'000);  // a day
  EXPECT_EQ(in<std::uint32_t>(0x608), 86'400ULL * 3'579'545 % 0x100'0000);
  EXPECT_FALSE(board.out(0x608, std::uint32_t{1}, context));
}

TEST_F(PlatformTest, TheTimerInterruptsEachTimeItsTopBitChanges) {
  constexpr std::uint64_t half = 2'343'484'438;  // 2^23 ticks, rounded up
  out(0x602, std::uint16_t{0x0001});
  EXPECT_EQ(clock.deadline(), half);
  time.set(half - 1);
  EXPECT_EQ(in<std::uint16_t>(0x600), 0x0000);
  time.set(half);
  ASSERT_TRUE(clock.take_due(half));
  board.call_deadline(6, context);
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(clock.deadline(), Clock::never) << "nothing to wait for until it is cleared";
  EXPECT_EQ(in<std::uint16_t>(0x600), 0x0001);
  out(0x600, std::uint16_t{0xFFFE});
  EXPECT_TRUE(wire.level());
  out(0x600, std::uint16_t{0x0001});
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(clock.deadline(), 2 * half - 1);
}

TEST_F(PlatformTest, ThePowerButtonInterruptsIfEnabled) {
  acpi.press_power_button();
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(in<std::uint16_t>(0x600), 0x0100);
  out(0x602, std::uint16_t{0x0100});
  EXPECT_TRUE(wire.level());
  out(0x600, std::uint16_t{0x0100});
  EXPECT_FALSE(wire.level());
  acpi.press_power_button();
  EXPECT_TRUE(wire.level());
}

TEST_F(PlatformTest, ALoadedTimerGoesOn) {
  time.set(5'000'000'000);
  out(0x602, std::uint16_t{0x0001});
  auto const state = acpi.save();
  EXPECT_EQ(state.ticks, 5U * 3'579'545);
  AcpiPower other;
  other.load(state);
  TimeSource other_time = TimeSource::manual(77'000'000'000);
  Clock other_clock{other_time};
  EXPECT_EQ(other.read_timer(other_clock), state.ticks & 0xFF'FFFF);
  other_time.set(78'000'000'000);
  EXPECT_EQ(other.read_timer(other_clock), (state.ticks + 3'579'545) & 0xFF'FFFF);
  EXPECT_EQ(other.read_enable(), 0x0001);
}

// --- Keyboard controller

TEST_F(PlatformTest, TheControllerPassesAKernelsProbe) {
  EXPECT_EQ(ask(0xAA), Bytes{0x55});
  EXPECT_EQ(in(0x64), 0x1C) << "system flag; the last write was a command; not locked";
  EXPECT_EQ(ask(0xAB), Bytes{0x00});
  EXPECT_EQ(ask(0xA9), Bytes{0x00});
  set_command_byte(0x47);
  EXPECT_EQ(in(0x64), 0x14);
  EXPECT_EQ(ask(0x20), Bytes{0x47});
  EXPECT_EQ(ask(0xA7), Bytes{});
  EXPECT_EQ(ask(0x20), Bytes{0x67});
  EXPECT_EQ(ask(0xA8), Bytes{});
  EXPECT_EQ(ask(0xAD), Bytes{});
  EXPECT_EQ(ask(0x20), Bytes{0x57});
  EXPECT_EQ(tell(0xF2), (Bytes{0xFA, 0xAB, 0x41})) << "translated, and the keyboard is on again";
  EXPECT_EQ(ask(0x20), Bytes{0x47});
  set_command_byte(0x07);
  EXPECT_EQ(tell(0xF2), (Bytes{0xFA, 0xAB, 0x83}));
}

TEST_F(PlatformTest, TheKeyboardAnswersItsCommands) {
  EXPECT_EQ(tell(0xFF), (Bytes{0xFA, 0xAA}));
  EXPECT_EQ(tell(0xFE), Bytes{0xAA}) << "again";
  EXPECT_EQ(tell(0xEE), Bytes{0xEE});
  EXPECT_EQ(tell(0xED), Bytes{0xFA});
  EXPECT_EQ(tell(0x07), Bytes{0xFA});
  EXPECT_EQ(tell(0xF3), Bytes{0xFA});
  EXPECT_EQ(tell(0xF4), Bytes{0xFA}) << "a command instead of the rate";
  EXPECT_EQ(tell(0xF0), Bytes{0xFA});
  EXPECT_EQ(tell(0x00), (Bytes{0xFA, 0x02}));
  EXPECT_EQ(tell(0xF0), Bytes{0xFA});
  EXPECT_EQ(tell(0x03), Bytes{0xFA});
  EXPECT_EQ(tell(0xF0), Bytes{0xFA});
  EXPECT_EQ(tell(0x00), (Bytes{0xFA, 0x03}));
  EXPECT_EQ(tell(0xF6), Bytes{0xFA});
  EXPECT_EQ(tell(0xF0), Bytes{0xFA});
  EXPECT_EQ(tell(0x00), (Bytes{0xFA, 0x02}));
  EXPECT_EQ(tell(0x12), Bytes{0xFE}) << "no command";
}

TEST_F(PlatformTest, KeysComeOneByOneEachWithAnEdge) {
  set_command_byte(0x41);
  EXPECT_TRUE(press({0x1C, 0xF0, 0x1C, 0xE0, 0x75, 0x83, 0xF0, 0x83}));
  EXPECT_EQ(wire.raised(), 1U);
  EXPECT_EQ(in(0x60), 0x1E);
  EXPECT_EQ(wire.raised(), 2U);
  EXPECT_EQ(in(0x60), 0x9E) << "the prefix has become bit 7";
  EXPECT_EQ(replies(), (Bytes{0xE0, 0x48, 0x41, 0xC1}));
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(wire.raised(), 6U);
  set_command_byte(0x00);
  EXPECT_TRUE(press({0x1C, 0xF0, 0x1C}));
  EXPECT_EQ(wire.raised(), 6U) << "its interrupt is off";
  EXPECT_EQ(replies(), (Bytes{0x1C, 0xF0, 0x1C}));
}

TEST_F(PlatformTest, KeysWithoutRoomAreRefusedAsAWhole) {
  std::vector<std::uint8_t> const many(15, 0x1C);
  EXPECT_TRUE(press(many));
  EXPECT_FALSE(press({0xE0, 0xF0, 0x75}));
  EXPECT_EQ(replies().size(), 15U);
  EXPECT_EQ(tell(0xF5), Bytes{0xFA});
  EXPECT_FALSE(press({0x1C})) << "scanning is off";
  EXPECT_EQ(tell(0xF4), Bytes{0xFA});
  EXPECT_TRUE(press({0x1C}));
}

TEST_F(PlatformTest, AHeldKeyboardSaysNothing) {
  set_command_byte(0x11);
  EXPECT_TRUE(press({0x1C}));
  EXPECT_EQ(replies(), Bytes{});
  EXPECT_FALSE(wire.level());
  out8(0x64, 0xAE);
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(replies(), Bytes{0x1C});
}

TEST_F(PlatformTest, TheSecondPortLoopsBackAndHasNobody) {
  IrqWire second;
  board.get<I8042>().second_line(IrqLine{second});
  set_command_byte(0x03);
  out8(0x64, 0xD3);
  out8(0x60, 0x5A);
  EXPECT_TRUE(second.level());
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(in(0x64), 0x31) << "a byte of the second port";
  EXPECT_EQ(in(0x60), 0x5A);
  EXPECT_FALSE(second.level());
  out8(0x64, 0xD4);
  out8(0x60, 0xF2);
  EXPECT_EQ(in(0x64), 0x71) << "a time-out";
  EXPECT_EQ(in(0x60), 0xFE);
  out8(0x64, 0xD2);
  out8(0x60, 0x99);
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(in(0x60), 0x99);
}

TEST_F(PlatformTest, OutputPortAndPulsesReset) {
  EXPECT_EQ(ask(0xD0), Bytes{0xCF});
  EXPECT_EQ(ask(0xDD), Bytes{});
  EXPECT_EQ(ask(0xD0), Bytes{0xCD}) << "A20 off";
  EXPECT_EQ(ask(0xDF), Bytes{});
  out8(0x64, 0xD1);
  out8(0x60, 0xCF);
  EXPECT_EQ(request(), none);
  out8(0x64, 0xD1);
  out8(0x60, 0xCE);
  EXPECT_EQ(request(), reset);
  for (unsigned pulse = 0xF0; pulse <= 0xFF; ++pulse) {
    out8(0x64, pulse);
    EXPECT_EQ(request(), (pulse & 1) == 0 ? reset : none) << pulse;
  }
}

TEST_F(PlatformTest, AKeyboardControllerIsSavedWithItsKeyboard) {
  set_command_byte(0x41);
  tell(0xED);
  press({0x1C, 0xF0, 0x1C});
  auto const state = board.get<I8042>().save();
  I8042 other;
  other.load(state);
  EXPECT_EQ(other.save(), state);
  IrqWire other_wire;
  IrqLine other_line{other_wire};
  EXPECT_EQ(other.read_status(other_line) & 0x01, 0x01);
  EXPECT_TRUE(other_wire.level());
  EXPECT_EQ(other.read_data(other_line), 0x1E);
  EXPECT_EQ(other.read_data(other_line), 0x9E);
  other.write_data(0x02, other_line, control);
  EXPECT_EQ(other.read_data(other_line), 0xFA) << "the LEDs' byte";
}

TEST_F(PlatformTest, TypingMeetsAReadingGuest) {
  set_command_byte(0x01);
  std::atomic<bool> done{false};
  std::jthread const typist{[&] {
    for (int keys = 0; keys < 2'000;) keys += press({0x1C}) ? 1 : 0;
    done = true;
  }};
  int got = 0;
  while (got < 2'000) got += (in(0x64) & 1) != 0 && in(0x60) == 0x1C ? 1 : 0;
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(replies(), Bytes{});
}

}  // namespace
}  // namespace portico
