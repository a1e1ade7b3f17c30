// Lines that lead to controllers in the board, and the alarm that wakes who passes them on.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include <portico/device/alarm.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/irq_inputs.hpp>
#include <portico/device/irq_line.hpp>

namespace portico {
namespace {

using Steps = std::vector<std::pair<unsigned, bool>>;

struct Inputs : testing::Test {
  Alarm alarm{};
  IrqInputs inputs{alarm};

  Steps taken(unsigned count = 24) {
    Steps steps;
    inputs.take().for_each(count,
                           [&](unsigned line, bool level) { steps.emplace_back(line, level); });
    return steps;
  }

  /// Where each line stands after the steps, and how often it rose.
  static int rises(Steps const& steps, bool level = false) {
    int count = 0;
    for (auto const& [line, next] : steps) {
      count += next && !level ? 1 : 0;
      level = next;
    }
    return count;
  }
};

TEST_F(Inputs, NothingHappened) {
  EXPECT_FALSE(inputs.changed());
  EXPECT_EQ(taken(), Steps{});
}

TEST_F(Inputs, ARiseAndAFall) {
  inputs.change(5, true);
  EXPECT_TRUE(inputs.changed());
  EXPECT_EQ(rises(taken()), 1);
  EXPECT_FALSE(inputs.changed());
  inputs.change(5, false);
  Steps const steps = taken();
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(steps.back(), (std::pair<unsigned, bool>{5, false}));
}

TEST_F(Inputs, PulsesBetweenTwoLooksAreOneEdge) {
  for (int round = 0; round < 10; ++round) {
    inputs.change(5, true);
    inputs.change(5, false);
  }
  Steps const steps = taken();
  EXPECT_EQ(rises(steps), 1);
  EXPECT_FALSE(steps.back().second);
}

TEST_F(Inputs, AFallAndARiseBetweenTwoLooksAreAnEdge) {
  inputs.change(5, true);
  (void)taken();
  inputs.change(5, false);
  inputs.change(5, true);
  Steps const steps = taken();
  EXPECT_EQ(rises(steps, true), 1);
  EXPECT_TRUE(steps.back().second);
}

TEST_F(Inputs, LinesBeyondTheControllersAreLeftOut) {
  inputs.change(3, true);
  inputs.change(16, true);
  inputs.change(23, true);
  for (auto const& [line, level] : taken(16)) EXPECT_EQ(line, 3U);
}

TEST_F(Inputs, APinLeadsThere) {
  IrqPin pin{inputs, 7};
  IrqWire wire;
  wire.connect(pin);
  wire.set(true);
  EXPECT_EQ(rises(taken()), 1);
  wire.set(true);
  EXPECT_FALSE(inputs.changed());
  EXPECT_EQ(pin.failed(), 0U);
}

TEST(EventPin, SignalsEachRise) {
  Fd const event{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  IrqPin pin{event.get()};
  IrqWire wire;
  wire.connect(pin);
  IrqLine{wire}.pulse();
  IrqLine{wire}.pulse();
  std::uint64_t count = 0;
  ASSERT_EQ(::read(event.get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
  EXPECT_EQ(count, 2U);
  IrqPin broken{-1};
  std::atomic<bool> held = false;
  broken.pulse(held);
  EXPECT_EQ(broken.failed(), 1U);
}

/// A thread that sleeps on the alarm until something rings.
struct Sleeper {
  explicit Sleeper(Alarm& alarm, std::uint64_t until = Alarm::never)
      : thread{[this, &alarm, until] {
          alarm.sleep(until, 1, [&] {
            asleep = true;
            return false;
          });
          awake = true;
        }} {
    while (!asleep) std::this_thread::yield();
  }

  void join() { thread.join(); }

  std::atomic<bool> asleep = false;
  std::atomic<bool> awake = false;
  std::thread thread;
};

TEST(Alarm, RingsASleeper) {
  Alarm alarm;
  alarm.ring();  // nobody sleeps: nothing happens
  alarm.open();
  for (int round = 0; round < 50; ++round) {
    Sleeper sleeper{alarm};
    alarm.ring();
    alarm.ring();
    sleeper.join();
    EXPECT_TRUE(sleeper.awake);
  }
}

TEST(Alarm, WhatIsDueLaterLetsHimSleep) {
  Alarm alarm;
  alarm.open();
  Sleeper sleeper{alarm, 1'000'000'000'000'000};
  alarm.due(1'000'000'000'000'000);
  alarm.due(Alarm::never);
  timespec const moment{0, 20'000'000};
  ::nanosleep(&moment, nullptr);
  EXPECT_FALSE(sleeper.awake);
  alarm.due(999'999'999'999'999);
  sleeper.join();
}

TEST(Alarm, ComesInTime) {
  Alarm alarm;
  alarm.open();
  TimeSource const time;
  std::uint64_t const now = time.now();
  while (time.now() < now + 5'000'000)
    alarm.sleep(now + 5'000'000, time.now(), [] { return false; });
  EXPECT_GE(time.now(), now + 5'000'000);
  alarm.sleep(now, time.now(), [] { return false; });          // in the past: at once
  alarm.sleep(Alarm::never, time.now(), [] { return true; });  // there is work: at once
}

TEST(Alarm, AnArmedClockRingsIt) {
  Alarm alarm;
  alarm.open();
  TimeSource const time;
  Clock clock{time, &alarm};
  Sleeper sleeper{alarm};
  clock.cancel();
  EXPECT_FALSE(sleeper.awake);
  clock.arm(time.now() + 1'000'000'000'000);
  sleeper.join();
}

TEST_F(Inputs, ADrivenLineRingsUnlessItsThreadLooksItself) {
  alarm.open();
  Sleeper sleeper{alarm};
  {
    IrqInputs::Attending const attending{inputs};
    inputs.change(1, true);
    timespec const moment{0, 20'000'000};
    ::nanosleep(&moment, nullptr);
    EXPECT_FALSE(sleeper.awake);
    IrqInputs other{alarm};
    IrqInputs::Attending const inner{other};  // an inner machine's thread is no outer's
    inputs.change(1, false);
    sleeper.join();
  }
  Sleeper second{alarm};
  inputs.change(1, true);
  second.join();
}

TEST_F(Inputs, NoRiseIsLostBetweenThreads) {
  // Each pulse waits until the other thread has seen the one before.
  constexpr int rounds = 5000;
  std::atomic<int> seen = 0;
  std::thread raising{[&] {
    for (int round = 0; round < rounds; ++round) {
      inputs.change(3, true);
      inputs.change(3, false);
      while (seen <= round) std::this_thread::yield();
    }
  }};
  bool level = false;
  while (seen < rounds) {
    int count = 0;
    inputs.take().for_each(24, [&](unsigned, bool next) {
      count += next && !level ? 1 : 0;
      level = next;
    });
    seen += count;
    ASSERT_LE(count, 1);
    std::this_thread::yield();
  }
  raising.join();
  EXPECT_FALSE(rises(taken(), level));
}

TEST_F(Inputs, AFallThatComesAsARiseIsTakenIsSeen) {
  // One thread takes; the other lets the line fall meanwhile, and looks whether that is still to be
  // taken. If it says no, the first has it.
  constexpr int rounds = 5'000;
  IrqInputs::Attending const attending{inputs};
  std::atomic<int> raised = 0;
  std::atomic<int> fallen = 0;
  std::atomic<int> taken_rounds = 0;
  auto const wait_for = [](std::atomic<int> const& count, int wanted) {
    for (int turn = 0; count.load() < wanted; ++turn)
      if (turn > 2000) std::this_thread::yield();
  };
  bool overlooked = false;
  std::thread driving{[&] {
    IrqInputs::Attending const here{inputs};
    for (int round = 1; round <= rounds; ++round) {
      inputs.change(3, true);
      raised = round;
      for (int turn = 0; turn < round % 40; ++turn)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      inputs.change(3, false);
      bool const is_left = inputs.changed();
      fallen = round;
      wait_for(taken_rounds, round);
      if (!is_left && inputs.changed()) overlooked = true;
      if (inputs.changed()) (void)inputs.take();
    }
  }};
  for (int round = 1; round <= rounds; ++round) {
    wait_for(raised, round);
    (void)inputs.take();
    wait_for(fallen, round);
    taken_rounds = round;
  }
  driving.join();
  EXPECT_FALSE(overlooked);
  EXPECT_FALSE(inputs.changed());
}

}  // namespace
}  // namespace portico
