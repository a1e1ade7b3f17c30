// All that a driver must not do: no mistake reaches a device, nothing is touched, and the driver is told.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "unit/virtio/probe.hpp"

namespace portico {
namespace {

using detail::VirtioDescriptor;
using test::version_1;

constexpr std::uint64_t ram_bytes = 128 * KiB;
constexpr std::uint16_t next = VirtioDescriptor::has_next;
constexpr std::uint16_t write = VirtioDescriptor::writable;
constexpr std::uint16_t table = VirtioDescriptor::indirect;

/// Believes nothing: each segment must lie in RAM. Writes to all that it may.
struct Suspicious {
  static constexpr std::uint32_t virtio_id = 63;
  static constexpr std::array<std::uint16_t, 1> queue_sizes{16};

  Region ram{};
  int chains = 0;

  void notified(std::size_t, VirtioQueues& queues) {
    while (auto chain = queues[0].take()) {
      ++chains;
      check(chain->readable_vectors(), chain->readable_bytes());
      check(chain->writable_vectors(), chain->writable_bytes());
      std::vector<std::byte> copy(chain->readable_bytes() < 4096 ? chain->readable_bytes() : 4096);
      chain->read(copy);
      chain->write(std::vector<std::byte>(
          chain->writable_bytes() < 4096 ? chain->writable_bytes() : 4096, std::byte{0x77}));
    }
  }

  void check(gsl::span<iovec const> vectors, std::uint64_t bytes) const {
    std::uint64_t total = 0;
    EXPECT_LE(vectors.size(), queue_sizes[0]);
    for (iovec const& each : vectors) {
      auto const offset =
          static_cast<std::uint64_t>(static_cast<std::byte*>(each.iov_base) - ram.host);
      EXPECT_TRUE(offset < ram.size && each.iov_len > 0 && each.iov_len <= ram.size - offset);
      total += each.iov_len;
    }
    EXPECT_EQ(total, bytes);
  }
};

struct Rig : test::VirtioRig<Suspicious> {
  Rig() : VirtioRig{[] { return Suspicious{}; }, ram_bytes} { device().ram = ram.regions()[0]; }

  /// A chain of these descriptors, at indices 0, 1 and so on, is made available.
  void give(std::vector<VirtioDescriptor> const& descriptors) {
    for (std::size_t index = 0; index < descriptors.size(); ++index)
      queue(0).set_descriptor(static_cast<std::uint16_t>(index), descriptors[index]);
    queue(0).offer(0);
  }

  /// One that refers to a table of these.
  void give_table(std::vector<VirtioDescriptor> const& descriptors, std::uint32_t length = 0) {
    for (std::size_t index = 0; index < descriptors.size(); ++index)
      ASSERT_TRUE(ram.write(0x4000 + 16 * index, descriptors[index]));
    give({{0x4000, length != 0 ? length : static_cast<std::uint32_t>(16 * descriptors.size()),
           table, 0}});
  }

  /// A queue full of good buffers, of which the driver says that they are `count`.
  void give_all_and_say(std::uint16_t count) {
    for (std::uint16_t index = 0; index < 16; ++index) {
      queue(0).set_descriptor(index, {0x8000, 1, VirtioDescriptor::writable, 0});
      queue(0).offer(index);
    }
    queue(0).set_available_index(count);
  }

  [[nodiscard]] std::vector<std::byte> all_but_the_used_ring() const {
    std::vector<std::byte> copy(ram.size());
    EXPECT_TRUE(ram.copy_in(0, copy));
    auto const& place = queues.at(0)->place();
    for (std::uint64_t at = 0; at < 6 + 8 * place.size; ++at) copy[place.used + at] = std::byte{};
    return copy;
  }

  std::vector<test::VirtioRing*> queues{};
};

struct Mistake {
  char const* name;
  std::function<void(Rig&)> make;
  std::uint64_t features = version_1 | test::indirect;
};

std::vector<Mistake> const mistakes{
    {"a_chain_of_one_in_a_circle", [](Rig& rig) { rig.give({{0x8000, 1, next, 0}}); }},
    {"a_chain_in_a_circle",
     [](Rig& rig) {
       rig.give({{0x8000, 1, next, 1}, {0x8000, 1, next, 2}, {0x8000, 1, next, 1}});
     }},
    {"a_table_in_a_circle",
     [](Rig& rig) { rig.give_table({{0x8000, 1, next, 1}, {0x8000, 1, next, 0}}); }},
    {"next_past_the_queue", [](Rig& rig) { rig.give({{0x8000, 1, next, 16}}); }},
    {"next_far_past_the_queue", [](Rig& rig) { rig.give({{0x8000, 1, next, 0xFFFF}}); }},
    {"next_past_the_table",
     [](Rig& rig) { rig.give_table({{0x8000, 1, next, 1}, {0x8000, 1, 0, 0}}, 16); }},
    {"head_past_the_queue", [](Rig& rig) { rig.queue(0).offer(16); }},
    {"head_far_past_the_queue", [](Rig& rig) { rig.queue(0).offer(0xFFFF); }},
    {"an_address_behind_ram", [](Rig& rig) { rig.give({{ram_bytes, 1, write, 0}}); }},
    {"an_address_far_out", [](Rig& rig) { rig.give({{0x1234'5678'9ABC'DEF0, 1, 0, 0}}); }},
    {"an_address_far_out_at_the_end",
     [](Rig& rig) { rig.give({{0x8000, 1, next, 1}, {~0ULL, 1, write, 0}}); }},
    {"address_and_length_overflow", [](Rig& rig) { rig.give({{~0ULL - 3, 8, write, 0}}); }},
    {"address_and_length_overflow_to_ram",
     [](Rig& rig) { rig.give({{0 - 0x1000ULL, 0x2000, write, 0}}); }},
    {"across_the_end_of_ram", [](Rig& rig) { rig.give({{ram_bytes - 1, 2, write, 0}}); }},
    {"longer_than_ram", [](Rig& rig) { rig.give({{0, 0xFFFF'FFFF, write, 0}}); }},
    {"no_length", [](Rig& rig) { rig.give({{0x8000, 0, 0, 0}}); }},
    {"no_length_in_the_middle",
     [](Rig& rig) {
       rig.give({{0x8000, 1, next, 1}, {0x8000, 0, next | write, 2}, {0x8000, 1, write, 0}});
     }},
    {"longer_than_the_queue",
     [](Rig& rig) {
       std::vector<VirtioDescriptor> all;
       for (std::uint16_t index = 1; index < 17; ++index) all.push_back({0x8000, 1, next, index});
       all.push_back({0x8000, 1, 0, 0});
       rig.give_table(all);
     }},
    {"longer_than_the_queue_by_what_is_before_the_table",
     [](Rig& rig) {
       std::vector<VirtioDescriptor> all;
       for (std::uint16_t index = 1; index < 16; ++index) all.push_back({0x8000, 1, next, index});
       all.push_back({0x8000, 1, 0, 0});
       rig.give_table(all);
       rig.queue(0).set_descriptor(1, rig.queue(0).descriptor(0));
       rig.queue(0).set_descriptor(0, {0x8000, 1, next, 1});
     }},
    {"readable_after_writable",
     [](Rig& rig) { rig.give({{0x8000, 1, next | write, 1}, {0x8000, 1, 0, 0}}); }},
    {"readable_after_writable_in_a_table",
     [](Rig& rig) { rig.give_table({{0x8000, 1, next | write, 1}, {0x8000, 1, 0, 0}}); }},
    {"a_table_in_a_table", [](Rig& rig) { rig.give_table({{0x4000, 16, table, 0}}); }},
    {"a_table_that_goes_on",
     [](Rig& rig) {
       rig.give_table({{0x8000, 1, 0, 0}});
       rig.queue(0).set_descriptor(0, {0x4000, 16, table | next, 1});
       rig.queue(0).set_descriptor(1, {0x8000, 1, 0, 0});
     }},
    {"a_table_that_was_not_negotiated", [](Rig& rig) { rig.give_table({{0x8000, 1, 0, 0}}); },
     version_1},
    {"an_empty_table", [](Rig& rig) { rig.give({{0x4000, 0, table, 0}}); }},
    {"a_table_and_a_half", [](Rig& rig) { rig.give_table({{0x8000, 1, 0, 0}}, 24); }},
    {"a_table_behind_ram", [](Rig& rig) { rig.give({{ram_bytes, 16, table, 0}}); }},
    {"a_table_across_the_end_of_ram", [](Rig& rig) { rig.give({{ram_bytes - 16, 32, table, 0}}); }},
    {"a_table_that_overflows", [](Rig& rig) { rig.give({{~0ULL - 15, 32, table, 0}}); }},
    {"available_index_too_far", [](Rig& rig) { rig.give_all_and_say(17); }},
    {"available_index_far_too_far", [](Rig& rig) { rig.give_all_and_say(0x8000); }},
    {"available_index_backwards", [](Rig& rig) { rig.give_all_and_say(0xFFFF); }},
};

class Malformed : public testing::TestWithParam<std::tuple<std::size_t, std::uint64_t>> {};

TEST_P(Malformed, breaks_the_device_and_nothing_else) {
  auto const& [which, more] = GetParam();
  Mistake const& mistake = mistakes[which];
  Rig rig;
  rig.start(mistake.features | more);
  rig.queues = {&rig.queue(0)};
  rig.device().chains = 0;
  mistake.make(rig);
  auto const index = rig.queue(0).available_index();
  if (index == 0) rig.queue(0).publish();
  auto const before = rig.all_but_the_used_ring();

  rig.write(0x050, 0);
  EXPECT_TRUE(rig.needs_reset());
  EXPECT_EQ(rig.read(0x060), 2U);
  EXPECT_TRUE(rig.wire.level());
  EXPECT_EQ(rig.device().chains, 0);
  EXPECT_EQ(rig.queue(0).used_index(), 0U);
  EXPECT_EQ(rig.all_but_the_used_ring(), before);

  // It stays so, whatever the driver does,
  rig.write(0x064, 2);
  rig.give({{0x8000, 1, write, 0}});
  rig.queue(0).publish();
  rig.write(0x050, 0);
  rig.write(0x070, 15);
  EXPECT_EQ(rig.device().chains, 0);
  EXPECT_EQ(rig.read(0x060), 0U);

  // until it resets the device.
  rig.start(mistake.features | more);
  EXPECT_FALSE(rig.needs_reset());
  EXPECT_EQ(rig.request(0, {}, 4).size(), 4U);
}

INSTANTIATE_TEST_SUITE_P(Chain, Malformed,
                         testing::Combine(testing::Range<std::size_t>(0, mistakes.size()),
                                          testing::Values(0ULL, test::event_index)),
                         [](auto const& chosen) {
                           return std::string{mistakes[std::get<0>(chosen.param)].name} +
                                  (std::get<1>(chosen.param) != 0 ? "_with_event_idx" : "");
                         });

TEST(MalformedQueue, a_buffer_that_is_out_is_made_available_again) {
  test::VirtioRig<test::PlainProbe> rig;
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    test::hold_all(rig.device(), index, queues);
  };
  rig.start();
  std::uint16_t const head = *rig.queue(0).add({{0x8000, 1, true}});
  rig.queue(0).offer(head);
  rig.kick(0);
  EXPECT_TRUE(rig.needs_reset());
  ASSERT_EQ(rig.device().held.size(), 1U);
  rig.device().held.clear();  // of a broken queue: nobody is told
  EXPECT_EQ(rig.queue(0).used_index(), 0U);
}

TEST(MalformedQueue, what_was_right_before_the_mistake_was_done) {
  Rig rig;
  rig.start(version_1);
  rig.queue(0).add({{0x8000, 4, true}});
  rig.queue(0).offer(99);
  rig.kick(0);
  EXPECT_EQ(rig.device().chains, 1);
  EXPECT_EQ(rig.queue(0).use()->length, 4U);
  EXPECT_TRUE(rig.needs_reset());
}

TEST(MalformedQueue, a_chain_of_more_than_4_GiB) {
  test::VirtioRig<test::PlainProbe> rig{[] { return test::PlainProbe{}; }, 2 * GiB};
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    test::hold_all(rig.device(), index, queues);
  };
  rig.start();
  rig.queue(0).add({{0, 0x8000'0000, true}, {0, 0x8000'0000, true}, {0, 1, true}});
  rig.kick(0);
  EXPECT_TRUE(rig.device().held.empty());
  EXPECT_TRUE(rig.needs_reset());
}

TEST(MalformedQueue, one_queue_takes_the_others_with_it) {
  test::VirtioRig<test::PlainProbe> rig;
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    test::hold_all(rig.device(), index, queues);
  };
  rig.start();
  rig.queue(1).offer(8);
  rig.kick(1);
  rig.queue(0).add({{0x8000, 1, true}});
  rig.kick(0);
  EXPECT_TRUE(rig.device().held.empty());
}

// --- Places

std::vector<std::pair<char const*, detail::VirtioQueuePlace>> const places{
    {"size_0", {0, 0x1000, 0x2000, 0x3000}},
    {"size_3", {3, 0x1000, 0x2000, 0x3000}},
    {"size_beyond_the_largest", {32, 0x1000, 0x2000, 0x3000}},
    {"size_65536", {65536, 0x1000, 0x2000, 0x3000}},
    {"size_of_31_bits", {0x8000'0000, 0x1000, 0x2000, 0x3000}},
    {"misaligned_descriptors", {16, 0x1008, 0x2000, 0x3000}},
    {"misaligned_available_ring", {16, 0x1000, 0x2001, 0x3000}},
    {"misaligned_used_ring", {16, 0x1000, 0x2000, 0x3002}},
    {"descriptors_behind_ram", {16, ram_bytes, 0x2000, 0x3000}},
    {"available_ring_behind_ram", {16, 0x1000, ram_bytes, 0x3000}},
    {"used_ring_behind_ram", {16, 0x1000, 0x2000, ram_bytes}},
    {"descriptors_across_the_end", {16, ram_bytes - 0xF0, 0x2000, 0x3000}},
    {"available_ring_across_the_end", {16, 0x1000, ram_bytes - 36, 0x3000}},
    {"used_ring_across_the_end", {16, 0x1000, 0x2000, ram_bytes - 132}},
    {"descriptors_overflow", {16, ~0xFULL, 0x2000, 0x3000}},
    {"available_ring_overflows", {16, 0x1000, ~0x1ULL, 0x3000}},
    {"used_ring_overflows", {16, 0x1000, 0x2000, ~0x3ULL}},
};

class MisplacedQueue : public testing::TestWithParam<std::tuple<std::size_t, bool>> {};

TEST_P(MisplacedQueue, breaks_the_device) {
  auto const& [which, late] = GetParam();
  Rig rig;
  ASSERT_TRUE(rig.negotiate(rig.offered()));
  if (late) rig.write(0x070, 15);
  rig.place_queue(0, places[which].second);
  rig.write(0x044, 1);
  EXPECT_EQ(rig.read(0x044), 1U);
  if (!late) rig.write(0x070, 15);
  EXPECT_TRUE(rig.needs_reset());
  EXPECT_EQ(rig.read(0x060), 2U);
  rig.write(0x050, 0);
  EXPECT_EQ(rig.device().chains, 0);
  rig.start();
  EXPECT_EQ(rig.request(0, {}, 4).size(), 4U);
}

INSTANTIATE_TEST_SUITE_P(Place, MisplacedQueue,
                         testing::Combine(testing::Range<std::size_t>(0, places.size()),
                                          testing::Bool()),
                         [](auto const& chosen) {
                           return std::string{places[std::get<0>(chosen.param)].first} +
                                  (std::get<1>(chosen.param) ? "_after_driver_ok" : "");
                         });

TEST(MalformedQueue, rings_may_end_with_ram) {
  Rig rig;
  ASSERT_TRUE(rig.negotiate(version_1));
  rig.place_queue(0, {.size = 16,
                      .descriptors = ram_bytes - 256,
                      .available = ram_bytes - 38 - 256,
                      .used = ram_bytes - 136 - 512});
  rig.write(0x044, 1);
  rig.write(0x070, 15);
  EXPECT_FALSE(rig.needs_reset());
}

// --- Anything at all

std::uint64_t any_address(std::mt19937_64& random) {
  switch (random() % 8) {
    case 0:
      return random();
    case 1:
      return ram_bytes - random() % 32;
    case 2:
      return 0x4000 + 16 * (random() % 8);
    case 3:
      return 0x1000 + random() % 0x600;  // the rings themselves
    default:
      return 0x8000 + random() % 0x8000;
  }
}

VirtioDescriptor any_descriptor(std::mt19937_64& random) {
  std::uint32_t const lengths[] = {0, 1, 16, 32, 48, 128, 4096, 0xFFFF'FFFF};
  auto const flags = static_cast<std::uint16_t>(random() % 16 == 0 ? random() : random() % 8);
  return {any_address(random), lengths[random() % std::size(lengths)], flags,
          static_cast<std::uint16_t>(random() % 18)};
}

TEST(MalformedQueue, whatever_it_is_a_chain_lies_in_ram) {
  std::mt19937_64 random{1};
  int broken = 0;
  int whole = 0;
  Rig rig;
  for (int round = 0; round < 4000; ++round) {
    if (round == 0 || rig.needs_reset()) {
      broken += round == 0 ? 0 : 1;
      rig.start(version_1 | (random() & (test::indirect | test::event_index)));
    }
    for (int number = 0; number < 6; ++number) {
      rig.queue(0).set_descriptor(static_cast<std::uint16_t>(random() % 16),
                                  any_descriptor(random));
      ASSERT_TRUE(rig.ram.write(0x4000 + 16 * (random() % 8), any_descriptor(random)));
    }
    rig.queue(0).offer(static_cast<std::uint16_t>(random() % 17));
    rig.queue(0).publish();
    int const before = rig.device().chains;
    rig.write(0x050, 0);
    whole += rig.device().chains - before;
  }
  EXPECT_GT(broken, 500);
  EXPECT_GT(whole, 100);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PORTICO_RACES_ARE_REPORTED
#endif
#endif
#ifndef PORTICO_RACES_ARE_REPORTED
// The guest changes rings, tables and buffers while the device reads them, which is a data race by intent.
TEST(MalformedQueue, changes_while_it_is_read) {
  Rig rig;
  std::atomic<bool> stop{false};
  std::byte* const host = rig.device().ram.host;
  std::thread scribbler{[&] {
    std::mt19937_64 random{2};
    while (!stop.load(std::memory_order_relaxed)) {
      auto const descriptor = any_descriptor(random);
      std::uint64_t const place = random() % 4 == 0   ? 0x1000 + random() % 0x600
                                  : random() % 2 == 0 ? 0x1000
                                                      : 0x4000;
      std::memcpy(host + place + 16 * (random() % 8), &descriptor, random() % 16);
    }
  }};
  int broken = 0;
  auto const end = std::chrono::steady_clock::now() + std::chrono::milliseconds{400};
  for (std::uint16_t index = 1; std::chrono::steady_clock::now() < end; ++index) {
    if (index == 1 || rig.needs_reset()) {
      ++broken;
      index = 1;
      rig.start(version_1 | test::indirect);
    }
    rig.queue(0).set_descriptor(0, {0x4000, 32, table, 0});
    rig.queue(0).offer(0);
    rig.queue(0).set_available_index(index);
    rig.write(0x050, 0);
  }
  stop = true;
  scribbler.join();
  EXPECT_GT(broken, 10);
  EXPECT_GT(rig.device().chains, 10);
}
#endif

}  // namespace
}  // namespace portico
