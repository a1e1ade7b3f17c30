#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <thread>
#include <vector>

#include <portico/device/run_control.hpp>

namespace portico {
namespace {

bool is_readable(int descriptor) {
  pollfd wait{descriptor, POLLIN, 0};
  return ::poll(&wait, 1, 0) == 1 && (wait.revents & POLLIN) != 0;
}

TEST(RunControl, AsksForNothingAtFirst) {
  RunControl const control;
  EXPECT_FALSE(control.stopping());
  EXPECT_EQ(control.request(), RunControl::Request::none);
  EXPECT_FALSE(is_readable(control.fd()));
}

TEST(RunControl, TellsWhatWasAskedFor) {
  RunControl control;
  control.exit(-3);
  EXPECT_EQ(control.request(), RunControl::Request::exit);
  EXPECT_EQ(control.code(), -3);
  control.clear();
  control.reset();
  EXPECT_EQ(control.request(), RunControl::Request::reset);
  control.clear();
  control.stop();
  EXPECT_EQ(control.request(), RunControl::Request::stop);
  EXPECT_TRUE(control.stopping());
}

TEST(RunControl, TheGuestsFirstRequestWins) {
  RunControl control;
  control.exit(0);  // a code of 0 is a request too
  control.stop();
  control.exit(7);
  control.reset();
  EXPECT_EQ(control.request(), RunControl::Request::exit);
  EXPECT_EQ(control.code(), 0);
}

TEST(RunControl, AStopOutlivesTheGuestsRequest) {
  for (bool const stop_is_first : {false, true}) {
    RunControl control;
    if (stop_is_first) control.stop();
    control.exit(7);
    if (!stop_is_first) control.stop();
    EXPECT_EQ(control.request(), RunControl::Request::exit);
    EXPECT_EQ(control.code(), 7);
    control.clear_guest_request();
    EXPECT_EQ(control.request(), RunControl::Request::stop);
    EXPECT_TRUE(control.stopping());
    EXPECT_TRUE(is_readable(control.fd()));
    control.clear();
    EXPECT_EQ(control.request(), RunControl::Request::none);
    EXPECT_FALSE(control.stopping());
    EXPECT_FALSE(is_readable(control.fd()));
  }
}

TEST(RunControl, TheGuestsRequestGoesAlone) {
  RunControl control;
  control.exit(0);
  control.clear_guest_request();
  EXPECT_FALSE(control.stopping());
  EXPECT_FALSE(is_readable(control.fd()));
  control.reset();
  EXPECT_EQ(control.request(), RunControl::Request::reset);
}

TEST(RunControl, TheTokenIsReadableUntilTheRequestIsTakenBack) {
  RunControl control;
  StopToken const token = control.token();
  StopToken const copy = token;
  EXPECT_FALSE(copy.stopping());
  control.stop();
  control.stop();
  EXPECT_TRUE(copy.stopping());
  EXPECT_TRUE(is_readable(copy.fd()));
  EXPECT_TRUE(is_readable(token.fd()));  // a look takes nothing away
  control.clear();
  EXPECT_FALSE(copy.stopping());
  EXPECT_FALSE(is_readable(copy.fd()));
  control.reset();
  EXPECT_TRUE(is_readable(copy.fd()));
}

TEST(RunControl, ATokenOfNobodyNeverStops) {
  StopToken const token;
  EXPECT_FALSE(token.stopping());
  EXPECT_EQ(token.fd(), -1);
  EXPECT_FALSE(is_readable(token.fd()));
}

TEST(RunControl, WakesWhoWaits) {
  RunControl control;
  std::thread waiting{[token = control.token()] {
    pollfd wait{token.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&wait, 1, 30'000), 1);
    EXPECT_TRUE(token.stopping());
  }};
  control.stop();
  waiting.join();
}

TEST(RunControl, OneOfManyThreadsWins) {
  for (int round = 0; round < 50; ++round) {
    RunControl control;
    std::vector<std::thread> threads;
    for (int index = 1; index <= 3; ++index)
      threads.emplace_back([&control, index] { control.exit(index); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_GE(control.code(), 1);
    EXPECT_LE(control.code(), 3);
    EXPECT_EQ(control.request(), RunControl::Request::exit);
  }
}

TEST(RunControl, RequestAndDescriptorNeverDiffer) {
  // One thread asks, another takes it back: whatever comes last, both say the same.
  RunControl control;
  for (int round = 0; round < 500; ++round) {
    std::thread asking{[&control] { control.stop(); }};
    control.clear();
    asking.join();
    ASSERT_EQ(is_readable(control.fd()), control.stopping()) << round;
    control.clear();
  }
}

}  // namespace
}  // namespace portico
