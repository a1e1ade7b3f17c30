// Any legal driver against any legal device: every buffer comes back exactly once, with the right length and content, and
// whoever waits is notified.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <random>
#include <thread>

#include "unit/virtio/probe.hpp"

namespace portico {
namespace {

using test::version_1;
using test::VirtioSegment;
using Random = std::mt19937_64;
using Bytes = std::vector<std::byte>;

/// What the device is to answer: as long as the question says, and made of it.
Bytes answer_to(Bytes const& question, std::uint64_t room) {
  std::uint64_t const shorter =
      question.empty() ? 0 : std::to_integer<std::uint64_t>(question[0]) % (room + 1);
  Bytes answer(room - shorter);
  for (std::size_t at = 0; at < answer.size(); ++at)
    answer[at] =
        question.empty() ? std::byte(at) : question[at % question.size()] ^ std::byte{0x5A};
  return answer;
}

/// Answers at once or later, in any order, in any manner; stops in the middle and goes on at its next event.
struct Whimsical {
  static constexpr std::uint32_t virtio_id = 63;
  static constexpr std::array<std::uint16_t, 2> queue_sizes{64, 4};

  Random random{};
  std::vector<VirtioChain> held{};
  bool obedient = false;  ///< at once and in order, for once

  explicit Whimsical(std::uint64_t seed) : random{seed} {}

  [[nodiscard]] bool once_in(unsigned times) { return !obedient && random() % times == 0; }

  void activate(VirtioQueues& queues) { queues.watch().arm(0); }

  void notified(std::size_t index, VirtioQueues& queues) {
    for (;;) {
      if (once_in(20)) return;
      auto chain = queues[index].take();
      if (!chain) return;
      if (once_in(5)) {
        (void)chain->read<std::uint8_t>();
        queues[index].put_back(std::move(*chain));
      } else if (once_in(3)) {
        held.push_back(std::move(*chain));
      } else {
        answer(*chain);
      }
    }
  }

  void event(VirtioQueues& queues) {
    queues.watch().arm(0);
    while (!held.empty() && !once_in(4)) {
      auto const which = held.begin() + static_cast<std::ptrdiff_t>(random() % held.size());
      answer(*which);
      held.erase(which);
    }
    for (std::size_t index = 0; index < queues.size(); ++index)
      if (queues[index].is_ready()) notified(index, queues);
  }

  void reset() { held.clear(); }

  void answer(VirtioChain& chain) {
    Bytes question(chain.readable_bytes());
    for (std::size_t at = 0; at < question.size();) {
      std::size_t const step = 1 + random() % question.size();
      at += chain.read(gsl::span{question}.subspan(at, std::min(step, question.size() - at)));
    }
    Bytes const all = answer_to(question, chain.writable_bytes());
    gsl::span<std::byte const> left{all};
    while (!left.empty()) {
      auto const piece = left.first(1 + random() % left.size());
      if (random() % 2 == 0)
        EXPECT_EQ(chain.write(piece), piece.size());
      else
        write_by_vectors(chain, piece);
      left = left.subspan(piece.size());
    }
  }

  static void write_by_vectors(VirtioChain& chain, gsl::span<std::byte const> piece) {
    auto rest = piece;
    for (iovec const& vector : chain.writable_vectors(piece.size())) {
      std::memcpy(vector.iov_base, rest.data(), vector.iov_len);
      rest = rest.subspan(vector.iov_len);
    }
    EXPECT_TRUE(rest.empty());
    chain.wrote(piece.size());
  }
};

/// A driver that does anything that it may.
class Driver {
 public:
  explicit Driver(std::uint64_t seed) : random_{seed}, rig_{[&] { return Whimsical{seed + 1}; }} {
    begin();
  }

  void step() {
    std::uint32_t const index = rnd(2);
    switch (rnd(32)) {
      default:
        return add(index);
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        return observe([&] { rig_.kick(index); });
      case 5:
      case 6:
      case 7:
      case 8:
        return reap(index);
      case 9:
      case 10:
        return observe([&] { EXPECT_TRUE(rig_.event()); });
      case 11:
        return rig_.queue(index).want_interrupts(rnd(2) == 0);
      case 12:
        return observe([&] { rig_.write(0x050, rnd(3)); });  // for nothing
      case 13:
        if (rnd(40) == 0) begin();
    }
  }

  /// All that is out comes back, with no more notifications than are due.
  void drain() {
    rig_.device().obedient = true;
    for (std::uint32_t const index : {0U, 1U}) observe([&] { rig_.kick(index); });
    // What the device has stopped before it goes on with at its event.
    observe([&] { rig_.event(); });
    for (std::uint32_t const index : {0U, 1U}) {
      reap(index);
      EXPECT_EQ(rig_.queue(index).outstanding(), 0U);
      EXPECT_TRUE(pending_[index].empty());
      EXPECT_EQ(rig_.queue(index).free_descriptors(), rig_.queue(index).size());
    }
    rig_.device().obedient = false;
    EXPECT_FALSE(rig_.needs_reset());
  }

  std::uint64_t completed = 0;

 private:
  static constexpr std::uint64_t slot = 1024;
  static constexpr std::byte untouched{0xEE};

  struct Pending {
    Bytes question;
    std::vector<VirtioSegment> room;
    std::uint64_t room_bytes = 0;
    std::vector<std::uint64_t> slots;
  };

  std::uint32_t rnd(std::uint64_t below) { return static_cast<std::uint32_t>(random_() % below); }

  /// A device reset, at any time, and other features and sizes.
  void begin() {
    std::uint64_t const optional = test::indirect | test::event_index;
    ASSERT_TRUE(rig_.negotiate(version_1 | (random_() & optional)));
    rig_.set_up_queue(0, 1U << rnd(7));
    rig_.set_up_queue(1, 1U << rnd(3));
    rig_.write(0x070, 15);
    for (auto& pending : pending_) pending.clear();
    free_.clear();
    for (std::uint64_t at = 0x8000; at + slot <= rig_.ram.size(); at += slot) free_.push_back(at);
  }

  std::uint64_t take_slot(Pending& pending) {
    std::swap(free_[rnd(free_.size())], free_.back());
    pending.slots.push_back(free_.back());
    free_.pop_back();
    std::memset(rig_.ram.span(pending.slots.back(), slot)->data(), static_cast<int>(untouched),
                slot);
    return pending.slots.back();
  }

  void add(std::uint32_t index) {
    auto& queue = rig_.queue(index);
    std::uint32_t const most = rig_.has(VirtioFeature::indirect_descriptors)
                                   ? Whimsical::queue_sizes[index]
                                   : queue.size();
    std::size_t const count = 1 + rnd(rnd(4) == 0 ? most : std::min(most, 4U));
    std::size_t const readable = rnd(count + 1);
    if (free_.size() < count + 1) return;
    Pending pending;
    std::vector<VirtioSegment> segments;
    for (std::size_t number = 0; number < count; ++number) {
      std::uint32_t const length = 1 + rnd(rnd(8) == 0 ? slot - 64 : 20);
      segments.push_back({take_slot(pending) + rnd(64), length, number >= readable});
      if (number < readable)
        ask(segments.back(), pending);
      else
        pending.room.push_back(segments.back());
      if (number >= readable) pending.room_bytes += length;
    }
    std::optional<std::uint16_t> head;
    if (rig_.has(VirtioFeature::indirect_descriptors) && rnd(2) == 0)
      head = queue.add(segments, take_slot(pending), rnd(std::min<std::uint64_t>(count, 3)));
    else
      head = queue.add(segments);
    if (head)
      pending_[index][*head] = std::move(pending);
    else
      free_.insert(free_.end(), pending.slots.begin(), pending.slots.end());
  }

  void ask(VirtioSegment const& segment, Pending& pending) {
    auto const bytes = *rig_.ram.span(segment.address, segment.length);
    for (std::byte& byte : bytes) {
      byte = std::byte(random_());
      pending.question.push_back(byte);
    }
  }

  void reap(std::uint32_t index) {
    while (auto const used = rig_.queue(index).use()) {
      ++completed;
      auto const found = pending_[index].find(used->head);
      ASSERT_NE(found, pending_[index].end());
      check(found->second, used->length);
      free_.insert(free_.end(), found->second.slots.begin(), found->second.slots.end());
      pending_[index].erase(found);
    }
  }

  void check(Pending const& pending, std::uint32_t length) {
    Bytes expected = answer_to(pending.question, pending.room_bytes);
    EXPECT_EQ(length, expected.size());
    expected.resize(pending.room_bytes, untouched);
    Bytes got;
    for (VirtioSegment const& segment : pending.room) {
      std::size_t const before = got.size();
      got.resize(before + segment.length);
      EXPECT_TRUE(rig_.ram.copy_in(segment.address, gsl::span{got}.subspan(before)));
      EXPECT_EQ(rig_.ram.read<std::byte>(segment.address + segment.length), untouched);
    }
    EXPECT_EQ(got, expected);
  }

  /// Lets the device work: an interrupt comes if and only if one is due.
  template <class Work>
  void observe(Work work) {
    std::array<std::uint16_t, 2> const before{rig_.queue(0).used_index(),
                                              rig_.queue(1).used_index()};
    work();
    bool due = false;
    for (std::uint32_t const index : {0U, 1U})
      due =
          due || rig_.queue(index).is_interrupt_due(before[index], rig_.queue(index).used_index());
    EXPECT_EQ(rig_.wire.level(), due);
    EXPECT_EQ(rig_.take_interrupts(), due ? 1U : 0U);
    EXPECT_FALSE(rig_.wire.level());
  }

  Random random_;
  test::VirtioRig<Whimsical> rig_;
  std::array<std::map<std::uint16_t, Pending>, 2> pending_{};
  std::vector<std::uint64_t> free_{};
};

TEST(VirtioProperties, every_buffer_comes_back_once_whatever_driver_and_device_do) {
  std::uint64_t completed = 0;
  for (std::uint64_t seed = 1; seed <= 10 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Driver driver{seed};
    for (int step = 0; step < 4000 && !testing::Test::HasFailure(); ++step) {
      driver.step();
      if (step % 500 == 499) driver.drain();
    }
    completed += driver.completed;
  }
  EXPECT_GT(completed, 5'000U);
}

TEST(VirtioProperties, indices_wrap_at_65536) {
  for (std::uint64_t const features : {version_1, version_1 | test::event_index}) {
    test::VirtioRig<Whimsical> rig{[] { return Whimsical{1}; }};
    rig.device().obedient = true;
    rig.start(features);
    auto& queue = rig.queue(0);
    std::uint32_t done = 0;
    for (std::uint32_t round = 0; done < 66'000; ++round) {
      for (std::uint32_t number = 0; number <= round % 64; ++number)
        ASSERT_TRUE(queue.add({{0x8000, 4, true}}));
      ASSERT_TRUE(rig.kick(0));
      ASSERT_EQ(rig.take_interrupts(), 1U);
      while (auto const used = queue.use()) {
        ASSERT_EQ(used->length, 4U);
        ++done;
      }
      ASSERT_EQ(queue.outstanding(), 0U);
    }
  }
}

// --- Two threads: what is suppressed is never lost

class VirtioThreads : public testing::TestWithParam<std::uint64_t> {};

struct Echo {
  static constexpr std::uint32_t virtio_id = 63;
  static constexpr std::array<std::uint16_t, 1> queue_sizes{16};

  void notified(std::size_t, VirtioQueues& queues) {
    while (auto chain = queues[0].take())
      if (auto const value = chain->read<std::uint32_t>()) (void)chain->write(*value + 1);
  }
};

/// A driver on the thread of the test, and the device on one that works when it is notified, and sleeps in between.
class TwoThreads {
 public:
  explicit TwoThreads(std::uint64_t features) : queue_{started(rig_, features)} {
    device_ = std::thread{[this] {
      for (std::uint32_t seen = 0; !stop_.load();) {
        kicks_.wait(seen);
        seen = kicks_.load();
        rig_.write(0x050, 0);
      }
    }};
  }

  TwoThreads(TwoThreads const&) = delete;
  TwoThreads& operator=(TwoThreads const&) = delete;

  ~TwoThreads() {
    stop_ = true;
    kick();
    device_.join();
  }

  /// Sends a few buffers, notifying only if that is due, at a moment that is anywhere in the device's work.
  void send() {
    for (std::uint64_t spin = random_() % 300; spin > 0; --spin) kicks_.load();
    for (std::uint64_t count = 1 + random_() % 3; count > 0 && queue_.free_descriptors() >= 2;
         --count) {
      std::uint64_t const place = 0x8000 + 16 * (sent % 64);
      EXPECT_TRUE(rig_.ram.write(place, sent));
      std::uint16_t const head = *queue_.add({{place, 4, false}, {place + 4, 4, true}});
      out_[head] = {place, sent++};
    }
    queue_.publish();
    if (queue_.wants_notification()) kick();
  }

  /// Waits for a buffer, by looking. False if none comes.
  bool poll() {
    return wait_until([&] { return reap(); });
  }

  /// Waits for an interrupt, after the last look that the specification wants. False if none comes.
  bool sleep() {
    queue_.want_interrupts(true);
    bool const woken = reap() || wait_until([&] { return rig_.wire.level(); });
    rig_.take_interrupts();
    queue_.want_interrupts(false);
    reap();
    return woken;
  }

  [[nodiscard]] bool is_idle() const { return out_.empty(); }

  std::uint32_t sent = 0;
  std::uint32_t received = 0;

 private:
  using Rig = test::VirtioRig<Echo, Locked<VirtioMmio<Echo>>>;

  static test::VirtioRing& started(Rig& rig, std::uint64_t features) {
    rig.start(version_1 | features);
    rig.queue(0).want_interrupts(false);
    return rig.queue(0);
  }

  void kick() {
    kicks_.fetch_add(1);
    kicks_.notify_one();
  }

  bool reap() {
    bool any = false;
    while (auto const used = queue_.use()) {
      auto const [place, value] = out_.at(used->head);
      EXPECT_EQ(rig_.ram.read<std::uint32_t>(place + 4), value + 1);
      out_.erase(used->head);
      ++received;
      any = true;
    }
    return any;
  }

  template <class Condition>
  static bool wait_until(Condition condition) {
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    for (unsigned spin = 0; !condition(); ++spin)
      if (spin % 1024 == 1023) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::yield();
      }
    return true;
  }

  Rig rig_{};
  test::VirtioRing& queue_;
  Random random_{1};
  std::map<std::uint16_t, std::pair<std::uint64_t, std::uint32_t>> out_{};
  std::atomic<std::uint32_t> kicks_{0};
  std::atomic<bool> stop_{false};
  std::thread device_{};
};

TEST_P(VirtioThreads, no_notification_is_lost) {
  TwoThreads threads{GetParam()};
  for (unsigned round = 0; round < 2000; ++round) {
    threads.send();
    ASSERT_TRUE(round % 2 == 0 ? threads.poll() : threads.sleep()) << "after " << threads.sent;
  }
  while (!threads.is_idle()) ASSERT_TRUE(threads.poll());
  EXPECT_EQ(threads.received, threads.sent);
  EXPECT_GT(threads.sent, 1000U);
}

INSTANTIATE_TEST_SUITE_P(Features, VirtioThreads, testing::Values(0ULL, test::event_index),
                         [](auto const& chosen) {
                           return chosen.param == 0 ? "flags" : "event_idx";
                         });

}  // namespace
}  // namespace portico
