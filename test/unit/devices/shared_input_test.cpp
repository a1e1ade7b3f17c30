#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <portico/device/run_control.hpp>
#include <portico/devices/shared_input.hpp>

#include "pipe.hpp"

namespace {

using portico::Input;
using portico::InputStatus;
using portico::SharedInput;

Input byte(char letter) { return {InputStatus::byte, static_cast<std::uint8_t>(letter)}; }

constexpr Input end{InputStatus::end};
constexpr Input cancelled{InputStatus::cancelled};
constexpr Input would_wait{InputStatus::would_wait};

void pause(int milliseconds) { (void)portico::wait_for(-1, 0, {{}, milliseconds}); }

class SharedInputTest : public testing::Test {
 protected:
  /// Until so many guests stand in the queue.
  void await_queue(std::size_t length) {
    while (input.waiting() != length) pause(1);
  }

  Pipe pipe;
  SharedInput input{pipe.out.get()};
};

TEST_F(SharedInputTest, WhatGuestsGetIs0xFFUnlessThereIsAByte) {
  EXPECT_EQ(end.value, 0xFF);
  EXPECT_EQ(cancelled.value, 0xFF);
}

TEST_F(SharedInputTest, BytesComeInOrderThenTheEndForEver) {
  SharedInput::Reader guest{input, 0};
  pipe.put("ab");
  EXPECT_EQ(guest.read({}), byte('a'));
  pipe.put("c");
  pipe.in.reset();
  EXPECT_EQ(guest.read({}), byte('b'));
  EXPECT_EQ(guest.read({}), byte('c'));
  EXPECT_EQ(guest.read({}), end);
  EXPECT_EQ(guest.try_read(), end);
  EXPECT_EQ(guest.read({}), end);
}

TEST_F(SharedInputTest, TryingDoesNotWait) {
  SharedInput::Reader guest{input, 0};
  EXPECT_EQ(guest.try_read(), would_wait);
  pipe.put("a");
  EXPECT_EQ(guest.try_read(), byte('a'));
  EXPECT_EQ(guest.try_read(), would_wait);
  pipe.in.reset();
  EXPECT_EQ(guest.try_read(), end);
}

TEST_F(SharedInputTest, EveryByteGoesToOneGuest) {
  SharedInput::Reader one{input, 0};
  SharedInput::Reader two{input, 1};
  pipe.put("abcd");
  EXPECT_EQ(one.read({}), byte('a'));
  EXPECT_EQ(two.read({}), byte('b'));
  EXPECT_EQ(two.try_read(), byte('c'));
  EXPECT_EQ(one.try_read(), byte('d'));
}

TEST_F(SharedInputTest, PipedInputIsTakenInLargePieces) {
  SharedInput::Reader guest{input, 0};
  pipe.put(std::string(1000, 'x'));
  EXPECT_EQ(guest.read({}), byte('x'));
  EXPECT_EQ(pipe.available(), "");
}

TEST_F(SharedInputTest, GivenToOneGuestTheOthersFindTheEnd) {
  SharedInput chosen{pipe.out.get(), 1};
  SharedInput::Reader zero{chosen, 0};
  SharedInput::Reader one{chosen, 1};
  SharedInput::Reader two{chosen, 2};
  pipe.put("a");
  EXPECT_EQ(zero.read({}), end);
  EXPECT_EQ(two.try_read(), end);
  EXPECT_EQ(one.read({}), byte('a'));
}

TEST_F(SharedInputTest, AStopCancelsWhoWaits) {
  SharedInput::Reader guest{input, 0};
  portico::RunControl control;
  std::thread stopper{[&] {
    await_queue(1);
    control.stop();
  }};
  EXPECT_EQ(guest.read(control.token()), cancelled);
  stopper.join();
  pipe.put("a");
  EXPECT_EQ(guest.read(control.token()), cancelled);
  EXPECT_EQ(guest.read({}), byte('a'));
}

TEST_F(SharedInputTest, WhoWaitsLongestIsServedFirst) {
  constexpr int guests = 5;
  std::array<Input, guests> got{};
  std::vector<std::thread> threads;
  for (unsigned guest = 0; guest < guests; ++guest) {
    threads.emplace_back([&, guest] {
      SharedInput::Reader reader{input, guest};
      got[guest] = reader.read({});
    });
    await_queue(guest + 1);
  }
  pipe.put("abcde");
  for (std::thread& thread : threads) thread.join();
  for (unsigned guest = 0; guest < guests; ++guest)
    EXPECT_EQ(got[guest], byte(static_cast<char>('a' + guest))) << guest;
}

TEST_F(SharedInputTest, NobodyOvertakesTheQueue) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> served{false};
    std::thread waiter{[&] {
      SharedInput::Reader reader{input, 0};
      EXPECT_EQ(reader.read({}), byte('a'));
      served = true;
    }};
    await_queue(1);
    pipe.put("a");
    SharedInput::Reader other{input, 1};
    bool overtaken = false;
    while (!served && !overtaken) overtaken = other.try_read() != would_wait;
    if (overtaken) pipe.put("a");
    waiter.join();
    ASSERT_FALSE(overtaken) << round;
  }
}

TEST_F(SharedInputTest, AStoppedGuestLeavesTheQueueWhereverItStands) {
  for (std::size_t stopped : {0U, 1U, 2U}) {
    std::array<portico::RunControl, 3> controls;
    std::array<Input, 3> got{};
    std::vector<std::thread> threads;
    for (unsigned guest = 0; guest < 3; ++guest) {
      threads.emplace_back([&, guest] {
        SharedInput::Reader reader{input, guest};
        got[guest] = reader.read(controls[guest].token());
      });
      await_queue(guest + 1);
    }
    controls[stopped].stop();
    threads[stopped].join();
    EXPECT_EQ(got[stopped], cancelled);
    pipe.put("ab");
    char next = 'a';
    for (std::size_t guest = 0; guest < 3; ++guest) {
      if (guest == stopped) continue;
      threads[guest].join();
      EXPECT_EQ(got[guest], byte(next++)) << "guest " << guest << ", stopped " << stopped;
    }
  }
}

TEST_F(SharedInputTest, TheEndReachesEveryoneInTheQueue) {
  std::array<Input, 3> got{byte('x'), byte('x'), byte('x')};
  std::vector<std::thread> threads;
  for (unsigned guest = 0; guest < 3; ++guest)
    threads.emplace_back([&, guest] {
      SharedInput::Reader reader{input, guest};
      got[guest] = reader.read({});
    });
  await_queue(3);
  pipe.in.reset();
  for (std::thread& thread : threads) thread.join();
  for (Input const& each : got) EXPECT_EQ(each, end);
}

TEST_F(SharedInputTest, NothingIsLostOrDoubledAmongManyReaders) {
  constexpr std::size_t total = 20'000;
  constexpr unsigned guests = 4;
  std::array<std::size_t, 256> seen{};
  std::array<std::array<std::size_t, 256>, guests> counts{};
  std::vector<std::thread> threads;
  for (unsigned guest = 0; guest < guests; ++guest)
    threads.emplace_back([&, guest] {
      SharedInput::Reader reader{input, guest};
      for (;;) {
        Input got = reader.try_read();
        if (got == would_wait) got = reader.read({});
        if (got.status != InputStatus::byte) return;
        ++counts[guest][got.value];
      }
    });
  std::string text(total, '\0');
  for (std::size_t index = 0; index < total; ++index) text[index] = static_cast<char>(index % 251);
  pipe.put(text);
  pipe.in.reset();
  for (std::thread& thread : threads) thread.join();
  std::size_t sum = 0;
  for (auto const& each : counts)
    for (std::size_t value = 0; value < 256; ++value) {
      seen[value] += each[value];
      sum += each[value];
    }
  EXPECT_EQ(sum, total);
  for (std::size_t value = 0; value < 256; ++value)
    EXPECT_EQ(seen[value], value >= 251 ? 0 : total / 251 + (value < total % 251 ? 1 : 0)) << value;
}

TEST_F(SharedInputTest, AnInputThatIsNotThereIsAtItsEnd) {
  int const closed = pipe.out.get();
  pipe.out.reset();
  SharedInput none{closed};
  SharedInput::Reader guest{none, 0};
  EXPECT_EQ(guest.try_read(), end);
  EXPECT_EQ(guest.read({}), end);
}

}  // namespace
