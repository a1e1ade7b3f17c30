// The virtio transport's registers and what they do, without KVM. Names are those of the conformance table in
// include/portico/virtio/README.md.
#include <gtest/gtest.h>

#include <algorithm>

#include <portico/device/acpi_role.hpp>
#include <portico/virtio/entropy.hpp>

#include "unit/virtio/probe.hpp"

namespace portico {
namespace {

using test::PlainProbe;
using test::Probe;
using test::version_1;

using Rig = test::VirtioRig<Probe>;
using PlainRig = test::VirtioRig<PlainProbe>;

// --- What a map and an I/O thread see of it

static_assert(VirtioDevice<Entropy> && VirtioDevice<Probe> && !VirtioDevice<int>);
static_assert(VirtioMmio<Probe>::acpi_hid == "LNRO0005" && !VirtioMmio<Probe>::doorbells_in_order);
static_assert(std::is_same_v<VirtioMmio<Probe>::doorbells,
                             Doorbells<Doorbell<0x50, &VirtioMmio<Probe>::notify, 0, 1>>>);
static_assert(requires { &VirtioMmio<Probe>::event; });

template <class Transport>
concept HasEvent = requires { &Transport::event; };
static_assert(HasEvent<VirtioMmio<Probe>> && !HasEvent<VirtioMmio<Entropy>>);

TEST(VirtioMmio, takes_512_bytes_and_names_itself_to_acpi) {
  using Board = DeviceMap<Mmio<0xD000'0000, VirtioMmio<Entropy>, Irq<5>>,
                          Mmio<0xD000'0200, VirtioMmio<Entropy>, Irq<6>>>;
  Board board{Entropy{}, Entropy{}};  // they adjoin, or this would not compile
  GuestMemory ram{64 * KiB};
  IrqLine line;
  Context context{ram, line};
  EXPECT_EQ(board.load<std::uint32_t>(0xD000'0208, context), 4U);
  EXPECT_EQ(acpi_role_of<VirtioMmio<Entropy>>().hid, "LNRO0005");
}

// --- Identification

TEST(VirtioMmio, magic_value_is_virt) { EXPECT_EQ(Rig{}.read(0x000), 0x7472'6976U); }

TEST(VirtioMmio, version_is_2) { EXPECT_EQ(Rig{}.read(0x004), 2U); }

TEST(VirtioMmio, device_and_vendor_are_named) {
  Rig rig;
  EXPECT_EQ(rig.read(0x008), 63U);
  EXPECT_EQ(rig.read(0x00C), 0x4F54'5250U);
}

TEST(VirtioMmio, registers_are_32_bits_wide) {
  Rig rig;
  EXPECT_EQ(rig.board.load<std::uint8_t>(rig.base, rig.context), 0xFF);
  EXPECT_FALSE(rig.board.store(rig.base + 0x070, std::uint8_t{1}, rig.context));
  EXPECT_EQ(rig.read(0x070), 0U);
}

TEST(VirtioMmio, has_no_shared_memory_region) {
  Rig rig;
  rig.write(0x0AC, 0);
  for (std::uint64_t const offset : {0x0B0U, 0x0B4U, 0x0B8U, 0x0BCU})
    EXPECT_EQ(rig.read(offset), 0xFFFF'FFFFU);
}

// --- Features

TEST(VirtioMmio, offers_version_1_and_what_it_implements) {
  constexpr std::uint64_t queue_features = version_1 | test::event_index | test::indirect;
  EXPECT_EQ(PlainRig{}.offered(), queue_features);
  EXPECT_EQ(Rig{}.offered(), queue_features | test::bit(VirtioFeature::ring_reset) | 0b111);
}

TEST(VirtioMmio, offers_no_bit_of_the_device_that_is_not_a_devices) {
  Rig rig;
  rig.device().own_features = ~0ULL;
  EXPECT_EQ(rig.offered(), 0xFFFC'0000'00FF'FFFFULL | version_1 | test::event_index |
                               test::indirect | test::bit(VirtioFeature::ring_reset));
}

TEST(VirtioMmio, offers_nothing_beyond_bit_63) {
  Rig rig;
  rig.write(0x014, 2);
  EXPECT_EQ(rig.read(0x010), 0U);
  rig.write(0x014, 0xFFFF'FFFF);
  EXPECT_EQ(rig.read(0x010), 0U);
}

TEST(VirtioMmio, accepts_every_valid_subset_again_and_again) {
  Rig rig;
  std::uint64_t const offered = rig.offered() & ~version_1;
  for (int round = 0; round < 2; ++round)
    for (std::uint64_t subset = offered;; subset = (subset - 1) & offered) {
      EXPECT_EQ(rig.negotiate(subset | version_1), (subset & 0b11) != 0b10) << std::hex << subset;
      if (subset == 0) break;
    }
}

TEST(VirtioMmio, refuses_a_driver_without_version_1) {
  Rig rig;
  EXPECT_FALSE(rig.negotiate(rig.offered() & ~version_1));
  EXPECT_EQ(rig.read(0x070), VirtioStatus::acknowledge | VirtioStatus::driver);
}

TEST(VirtioMmio, refuses_a_feature_that_it_does_not_offer) {
  for (unsigned number = 0; number < 64; ++number) {
    Rig rig;
    if ((rig.offered() >> number & 1) != 0) continue;
    EXPECT_FALSE(rig.negotiate(version_1 | test::bit(number))) << number;
  }
}

TEST(VirtioMmio, refuses_features_beyond_bit_63) {
  Rig rig;
  rig.write(0x070, 3);
  rig.write(0x024, 1);
  rig.write(0x020, 1);
  rig.write(0x024, 2);
  rig.write(0x020, 1);
  rig.write(0x070, 11);
  EXPECT_EQ(rig.read(0x070), 3U);
}

TEST(VirtioMmio, features_stay_once_they_are_agreed) {
  Rig rig;
  std::uint64_t seen = 0;
  rig.device().work = [&](std::size_t, VirtioQueues& queues) {
    for (unsigned number = 0; number < 64; ++number)
      seen |= queues.has(number) ? test::bit(number) : 0;
  };
  ASSERT_TRUE(rig.negotiate(version_1 | 0b101));
  rig.write(0x024, 0);
  rig.write(0x020, 0b010);
  rig.set_up_queue(0);
  rig.write(0x070, 15);
  EXPECT_EQ(seen, version_1 | 0b101);
}

// --- Status

TEST(VirtioMmio, status_bits_are_set_and_not_cleared) {
  Rig rig;
  rig.write(0x070, 1);
  rig.write(0x070, 2);
  EXPECT_EQ(rig.read(0x070), 3U);
  rig.write(0x070, 128 | 64 | 32 | 16);
  EXPECT_EQ(rig.read(0x070), 128U | 3U);  // DEVICE_NEEDS_RESET is not the driver's
}

TEST(VirtioMmio, driver_ok_needs_agreed_features) {
  Rig rig;
  rig.write(0x070, 7);
  EXPECT_EQ(rig.read(0x070), 3U);
  EXPECT_TRUE(rig.device().calls.empty());
}

TEST(VirtioMmio, consumes_nothing_before_driver_ok) {
  PlainRig rig{[] {
    return PlainProbe{[](std::size_t index, VirtioQueues& queues) {
      while (queues[index].take()) {
      }
    }};
  }};
  ASSERT_TRUE(rig.negotiate(version_1));
  rig.set_up_queue(0);
  rig.queue(0).add({{0x8000, 4, false}});
  rig.queue(0).publish();
  rig.write(0x050, 0);
  EXPECT_EQ(rig.queue(0).used_index(), 0U);
  EXPECT_EQ(rig.read(0x060), 0U);
  EXPECT_FALSE(rig.wire.level());
  rig.write(0x070, 15);
  EXPECT_EQ(rig.queue(0).used_index(), 1U);  // the driver need not say it again
  EXPECT_EQ(rig.take_interrupts(), 1U);
}

TEST(VirtioMmio, activates_the_device_once) {
  Rig rig;
  rig.start();
  rig.write(0x070, 15);
  EXPECT_EQ(rig.device().calls, (std::vector<std::string>{"reset", "activate"}));
}

// --- Queues

TEST(VirtioMmio, a_queue_that_is_not_there_has_no_size_and_no_effect) {
  Rig rig;
  for (std::uint32_t const index : {2U, 3U, 0xFFFFU, 0xFFFF'FFFFU}) {
    rig.write(0x030, index);
    EXPECT_EQ(rig.read(0x034), 0U);
    rig.write(0x044, 1);
    EXPECT_EQ(rig.read(0x044), 0U);
    rig.place_queue(index, {.size = 4});
    rig.write(0x0C0, 1);
    rig.write(0x050, index);
  }
  EXPECT_FALSE(rig.needs_reset());
}

TEST(VirtioMmio, a_queue_has_its_largest_size_unless_the_driver_says_another) {
  PlainRig rig;
  rig.device().work = [](std::size_t, VirtioQueues&) {};
  ASSERT_TRUE(rig.negotiate(version_1));
  for (std::uint32_t const index : {0U, 1U}) {
    rig.write(0x030, index);
    EXPECT_EQ(rig.read(0x034), index == 0 ? 16U : 8U);
    EXPECT_EQ(rig.transport().save().queues[index].place.size, index == 0 ? 16U : 8U);
  }
}

TEST(VirtioMmio, a_queue_is_ready_when_the_driver_says_so) {
  Rig rig;
  ASSERT_TRUE(rig.negotiate(version_1));
  rig.set_up_queue(1);
  EXPECT_EQ(rig.read(0x044), 1U);
  rig.write(0x030, 0);
  EXPECT_EQ(rig.read(0x044), 0U);
}

TEST(VirtioMmio, a_ready_queue_keeps_its_place) {
  Rig rig;
  rig.start();
  auto const before = rig.transport().save().queues[0].place;
  rig.place_queue(0, {.size = 2, .descriptors = 0x10, .available = 0x20, .used = 0x30});
  EXPECT_EQ(rig.transport().save().queues[0].place, before);
}

TEST(VirtioMmio, addresses_have_64_bits) {
  Rig rig;
  ASSERT_TRUE(rig.negotiate(version_1));
  detail::VirtioQueuePlace const place{.size = 8,
                                       .descriptors = 0x1111'2222'3333'4440,
                                       .available = 0x5555'6666'7777'8888,
                                       .used = 0x9999'AAAA'BBBB'CCCC};
  rig.place_queue(0, place);
  EXPECT_EQ(rig.transport().save().queues[0].place, place);
}

TEST(VirtioMmio, a_queue_that_is_not_ready_is_not_touched) {
  PlainRig rig;
  int calls = 0;
  rig.device().work = [&](std::size_t, VirtioQueues&) { ++calls; };
  ASSERT_TRUE(rig.negotiate(version_1));
  rig.set_up_queue(0);
  rig.write(0x070, 15);
  EXPECT_EQ(calls, 1);
  rig.write(0x050, 1);
  EXPECT_EQ(calls, 1);
  rig.write(0x044, 0);  // queue 0
  EXPECT_EQ(rig.read(0x044), 0U);
  rig.queue(0).add({{0x8000, 4, true}});
  rig.queue(0).publish();
  rig.write(0x050, 0);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(rig.queue(0).used_index(), 0U);
  EXPECT_FALSE(rig.needs_reset());
}

TEST(VirtioMmio, a_queue_may_become_ready_after_driver_ok) {
  PlainRig rig{[] {
    return PlainProbe{[](std::size_t index, VirtioQueues& queues) {
      while (queues[index].take()) {
      }
    }};
  }};
  ASSERT_TRUE(rig.negotiate(version_1));
  rig.write(0x070, 15);
  rig.set_up_queue(1);
  rig.queue(1).add({{0x8000, 4, true}});
  EXPECT_TRUE(rig.kick(1));
  EXPECT_TRUE(rig.queue(1).use());
}

TEST(VirtioMmio, a_queue_given_up_with_buffers_out_takes_the_device_with_it) {
  PlainRig rig;
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    test::hold_all(rig.device(), index, queues);
  };
  rig.start(version_1);
  rig.queue(0).add({{0x8000, 4, true}});
  rig.kick(0);
  ASSERT_EQ(rig.device().held.size(), 1U);
  rig.write(0x030, 0);
  rig.write(0x044, 0);
  EXPECT_EQ(rig.read(0x044), 0U);
  EXPECT_TRUE(rig.needs_reset());
  EXPECT_EQ(rig.take_interrupts(), 2U);
  rig.device().held.clear();
  EXPECT_EQ(rig.queue(0).used_index(), 0U);
}

TEST(VirtioMmio, ring_reset_resets_one_queue) {
  Rig rig;
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    test::hold_all(rig.device(), index, queues);
  };
  rig.start();
  for (std::uint32_t const index : {0U, 1U}) {
    rig.queue(index).add({{0x8000, 4, true}});
    rig.kick(index);
  }
  ASSERT_EQ(rig.device().held.size(), 2U);
  rig.write(0x030, 0);
  EXPECT_EQ(rig.read(0x0C0), 0U);
  rig.device().calls.clear();
  rig.write(0x0C0, 1);
  EXPECT_EQ(rig.device().calls, (std::vector<std::string>{"reset_queue 0"}));
  EXPECT_EQ(rig.read(0x0C0), 0U);
  EXPECT_EQ(rig.read(0x044), 0U);
  VirtioQueueState const fresh{.place = {.size = 16}};
  EXPECT_EQ(rig.transport().save().queues[0], fresh);
  EXPECT_EQ(rig.queue(0).used_index(), 0U);  // its buffer was not used,
  EXPECT_EQ(rig.queue(1).used_index(),
            1U);  // and the device gave the other up, for it holds them together
  EXPECT_FALSE(rig.needs_reset());
  rig.queue(0).publish();
  rig.write(0x050, 0);
  EXPECT_TRUE(rig.device().held.empty());
}

TEST(VirtioMmio, a_queue_that_was_reset_is_enabled_with_another_size) {
  Rig rig;
  rig.device().work = [](std::size_t index, VirtioQueues& queues) {
    while (queues[index].take()) {
    }
  };
  rig.start();
  rig.write(0x030, 0);
  rig.write(0x0C0, 1);
  auto& queue = rig.set_up_queue(0, 4);
  EXPECT_EQ(rig.read(0x044), 1U);
  EXPECT_EQ(rig.read(0x0C0), 0U);
  for (int round = 0; round < 10; ++round) {
    queue.add({{0x8000, 4, true}});
    rig.kick(0);
    EXPECT_TRUE(queue.use());
  }
}

TEST(VirtioMmio, ring_reset_needs_its_feature) {
  Rig rig;
  rig.start(version_1);
  rig.write(0x030, 0);
  rig.write(0x0C0, 1);
  EXPECT_EQ(rig.read(0x044), 1U);
  PlainRig plain;
  plain.start();
  plain.write(0x030, 0);
  plain.write(0x0C0, 1);
  EXPECT_EQ(plain.read(0x044), 1U);
}

// --- Reset

TEST(VirtioMmio, reset_brings_everything_back_to_its_beginning) {
  Rig rig;
  rig.device().work = [](std::size_t index, VirtioQueues& queues) {
    while (queues[index].take()) queues.config_changed();
  };
  rig.start();
  rig.queue(0).add({{0x8000, 4, true}});
  rig.kick(0);
  EXPECT_TRUE(rig.wire.level());
  EXPECT_EQ(rig.watch.armed(), 0);
  EXPECT_EQ(rig.read(0x060), 3U);
  rig.write(0x070, 0);
  EXPECT_EQ(rig.read(0x070), 0U);
  EXPECT_EQ(rig.read(0x060), 0U);
  EXPECT_FALSE(rig.wire.level());
  EXPECT_EQ(rig.watch.armed(), Watch::nothing);
  EXPECT_EQ(rig.device().calls.back(), "reset");
  auto const state = rig.transport().save();
  EXPECT_EQ(state.registers, VirtioRegisters{.config_generation = 1});
  for (std::uint32_t const index : {0U, 1U}) {
    rig.write(0x030, index);
    EXPECT_EQ(rig.read(0x044), 0U);
    EXPECT_EQ(state.queues[index], VirtioQueueState{.place = {.size = rig.read(0x034)}});
  }
}

TEST(VirtioMmio, after_a_reset_nothing_happens_until_the_driver_begins_again) {
  Rig rig;
  int calls = 0;
  rig.device().work = [&](std::size_t, VirtioQueues&) { ++calls; };
  rig.start();
  rig.write(0x070, 0);
  calls = 0;
  rig.device().calls.clear();
  rig.queue(0).add({{0x8000, 4, true}});
  rig.queue(0).publish();
  rig.write(0x050, 0);
  rig.transport().event(rig.ram, rig.line, rig.watch);
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(rig.device().calls.empty());
  EXPECT_FALSE(rig.wire.level());
  rig.start();
  EXPECT_EQ(calls, 2);
}

TEST(VirtioMmio, a_chain_from_before_a_reset_does_nothing) {
  PlainRig rig;  // which has no reset() and keeps its chains
  rig.device().work = [&](std::size_t index, VirtioQueues& queues) {
    test::hold_all(rig.device(), index, queues);
  };
  rig.start();
  rig.queue(0).add({{0x8000, 4, true}});
  rig.kick(0);
  ASSERT_EQ(rig.device().held.size(), 1U);
  rig.start();
  rig.queue(0).add({{0x9000, 4, true}});  // the same head is out once more
  rig.kick(0);
  ASSERT_EQ(rig.device().held.size(), 2U);
  EXPECT_TRUE(rig.device().held[0].write(std::uint32_t{7}));
  rig.device().held.erase(rig.device().held.begin());
  EXPECT_EQ(rig.queue(0).used_index(), 0U);
  rig.device().held.clear();
  EXPECT_EQ(rig.queue(0).used_index(), 1U);
  EXPECT_EQ(rig.queue(0).use()->length, 0U);
}

TEST(VirtioMmio, a_device_that_goes_with_its_chains_leaves_memory_alone) {
  PlainRig rig;
  rig.start();
  rig.queue(0).add({{0x8000, 4, true}});
  rig.kick(0);
  {
    VirtioMmio<PlainProbe> second;
    second.device().work = [&](std::size_t index, VirtioQueues& queues) {
      test::hold_all(second.device(), index, queues);
    };
    second.load(rig.transport().save());
    second.notify(0, rig.ram, rig.line, rig.ram);
    EXPECT_EQ(second.device().held.size(), 1U);
  }
  EXPECT_EQ(rig.queue(0).used_index(), 0U);
}

// --- Interrupts

TEST(VirtioMmio, the_line_is_high_until_every_event_is_acknowledged) {
  Rig rig;
  rig.device().work = [](std::size_t index, VirtioQueues& queues) {
    while (queues[index].take()) queues.config_changed();
  };
  rig.start();
  EXPECT_EQ(rig.read(0x060), 0U);
  EXPECT_FALSE(rig.wire.level());
  rig.queue(0).add({{0x8000, 4, true}});
  rig.kick(0);
  EXPECT_EQ(rig.read(0x060), 3U);
  EXPECT_TRUE(rig.wire.level());
  EXPECT_EQ(rig.wire.raised(), 1U);
  rig.write(0x064, 1);
  EXPECT_EQ(rig.read(0x060), 2U);
  EXPECT_TRUE(rig.wire.level());
  EXPECT_EQ(rig.wire.raised(), 2U);  // for whoever sees edges only
  rig.write(0x064, 1);
  EXPECT_EQ(rig.wire.raised(), 2U);
  rig.write(0x064, 0xFFFF'FFFE);
  EXPECT_EQ(rig.read(0x060), 0U);
  EXPECT_FALSE(rig.wire.level());
}

TEST(VirtioMmio, a_spurious_notification_changes_nothing) {
  Rig rig;
  rig.device().work = [](std::size_t index, VirtioQueues& queues) {
    while (queues[index].take()) {
    }
  };
  rig.start();
  auto const before = rig.transport().save();
  for (std::uint32_t const index : {0U, 1U, 2U, 0xFFFF'FFFFU}) rig.write(0x050, index);
  EXPECT_EQ(rig.transport().save(), before);
  EXPECT_FALSE(rig.wire.level());
}

TEST(VirtioMmio, a_mistake_in_a_queue_is_told_by_a_configuration_interrupt) {
  Rig rig;
  rig.device().work = [](std::size_t index, VirtioQueues& queues) {
    while (queues[index].take()) {
    }
  };
  rig.start();
  rig.queue(0).offer(16);
  rig.kick(0);
  EXPECT_TRUE(rig.needs_reset());
  EXPECT_EQ(rig.take_interrupts(), 2U);
  rig.write(0x070, 15);
  EXPECT_TRUE(rig.needs_reset());
  rig.start();
  EXPECT_FALSE(rig.needs_reset());
  rig.queue(0).add({{0x8000, 4, true}});
  rig.kick(0);
  EXPECT_TRUE(rig.queue(0).use());
}

TEST(VirtioMmio, a_mistake_before_driver_ok_is_told_after_it) {
  Rig rig;
  ASSERT_TRUE(rig.negotiate(version_1));
  rig.place_queue(0, {.size = 3});
  rig.write(0x044, 1);
  EXPECT_TRUE(rig.needs_reset());
  EXPECT_EQ(rig.read(0x060), 0U);
  EXPECT_FALSE(rig.wire.level());
  rig.write(0x070, 15);
  EXPECT_EQ(rig.read(0x060), 2U);
  EXPECT_TRUE(rig.wire.level());
  EXPECT_EQ(std::ranges::count(rig.device().calls, "activate"), 0);
}

// --- Configuration

TEST(VirtioMmio, configuration_is_read_before_features_are_agreed) {
  Rig rig;
  EXPECT_EQ(rig.config<std::uint32_t>(0), 0x1234'5678U);
  EXPECT_EQ(rig.config<std::uint16_t>(4), 0x9ABCU);
  EXPECT_EQ(rig.config<std::uint8_t>(6), 0xDEU);
  EXPECT_EQ(rig.config<std::uint64_t>(0), 0xF0DE'9ABC'1234'5678U);
}

TEST(VirtioMmio, configuration_ends_in_zeros) {
  Rig rig;
  EXPECT_EQ(rig.config<std::uint32_t>(6), 0x0000'F0DEU);
  EXPECT_EQ(rig.config<std::uint32_t>(8), 0U);
  EXPECT_EQ(rig.config<std::uint8_t>(0xFF), 0U);
  EXPECT_EQ(PlainRig{}.config<std::uint32_t>(0), 0U);
}

TEST(VirtioMmio, configuration_is_written_where_there_is_any) {
  Rig rig;
  rig.set_config(4, std::uint16_t{0x1111});
  rig.set_config(6, std::uint32_t{0x2222'2222});  // reaches past it
  rig.set_config(0x80, std::uint8_t{1});
  EXPECT_EQ(rig.device().calls, (std::vector<std::string>{"write_config 4 2"}));
  EXPECT_EQ(rig.config<std::uint64_t>(0), 0xF0DE'1111'1234'5678U);
}

TEST(VirtioMmio, a_change_of_configuration_is_another_generation_and_an_interrupt) {
  Rig rig;
  rig.start();
  std::uint32_t const before = rig.read(0x0FC);
  rig.device().on_event = [&](VirtioQueues& queues) {
    ++rig.device().configuration.number;
    queues.config_changed();
  };
  EXPECT_EQ(rig.read(0x0FC), before);
  EXPECT_TRUE(rig.event());
  EXPECT_NE(rig.read(0x0FC), before);
  EXPECT_EQ(rig.take_interrupts(), 2U);
  rig.write(0x070, 0);
  EXPECT_NE(rig.read(0x0FC), before);
}

// --- State

TEST(VirtioMmio, goes_on_from_a_saved_state) {
  Rig first;
  first.device().work = [&](std::size_t index, VirtioQueues& queues) {
    test::hold_all(first.device(), index, queues);
  };
  first.start();
  for (int number = 0; number < 3; ++number) first.queue(0).add({{first.allocate(4), 4, true}});
  first.kick(0);
  first.device().held.erase(first.device().held.begin());  // the first is used, two are out
  first.device().state.value = 7;
  auto const state = first.transport().save();

  Rig second;
  for (Region const& region : first.ram.regions())
    std::memcpy(second.ram.regions()[0].host, region.host, region.size);
  second.device().work = [&](std::size_t index, VirtioQueues& queues) {
    while (auto chain = queues[index].take()) EXPECT_TRUE(chain->write(std::uint32_t{5}));
  };
  second.transport().load(state);
  EXPECT_EQ(second.device().state.value, 7);
  EXPECT_EQ(second.transport().save(), state);
  second.write(0x050, 0);
  EXPECT_EQ(second.transport().save().queues[0].next_used, 3);
  EXPECT_TRUE(second.wire.level());
  EXPECT_EQ(second.device().calls, (std::vector<std::string>{"reset", "activate"}));
  EXPECT_FALSE(second.needs_reset());
}

TEST(VirtioMmio, a_state_with_a_larger_queue_than_the_device_has_is_a_broken_one) {
  Rig rig;
  rig.start();
  auto state = rig.transport().save();
  state.queues[0].place.size = 32768;
  rig.transport().load(state);
  rig.write(0x050, 0);
  EXPECT_TRUE(rig.needs_reset());
}

TEST(VirtioMmio, is_placed_behind_a_lock_unchanged) {
  test::VirtioRig<Entropy, Locked<VirtioMmio<Entropy>>> rig;
  rig.start();
  EXPECT_EQ(rig.request(0, {}, 12).size(), 12U);
}

}  // namespace
}  // namespace portico
