// What handlers ask for, and get from the context.
#include <gtest/gtest.h>

#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/locked.hpp>
#include <portico/device/run_control.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {
namespace {

/// Asks for everything, in different orders.
struct Greedy {
  void in_one_order(std::uint32_t address, GuestMemory& memory, IrqLine& line, Clock& clock,
                    RunControl& control) {
    last = memory.read<std::uint32_t>(address).value_or(0);
    line.set(true);
    clock.arm(clock.now() + 10);
    control.exit(static_cast<int>(last));
  }

  void in_another(std::uint16_t, RunControl const& control, Clock& clock, IrqLine line,
                  GuestMemory const& memory) {
    stopping = control.stopping();
    clock.cancel();
    line.pulse();
    last = static_cast<std::uint32_t>(memory.size());
  }

  std::uint8_t reading(Clock& clock, GuestMemory const&) {
    return static_cast<std::uint8_t>(clock.now());
  }

  void batch(gsl::span<std::uint8_t const> bytes, GuestMemory& memory) {
    EXPECT_TRUE(memory.copy_out(0x100, gsl::as_bytes(bytes)));
  }

  using registers =
      Registers<WriteOnly<0, &Greedy::in_one_order>, WriteOnly<0, &Greedy::in_another>,
                ReadOnly<0, &Greedy::reading>, WriteOnly<4, &Greedy::batch>>;
  std::uint32_t last = 0;
  bool stopping = false;
};

struct Fixture : testing::Test {
  GuestMemory memory{4 * KiB};
  IrqWire wire{};
  IrqLine line{wire};
  TimeSource time = TimeSource::manual(100);
  Clock clock{time};
  RunControl control{};
  DeviceMap<Port<0x10, Greedy, Irq<3>>> board{};
};

using Services = Fixture;

TEST_F(Services, ComeInAnyOrder) {
  Context context{clock, memory, control, line};
  ASSERT_TRUE(memory.write(0x20, std::uint32_t{77}));
  EXPECT_TRUE(board.out(0x10, std::uint32_t{0x20}, context));
  EXPECT_EQ(board.get<Greedy>().last, 77U);
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(clock.deadline(), 110U);
  EXPECT_EQ(control.request(), RunControl::Request::exit);
  EXPECT_EQ(control.code(), 77);

  EXPECT_TRUE(board.out(0x10, std::uint16_t{0}, context));
  EXPECT_TRUE(board.get<Greedy>().stopping);
  EXPECT_EQ(clock.deadline(), Clock::never);
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(board.get<Greedy>().last, 4 * KiB);

  time.set(0x123);
  EXPECT_EQ(board.in<std::uint8_t>(0x10, context), 0x23);

  EXPECT_TRUE(board.out(0x14, std::uint8_t{0xAB}, context));
  EXPECT_EQ(memory.read<std::uint8_t>(0x100), 0xAB);
}

TEST_F(Services, AClaimTellsWhoMayStopTheRun) {
  Context context{clock, memory, control, line};
  std::array<std::byte, 4> data{};
  auto const claim = [&](std::uint32_t width) {
    return board.access<Space::port, Direction::write>(0x10, width, 1, data.data(), context);
  };
  EXPECT_TRUE(claim(4).may_stop);
  EXPECT_TRUE(claim(2).may_stop);
  EXPECT_FALSE(claim(1).may_stop);
  EXPECT_FALSE(
      (board.access<Space::port, Direction::read>(0x10, 1, 1, data.data(), context)).may_stop);
}

/// A context that knows the entry, as the machine's does.
struct ByEntry {
  std::array<IrqWire, 3> wires{};
  std::array<IrqLine, 3> lines{IrqLine{wires[0]}, IrqLine{wires[1]}, IrqLine{wires[2]}};

  template <class Wanted, std::size_t Entry>
  Wanted& service() noexcept {
    return lines[Entry];
  }
};

struct Raiser {
  void write(std::uint8_t value, IrqLine& line) { line.set(value != 0); }
};

TEST(ServicesByEntry, EachEntryHasItsOwn) {
  DeviceMap<Port<1, Raiser, Irq<1>>, Port<2, Raiser, Irq<2>>, Mmio<3, Raiser, Irq<3>>> board;
  ByEntry context;
  board.out(2, std::uint8_t{1}, context);
  EXPECT_FALSE(context.wires[0].level());
  EXPECT_TRUE(context.wires[1].level());
  board.store(3, std::uint8_t{1}, context);
  EXPECT_TRUE(context.wires[2].level());
  board.out(2, std::uint8_t{0}, context);
  EXPECT_FALSE(context.wires[1].level());
  EXPECT_EQ(context.wires[1].raised(), 1U);
}

struct Timer {
  void write(std::uint8_t) {}

  void deadline(Clock& clock, IrqLine& line) {
    ++calls;
    line.pulse();
    clock.arm(5);
  }

  int calls = 0;
};

struct Plain {
  void write(std::uint8_t) {}

  void deadline() { ++calls; }

  int calls = 0;
};

struct Without {
  void write(std::uint8_t) {}
};

TEST_F(Services, DeadlinesAskToo) {
  DeviceMap<Port<1, Timer, Irq<0>>, Port<2, Locked<Plain>>, Port<3, Without>> timers;
  Context context{clock, line};
  timers.call_deadline(0, context);
  timers.call_deadline(1, context);
  timers.call_deadline(2, context);  // has none
  EXPECT_EQ(timers.get<Timer>().calls, 1);
  EXPECT_EQ(timers.get<Plain>().calls, 1);
  EXPECT_EQ(clock.deadline(), 5U);
  EXPECT_EQ(wire.raised(), 1U);
}

}  // namespace
}  // namespace portico
