// The entropy device, and with it the way of a buffer there and back.
#include <gtest/gtest.h>

#include <set>

#include <portico/virtio/entropy.hpp>

#include "support/virtio_driver.hpp"

namespace portico {
namespace {

/// Counts, and may run dry.
struct CountingSource {
  std::size_t left = SIZE_MAX;
  std::uint8_t next = 1;

  bool fill(gsl::span<std::byte> to) {
    if (to.size() > left) return false;
    left -= to.size();
    for (std::byte& byte : to) byte = std::byte{next++};
    return true;
  }
};

using Rig = test::VirtioRig<BasicEntropy<CountingSource>>;

TEST(VirtioEntropy, is_device_4_without_features_and_configuration) {
  Rig rig;
  EXPECT_EQ(rig.read(0x008), 4U);
  EXPECT_EQ(rig.offered() & VirtioFeature::of_the_device, 0U);
  EXPECT_EQ(rig.config<std::uint32_t>(0), 0U);
}

TEST(VirtioEntropy, fills_the_whole_buffer) {
  Rig rig;
  rig.start();
  auto const bytes = rig.request(0, {}, 100);
  ASSERT_EQ(bytes.size(), 100U);
  for (std::size_t at = 0; at < bytes.size(); ++at) EXPECT_EQ(bytes[at], std::byte(at + 1));
  EXPECT_EQ(rig.take_interrupts(), 1U);
}

TEST(VirtioEntropy, fills_a_buffer_however_it_is_cut) {
  Rig rig;
  rig.start();
  std::uint64_t const at = rig.allocate(64);
  std::uint64_t const table = rig.allocate(64);
  ASSERT_TRUE(rig.queue(0).add({{at + 20, 1, true}, {at, 20, true}, {at + 30, 3, true}}, table, 1));
  EXPECT_TRUE(rig.kick(0));
  EXPECT_EQ(rig.queue(0).use()->length, 24U);
  EXPECT_EQ(rig.ram.read<std::uint8_t>(at + 20), 1);
  EXPECT_EQ(rig.ram.read<std::uint8_t>(at), 2);
  EXPECT_EQ(rig.ram.read<std::uint8_t>(at + 32), 24);
  EXPECT_EQ(rig.ram.read<std::uint8_t>(at + 33), 0);
}

TEST(VirtioEntropy, gives_at_most_64_KiB_for_a_buffer) {
  Rig rig;
  rig.start();
  EXPECT_EQ(rig.request(0, {}, 100'000).size(), 65536U);
}

TEST(VirtioEntropy, gives_less_rather_than_nothing) {
  Rig rig{CountingSource{.left = 5}};
  rig.start();
  std::uint64_t const at = rig.allocate(16);
  rig.queue(0).add({{at, 4, true}, {at + 4, 4, true}});
  rig.kick(0);
  EXPECT_EQ(rig.queue(0).use()->length, 4U);
}

TEST(VirtioEntropy, keeps_a_buffer_until_there_is_a_random_byte_for_it) {
  Rig rig{CountingSource{.left = 0}};
  rig.start();
  std::uint64_t const at = rig.allocate(16);
  rig.queue(0).add({{at, 4, true}});
  rig.kick(0);
  EXPECT_FALSE(rig.queue(0).use());
  EXPECT_EQ(rig.take_interrupts(), 0U);
  EXPECT_EQ(rig.device().failed(), 1U);
  rig.device().source().left = 100;
  rig.queue(0).add({{at + 4, 8, true}});
  rig.kick(0);  // which notifies only if the device asks for it
  EXPECT_EQ(rig.queue(0).use()->length, 4U);
  EXPECT_EQ(rig.queue(0).use()->length, 8U);
  EXPECT_FALSE(rig.needs_reset());
}

TEST(VirtioEntropy, reads_nothing_of_a_buffer_that_no_driver_should_give) {
  Rig rig;
  rig.start();
  EXPECT_EQ(rig.request(0, std::vector<std::byte>(8), 0).size(), 0U);
  EXPECT_FALSE(rig.needs_reset());
}

TEST(HostEntropy, is_not_the_same_twice) {
  test::VirtioRig<Entropy> rig;
  rig.start();
  std::set<std::vector<std::byte>> seen;
  for (int round = 0; round < 8; ++round) seen.insert(rig.request(0, {}, 16));
  EXPECT_EQ(seen.size(), 8U);
}

}  // namespace
}  // namespace portico
