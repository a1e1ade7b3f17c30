// The run loop of one vCPU: what goes to devices, what ends a run, and what it leaves behind.
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <portico/x86/real_mode.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeVcpu;

struct Console {
  void write(gsl::span<std::uint8_t const> bytes) {
    ++calls;
    text.append(bytes.begin(), bytes.end());
  }

  void read(gsl::span<std::uint8_t> bytes) {
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(next++);
  }

  std::string text{};
  int calls = 0;
  int next = 'a';
};

struct Power {
  void write(std::uint8_t value, RunControl& control) {
    if (value == 0) control.reset();
    if (value == 1) control.stop();
    if (value >= 2) control.exit(value);
  }

  std::uint32_t read() { return 0x1234'5678; }
};

struct Faulty {
  void write(std::uint8_t, RunControl& control) {
    control.exit(5);
    throw std::runtime_error{"device"};
  }
};

struct Memory {
  void write(std::uint64_t value) { last = value; }

  std::uint64_t read() { return last + 1; }

  std::uint64_t last = 0;
};

using Board = DeviceMap<Port<0xE9, Console>, Port<0x501, Power>, Port<0x600, Faulty>,
                        Mmio<0xD000'0000, Memory>>;

struct Run : testing::Test {
  FakeMachine<Board> machine{GuestMemory{64 * KiB}, Board{}};
  FakeVcpu& vcpu = machine.vcpu();

  template <class Alternative>
  Alternative run() {
    Stop const stop = machine.run();
    if (auto const* const expected = std::get_if<Alternative>(&stop)) return *expected;
    ADD_FAILURE() << describe(stop);
    return {};
  }
};

auto reason(std::uint32_t number) {
  return [number](FakeVcpu& played) { played.exits(number); };
}

auto out(std::uint16_t port, std::string data, std::uint8_t width = 1) {
  return [=](FakeVcpu& played) { played.exits_with_out(port, width, data); };
}

// --- What ends a run

TEST_F(Run, Halted) {
  vcpu.plays(reason(KVM_EXIT_HLT));
  run<Halted>();
}

TEST_F(Run, TripleFault) {
  vcpu.plays(reason(KVM_EXIT_SHUTDOWN));
  run<Shutdown>();
}

TEST_F(Run, GuestExit) {
  vcpu.plays(out(0x501, "\x2A"));
  EXPECT_EQ(run<GuestExit>().code, 0x2A);
  EXPECT_TRUE(vcpu.is_at_end());
}

TEST_F(Run, Reset) {
  vcpu.plays(out(0x501, std::string(1, '\0')));
  run<Reset>();
}

TEST_F(Run, RequestedByADevice) {
  vcpu.plays(out(0x501, "\x01"));
  run<Requested>();
}

TEST_F(Run, EntryFailed) {
  vcpu.plays([](FakeVcpu& played) {
    played.exits(KVM_EXIT_FAIL_ENTRY);
    played.page().fail_entry.hardware_entry_failure_reason = 0x8000'0021;
  });
  EXPECT_EQ(run<EntryFailed>().reason, 0x8000'0021U);
}

TEST_F(Run, InternalErrorTellsWhere) {
  vcpu.plays([](FakeVcpu& played) {
    played.exits(KVM_EXIT_INTERNAL_ERROR);
    played.page().internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    played.registers.rip = 0x1'2345;
  });
  auto const stop = run<InternalError>();
  EXPECT_EQ(stop.suberror, std::uint32_t{KVM_INTERNAL_ERROR_EMULATION});
  EXPECT_EQ(stop.rip, 0x1'2345U);
}

TEST_F(Run, HostErrorTellsCallAndNumber) {
  vcpu.plays([](FakeVcpu&) { return EFAULT; });
  auto const stop = run<HostError>();
  EXPECT_STREQ(stop.call, "KVM_RUN");
  EXPECT_EQ(stop.error, EFAULT);
}

TEST_F(Run, UnhandledTellsTheReason) {
  for (std::uint32_t const number :
       {std::uint32_t{KVM_EXIT_HYPERCALL}, std::uint32_t{KVM_EXIT_DEBUG},
        std::uint32_t{KVM_EXIT_UNKNOWN}, 12345U}) {
    vcpu.plays(reason(number));
    EXPECT_EQ(run<Unhandled>().exit_reason, number);
  }
}

TEST_F(Run, SystemEvents) {
  auto const event = [](std::uint32_t type) {
    return [type](FakeVcpu& played) {
      played.exits(KVM_EXIT_SYSTEM_EVENT);
      played.page().system_event.type = type;
      played.page().system_event.ndata = 0;
    };
  };
  vcpu.plays(event(KVM_SYSTEM_EVENT_SHUTDOWN));
  EXPECT_EQ(run<GuestExit>().code, 0);
  vcpu.plays(event(KVM_SYSTEM_EVENT_RESET));
  run<Reset>();
  vcpu.plays(event(KVM_SYSTEM_EVENT_CRASH));
  EXPECT_EQ(run<Unhandled>().exit_reason, std::uint32_t{KVM_EXIT_SYSTEM_EVENT});
}

TEST_F(Run, GoesOnAfterWhatIsNothing) {
  vcpu.plays([](FakeVcpu&) { return EINTR; }, [](FakeVcpu&) { return EAGAIN; },
             reason(KVM_EXIT_INTR), reason(KVM_EXIT_IRQ_WINDOW_OPEN), reason(KVM_EXIT_SET_TPR),
             [](FakeVcpu&) { return EINTR; }, out(0xE9, "x"), reason(KVM_EXIT_HLT));
  run<Halted>();
  EXPECT_TRUE(vcpu.is_at_end());
  EXPECT_EQ(machine.get<Console>().text, "x");
}

// --- Accesses

TEST_F(Run, PortsAndStrings) {
  vcpu.plays(
      out(0xE9, "H"), out(0xE9, "ello"), [](FakeVcpu& played) { played.exits_with_in(0xE9, 1, 3); },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.io()[0], std::byte{'a'});
        EXPECT_EQ(played.io()[2], std::byte{'c'});
        played.exits_with_in(0x501, 4);
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(load<std::uint32_t>(played.io().data()), 0x1234'5678U);
        played.exits(KVM_EXIT_HLT);
      });
  run<Halted>();
  EXPECT_EQ(machine.get<Console>().text, "Hello");
  EXPECT_EQ(machine.get<Console>().calls, 2);
  EXPECT_EQ(machine.unclaimed().reads, 0U);
}

TEST_F(Run, Addresses) {
  vcpu.plays(
      [](FakeVcpu& played) { played.exits_with_store(0xD000'0000, 0x1122'3344'5566'7788, 8); },
      [](FakeVcpu& played) { played.exits_with_load(0xD000'0000, 8); },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.mmio(), 0x1122'3344'5566'7789U);
        played.exits_with_load(0xD000'0000, 3);
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.mmio(), 0xFF'FFFFU);
        played.exits(KVM_EXIT_HLT);
      });
  run<Halted>();
  EXPECT_EQ(machine.get<Memory>().last, 0x1122'3344'5566'7788U);
}

TEST_F(Run, CountsWhatNobodyTakes) {
  vcpu.plays(
      out(0x80, "x"), out(0x81, "abcdef", 2),  // three elements
      [](FakeVcpu& played) { played.exits_with_in(0x82, 4, 2); },
      [](FakeVcpu& played) {
        EXPECT_EQ(load<std::uint64_t>(played.io().data()), ~std::uint64_t{0});
        played.exits_with_load(0x1000'0000, 4);
      },
      [](FakeVcpu& played) {
        EXPECT_EQ(played.mmio(), 0xFFFF'FFFFU);
        played.exits_with_store(0xD000'0000, 1, 4);  // a width that the device lacks
      });
  run<Halted>();
  EXPECT_EQ(machine.unclaimed().writes, 5U);
  EXPECT_EQ(machine.unclaimed().reads, 3U);
}

// --- Stops, before, in and after a run

TEST_F(Run, ADevicesRequestCompletesTheAccess) {
  vcpu.plays(out(0x501, "\x07"), reason(KVM_EXIT_HLT));
  EXPECT_EQ(run<GuestExit>().code, 7);
  EXPECT_EQ(vcpu.runs, 2);
  EXPECT_EQ(vcpu.completions, 1);
  EXPECT_FALSE(vcpu.is_kicked());
  EXPECT_FALSE(vcpu.is_at_end());
  EXPECT_FALSE(machine.control().stopping());
  run<Halted>();  // the next run goes on where the guest is
}

TEST_F(Run, AStopBeforeARunEndsIt) {
  machine.stop();
  run<Requested>();
  EXPECT_EQ(vcpu.completions, vcpu.runs);  // the guest was not entered
  run<Halted>();
}

TEST_F(Run, SeveralStopsAreOne) {
  machine.stop();
  machine.stop();
  run<Requested>();
  run<Halted>();
}

TEST_F(Run, AStopDuringARunGetsTheGuestOut) {
  std::atomic<bool> inside = false;
  vcpu.plays([&](FakeVcpu& played) {
    inside = true;
    return played.spin();
  });
  std::thread stopping{[&] {
    while (!inside) std::this_thread::yield();
    machine.stop();
  }};
  run<Requested>();
  stopping.join();
  EXPECT_TRUE(vcpu.is_at_end());
  run<Halted>();
}

TEST_F(Run, AStopFromAHandlerOrAnObserverIsSeen) {
  struct Stops {
    void access(Access const&, Claim const&) { stop(); }

    std::function<void()> stop;
  } observer{[this] { machine.stop(); }};

  vcpu.plays(out(0xE9, "a"), out(0xE9, "b"));
  Stop const stop = machine.run(observer);
  EXPECT_TRUE(std::holds_alternative<Requested>(stop)) << describe(stop);
  EXPECT_EQ(machine.get<Console>().text, "a");
}

TEST_F(Run, AStopThatARunDoesNotEndByEndsTheNext) {
  vcpu.plays([this](FakeVcpu& played) {
    machine.stop();
    played.exits(KVM_EXIT_HLT);
  });
  run<Halted>();
  vcpu.plays([](FakeVcpu&) { return EFAULT; });
  run<Requested>();
  EXPECT_FALSE(vcpu.is_at_end());  // the guest was not entered
  vcpu.clear();
  run<Halted>();
}

TEST_F(Run, ADevicesRequestWinsOverALaterStop) {
  vcpu.plays([this](FakeVcpu& played) {
    machine.control().exit(9);
    machine.stop();
    played.exits_with_out(0x501, 1, "\x02");
  });
  EXPECT_EQ(run<GuestExit>().code, 9);
  // The access was completed by way of the kick; the stop stands still.
  vcpu.plays([](FakeVcpu&) { return EFAULT; });
  run<Requested>();
  vcpu.clear();
  run<Halted>();
}

TEST_F(Run, StopsFromManyThreadsOverManyRuns) {
  for (int round = 0; round < 50; ++round) {
    vcpu.clear();
    vcpu.plays([](FakeVcpu& played) { return played.spin(); });
    std::thread first{[&] { machine.stop(); }};
    run<Requested>();
    first.join();
    // A stop that came when its run was over already would end the next one.
    machine.control().clear();
  }
}

TEST_F(Run, ALoadCompletesWhatTheLastRunLeft) {
  struct NoImage {
    void load(GuestMemory&, std::uint64_t, std::uint64_t) const {}
  };

  RealMode const mode{.segment_base = 0, .ip = 0x100};
  machine.load(NoImage{}, mode);
  EXPECT_EQ(vcpu.runs, 0);  // nothing to complete yet
  vcpu.plays(out(0x600, "x"));
  EXPECT_THROW(machine.run(), std::runtime_error);  // in the middle of an access
  int const before = vcpu.completions;
  machine.load(NoImage{}, mode);
  EXPECT_EQ(vcpu.completions, before + 1);
  EXPECT_EQ(vcpu.registers.rip, 0x100U);
  EXPECT_FALSE(vcpu.is_kicked());
  run<Halted>();
}

// --- Exceptions

TEST_F(Run, AnExceptionOfAHandlerComesOut) {
  vcpu.plays(out(0x600, "x"), out(0xE9, "y"), reason(KVM_EXIT_HLT));
  EXPECT_THROW(machine.run(), std::runtime_error);
  // The request that was made before it went with that run; the machine can go on.
  EXPECT_FALSE(machine.control().stopping());
  run<Halted>();
  EXPECT_EQ(machine.get<Console>().text, "y");
}

TEST_F(Run, AnExceptionOfAnObserverComesOut) {
  struct Throws {
    void exit(kvm::Exit const&, std::uint32_t) { throw std::logic_error{"observer"}; }
  } observer;

  EXPECT_THROW(machine.run(observer), std::logic_error);
  run<Halted>();
}

// --- Observers

struct Recorder {
  void access(Access const& access, Claim const& claim) {
    std::string text = access.space == Space::port ? "port " : "mmio ";
    text += access.direction == Direction::read ? "read " : "write ";
    text += std::to_string(access.address) + " " + std::to_string(access.width) + "x" +
            std::to_string(access.count) + " ";
    text += std::to_string(std::to_integer<int>(access.data[0])) + " entry " +
            std::to_string(claim.entry) + " row " + std::to_string(claim.row);
    seen.push_back(text);
  }

  void exit(kvm::Exit const& exit, std::uint32_t number) {
    seen.push_back("exit " + std::to_string(exit.index()) + " " + kvm::name(number));
  }

  std::vector<std::string> seen{};
};

struct Counter {
  void access(Access const&, Claim const&) { ++accesses; }

  int accesses = 0;
};

TEST_F(Run, ObserversSeeEachExit) {
  vcpu.plays(
      out(0xE9, "A"), [](FakeVcpu& played) { played.exits_with_in(0x80, 2); },
      [](FakeVcpu& played) { played.exits_with_store(0xD000'0000, 9, 8); }, reason(KVM_EXIT_INTR),
      out(0xE9, "BCD"), reason(KVM_EXIT_SHUTDOWN));
  Recorder recorder;
  Counter counter;
  Stop const stop = machine.run(recorder, counter, NoObserver{});
  EXPECT_TRUE(std::holds_alternative<Shutdown>(stop));
  kvm_run intr{};
  intr.exit_reason = KVM_EXIT_INTR;
  kvm_run shutdown{};
  shutdown.exit_reason = KVM_EXIT_SHUTDOWN;
  EXPECT_EQ(recorder.seen,
            (std::vector<std::string>{
                "port write 233 1x1 65 entry 0 row 0", "port read 128 2x1 255 entry -1 row -1",
                "mmio write 3489660928 8x1 9 entry 3 row 0",
                "exit " + std::to_string(kvm::decode(intr).index()) + " KVM_EXIT_INTR",
                "port write 233 1x3 66 entry 0 row 0",
                "exit " + std::to_string(kvm::decode(shutdown).index()) + " KVM_EXIT_SHUTDOWN"}));
  EXPECT_EQ(counter.accesses, 4);
}

TEST_F(Run, NoObserverIsNobody) {
  vcpu.plays(out(0xE9, "A"));
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run(NoObserver{})));
  EXPECT_EQ(machine.get<Console>().text, "A");
}

// --- The kick's signal

TEST(RunSignal, ASignalOfSomeoneElseIsRefused) {
  int const number = SIGRTMIN + 5;
  struct sigaction ours{};
  ours.sa_handler = [](int) {};
  struct sigaction before{};
  ASSERT_EQ(::sigaction(number, &ours, &before), 0);
  using Plain = FakeMachine<DeviceMap<>, KickSignal>;
  EXPECT_THROW((Plain{GuestMemory{4 * KiB}, DeviceMap<>{}, KickSignal{number}}),
               std::invalid_argument);
  ASSERT_EQ(::sigaction(number, &before, nullptr), 0);
  Plain machine{GuestMemory{4 * KiB}, DeviceMap<>{}, KickSignal{number}};
  machine.stop();
  EXPECT_TRUE(std::holds_alternative<Requested>(machine.run()));
}

}  // namespace
}  // namespace portico
