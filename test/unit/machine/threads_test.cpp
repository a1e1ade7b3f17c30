// Several vCPUs: the first stop ends all, exceptions wait for the others.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>

#include <portico/device/locked.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeVcpu;

struct Counter {
  void write(std::uint8_t) { ++writes; }

  int writes = 0;
};

struct Power {
  static constexpr auto threads = Threads::any;

  void write(std::uint8_t value, RunControl& control) {
    if (value == 0xFF) throw std::runtime_error{"device"};
    control.exit(value);
  }
};

using Board = DeviceMap<Port<1, Locked<Counter>>, Port<2, Power>>;
using Machine4 = FakeMachine<Board, Vcpus<4>>;

Board make() {
  return Board{[] { return Counter{}; }, Power{}};
}

struct ManyVcpus : testing::Test {
  Machine4 machine{GuestMemory{4 * KiB}, make, Vcpus<4>{}};

  void others_spin(unsigned alone) {
    for (unsigned index = 0; index < machine.vcpu_count(); ++index) {
      machine.vcpu(index).clear();
      if (index != alone)
        machine.vcpu(index).plays([this](FakeVcpu& played) {
          ++inside;
          int const error = played.spin();
          --inside;
          return error;
        });
    }
  }

  std::atomic<int> inside = 0;  ///< vCPUs that are in their guests now
};

TEST_F(ManyVcpus, AsManyAsAsked) {
  EXPECT_EQ(machine.vcpu_count(), 4U);
  EXPECT_EQ(machine.vm().vcpus, 4U);
  Machine4 two{GuestMemory{4 * KiB}, make, Vcpus<4>{2}};
  EXPECT_EQ(two.vcpu_count(), 2U);
  for (unsigned index = 0; index < 2; ++index) two.vcpu(index).clear();
  EXPECT_TRUE(std::holds_alternative<Halted>(two.run()));
}

TEST_F(ManyVcpus, EachRunsOnAThreadOfItsOwn) {
  std::array<std::thread::id, 4> threads{};
  for (unsigned index = 0; index < 4; ++index)
    machine.vcpu(index).plays([&, index](FakeVcpu& played) {
      threads[index] = std::this_thread::get_id();
      ++inside;
      while (inside < 4) std::this_thread::yield();  // all four at once
      played.exits(KVM_EXIT_HLT);
    });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(threads[0], std::this_thread::get_id());
  EXPECT_EQ((std::set<std::thread::id>{threads.begin(), threads.end()}.size()), 4U);
}

TEST_F(ManyVcpus, TheFirstStopEndsAll) {
  for (unsigned alone = 0; alone < 4; ++alone) {
    others_spin(alone);
    machine.vcpu(alone).plays([](FakeVcpu& played) { played.exits_with_out(2, 1, "\x21"); });
    Stop const stop = machine.run();
    ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
    EXPECT_EQ(std::get<GuestExit>(stop).code, 0x21);
  }
}

TEST_F(ManyVcpus, AHaltOfOneEndsAll) {
  others_spin(2);
  machine.vcpu(2).plays([](FakeVcpu& played) { played.exits(KVM_EXIT_HLT); });
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
}

TEST_F(ManyVcpus, AStopFromOutsideEndsAll) {
  for (unsigned index = 0; index < 4; ++index)
    machine.vcpu(index).plays([&](FakeVcpu& played) {
      ++inside;
      return played.spin();
    });
  std::thread stopping{[&] {
    while (inside < 4) std::this_thread::yield();
    machine.stop();
  }};
  EXPECT_TRUE(std::holds_alternative<Requested>(machine.run()));
  stopping.join();
}

TEST_F(ManyVcpus, AStopBeforeARunEndsIt) {
  others_spin(4);
  machine.stop();
  EXPECT_TRUE(std::holds_alternative<Requested>(machine.run()));
}

TEST_F(ManyVcpus, ThoseThatWaitToBeStartedEndToo) {
  // KVM_RUN of a vCPU that waits for its start gives EAGAIN at once, or EINTR when kicked.
  others_spin(0);
  machine.vcpu(3).clear();
  for (int round = 0; round < 3; ++round) machine.vcpu(3).plays([](FakeVcpu&) { return EAGAIN; });
  machine.vcpu(3).plays([](FakeVcpu& played) { return played.spin(); });
  machine.vcpu(0).plays([](FakeVcpu& played) { played.exits_with_out(2, 1, "\x01"); });
  EXPECT_TRUE(std::holds_alternative<GuestExit>(machine.run()));
}

TEST_F(ManyVcpus, AnExceptionComesOutWhenAllHaveEnded) {
  for (unsigned alone = 0; alone < 4; ++alone) {
    others_spin(alone);
    machine.vcpu(alone).plays([](FakeVcpu& played) { played.exits_with_out(2, 1, "\xFF"); });
    EXPECT_THROW(machine.run(), std::runtime_error);
    EXPECT_EQ(inside.load(), 0);

    // And the machine runs again.
    others_spin(1);
    machine.vcpu(1).plays([](FakeVcpu& played) { played.exits_with_out(2, 1, "\x03"); });
    Stop const stop = machine.run();
    EXPECT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  }
}

TEST_F(ManyVcpus, ReachLockedDevicesTogether) {
  constexpr int rounds = 500;
  std::atomic<int> done = 0;
  for (unsigned index = 0; index < 4; ++index) {
    for (int round = 0; round < rounds; ++round)
      machine.vcpu(index).plays([](FakeVcpu& played) { played.exits_with_out(1, 1, "x"); },
                                [](FakeVcpu& played) { played.exits_with_out(9, 1, "x"); });
    machine.vcpu(index).plays([&](FakeVcpu& played) {
      if (++done < 4) return played.spin();
      played.exits(KVM_EXIT_HLT);
      return 0;
    });
  }
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  EXPECT_EQ(machine.get<Counter>().writes, 4 * rounds);
  EXPECT_EQ(machine.unclaimed().writes, std::uint64_t{4 * rounds});
}

TEST_F(ManyVcpus, RunManyTimes) {
  for (int round = 0; round < 30; ++round) {
    auto const alone = static_cast<unsigned>(round) % 4;
    others_spin(alone);
    machine.vcpu(alone).plays([](FakeVcpu& played) { played.exits_with_out(2, 1, "\x05"); });
    Stop const stop = machine.run();
    ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  }
}

TEST(ManyMachines, RunAtOnce) {
  // Two machines of one process share the kick's signal, and nothing else.
  Machine4 first{GuestMemory{4 * KiB}, make, Vcpus<4>{2}};
  Machine4 second{GuestMemory{4 * KiB}, make, Vcpus<4>{2}};
  for (unsigned index = 0; index < 2; ++index) {
    first.vcpu(index).plays([](FakeVcpu& played) { return played.spin(); });
    second.vcpu(index).plays([](FakeVcpu& played) { return played.spin(); });
  }
  std::atomic<bool> second_ended = false;
  std::thread running{[&] {
    EXPECT_TRUE(std::holds_alternative<Requested>(second.run()));
    second_ended = true;
  }};
  std::thread stopping{[&] { first.stop(); }};
  EXPECT_TRUE(std::holds_alternative<Requested>(first.run()));
  stopping.join();
  EXPECT_FALSE(second_ended);
  second.stop();
  running.join();
}

}  // namespace
}  // namespace portico
