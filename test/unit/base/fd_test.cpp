#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <utility>

#include <portico/base/fd.hpp>

namespace portico {
namespace {

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

Fd make() { return Fd{::eventfd(0, EFD_CLOEXEC)}; }

TEST(Fd, OwnsNothingAtFirst) {
  Fd const none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.get(), -1);
  EXPECT_FALSE(Fd{-1});
}

TEST(Fd, ClosesWhatItOwns) {
  int descriptor = -1;
  {
    Fd const fd = make();
    ASSERT_TRUE(fd);
    descriptor = fd.get();
    EXPECT_TRUE(is_open(descriptor));
  }
  EXPECT_FALSE(is_open(descriptor));
}

TEST(Fd, ReleaseGivesTheDescriptorUp) {
  int descriptor = -1;
  {
    Fd fd = make();
    descriptor = fd.release();
    EXPECT_FALSE(fd);
  }
  EXPECT_TRUE(is_open(descriptor));
  ::close(descriptor);
}

TEST(Fd, ResetClosesTheOldOne) {
  Fd fd = make();
  int const first = fd.get();
  Fd second = make();
  int const other = second.get();
  fd.reset(second.release());
  EXPECT_FALSE(is_open(first));
  EXPECT_EQ(fd.get(), other);
  fd.reset(other);  // what it owns already stays open
  EXPECT_TRUE(is_open(other));
  fd.reset();
  EXPECT_FALSE(fd);
  EXPECT_FALSE(is_open(other));
}

TEST(Fd, MovesAndLeavesNothing) {
  Fd first = make();
  int const descriptor = first.get();
  Fd second{std::move(first)};
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): what a move leaves is the subject
  EXPECT_EQ(second.get(), descriptor);

  Fd third = make();
  int const replaced = third.get();
  third = std::move(second);
  EXPECT_EQ(third.get(), descriptor);
  EXPECT_FALSE(is_open(replaced));

  Fd& self = third;
  third = std::move(self);
  EXPECT_EQ(third.get(), descriptor);
  EXPECT_TRUE(is_open(descriptor));
}

}  // namespace
}  // namespace portico
