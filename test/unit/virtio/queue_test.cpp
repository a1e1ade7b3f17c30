// Chains and queues, one property at a time. Names are those of the conformance table in include/portico/virtio/README.md.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <numeric>
#include <string_view>

#include "unit/virtio/probe.hpp"

namespace portico {
namespace {

using test::PlainProbe;
using test::version_1;
using test::VirtioSegment;

using Rig = test::VirtioRig<PlainProbe>;

std::vector<std::byte> bytes_of(std::string_view text) {
  auto const bytes = gsl::as_bytes(gsl::span<char const>{text.data(), text.size()});
  return {bytes.begin(), bytes.end()};
}

std::string text_of(gsl::span<std::byte const> bytes) {
  std::string text;
  for (std::byte const byte : bytes) text.push_back(static_cast<char>(byte));
  return text;
}

/// A rig whose device hands each chain of queue 0 to the test.
struct ChainTest : testing::Test {
  Rig rig{};
  std::function<void(VirtioChain&)> use = [](VirtioChain&) {};

  void SetUp() override { begin(rig.offered()); }

  void begin(std::uint64_t features) {
    rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
      while (auto chain = queues[index].take()) use(*chain);
    };
    rig.start(features);
  }

  /// A segment that holds `text`.
  VirtioSegment holding(std::string_view text) {
    std::uint64_t const at = rig.allocate(text.size(), 1);
    EXPECT_TRUE(rig.ram.copy_out(at, bytes_of(text)));
    return {at, static_cast<std::uint32_t>(text.size()), false};
  }

  VirtioSegment room(std::uint32_t length) {
    std::uint64_t const at = rig.allocate(length, 1);
    EXPECT_TRUE(rig.ram.copy_out(at, std::vector<std::byte>(length, std::byte{'.'})));
    return {at, length, true};
  }

  std::string content(VirtioSegment const& segment) {
    return text_of(*rig.ram.span(segment.address, segment.length));
  }

  std::optional<test::VirtioRing::Used> send(std::vector<VirtioSegment> const& segments) {
    EXPECT_TRUE(rig.queue(0).add(segments));
    rig.kick(0);
    return rig.queue(0).use();
  }
};

// --- Chains

TEST_F(ChainTest, is_read_by_bytes_however_it_is_cut) {
  std::string seen;
  use = [&](VirtioChain& chain) {
    EXPECT_EQ(chain.readable_bytes(), 9U);
    EXPECT_EQ(chain.writable_bytes(), 0U);
    std::array<std::byte, 4> piece{};
    for (std::size_t got = 0; (got = chain.read(piece)) > 0;)
      seen += text_of(gsl::span{piece}.first(got)) + "|";
    EXPECT_EQ(chain.readable_left(), 0U);
  };
  EXPECT_EQ(send({holding("a"), holding("bcdef"), holding("ghi")})->length, 0U);
  EXPECT_EQ(seen, "abcd|efgh|i|");
}

TEST_F(ChainTest, values_are_read_whole_or_not_at_all) {
  use = [&](VirtioChain& chain) {
    EXPECT_EQ(chain.read<std::uint32_t>(), 0x6463'6261U);
    EXPECT_EQ(chain.read<std::uint32_t>(), std::nullopt);
    EXPECT_EQ(chain.readable_left(), 3U);
    EXPECT_EQ(chain.skip_readable(1), 1U);
    EXPECT_EQ(chain.read<std::uint16_t>(), 0x6766U);
    EXPECT_EQ(chain.skip_readable(5), 0U);
    EXPECT_EQ(chain.read<std::uint8_t>(), std::nullopt);
  };
  EXPECT_TRUE(send({holding("ab"), holding("cde"), holding("fg")}));
}

TEST_F(ChainTest, is_written_by_bytes_and_the_length_is_what_was_written) {
  use = [&](VirtioChain& chain) {
    EXPECT_EQ(chain.writable_bytes(), 8U);
    EXPECT_EQ(chain.write(bytes_of("hell")), 4U);
    EXPECT_TRUE(chain.write('o'));
    EXPECT_EQ(chain.written(), 5U);
    EXPECT_EQ(chain.writable_left(), 3U);
    EXPECT_FALSE(chain.write(std::uint32_t{0}));
    EXPECT_EQ(chain.writable_left(), 3U);
  };
  auto const first = room(3);
  auto const second = room(5);
  EXPECT_EQ(send({holding("?"), first, second})->length, 5U);
  EXPECT_EQ(content(first) + content(second), "hello...");
}

TEST_F(ChainTest, nothing_is_written_past_its_end) {
  use = [&](VirtioChain& chain) {
    EXPECT_EQ(chain.write(bytes_of("0123456789")), 6U);
    EXPECT_EQ(chain.write(bytes_of("x")), 0U);
    chain.wrote(100);
  };
  auto const one = room(2);
  auto const two = room(4);
  auto const beside = room(4);
  EXPECT_EQ(send({one, two})->length, 6U);
  EXPECT_EQ(content(one) + content(two) + content(beside), "012345....");
}

TEST_F(ChainTest, a_status_behind_data_that_failed_does_not_count) {
  use = [&](VirtioChain& chain) {
    EXPECT_TRUE(chain.write_at(chain.writable_bytes() - 1, bytes_of("S")));
    EXPECT_FALSE(chain.write_at(chain.writable_bytes(), bytes_of("S")));
    EXPECT_FALSE(chain.write_at(chain.writable_bytes() - 1, bytes_of("SS")));
    EXPECT_FALSE(chain.write_at(~0ULL, bytes_of("SS")));
    EXPECT_TRUE(chain.write_at(2, bytes_of("xyz")));
  };
  auto const data = room(4);
  auto const status = room(3);
  EXPECT_EQ(send({data, status})->length, 0U);
  EXPECT_EQ(content(data) + content(status), "..xyz.S");
}

TEST_F(ChainTest, vectors_are_what_is_left) {
  auto const lengths = [](gsl::span<iovec const> vectors) {
    std::vector<std::size_t> found;
    for (iovec const& each : vectors) found.push_back(each.iov_len);
    return found;
  };
  using Lengths = std::vector<std::size_t>;
  use = [&](VirtioChain& chain) {
    EXPECT_EQ(lengths(chain.readable_vectors()), (Lengths{3, 4}));
    EXPECT_EQ(lengths(chain.readable_vectors(5)), (Lengths{3, 2}));
    EXPECT_EQ(chain.skip_readable(2), 2U);
    EXPECT_EQ(lengths(chain.readable_vectors()), (Lengths{1, 4}));
    EXPECT_EQ(lengths(chain.readable_vectors(1)), (Lengths{1}));
    EXPECT_EQ(lengths(chain.readable_vectors(0)), Lengths{});
    EXPECT_EQ(chain.skip_readable(1), 1U);
    auto const last = chain.readable_vectors();
    EXPECT_EQ(lengths(last), (Lengths{4}));
    EXPECT_EQ(text_of({static_cast<std::byte const*>(last[0].iov_base), 4}), "defg");
    EXPECT_EQ(lengths(chain.writable_vectors(chain.writable_left() - 1)), (Lengths{5, 1}));
    auto const rest = chain.writable_vectors();
    EXPECT_EQ(lengths(rest), (Lengths{5, 2}));
    std::memcpy(rest[0].iov_base, "HELLO", 5);
    chain.wrote(5);
    EXPECT_EQ(lengths(chain.writable_vectors()), (Lengths{2}));
    chain.wrote(2);
    EXPECT_TRUE(chain.writable_vectors().empty());
    EXPECT_TRUE(chain.readable_vectors(0).empty());
  };
  auto const room_of_5 = room(5);
  EXPECT_EQ(send({holding("abc"), holding("defg"), room_of_5, room(2)})->length, 7U);
  EXPECT_EQ(content(room_of_5), "HELLO");
}

TEST_F(ChainTest, comes_back_once_when_it_is_completed_and_when_it_is_destroyed) {
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    auto first = queues[index].take();
    auto second = queues[index].take();
    auto third = queues[index].take();
    ASSERT_TRUE(first && second && third);
    VirtioChain moved{std::move(*first)};
    first.reset();
    EXPECT_EQ(rig.queue(0).used_index(), 0U);
    std::move(moved).complete();
    EXPECT_EQ(rig.queue(0).used_index(), 1U);
    *second = std::move(*third);  // the second goes back, the third is in its place
    EXPECT_EQ(rig.queue(0).used_index(), 2U);
    EXPECT_EQ(queues[index].outstanding(), 1U);
  };
  std::vector<std::uint16_t> heads;
  for (int number = 0; number < 3; ++number) heads.push_back(*rig.queue(0).add({room(1)}));
  rig.kick(0);
  for (std::uint16_t const head : heads) EXPECT_EQ(rig.queue(0).use()->head, head);
  EXPECT_FALSE(rig.queue(0).use());
}

TEST_F(ChainTest, may_be_kept_and_completed_in_any_order) {
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    test::hold_all(rig.device(), index, queues);
  };
  std::vector<std::uint16_t> heads;
  for (int number = 0; number < 4; ++number) heads.push_back(*rig.queue(0).add({room(4)}));
  rig.kick(0);
  auto& held = rig.device().held;
  ASSERT_EQ(held.size(), 4U);
  for (std::size_t const which : {2U, 0U, 1U, 0U}) {
    EXPECT_TRUE(held[which].write(std::uint16_t{1}));
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
  }
  for (std::size_t const which : {2U, 0U, 3U, 1U}) {
    auto const used = rig.queue(0).use();
    EXPECT_EQ(used->head, heads[which]);
    EXPECT_EQ(used->length, 2U);
  }
}

TEST_F(ChainTest, put_back_is_the_next_to_be_taken_and_whole) {
  std::string order;
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    VirtioQueue& queue = queues[index];
    auto first = queue.take();
    auto second = queue.take();
    (void)first->read<std::uint8_t>();
    (void)first->write('x');
    queue.put_back(std::move(*second));
    queue.put_back(std::move(*first));
    EXPECT_EQ(queue.outstanding(), 0U);
    while (auto chain = queue.take()) {
      EXPECT_EQ(chain->written(), 0U);
      order.push_back(static_cast<char>(*chain->read<std::uint8_t>()));
    }
  };
  for (std::string_view const text : {"a", "b", "c"}) rig.queue(0).add({holding(text), room(1)});
  rig.kick(0);
  EXPECT_EQ(order, "abc");
  for (int number = 0; number < 3; ++number) EXPECT_EQ(rig.queue(0).use()->length, 0U);
}

TEST_F(ChainTest, put_back_after_a_reset_is_forgotten) {
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    test::hold_all(rig.device(), index, queues);
  };
  rig.queue(0).add({room(1)});
  rig.kick(0);
  rig.start();
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    if (index != 0) return;
    queues[0].put_back(std::move(rig.device().held.at(0)));
    EXPECT_FALSE(queues[0].take());
  };
  rig.write(0x050, 0);
  EXPECT_EQ(rig.queue(0).used_index(), 0U);
}

TEST(VirtioChain, may_cross_regions_of_ram_that_adjoin) {
  GuestMemory ram{{0, 64 * KiB}, {64 * KiB, 64 * KiB}, {256 * KiB, 4 * KiB}};
  VirtioMmio<PlainProbe> transport;
  IrqLine line;
  transport.set_status(3, ram, line, ram);
  transport.select_driver_features(1);
  transport.set_driver_features(1);
  transport.set_status(11, ram, line, ram);
  test::VirtioRing ring{
      ram, {.size = 16, .descriptors = 0x1000, .available = 0x2000, .used = 0x3000}, false};
  transport.set_queue_desc_low(0x1000);
  transport.set_queue_driver_low(0x2000);
  transport.set_queue_device_low(0x3000);
  transport.set_queue_ready(1, ram, line);
  std::size_t segments = 0;
  transport.device().work = [&](std::size_t index, VirtioQueues& queues) {
    while (auto chain = queues[index].take()) {
      segments = chain->writable_vectors().size();
      chain->write(bytes_of("abcdefgh"));
    }
  };
  transport.set_status(15, ram, line, ram);
  ring.add({{64 * KiB - 3, 8, true}});
  ring.publish();
  transport.notify(0, ram, line, ram);
  EXPECT_EQ(ring.use()->length, 8U);
  EXPECT_EQ(segments, 2U);
  EXPECT_EQ(ram.read<std::uint64_t>(64 * KiB - 3), 0x6867'6665'6463'6261U);
  ring.add({{128 * KiB - 3, 8, true}});  // behind that there is none
  ring.publish();
  transport.notify(0, ram, line, ram);
  EXPECT_EQ(transport.status() & VirtioStatus::needs_reset, VirtioStatus::needs_reset);
}

// --- Descriptors

TEST_F(ChainTest, table_of_descriptors_and_what_is_readable_are_not_written) {
  use = [&](VirtioChain& chain) {
    chain.write(std::vector<std::byte>(chain.writable_bytes(), std::byte{1}));
  };
  auto const input = holding("input");
  auto const output = room(5);
  std::uint64_t const table = rig.allocate(64);
  auto const all = [&](std::uint64_t at, std::size_t size) {
    return text_of(*rig.ram.span(at, size));
  };
  rig.queue(0).add({input, output}, table);
  auto const& place = rig.queue(0).place();
  std::string const ring_before = all(place.descriptors, 16UL * place.size);
  std::string const table_before = all(table, 64);
  rig.kick(0);
  EXPECT_EQ(rig.queue(0).use()->length, 5U);
  EXPECT_EQ(all(place.descriptors, 16UL * place.size), ring_before);
  EXPECT_EQ(all(table, 64), table_before);
  EXPECT_EQ(content(input), "input");
}

TEST_F(ChainTest, indirect_table_stands_alone_or_ends_a_chain) {
  std::string seen;
  use = [&](VirtioChain& chain) {
    std::vector<std::byte> all(chain.readable_bytes());
    chain.read(all);
    seen += text_of(all) + "|";
  };
  for (std::size_t direct = 0; direct < 4; ++direct)
    EXPECT_TRUE(rig.queue(0).add({holding("a"), holding("b"), holding("c"), holding("d")},
                                 rig.allocate(64), direct));
  rig.kick(0);
  EXPECT_EQ(seen, "abcd|abcd|abcd|abcd|");
}

TEST_F(ChainTest, indirect_table_need_not_be_aligned_and_may_stand_at_address_0) {
  std::uint64_t total = 0;
  use = [&](VirtioChain& chain) { total += chain.readable_bytes(); };
  rig.queue(0).add({holding("abc"), holding("d")}, rig.allocate(64) + 5);
  rig.queue(0).add({holding("ef"), holding("g")}, 0);
  rig.kick(0);
  EXPECT_EQ(total, 7U);
  EXPECT_FALSE(rig.needs_reset());
}

TEST_F(ChainTest, writable_flag_of_an_indirect_descriptor_is_ignored) {
  std::uint64_t const table = rig.allocate(32);
  use = [](VirtioChain& chain) { EXPECT_EQ(chain.readable_bytes(), 1U); };
  rig.queue(0).add({holding("a"), room(1)}, table);
  std::uint16_t const head = *rig.queue(0).add({holding("b"), room(1)}, table);
  auto descriptor = rig.queue(0).descriptor(head);
  descriptor.flags |= detail::VirtioDescriptor::writable;
  rig.queue(0).set_descriptor(head, descriptor);
  rig.kick(0);
  EXPECT_TRUE(rig.queue(0).use() && rig.queue(0).use());
  EXPECT_FALSE(rig.needs_reset());
}

TEST_F(ChainTest, may_be_as_long_as_the_queue_is_large) {
  std::size_t segments = 0;
  use = [&](VirtioChain& chain) { segments = chain.readable_vectors().size(); };
  std::vector<VirtioSegment> all(16, holding("a"));
  EXPECT_TRUE(send(all));
  EXPECT_EQ(segments, 16U);
  ASSERT_TRUE(rig.queue(0).add(all, rig.allocate(256)));
  rig.kick(0);
  EXPECT_TRUE(rig.queue(0).use());
  EXPECT_FALSE(rig.needs_reset());
}

// --- Notifications by the driver

TEST_F(ChainTest, flags_alone_suppress_notifications_without_event_idx) {
  begin(version_1);
  auto& queue = rig.queue(0);
  std::uint16_t flags_inside = 9;
  use = [&](VirtioChain&) { flags_inside = queue.used_flags(); };
  EXPECT_EQ(queue.used_flags(), 0U);
  queue.add({room(1)});
  EXPECT_TRUE(rig.kick(0));
  EXPECT_EQ(flags_inside, 1U);
  EXPECT_EQ(queue.used_flags(), 0U);
  EXPECT_EQ(queue.available_event(), 0U);
}

TEST_F(ChainTest, available_event_alone_suppresses_notifications_with_event_idx) {
  auto& queue = rig.queue(0);
  use = [&](VirtioChain&) {
    EXPECT_EQ(queue.used_flags(), 0U);
    // In the midst of its work it wants no other notification.
    queue.offer(15);
    queue.set_descriptor(15, {0x8000, 1, 0, 0});
    queue.publish();
    EXPECT_FALSE(queue.wants_notification());
    use = [](VirtioChain&) {};
  };
  queue.add({room(1)});
  EXPECT_TRUE(rig.kick(0));
  EXPECT_EQ(queue.used_index(), 2U);
  EXPECT_EQ(queue.available_event(), 2U);
  EXPECT_EQ(queue.used_flags(), 0U);
}

TEST_F(ChainTest, a_device_that_takes_no_more_is_not_notified) {
  for (std::uint64_t const features : {version_1, rig.offered()}) {
    begin(features);
    bool takes = true;
    rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
      if (takes) (void)queues[index].take();
      takes = false;
    };
    rig.queue(0).add({room(1)});
    EXPECT_TRUE(rig.kick(0));
    rig.queue(0).add({room(1)});
    EXPECT_FALSE(rig.kick(0));
  }
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PORTICO_FAULTS_ARE_THE_SANITIZERS
#endif
#endif
#ifndef PORTICO_FAULTS_ARE_THE_SANITIZERS
/// Stops the device at its next store to a page of guest memory, lets the driver act, and lets the device go on: an
/// interleaving of two processors that would be a rare chance otherwise.
class StopAtStore {
 public:
  StopAtStore(std::byte* page, std::function<void()> act) : page_{page}, act_{std::move(act)} {
    current = this;
    struct sigaction action{};
    action.sa_handler = [](int) { current->run(); };
    ::sigaction(SIGSEGV, &action, &before_);
  }

  StopAtStore(StopAtStore const&) = delete;
  StopAtStore& operator=(StopAtStore const&) = delete;

  ~StopAtStore() { ::sigaction(SIGSEGV, &before_, nullptr); }

  void arm() const { ::mprotect(page_, 4096, PROT_READ); }

 private:
  void run() {
    ::mprotect(page_, 4096, PROT_READ | PROT_WRITE);
    act_();
  }

  static inline StopAtStore* current = nullptr;
  std::byte* page_;
  std::function<void()> act_;
  struct sigaction before_{};
};

TEST(VirtioQueue, a_buffer_that_comes_while_the_device_asks_for_notifications_is_not_lost) {
  for (std::uint64_t const features : {version_1, version_1 | test::event_index}) {
    Rig rig;
    ASSERT_TRUE(rig.negotiate(features));
    detail::VirtioQueuePlace const place{
        .size = 16, .descriptors = 0x1000, .available = 0x2000, .used = 0x4000};
    test::VirtioRing ring{rig.ram, place, rig.has(VirtioFeature::event_index)};
    rig.place_queue(0, place);
    rig.write(0x044, 1);
    int rounds = 0;
    StopAtStore stop{rig.ram.span(place.used, 1)->data(), [&] {
                       ring.add({{0x8000, 1, true}});
                       ring.publish();
                       EXPECT_FALSE(ring.wants_notification());
                     }};
    rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
      while (auto chain = queues[index].take()) {
        std::move(*chain).complete();
        if (++rounds == 1) stop.arm();  // the next store is the one that asks
      }
    };
    rig.write(0x070, 15);
    ring.add({{0x8000, 1, true}});
    ring.publish();
    EXPECT_TRUE(ring.wants_notification());
    rig.write(0x050, 0);
    EXPECT_EQ(rounds, 2);
    EXPECT_EQ(ring.used_index(), 2U);
  }
}

#endif

// --- Notifications by the device

TEST_F(ChainTest, interrupt_follows_the_flags_without_event_idx) {
  begin(version_1);
  auto& queue = rig.queue(0);
  queue.set_used_event(1000);  // is ignored
  queue.add({room(1)});
  rig.kick(0);
  EXPECT_EQ(rig.take_interrupts(), 1U);
  queue.want_interrupts(false);
  queue.add({room(1)});
  rig.kick(0);
  EXPECT_EQ(rig.take_interrupts(), 0U);
  queue.want_interrupts(true);
  EXPECT_EQ(rig.take_interrupts(), 0U);
  queue.add({room(1)});
  rig.kick(0);
  EXPECT_EQ(rig.take_interrupts(), 1U);
}

TEST_F(ChainTest, interrupt_follows_used_event_with_event_idx) {
  auto& queue = rig.queue(0);
  (void)rig.ram.write(queue.place().available, std::uint16_t{1});  // flags: is ignored
  auto const buffers = [&](int count) {
    for (int number = 0; number < count; ++number) queue.add({room(1)});
    rig.kick(0);
    return rig.take_interrupts();
  };
  queue.set_used_event(0);
  EXPECT_EQ(buffers(1), 1U);  // 0
  EXPECT_EQ(buffers(1), 0U);  // 1
  queue.set_used_event(4);
  EXPECT_EQ(buffers(2), 0U);  // 2, 3
  EXPECT_EQ(buffers(3), 1U);  // 4, 5, 6
  EXPECT_EQ(buffers(3), 0U);  // 7, 8, 9
  queue.set_used_event(9);
  EXPECT_EQ(buffers(1), 0U);  // 10
}

TEST_F(ChainTest, interrupts_come_between_batches) {
  std::uint32_t batch = 0;
  std::vector<bool> levels;
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    if (index != 0) return;
    levels.push_back(rig.wire.level());
    batch = 0;
    // A driver on another processor that makes every buffer available again as soon as it is used.
    while (auto chain = queues[0].take()) {
      std::move(*chain).complete();
      ++batch;
      while (rig.queue(0).use()) {
      }
      if (levels.size() > 2) continue;
      rig.queue(0).add({{0x8000, 1, true}});
      rig.queue(0).publish();
    }
  };
  rig.queue(0).add({{0x8000, 1, true}});
  rig.queue(0).publish();
  rig.queue(0).want_interrupts(false);
  rig.queue(0).set_used_event(0);
  rig.write(0x050, 0);
  EXPECT_EQ(levels, (std::vector<bool>{false, true, true}));
  EXPECT_EQ(batch, 1U);
  EXPECT_EQ(rig.queue(0).used_index(), 2 * VirtioQueue::batch + 1);
}

// --- The used ring

TEST_F(ChainTest, length_and_data_are_there_when_the_index_is) {
  auto& queue = rig.queue(0);
  auto const where = room(4);
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    while (auto chain = queues[index].take()) {
      EXPECT_TRUE(chain->write(std::uint32_t{0x6464'6464}));
      EXPECT_EQ(queue.used_index(), 0U);
      std::move(*chain).complete();
      EXPECT_EQ(queue.used_index(), 1U);
      EXPECT_EQ(rig.ram.read<std::uint32_t>(queue.place().used + 8), 4U);
      EXPECT_EQ(content(where), "dddd");
    }
  };
  EXPECT_TRUE(send({where}));
}

TEST(VirtioChain, may_have_4_GiB_and_the_length_then_is_one_byte_less) {
  Rig rig{[] { return PlainProbe{}; }, 2 * GiB};
  rig.device().work = [](std::size_t index, VirtioQueues& queues) {
    while (auto chain = queues[index].take()) {
      EXPECT_EQ(chain->writable_bytes(), 4 * GiB);
      chain->wrote(4 * GiB);
    }
  };
  rig.start();
  rig.queue(0).add({{0, 0x8000'0000, true}, {0, 0x8000'0000, true}});
  rig.kick(0);
  EXPECT_EQ(rig.queue(0).use()->length, 0xFFFF'FFFFU);
}

}  // namespace
}  // namespace portico
