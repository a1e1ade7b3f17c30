#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <portico/base/fd.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/pseudo_terminal.hpp>
#include <portico/devices/raw_terminal.hpp>

#include "pipe.hpp"

namespace {

using portico::Fd;
using portico::Input;
using portico::InputStatus;
using portico::PseudoTerminal;
using portico::RawTerminal;
using portico::Written;

void pause(int milliseconds) { (void)portico::wait_for(-1, 0, {{}, milliseconds}); }

Fd attach(PseudoTerminal const& terminal) {
  return Fd{::open(terminal.name().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
}

Written write(PseudoTerminal& terminal, std::string_view text,
              portico::WaitLimit const& limit = {}) {
  return terminal.write({reinterpret_cast<std::uint8_t const*>(text.data()), text.size()}, limit);
}

std::string read_some(int descriptor, std::size_t count) {
  std::string text;
  while (text.size() < count) {
    std::array<char, 4096> part{};
    if (portico::wait_for(descriptor, POLLIN, {{}, 20'000}) != portico::Wait::ready) break;
    ssize_t const got = ::read(descriptor, part.data(), part.size());
    if (got <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return text;
}

TEST(PseudoTerminal, BytesPassUnchangedInBothDirections) {
  PseudoTerminal terminal;
  Fd const user = attach(terminal);
  ASSERT_TRUE(user);
  std::string const bytes{"a\n\r\x03\x04\x7F\xFF\0b", 9};
  EXPECT_EQ(write(terminal, bytes).lost, 0U);
  EXPECT_EQ(read_some(user.get(), bytes.size()), bytes);
  ASSERT_EQ(::write(user.get(), bytes.data(), bytes.size()), 9);
  for (char letter : bytes)
    EXPECT_EQ(terminal.read({}), (Input{InputStatus::byte, static_cast<std::uint8_t>(letter)}));
  EXPECT_EQ(terminal.try_read(), (Input{InputStatus::would_wait}));
  // Nothing is echoed.
  EXPECT_EQ(portico::wait_for(user.get(), POLLIN, {{}, 0}), portico::Wait::timed_out);
}

TEST(PseudoTerminal, WhoComesLaterFindsTheFirstOutput) {
  PseudoTerminal terminal;
  EXPECT_FALSE(terminal.attached());
  EXPECT_EQ(write(terminal, "early\n").lost, 0U);
  Fd const user = attach(terminal);
  EXPECT_TRUE(terminal.attached());
  EXPECT_EQ(read_some(user.get(), 6), "early\n");
}

TEST(PseudoTerminal, WithNobodyAttachedTheGuestIsNotHeldUpAndTheLossIsCounted) {
  PseudoTerminal terminal;
  std::size_t lost = 0;
  std::string const buffer(4096, 'x');
  for (int round = 0; round < 100; ++round) {
    auto const result = write(terminal, buffer);
    EXPECT_EQ(result.taken, buffer.size());
    lost += result.lost;
    EXPECT_EQ(result.error, result.lost > 0 ? EIO : 0);
  }
  EXPECT_GT(lost, 200'000U);
}

TEST(PseudoTerminal, AReaderWhoLeavesCanComeBack) {
  PseudoTerminal terminal;
  {
    Fd const user = attach(terminal);
    EXPECT_EQ(write(terminal, "one").lost, 0U);
    EXPECT_EQ(read_some(user.get(), 3), "one");
  }
  EXPECT_FALSE(terminal.attached());
  std::thread returning{[&] {
    pause(20);
    Fd const user = attach(terminal);
    ASSERT_EQ(::write(user.get(), "k", 1), 1);
    EXPECT_EQ(read_some(user.get(), 3), "two");
  }};
  EXPECT_EQ(terminal.read({}), (Input{InputStatus::byte, 'k'}));
  EXPECT_EQ(write(terminal, "two").lost, 0U);
  returning.join();
}

TEST(PseudoTerminal, AStopEndsTheWaitAttachedOrNot) {
  PseudoTerminal terminal;
  for (bool attached : {false, true}) {
    Fd const user = attached ? attach(terminal) : Fd{};
    portico::RunControl control;
    std::thread stopper{[&] {
      pause(20);
      control.stop();
    }};
    EXPECT_EQ(terminal.read(control.token()), (Input{InputStatus::cancelled})) << attached;
    stopper.join();
  }
}

TEST(PseudoTerminal, AReaderInAnotherProcessGetsAllOfALongOutput) {
  constexpr std::size_t total = 200'000;
  Pipe result;
  PseudoTerminal terminal;
  Fd const user = attach(terminal);
  pid_t const child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::size_t count = 0;
    std::array<char, 1000> part{};
    while (count < total) {
      ssize_t const got = ::read(user.get(), part.data(), part.size());
      if (got <= 0) break;
      count += static_cast<std::size_t>(got);
    }
    ::_exit(count == total ? 0 : 1);
  }
  std::string const buffer(4000, 'x');
  for (std::size_t sent = 0; sent < total; sent += buffer.size())
    EXPECT_EQ(write(terminal, buffer).lost, 0U);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(PseudoTerminal, AnAttachedReaderMayFinishBeforeItCloses) {
  std::string text;
  std::thread reader;
  {
    PseudoTerminal terminal;
    EXPECT_EQ(write(terminal, "the last words").lost, 0U);
    Fd user = attach(terminal);
    reader = std::thread{[&text, late = std::move(user)] {
      pause(50);
      text = read_some(late.get(), 14);
    }};
  }
  reader.join();
  EXPECT_EQ(text, "the last words");
}

TEST(PseudoTerminal, AReaderWhoDoesNotReadLetsAStopThrough) {
  PseudoTerminal terminal;
  {
    Fd const user = attach(terminal);
    portico::RunControl control;
    std::thread stopper{[&] {
      pause(50);
      control.stop();
    }};
    std::size_t lost = 0;
    std::string const buffer(4096, 'x');
    for (int round = 0; round < 50 && lost == 0; ++round)
      lost = write(terminal, buffer, {control.token(), -1}).lost;
    stopper.join();
    EXPECT_GT(lost, 0U);
  }
}

/// A terminal as a shell would give one: cooked.
struct CookedTerminal {
  CookedTerminal() : master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)} {
    EXPECT_EQ(::grantpt(master.get()), 0);
    EXPECT_EQ(::unlockpt(master.get()), 0);
    terminal = Fd{::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  }

  [[nodiscard]] termios mode() const {
    termios now{};
    EXPECT_EQ(::tcgetattr(terminal.get(), &now), 0);
    return now;
  }

  Fd master;
  Fd terminal;
};

TEST(RawTerminal, KeysArriveUnechoedAndSingly) {
  CookedTerminal const cooked;
  ASSERT_EQ(::write(cooked.master.get(), "", 0), 0);
  RawTerminal const raw{cooked.terminal.get()};
  EXPECT_TRUE(raw.active());
  ASSERT_EQ(::write(cooked.master.get(), "k\r", 2), 2);
  EXPECT_EQ(read_some(cooked.terminal.get(), 2), "k\r");
  EXPECT_EQ(portico::wait_for(cooked.master.get(), POLLIN, {{}, 0}), portico::Wait::timed_out);
}

TEST(RawTerminal, SignalKeysStayOnAndOutputIsLeftAlone) {
  CookedTerminal const cooked;
  auto const before = cooked.mode();
  RawTerminal const raw{cooked.terminal.get()};
  auto const now = cooked.mode();
  EXPECT_NE(now.c_lflag & ISIG, 0U);
  EXPECT_EQ(now.c_oflag, before.c_oflag);
  EXPECT_EQ(now.c_lflag & (ICANON | ECHO), 0U);
}

TEST(RawTerminal, SignalKeysMayBeTheGuests) {
  CookedTerminal const cooked;
  RawTerminal const raw{cooked.terminal.get(), portico::SignalKeys::guest};
  EXPECT_EQ(cooked.mode().c_lflag & ISIG, 0U);
  ASSERT_EQ(::write(cooked.master.get(), "\x03\x1A", 2), 2);
  EXPECT_EQ(read_some(cooked.terminal.get(), 2), "\x03\x1A");
}

TEST(RawTerminal, ResumesAfterItWasRestoredOrSomebodySetAnotherMode) {
  CookedTerminal const cooked;
  auto const before = cooked.mode();
  RawTerminal raw{cooked.terminal.get(), portico::SignalKeys::guest};
  auto const made = cooked.mode();
  raw.restore();
  raw.resume();
  EXPECT_TRUE(raw.active());
  EXPECT_EQ(cooked.mode().c_lflag, made.c_lflag);
  ASSERT_EQ(::tcsetattr(cooked.terminal.get(), TCSANOW, &before), 0);
  raw.resume();
  EXPECT_EQ(cooked.mode().c_lflag, made.c_lflag);
  raw.restore();
  EXPECT_EQ(cooked.mode().c_lflag, before.c_lflag);

  Pipe const pipe;
  RawTerminal none{pipe.out.get()};
  none.resume();
  EXPECT_FALSE(none.active());
}

TEST(RawTerminal, RestoresWhatItFoundOnce) {
  CookedTerminal const cooked;
  auto const before = cooked.mode();
  {
    RawTerminal raw{cooked.terminal.get()};
    EXPECT_NE(cooked.mode().c_lflag, before.c_lflag);
    raw.restore();
    EXPECT_FALSE(raw.active());
    EXPECT_EQ(cooked.mode().c_lflag, before.c_lflag);
    EXPECT_EQ(cooked.mode().c_iflag, before.c_iflag);
    // What somebody else sets afterwards stays.
    auto changed = before;
    changed.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ASSERT_EQ(::tcsetattr(cooked.terminal.get(), TCSANOW, &changed), 0);
  }
  EXPECT_EQ(cooked.mode().c_lflag & ECHO, 0U);
  {
    RawTerminal const raw{cooked.terminal.get()};
  }
  EXPECT_EQ(cooked.mode().c_lflag & (ICANON | ECHO), static_cast<tcflag_t>(ICANON));
}

TEST(RawTerminal, WhatIsNoTerminalIsLeftAlone) {
  Pipe const pipe;
  RawTerminal const raw{pipe.out.get()};
  EXPECT_FALSE(raw.active());
}

}  // namespace
