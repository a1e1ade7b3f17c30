#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include <portico/device/clock.hpp>

namespace portico {
namespace {

TEST(TimeSource, TheHostsTimeGoesOn) {
  TimeSource const time;
  std::uint64_t const start = time.now();
  std::uint64_t later = time.now();
  while (later == start) later = time.now();
  EXPECT_GT(later, start);
}

TEST(TimeSource, AManualTimeStandsStill) {
  TimeSource time = TimeSource::manual(5);
  EXPECT_EQ(time.now(), 5U);
  EXPECT_EQ(time.now(), 5U);
  time.set(9);
  EXPECT_EQ(time.now(), 9U);
  TimeSource const copy{time};
  time.set(10);
  EXPECT_EQ(copy.now(), 9U);
}

TEST(Clock, IsDueOnceItsDeadlineIsReached) {
  TimeSource time = TimeSource::manual(100);
  Clock clock{time};
  EXPECT_EQ(clock.now(), 100U);
  EXPECT_EQ(clock.deadline(), Clock::never);
  EXPECT_FALSE(clock.take_due(Clock::never - 1));
  clock.arm(150);
  EXPECT_EQ(clock.deadline(), 150U);
  EXPECT_FALSE(clock.take_due(149));
  EXPECT_TRUE(clock.take_due(150));
  EXPECT_FALSE(clock.take_due(150));  // once
  EXPECT_EQ(clock.deadline(), Clock::never);
}

TEST(Clock, ReplacesAndCancels) {
  TimeSource const time = TimeSource::manual();
  Clock clock{time};
  clock.arm(10);
  clock.arm(20);
  EXPECT_FALSE(clock.take_due(19));
  clock.cancel();
  EXPECT_FALSE(clock.take_due(100));
}

TEST(Clock, ADeadlineInThePastIsDueAtOnce) {
  TimeSource const time = TimeSource::manual(100);
  Clock clock{time};
  clock.arm(0);
  EXPECT_TRUE(clock.take_due(100));
}

TEST(Clock, IsTakenByOneOfManyThreads) {
  TimeSource const time = TimeSource::manual(100);
  Clock clock{time};
  std::atomic<int> taken = 0;
  for (int round = 0; round < 100; ++round) {
    clock.arm(50);
    std::vector<std::thread> threads;
    for (int index = 0; index < 3; ++index)
      threads.emplace_back([&] { taken += clock.take_due(100) ? 1 : 0; });
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(taken.load(), round + 1);
  }
}

}  // namespace
}  // namespace portico
