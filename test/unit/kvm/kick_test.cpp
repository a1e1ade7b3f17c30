// The kick without KVM: who owns the signal, what is set where, and threads that come and go. A loop that waits for
// immediate_exit in a page stands in for KVM_RUN.

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <portico/kvm/kick.hpp>

namespace portico::kvm {
namespace {

bool is_set(kvm_run& page) {
  return std::atomic_ref<std::uint8_t>{page.immediate_exit}.load() != 0;
}

void foreign_handler(int) {}

struct sigaction action_of(int signal) {
  struct sigaction action{};
  EXPECT_EQ(::sigaction(signal, nullptr, &action), 0);
  return action;
}

bool is_blocked(int signal) {
  sigset_t mask;
  EXPECT_EQ(::pthread_sigmask(SIG_BLOCK, nullptr, &mask), 0);
  return ::sigismember(&mask, signal) == 1;
}

TEST(Kick, ThePageIsSetWhenSendReturns) {
  kvm_run page{};
  Kick kick;
  KickTarget const target{kick, page};
  EXPECT_FALSE(is_set(page));
  kick.send();
  EXPECT_TRUE(is_set(page));
}

TEST(Kick, TheSignalAloneSetsThePageOfItsThread) {
  kvm_run page{};
  Kick kick;
  KickTarget const target{kick, page};
  ::pthread_kill(::pthread_self(), kick.signal());
  ::getppid();  // a system call: where a sanitizer that delays signals hands them over
  while (!is_set(page)) ::usleep(100);
}

TEST(Kick, WithoutATargetItWaitsForTheNextOne) {
  kvm_run page{};
  Kick kick;
  kick.send();
  {
    KickTarget const target{kick, page};
    EXPECT_TRUE(is_set(page));
    EXPECT_TRUE(set_immediate_exit(page, false));
  }
  KickTarget const again{kick, page};
  EXPECT_FALSE(is_set(page)) << "it was delivered once";
}

TEST(Kick, ASignalWithoutATargetIsHarmless) {
  Kick kick;
  ::pthread_kill(::pthread_self(), kick.signal());
  ::usleep(100);
}

TEST(Kick, AForeignHandlerIsAnErrorAndStays) {
  int const signal = SIGRTMIN + 1;
  struct sigaction foreign{};
  foreign.sa_handler = foreign_handler;
  ASSERT_EQ(::sigaction(signal, &foreign, nullptr), 0);
  try {
    Kick kick{signal};
    FAIL() << "the signal is taken";
  } catch (std::invalid_argument const& error) {
    EXPECT_NE(std::string{error.what()}.find(std::to_string(signal)), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(action_of(signal).sa_handler, foreign_handler);
  foreign.sa_handler = SIG_DFL;
  ::sigaction(signal, &foreign, nullptr);
  Kick const now_free{signal};
}

TEST(Kick, WhatIsNoSignalIsRefused) {
  EXPECT_THROW(Kick{0}, std::invalid_argument);
  EXPECT_THROW(Kick{-1}, std::invalid_argument);
  EXPECT_THROW(Kick{NSIG}, std::invalid_argument);
  EXPECT_THROW(Kick{SIGKILL}, std::system_error);
}

TEST(Kick, TheLastOneGivesTheSignalBack) {
  int const signal = SIGRTMIN + 2;
  {
    std::optional<Kick> first{std::in_place, signal};
    Kick const second{signal};
    first.reset();
    EXPECT_NE(action_of(signal).sa_handler, SIG_DFL) << "still in use";
  }
  EXPECT_EQ(action_of(signal).sa_handler, SIG_DFL);
}

TEST(Kick, AHandlerSetLaterByOthersIsNotTakenAway) {
  int const signal = SIGRTMIN + 3;
  {
    Kick const kick{signal};
    struct sigaction foreign{};
    foreign.sa_handler = foreign_handler;
    ::sigaction(signal, &foreign, nullptr);
  }
  EXPECT_EQ(action_of(signal).sa_handler, foreign_handler);
  struct sigaction none{};
  none.sa_handler = SIG_DFL;
  ::sigaction(signal, &none, nullptr);
}

TEST(Kick, TheTargetUnblocksTheSignalAndPutsTheMaskBack) {
  kvm_run page{};
  Kick kick;
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  {
    KickTarget const target{kick, page};
    EXPECT_FALSE(is_blocked(kick.signal()));
    EXPECT_TRUE(is_blocked(SIGTERM));
  }
  EXPECT_TRUE(is_blocked(kick.signal()));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_FALSE(is_blocked(kick.signal()));
}

// Four kickers against a target whose threads end at any time: nothing is sent to a dead thread (the thread
// sanitizer and the C library would say so), nothing is lost, and no signal is left over when the handler goes.
TEST(Kick, ThreadsComeAndGoWhileOthersKick) {
  for (int round = 0; round < 100; ++round) {
    Kick kick;
    kvm_run page{};
    std::atomic<bool> stopping{false};
    std::atomic<bool> quiet{false};
    std::vector<std::thread> kickers;
    for (int index = 0; index < 4; ++index) {
      kickers.emplace_back([&] {
        while (!quiet) {
          kick.send();
          // Without a pause the four keep the lock from the target, which needs it to end.
          std::this_thread::sleep_for(std::chrono::microseconds{20});
        }
      });
    }
    for (int life = 0; life < 3; ++life) {
      std::thread{[&] {
        KickTarget const target{kick, page};
        for (int seen = 0; seen < 3;) {
          if (is_set(page)) {
            set_immediate_exit(page, false);
            ++seen;
          } else {
            std::this_thread::yield();
          }
        }
      }}.join();
    }
    quiet = true;
    for (std::thread& kicker : kickers) kicker.join();
    set_immediate_exit(page, false);
    std::thread last{[&] {
      KickTarget const target{kick, page};
      while (!stopping) {
        while (!is_set(page)) std::this_thread::yield();
        set_immediate_exit(page, false);  // first this, then a look at `stopping`
      }
    }};
    stopping = true;
    kick.send();
    last.join();
  }
}

}  // namespace
}  // namespace portico::kvm
