// Watches: a device's event() comes on the I/O thread when its descriptor can be read.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <portico/device/dynamic_map.hpp>
#include <portico/device/locked.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeVcpu;

/// An eventfd as a network card: `write` waits for packets, each event takes what has come.
struct Receiver {
  void write(std::uint8_t on, Watch& watch) {
    if (on != 0)
      armed = watch.arm(packets.get());
    else
      watch.disarm();
  }

  void event(Watch& watch, IrqLine& line) {
    thread = std::this_thread::get_id();
    std::uint64_t count = 0;
    if (::read(packets.get(), &count, sizeof count) == sizeof count) received += count;
    ++events;
    line.pulse();
    if (again) watch.arm(packets.get());
  }

  /// From anywhere.
  void comes() {
    std::uint64_t const one = 1;
    ASSERT_EQ(::write(packets.get(), &one, sizeof one), 8);
  }

  Fd packets{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<std::uint64_t> received = 0;
  std::atomic<int> events = 0;
  std::atomic<bool> again = true;
  std::atomic<bool> armed = false;
  std::atomic<std::thread::id> thread{};
};

struct Bomb {
  static constexpr auto threads = Threads::any;

  void write(std::uint8_t, Watch& watch) { watch.arm(fuse.get()); }

  void event() { throw std::runtime_error{"bomb"}; }

  Fd fuse{::eventfd(1, EFD_CLOEXEC)};
};

struct Remote {
  static constexpr auto threads = Threads::any;

  void write(std::uint8_t, Watch& watch) { watch.arm(button.get()); }

  void event(RunControl& control) { control.exit(7); }

  Fd button{::eventfd(0, EFD_CLOEXEC)};
};

struct Plain {
  void write(std::uint8_t) {}
};

using Board = DeviceMap<Port<0x10, Locked<Receiver>, Irq<5>, Named<"first">>,
                        Port<0x11, Locked<Receiver>, Irq<6>, Named<"second">>, Port<0x70, Bomb>,
                        Port<0x30, Remote>>;

void wait_for(std::atomic<std::uint64_t>& count, std::uint64_t wanted) {
  timespec const moment{0, 100'000};
  for (int round = 0; count < wanted && round < 50'000; ++round) ::nanosleep(&moment, nullptr);
  EXPECT_EQ(count.load(), wanted);
}

auto out(std::uint16_t port, std::string_view byte) {
  return [=](FakeVcpu& played) { played.exits_with_out(port, 1, byte); };
}

struct Events : testing::Test {
  FakeMachine<Board> machine{GuestMemory{4 * KiB}, [] { return Board{}; }};
  FakeVcpu& vcpu = machine.vcpu();
  Receiver& first = machine.get<"first">();
  Receiver& second = machine.get<"second">();
};

TEST_F(Events, ComeOnAThreadOfTheirOwnWhileTheGuestRuns) {
  vcpu.plays(out(0x10, "\x01"), [this](FakeVcpu& played) {
    EXPECT_TRUE(first.armed);
    for (std::uint64_t packet = 1; packet <= 100; ++packet) {
      first.comes();
      wait_for(first.received, packet);
    }
    played.exits(KVM_EXIT_HLT);
  });
  second.comes();  // nobody asked for it
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(first.events, 100);
  EXPECT_NE(first.thread.load(), std::this_thread::get_id());
  EXPECT_EQ(second.events, 0);
}

TEST_F(Events, EachDeviceHasItsOwn) {
  vcpu.plays(out(0x10, "\x01"), out(0x11, "\x01"), [this](FakeVcpu& played) {
    second.comes();
    wait_for(second.received, 1);
    EXPECT_EQ(first.events, 0);
    first.comes();
    first.comes();
    wait_for(first.received, 2);
    played.exits(KVM_EXIT_HLT);
  });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(second.events, 1);
}

TEST_F(Events, ComeOnceForEachTimeThatOneIsArmed) {
  first.again = false;
  vcpu.plays(
      out(0x10, "\x01"),
      [this](FakeVcpu& played) {
        first.comes();
        wait_for(first.received, 1);
        first.comes();  // stays where it is: the other tells that the thread has looked since
        played.exits_with_out(0x11, 1, "\x01");
      },
      [this](FakeVcpu& played) {
        second.comes();
        wait_for(second.received, 1);
        EXPECT_EQ(first.events, 1);
        played.exits_with_out(0x10, 1, "\x01");
      },
      [this](FakeVcpu& played) {
        wait_for(first.received, 2);
        played.exits(KVM_EXIT_HLT);
      });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(first.events, 2);
}

TEST_F(Events, DoNotComeOnceDisarmed) {
  vcpu.plays(out(0x10, "\x01"), out(0x10, std::string_view{"\0", 1}), out(0x11, "\x01"),
             [this](FakeVcpu& played) {
               first.comes();
               second.comes();
               wait_for(second.received, 1);
               played.exits(KVM_EXIT_HLT);
             });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(first.events, 0);
}

TEST_F(Events, OfARunThatIsOverComeWithTheNext) {
  vcpu.plays(out(0x10, "\x01"));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  first.comes();
  timespec const moment{0, 20'000'000};
  ::nanosleep(&moment, nullptr);
  EXPECT_EQ(first.events, 0);
  vcpu.plays([this](FakeVcpu& played) {
    wait_for(first.received, 1);
    played.exits(KVM_EXIT_HLT);
  });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
}

TEST_F(Events, EndTheRunOfAGuestThatNeverExits) {
  vcpu.plays(out(0x30, "\x01"), [this](FakeVcpu& played) {
    std::uint64_t const one = 1;
    EXPECT_EQ(::write(machine.get<Remote>().button.get(), &one, sizeof one), 8);
    return played.spin();
  });
  Stop const stop = machine.run();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(std::get<GuestExit>(stop).code, 7);
}

TEST_F(Events, ThrowOutOfTheRun) {
  vcpu.plays(out(0x70, "\x01"), [](FakeVcpu& played) { return played.spin(); });
  EXPECT_THROW(machine.run(), std::runtime_error);
  vcpu.clear();  // the bomb may be quicker than the guest
  vcpu.plays(out(0x10, "\x01"), [this](FakeVcpu& played) {
    first.comes();
    wait_for(first.received, 1);
    played.exits(KVM_EXIT_HLT);
  });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));  // and the machine runs again
}

TEST(EventsByHand, ComeWhenTheProgramAsks) {
  FakeMachine<Board, DeadlinesByHand> machine{GuestMemory{4 * KiB}, [] { return Board{}; },
                                              DeadlinesByHand{}};
  machine.vcpu().plays(out(0x10, "\x01"));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  Receiver& receiver = machine.get<"first">();
  machine.service_deadlines();
  EXPECT_EQ(receiver.events, 0);
  receiver.comes();
  machine.service_deadlines();
  machine.service_deadlines();
  EXPECT_EQ(receiver.events, 1);
  EXPECT_EQ(receiver.thread.load(), std::this_thread::get_id());
}

TEST(EventsOfADynamicMap, GoToTheDeviceThatArmed) {
  using Dynamic = DynamicMap<Locked<Receiver>, Plain>;
  FakeMachine<Dynamic, DeadlinesByHand> machine{
      GuestMemory{4 * KiB},
      [] {
        Dynamic board;
        board.place<Plain>({.base = 0x80});
        board.place<Locked<Receiver>>({.base = 0x10, .name = "first", .irq = 5});
        board.place<Locked<Receiver>>({.base = 0x11, .name = "second", .irq = 6});
        return board;
      },
      DeadlinesByHand{}};
  machine.vcpu().plays(out(0x10, "\x01"), out(0x11, "\x01"));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  Receiver& second = *machine.board().find<Locked<Receiver>>("second");
  second.comes();
  machine.service_deadlines();
  EXPECT_EQ(second.events, 1);
  EXPECT_EQ(machine.board().find<Locked<Receiver>>("first")->events, 0);
}

std::ptrdiff_t threads() {
  namespace fs = std::filesystem;
  return std::distance(fs::directory_iterator{"/proc/self/task"}, fs::directory_iterator{});
}

std::ptrdiff_t epoll_descriptors() {
  namespace fs = std::filesystem;
  return std::count_if(fs::directory_iterator{"/proc/self/fd"}, fs::directory_iterator{},
                       [](fs::directory_entry const& entry) {
                         std::error_code gone;  // the iterator's own may be
                         return fs::read_symlink(entry, gone) == "anon_inode:[eventpoll]";
                       });
}

/// A board that watches nothing pays nothing: neither a descriptor nor a thread.
TEST(BoardWithoutEvents, HasNoDescriptorForThem) {
  EXPECT_EQ(epoll_descriptors(), 0);
  using PlainBoard = DeviceMap<Port<0x10, Plain>>;
  FakeMachine<PlainBoard> machine{GuestMemory{4 * KiB}, PlainBoard{}};
  std::ptrdiff_t const before = threads();
  machine.vcpu().plays([&](FakeVcpu& played) {
    EXPECT_EQ(threads(), before);
    played.exits(KVM_EXIT_HLT);
  });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(epoll_descriptors(), 0);
  FakeMachine<Board> const watching{GuestMemory{4 * KiB}, [] { return Board{}; }};
  EXPECT_EQ(epoll_descriptors(), 1);
}

/// Without a machine a watch only tells: whoever tests a device calls event() himself.
TEST(WatchWithoutAKeeper, TellsWhatIsArmed) {
  Receiver receiver;
  Watch watch;
  EXPECT_EQ(watch.armed(), Watch::nothing);
  receiver.write(1, watch);
  EXPECT_EQ(watch.armed(), receiver.packets.get());
  receiver.write(0, watch);
  EXPECT_EQ(watch.armed(), Watch::nothing);
}

}  // namespace
}  // namespace portico
