#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/device/locked.hpp>

namespace portico {
namespace {

struct Counter {
  void write(std::uint32_t amount) { total += amount; }

  std::uint32_t read() { return total; }

  void fail(std::uint8_t) { throw std::runtime_error{"device"}; }

  using registers =
      Registers<ReadWrite<0, &Counter::read, &Counter::write>, WriteOnly<0, &Counter::fail>>;
  std::uint32_t total = 0;
};

using Board = DeviceMap<Mmio<0x1000, Locked<Counter>>>;

TEST(Locked, IsReachedByManyThreads) {
  Board board;
  std::vector<std::thread> threads;
  for (int index = 0; index < 3; ++index)
    threads.emplace_back([&board] {
      Context<> context;
      for (int round = 0; round < 2000; ++round) board.store(0x1000, std::uint32_t{1}, context);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(board.get<Counter>().total, 6000U);
}

/// Tells, from another thread, whether the lock is free while a handler runs.
struct Looks {
  void write(std::uint8_t) {
    std::thread{[this] {
      was_free = mutex->try_lock();
      if (was_free) mutex->unlock();
    }}.join();
  }

  std::mutex* mutex = nullptr;
  bool was_free = true;
};

TEST(Locked, HoldsTheLockForTheLengthOfAHandler) {
  using Held = Locked<Looks>;
  using Table = detail::EntryTraits<Port<1, Held>>::TableAt<0>;
  Held held;
  held.device().mutex = &held.mutex();
  Context<> context;
  std::byte data{};
  Claim const claim =
      detail::access_range<Direction::write, 0, 0, Table>(held, 0, 1, 1, &data, context);
  EXPECT_TRUE(claim.taken());
  EXPECT_FALSE(held.device().was_free);
  held.device().write(0);  // by hand, without the lock
  EXPECT_TRUE(held.device().was_free);
}

/// A handler that waits until the deadline has come.
struct Waits {
  static constexpr auto deadline_threads = Threads::any;

  void write(std::uint8_t) {
    enters.release();
    was_called = called.try_acquire_for(std::chrono::seconds{10});
  }

  void deadline() { called.release(); }

  std::binary_semaphore enters{0};
  std::binary_semaphore called{0};
  bool was_called = false;
};

TEST(Locked, IsNotTakenForADeadlineThatMayComeDuringAHandler) {
  DeviceMap<Port<1, Locked<Waits>>> board;
  std::thread vcpu{[&board] {
    Context<> context;
    board.out(1, std::uint8_t{0}, context);
  }};
  board.get<Waits>().enters.acquire();
  Context<> context;
  board.call_deadline(0, context);  // would wait for the handler, which waits for it
  vcpu.join();
  EXPECT_TRUE(board.get<Waits>().was_called);
}

/// Tells whether the lock is free in a deadline that may not come during a handler.
struct LooksLate {
  void write(std::uint8_t) {}

  void deadline() { looks.write(0); }

  Looks looks;
};

TEST(Locked, IsTakenForEveryOtherDeadline) {
  Locked<LooksLate> held;
  held.device().looks.mutex = &held.mutex();
  Context<> context;
  detail::call_deadline<0>(held, context);
  EXPECT_FALSE(held.device().looks.was_free);
}

TEST(Locked, LetsGoAfterAnException) {
  Board board;
  Context<> context;
  EXPECT_THROW(board.store(0x1000, std::uint8_t{1}, context), std::runtime_error);
  EXPECT_TRUE(board.store(0x1000, std::uint32_t{5}, context));  // would wait for ever
  EXPECT_EQ(board.load<std::uint32_t>(0x1000, context), 5U);
}

TEST(Locked, IsMadeFromValuesAndCallables) {
  struct Pinned {
    explicit Pinned(std::unique_ptr<int> given) : owned{std::move(given)} {}

    Pinned(Pinned const&) = delete;
    Pinned& operator=(Pinned const&) = delete;
    ~Pinned() = default;

    void write(std::uint8_t) {}

    std::unique_ptr<int> owned;
  };

  Locked<Pinned> const by_argument{std::make_unique<int>(1)};
  Locked<Pinned> by_callable{[] { return Pinned{std::make_unique<int>(2)}; }};
  EXPECT_EQ(*by_callable.device().owned, 2);
  DeviceMap<Port<1, Locked<Pinned>>> board{[] { return Pinned{std::make_unique<int>(3)}; }};
  EXPECT_EQ(*board.get<Pinned>().owned, 3);
}

}  // namespace
}  // namespace portico
