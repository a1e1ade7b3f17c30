// Lines without KVM. A pin on descriptor -1 fails each time it is driven, so its failures count
// the changes of its level.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <portico/base/fd.hpp>
#include <portico/device/irq_line.hpp>

namespace portico {
namespace {

TEST(IrqLine, OfNobodyDoesNothing) {
  IrqLine const line;
  line.set(true);
  line.pulse();
}

TEST(IrqLine, DrivesItsWire) {
  IrqWire wire;
  IrqLine const line{wire};
  EXPECT_FALSE(wire.level());
  line.set(true);
  line.set(true);
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(wire.raised(), 1U);
  line.set(false);
  EXPECT_FALSE(wire.level());
  line.pulse();
  line.pulse();
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(wire.raised(), 3U);
}

TEST(IrqLine, MayBeCopiedAndKept) {
  IrqWire wire;
  IrqLine const line{wire};
  IrqLine const copy = line;
  copy.set(true);
  EXPECT_TRUE(wire.level());
}

TEST(IrqPin, IsDrivenWhenItsLevelChanges) {
  IrqPin pin{-1, 0, 5};
  IrqWire wire;
  wire.connect(pin);
  wire.set(false);
  EXPECT_EQ(pin.failed(), 0U);
  wire.set(true);
  EXPECT_EQ(pin.failed(), 1U);
  wire.set(true);
  EXPECT_EQ(pin.failed(), 1U);
  wire.set(false);
  EXPECT_EQ(pin.failed(), 2U);
}

TEST(IrqPin, IsHighWhileAnyWireHoldsIt) {
  IrqPin pin{-1, 0, 5};
  IrqWire first;
  IrqWire second;
  first.connect(pin);
  second.connect(pin);
  first.set(true);
  EXPECT_EQ(pin.failed(), 1U);  // up
  second.set(true);
  EXPECT_EQ(pin.failed(), 1U);
  first.set(false);
  EXPECT_EQ(pin.failed(), 1U);  // the second holds it
  second.set(false);
  EXPECT_EQ(pin.failed(), 2U);  // down
}

TEST(IrqPin, APulseOfAWireThatIsUpTakesItDown) {
  IrqPin pin{-1, 0, 5};
  IrqWire wire;
  wire.connect(pin);
  wire.pulse();
  EXPECT_EQ(pin.failed(), 2U);
  wire.set(true);
  wire.pulse();
  EXPECT_EQ(pin.failed(), 4U);
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(wire.raised(), 2U);
}

TEST(IrqPin, IsLowAfterManyThreads) {
  IrqPin pin{-1, 0, 5};
  std::vector<IrqWire> wires(3);
  std::vector<std::thread> threads;
  for (IrqWire& wire : wires) {
    wire.connect(pin);
    threads.emplace_back([&wire] {
      for (int round = 0; round < 1000; ++round) IrqLine{wire}.pulse();
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::uint64_t const before = pin.failed();
  EXPECT_EQ(before % 2, 0U);  // each up has its down
  IrqWire last;
  last.connect(pin);
  last.set(true);
  EXPECT_EQ(pin.failed(), before + 1);
}

TEST(IrqWire, IsLowAfterTwoThreadsOnOne) {
  IrqPin pin{-1, 0, 5};
  IrqWire wire;
  wire.connect(pin);
  std::vector<std::thread> threads;
  for (int index = 0; index < 2; ++index)
    threads.emplace_back([&wire] {
      for (int round = 0; round < 2000; ++round) IrqLine{wire}.pulse();
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(wire.level());
  std::uint64_t const before = pin.failed();
  wire.set(true);
  EXPECT_EQ(pin.failed(), before + 1);  // it was low
}

TEST(IrqWire, OfTwoThreadsThatPulseItBothAreHeard) {
  // The first pulse waits in its rise, as the eventfd is full; the second comes meanwhile.
  std::uint64_t const full = 0xFFFF'FFFF'FFFF'FFFE;
  Fd const event{::eventfd(0, EFD_CLOEXEC)};
  ASSERT_TRUE(event);
  ASSERT_EQ(::write(event.get(), &full, sizeof full), static_cast<ssize_t>(sizeof full));
  IrqPin pin{event.get()};
  IrqWire wire;
  wire.connect(pin);
  std::vector<std::thread> threads;
  for (int index = 0; index < 2; ++index) {
    threads.emplace_back([&wire] { IrqLine{wire}.pulse(); });
    std::this_thread::sleep_for(std::chrono::milliseconds{30});
  }
  std::uint64_t count = 0;
  EXPECT_EQ(::read(event.get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
  EXPECT_EQ(count, full);
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(wire.raised(), 2U);
  EXPECT_EQ(::read(event.get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
  EXPECT_EQ(count, 2U);
}

}  // namespace
}  // namespace portico
