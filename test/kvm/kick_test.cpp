// Guests that never exit, and threads that get them out.

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include <portico/kvm/kick.hpp>

#include "kvm/support.hpp"
#include "support/requires.hpp"

namespace portico {
namespace {

using test::TinyGuest;

/// A guest that jumps to itself for ever.
struct EndlessGuest : TinyGuest {
  EndlessGuest() {
    put(0, {0xEB, 0xFE});
    enter_long_mode(LongMode{});
  }
};

TEST(KickOnKvm, GetsAnEndlessLoopOut) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IMMEDIATE_EXIT));
  EndlessGuest guest;
  kvm::Kick kick;
  std::atomic<bool> stopping{false};
  std::atomic<bool> running{false};
  std::thread vcpu{[&] {
    kvm::KickTarget const target{kick, guest.vcpu.page()};
    running = true;
    running.notify_one();
    while (!stopping) {
      EXPECT_EQ(guest.vcpu.run(), EINTR);
      guest.vcpu.immediate_exit(false);
    }
  }};
  running.wait(false);
  std::this_thread::sleep_for(std::chrono::milliseconds{5});  // it is in the guest by now, or soon
  stopping = true;
  kick.send();
  vcpu.join();
  EXPECT_EQ(guest.vcpu.regs().rip, 0U);
}

// The signal has come and gone when KVM_RUN is called: only immediate_exit is left to tell of it.
TEST(KickOnKvm, OneBeforeTheGuestIsEnteredCounts) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IMMEDIATE_EXIT));
  EndlessGuest guest;
  kvm::Kick kick;
  kvm::KickTarget const target{kick, guest.vcpu.page()};
  kick.send();
  EXPECT_EQ(guest.vcpu.run(), EINTR);
  EXPECT_TRUE(guest.vcpu.immediate_exit(false));
  ::pthread_kill(::pthread_self(),
                 kick.signal());  // as if immediate_exit was taken back in between
  EXPECT_EQ(guest.vcpu.run(), EINTR);
  EXPECT_TRUE(guest.vcpu.immediate_exit(false));
}

// Each kick must be answered by one return from KVM_RUN. The next is sent the moment that the vCPU reports the last,
// on its way back into the guest: exactly where a signal alone would be lost.
TEST(KickOnKvm, NoneIsLostOnTheWayIntoTheGuest) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IMMEDIATE_EXIT));
  constexpr int rounds = 200;
  EndlessGuest guest;
  kvm::Kick kick;
  std::atomic<int> asked{0};
  std::atomic<int> answered{0};
  std::thread vcpu{[&] {
    kvm::KickTarget const target{kick, guest.vcpu.page()};
    while (answered != rounds) {
      EXPECT_EQ(guest.vcpu.run(), EINTR);
      guest.vcpu.immediate_exit(false);  // first this, then a look at what was asked
      if (int const now = asked; now != answered) {
        answered = now;
        answered.notify_one();
      }
    }
  }};
  for (int round = 1; round <= rounds; ++round) {
    asked = round;
    kick.send();
    for (int before = answered; before != round; before = answered) answered.wait(before);
  }
  vcpu.join();
}

// As a machine that is run and stopped again and again, from a new thread each time.
TEST(KickOnKvm, AHundredThreadsComeAndGo) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IMMEDIATE_EXIT));
  EndlessGuest guest;
  kvm::Kick kick;
  std::atomic<bool> over{false};
  std::thread other{[&] {  // kicks at any time, also when nobody is there
    while (!over) {
      kick.send();
      std::this_thread::sleep_for(std::chrono::microseconds{200});
    }
  }};
  for (int round = 0; round < 100; ++round) {
    std::atomic<bool> stopping{false};
    std::thread vcpu{[&] {
      kvm::KickTarget const target{kick, guest.vcpu.page()};
      while (!stopping) {
        EXPECT_EQ(guest.vcpu.run(), EINTR);
        guest.vcpu.immediate_exit(false);
      }
    }};
    if (round % 2 == 1) std::this_thread::sleep_for(std::chrono::microseconds{50});
    stopping = true;
    kick.send();
    vcpu.join();
  }
  over = true;
  other.join();
}

// Several machines in a process share one handler; each kick reaches its own.
TEST(KickOnKvm, EachGuestHasItsOwn) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IMMEDIATE_EXIT));
  EndlessGuest first;
  EndlessGuest second;
  kvm::Kick kick_first;
  kvm::Kick kick_second;
  std::atomic<bool> stop_first{false};
  std::atomic<bool> stop_second{false};
  auto const run = [](TinyGuest& guest, kvm::Kick& kick, std::atomic<bool>& stopping) {
    kvm::KickTarget const target{kick, guest.vcpu.page()};
    int returns = 0;
    for (; !stopping; ++returns) {
      EXPECT_EQ(guest.vcpu.run(), EINTR);
      guest.vcpu.immediate_exit(false);
    }
    return returns;
  };
  int returns_of_second = 0;
  std::thread one{[&] { run(first, kick_first, stop_first); }};
  std::thread two{[&] { returns_of_second = run(second, kick_second, stop_second); }};
  for (int round = 0; round < 20; ++round) {
    kick_first.send();
    std::this_thread::sleep_for(std::chrono::microseconds{100});
  }
  stop_first = true;
  kick_first.send();
  one.join();
  stop_second = true;
  kick_second.send();
  two.join();
  EXPECT_LE(returns_of_second, 1) << "the kicks of the first are none of its business";
}

}  // namespace
}  // namespace portico
