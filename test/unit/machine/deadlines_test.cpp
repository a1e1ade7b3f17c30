// The I/O thread: calls deadlines while the machine runs, and is there only where it is needed.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <vector>

#include <portico/device/locked.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeVcpu;

/// Counts deadlines; says whether another is to come.
struct Ticker {
  static constexpr auto deadline_threads = Threads::any;

  void write(std::uint32_t microseconds, Clock& clock) {
    clock.arm(clock.now() + microseconds * std::uint64_t{1000});
  }

  void deadline(Clock& clock) {
    last = clock.now();
    thread = std::this_thread::get_id();
    if (++count < wanted) clock.arm(clock.now());
  }

  std::atomic<int> count = 0;
  std::atomic<int> wanted = 1;
  std::atomic<std::uint64_t> last = 0;
  std::atomic<std::thread::id> thread{};
};

struct Bomb {
  static constexpr auto deadline_threads = Threads::any;

  void write(std::uint32_t, Clock& clock) { clock.arm(clock.now()); }

  void deadline() { throw std::runtime_error{"bomb"}; }
};

struct Fuse {
  static constexpr auto deadline_threads = Threads::any;

  void write(std::uint32_t microseconds, Clock& clock) {
    clock.arm(clock.now() + microseconds * std::uint64_t{1000});
  }

  void deadline(RunControl& control) { control.exit(7); }
};

struct Plain {
  void write(std::uint8_t) {}
};

using Board = DeviceMap<Port<0x10, Ticker>, Port<0x20, Bomb>, Port<0x30, Fuse>>;

auto out(std::uint16_t port, std::uint32_t value) {
  return [=](FakeVcpu& played) {
    played.exits_with_out(port, 4, std::string_view{reinterpret_cast<char const*>(&value), 4});
  };
}

std::ptrdiff_t threads() {
  namespace fs = std::filesystem;
  return std::distance(fs::directory_iterator{"/proc/self/task"}, fs::directory_iterator{});
}

struct Deadlines : testing::Test {
  FakeMachine<Board> machine{GuestMemory{4 * KiB}, [] { return Board{}; }};
  FakeVcpu& vcpu = machine.vcpu();
  Ticker& ticker = machine.get<Ticker>();

  /// A guest that waits in itself until the ticks have come.
  auto waits_for(int ticks) {
    return [this, ticks](FakeVcpu& played) {
      timespec const moment{0, 100'000};
      for (int round = 0; ticker.count < ticks && round < 50'000; ++round)
        ::nanosleep(&moment, nullptr);
      EXPECT_GE(ticker.count.load(), ticks);
      played.exits(KVM_EXIT_HLT);
    };
  }
};

TEST_F(Deadlines, ComeOnAThreadOfTheirOwnWhileTheGuestRuns) {
  vcpu.plays(out(0x10, 100), waits_for(1));
  std::uint64_t const before = machine.clock().now();
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_GE(ticker.last.load(), before + 100'000);
  EXPECT_NE(ticker.thread.load(), std::this_thread::get_id());
}

TEST_F(Deadlines, AnEarlierOneWakesTheSleeper) {
  // He sleeps until the fuse's deadline, far away.
  vcpu.plays(
      out(0x30, 1'000'000'000),
      [](FakeVcpu& played) {
        timespec const moment{0, 10'000'000};
        ::nanosleep(&moment, nullptr);
        out(0x10, 1)(played);
      },
      waits_for(1));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
}

TEST_F(Deadlines, ArmTheNextThemselves) {
  ticker.wanted = 1000;
  vcpu.plays(out(0x10, 1), waits_for(1000));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
}

TEST_F(Deadlines, EndTheRunOfAGuestThatNeverExits) {
  vcpu.plays(out(0x30, 2000), [](FakeVcpu& played) { return played.spin(); });
  Stop const stop = machine.run();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(std::get<GuestExit>(stop).code, 7);
}

TEST_F(Deadlines, ThrowOutOfTheRun) {
  for (int round = 0; round < 3; ++round) {
    vcpu.plays(out(0x20, 0), [](FakeVcpu& played) { return played.spin(); });
    EXPECT_THROW(machine.run(), std::runtime_error);
    vcpu.clear();  // the bomb may be quicker than the guest, which does not come to spin then
  }
  vcpu.plays(out(0x10, 1), waits_for(1));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));  // and the machine runs again
}

TEST_F(Deadlines, OfARunThatIsOverComeWithTheNext) {
  vcpu.plays(out(0x30, 1'000'000'000), out(0x10, 100'000),
             [](FakeVcpu& played) { played.exits(KVM_EXIT_HLT); });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  int const before = ticker.count;
  timespec const moment{0, 150'000'000};
  ::nanosleep(&moment, nullptr);
  EXPECT_EQ(ticker.count.load(), before);
  vcpu.plays(waits_for(before + 1));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
}

TEST_F(Deadlines, RunsComeAndGo) {
  for (int round = 0; round < 200; ++round) {
    vcpu.plays(out(0x10, 0), [](FakeVcpu& played) { played.exits(KVM_EXIT_HLT); });
    ASSERT_TRUE(std::holds_alternative<Halted>(machine.run()));
  }
}

template <class Machine>
std::ptrdiff_t threads_while_running(Machine& machine) {
  std::ptrdiff_t before = threads();
  std::ptrdiff_t during = 0;
  machine.vcpu().plays([&](FakeVcpu& played) {
    during = threads();
    played.exits(KVM_EXIT_HLT);
  });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  return during - before;
}

TEST_F(Deadlines, AThreadIsThereOnlyWhereItIsNeeded) {
  EXPECT_EQ(threads_while_running(machine), 1);
  FakeMachine<DeviceMap<Port<0xE9, Plain>>> plain{GuestMemory{4 * KiB},
                                                  DeviceMap<Port<0xE9, Plain>>{}};
  EXPECT_EQ(threads_while_running(plain), 0);
  FakeMachine<Board, DeadlinesByHand> by_hand{GuestMemory{4 * KiB}, [] { return Board{}; },
                                              DeadlinesByHand{}};
  EXPECT_EQ(threads_while_running(by_hand), 0);
}

TEST(DeadlinesByHand, ComeWhenTheTestMovesTheTime) {
  FakeMachine<Board, ManualTime> machine{GuestMemory{4 * KiB}, [] { return Board{}; },
                                         ManualTime{1000}};
  machine.vcpu().plays(out(0x10, 1));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(machine.service_deadlines(), 2000U);
  machine.clock().set(1999);
  EXPECT_EQ(machine.service_deadlines(), 2000U);
  EXPECT_EQ(machine.get<Ticker>().count.load(), 0);
  machine.clock().set(2000);
  EXPECT_EQ(machine.service_deadlines(), Clock::never);
  EXPECT_EQ(machine.get<Ticker>().count.load(), 1);
}

TEST(DeadlinesOfManyVcpus, AreOneThreads) {
  using Safe = DeviceMap<Port<0x10, Locked<Fuse>>>;
  FakeMachine<Safe, Vcpus<4>> machine{GuestMemory{4 * KiB}, [] { return Safe{}; }, Vcpus<4>{}};
  for (unsigned index = 0; index < 4; ++index)
    machine.vcpu(index).plays(out(0x10, 3000), [](FakeVcpu& played) { return played.spin(); });
  Stop const stop = machine.run();
  EXPECT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
}

}  // namespace
}  // namespace portico
