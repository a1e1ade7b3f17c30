// One turn of a device's loop, on eventfds that no KVM stands behind.
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <cstdint>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <portico/base/fd.hpp>
#include <portico/device/serve.hpp>

namespace portico {
namespace {

constexpr std::uint64_t millisecond = 1'000'000;
constexpr std::uint64_t minute = 60'000 * millisecond;

struct Serve : testing::Test {
  Fd bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Fd interrupt{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  int calls = 0;

  void ring(std::uint64_t times = 1) { ASSERT_EQ(::write(bell.get(), &times, sizeof times), 8); }

  std::uint64_t interrupts() {
    std::uint64_t count = 0;
    return ::read(interrupt.get(), &count, sizeof count) == sizeof count ? count : 0;
  }
};

TEST_F(Serve, DoesTheWorkAndInterrupts) {
  ring();
  EXPECT_EQ(serve([&] { ++calls; }, bell.get(), interrupt.get(), minute), 1U);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(interrupts(), 1U);
}

TEST_F(Serve, RingsBeforeTheWorkAreOnePieceOfIt) {
  ring(3);
  EXPECT_EQ(serve(
                [&] {
                  ++calls;
                  ring();
                },
                bell.get(), interrupt.get(), minute),
            3U);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(serve([&] { ++calls; }, bell.get(), interrupt.get(), 0), 1U) << "one during it is not";
  EXPECT_EQ(interrupts(), 2U);
}

TEST_F(Serve, EndsWhenTheTimeIsOver) {
  EXPECT_EQ(serve([&] { ++calls; }, bell.get(), interrupt.get(), 2 * millisecond), 0U);
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(interrupts(), 0U);
}

TEST_F(Serve, WaitsForARing) {
  std::thread rings{[&] { ring(); }};
  EXPECT_EQ(serve([&] { ++calls; }, bell.get(), -1, minute), 1U);
  rings.join();
  EXPECT_EQ(calls, 1);
}

TEST_F(Serve, TheDeviceSaysWhetherItInterrupts) {
  ring();
  serve([] { return false; }, bell.get(), interrupt.get(), minute);
  EXPECT_EQ(interrupts(), 0U);
  ring();
  serve([] { return true; }, bell.get(), interrupt.get(), minute);
  EXPECT_EQ(interrupts(), 1U);
}

TEST_F(Serve, ThrowsWhatGoesWrong) {
  ring();
  auto const fails = [] { throw std::runtime_error{"work"}; };
  EXPECT_THROW(serve(fails, bell.get(), interrupt.get(), minute), std::runtime_error);
  EXPECT_EQ(interrupts(), 0U);
  EXPECT_THROW(serve([] {}, 1'000'000, -1, 0), std::system_error);
}

}  // namespace
}  // namespace portico
