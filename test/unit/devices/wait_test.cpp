#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <csignal>
#include <ctime>
#include <thread>

#include <portico/device/clock.hpp>
#include <portico/devices/wait.hpp>

#include "pipe.hpp"

namespace {

using portico::Wait;
using portico::wait_for;

TEST(Wait, IsOverWhenTheDescriptorIsReady) {
  Pipe pipe;
  EXPECT_EQ(wait_for(pipe.out.get(), POLLIN, {{}, 0}), Wait::timed_out);
  EXPECT_EQ(wait_for(pipe.in.get(), POLLOUT, {{}, -1}), Wait::ready);
  pipe.put("x");
  EXPECT_EQ(wait_for(pipe.out.get(), POLLIN, {{}, -1}), Wait::ready);
}

TEST(Wait, ToldApartAreTheEndOfInputAndWhatIsLeftBeforeIt) {
  Pipe pipe;
  pipe.put("x");
  pipe.in.reset();
  EXPECT_EQ(wait_for(pipe.out.get(), POLLIN, {{}, -1}), Wait::ready);
  EXPECT_EQ(pipe.available(), "x");
  EXPECT_EQ(wait_for(pipe.out.get(), POLLIN, {{}, -1}), Wait::hung_up);
}

TEST(Wait, AnErrorIsForTheCallThatFollowsToReport) {
  Pipe pipe;
  pipe.out.reset();
  EXPECT_EQ(wait_for(pipe.in.get(), POLLOUT, {{}, -1}), Wait::ready);
  int const closed = pipe.in.get();
  pipe.in.reset();
  EXPECT_EQ(wait_for(closed, POLLIN, {{}, -1}), Wait::ready);
}

TEST(Wait, EndsWhenTheRunDoes) {
  Pipe pipe;
  portico::RunControl control;
  std::thread stopper{[&] { control.stop(); }};
  EXPECT_EQ(wait_for(pipe.out.get(), POLLIN, {control.token(), -1}), Wait::stopped);
  stopper.join();
  pipe.put("x");
  EXPECT_EQ(wait_for(pipe.out.get(), POLLIN, {control.token(), -1}), Wait::stopped);
}

TEST(Wait, GoesOnAfterASignal) {
  struct sigaction action{};
  struct sigaction before{};
  static std::atomic<int> caught;
  action.sa_handler = [](int) { ++caught; };
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  Pipe pipe;
  pthread_t const waiter = ::pthread_self();
  std::thread other{[&] {
    for (int round = 0; round < 20; ++round) {
      ::pthread_kill(waiter, SIGUSR1);
      (void)wait_for(-1, 0, {{}, 1});
    }
    pipe.put("x");
  }};
  EXPECT_EQ(wait_for(pipe.out.get(), POLLIN, {{}, 10'000}), Wait::ready);
  other.join();
  EXPECT_GT(caught, 0);
  ASSERT_EQ(::sigaction(SIGUSR1, &before, nullptr), 0);
}

TEST(Wait, TakesAsLongAsItWasTold) {
  portico::TimeSource const time;
  auto const start = time.now();
  EXPECT_EQ(wait_for(-1, POLLIN, {{}, 30}), Wait::timed_out);
  EXPECT_GE(time.now() - start, 29'000'000U);
}

}  // namespace
