// A device's watch over a real epoll descriptor.
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>

#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>
#include <portico/device/watch.hpp>

namespace portico {
namespace {

class WatchOnEpoll : public testing::Test {
 protected:
  /// Whether an event is reported now, as number 7.
  [[nodiscard]] bool is_reported() const {
    epoll_event event{};
    int const count = ::epoll_wait(epoll.get(), &event, 1, 0);
    EXPECT_GE(count, 0);
    std::uint64_t const number = event.data.u64;  // a packed struct's
    if (count == 1) {
      EXPECT_EQ(number, 7U);
    }
    return count == 1;
  }

  void ring() const {
    std::uint64_t const one = 1;
    ASSERT_EQ(::write(input.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }

  Fd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  Fd input = detail::make_event();
  Watch watch;
};

TEST_F(WatchOnEpoll, reports_once_each_time_it_is_armed) {
  watch.keep(epoll.get(), 7);
  ASSERT_TRUE(watch.arm(input.get()));
  EXPECT_FALSE(is_reported());
  ring();
  EXPECT_TRUE(is_reported());
  EXPECT_FALSE(is_reported());
  ASSERT_TRUE(watch.arm(input.get()));
  EXPECT_TRUE(is_reported()) << "it can be read still";
}

TEST_F(WatchOnEpoll, muted_it_reports_nothing_until_it_is_armed_again) {
  watch.keep(epoll.get(), 7);
  EXPECT_FALSE(watch.mute()) << "nothing is armed";
  ASSERT_TRUE(watch.arm(input.get()));
  EXPECT_TRUE(watch.mute());
  EXPECT_EQ(watch.armed(), input.get());
  ring();
  EXPECT_FALSE(is_reported());
  ASSERT_TRUE(watch.arm(input.get()));
  EXPECT_TRUE(is_reported());
  ASSERT_TRUE(watch.arm(input.get()));
  watch.disarm();
  EXPECT_FALSE(watch.mute());
  EXPECT_FALSE(is_reported());
}

TEST_F(WatchOnEpoll, muted_it_still_tells_that_the_other_end_is_gone) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  Fd const here{ends[0]};
  Fd there{ends[1]};
  watch.keep(epoll.get(), 7);
  ASSERT_TRUE(watch.arm(here.get()));
  ASSERT_TRUE(watch.mute());
  ASSERT_EQ(::write(there.get(), "x", 1), 1);
  EXPECT_FALSE(is_reported());
  there.reset();
  EXPECT_TRUE(is_reported());
  EXPECT_FALSE(is_reported());
}

TEST_F(WatchOnEpoll, on_the_devices_own_thread_it_is_not_muted) {
  watch.keep(epoll.get(), 7, true);
  ASSERT_TRUE(watch.arm(input.get()));
  EXPECT_FALSE(watch.mute());
  ring();
  EXPECT_TRUE(is_reported());
}

}  // namespace
}  // namespace portico
