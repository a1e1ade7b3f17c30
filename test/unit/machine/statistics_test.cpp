#include <gtest/gtest.h>

#include <string>

#include <portico/machine/statistics.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeVcpu;

struct Console {
  void write(std::uint8_t) {}

  std::uint8_t read() { return 0; }
};

struct Disk {
  void write(std::uint32_t) {}
};

using Board = DeviceMap<Port<0xE9, Console, Named<"console">>, Mmio<0xD000'0000, Disk>>;

Access access(Direction way, std::uint64_t address, std::uint32_t width, std::uint32_t count = 1,
              Space space = Space::port) {
  return {space, way, address, width, count, nullptr};
}

constexpr Claim console{0, 0, 0, false};
constexpr Claim nobody{};
constexpr Claim no_register{0, 0, -1, false};

bool has(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

TEST(Statistics, CountElementsBytesAndExits) {
  Statistics<Board> statistics;
  statistics.access(access(Direction::write, 0xE9, 1), console);
  statistics.access(access(Direction::write, 0xE9, 1, 10), console);
  statistics.access(access(Direction::read, 0xE9, 1), console);
  EXPECT_EQ(statistics.entry(0).writes, 11U);
  EXPECT_EQ(statistics.entry(0).reads, 1U);
  EXPECT_EQ(statistics.entry(0).bytes, 12U);
  EXPECT_EQ(statistics.entry(0).exits, 3U);
  EXPECT_EQ(statistics.entry(1).exits, 0U);
  EXPECT_EQ(statistics.exits(), 3U);
}

TEST(Statistics, AnAccessThatNoRegisterTookIsUnclaimed) {
  Statistics<Board> statistics;
  statistics.access(access(Direction::read, 0xE9, 4), no_register);
  statistics.access(access(Direction::write, 0x80, 2, 3), nobody);
  EXPECT_EQ(statistics.entry(0).exits, 0U);
  EXPECT_EQ(statistics.unclaimed().reads, 1U);
  EXPECT_EQ(statistics.unclaimed().writes, 3U);
  EXPECT_EQ(statistics.unclaimed().bytes, 10U);
  EXPECT_EQ(statistics.unclaimed().exits, 2U);
  std::string const text = statistics.text();
  EXPECT_TRUE(has(text, "unclaimed port 0xe9: 1 reads of 4 bytes\n")) << text;
  EXPECT_TRUE(has(text, "unclaimed port 0x80: 3 writes of 2 bytes\n")) << text;
}

TEST(Statistics, TellAddressesApartBySpaceDirectionAndWidth) {
  Statistics<Board> statistics;
  for (int round = 0; round < 2; ++round) {
    statistics.access(access(Direction::read, 0x80, 1), nobody);
    statistics.access(access(Direction::write, 0x80, 1), nobody);
    statistics.access(access(Direction::read, 0x80, 2), nobody);
    statistics.access(access(Direction::read, 0x80, 1, 1, Space::mmio), nobody);
  }
  std::string const text = statistics.text();
  EXPECT_TRUE(has(text, "unclaimed port 0x80: 2 reads of 1 bytes\n")) << text;
  EXPECT_TRUE(has(text, "unclaimed port 0x80: 2 writes of 1 bytes\n")) << text;
  EXPECT_TRUE(has(text, "unclaimed port 0x80: 2 reads of 2 bytes\n")) << text;
  EXPECT_TRUE(has(text, "unclaimed address 0x80: 2 reads of 1 bytes\n")) << text;
  EXPECT_FALSE(has(text, "elsewhere")) << text;
}

TEST(Statistics, ASweepOfAllPortsIsToldShortly) {
  Statistics<Board> statistics;
  for (int round = 0; round < 2; ++round)
    for (std::uint64_t port = 0; port < 0x1'0000; ++port)
      statistics.access(access(Direction::write, port, 1), nobody);
  EXPECT_EQ(statistics.unclaimed().exits, 2U * 0x1'0000);
  std::string const text = statistics.text();
  EXPECT_TRUE(has(text, "unclaimed port 0x3f: 2 writes")) << text;
  EXPECT_FALSE(has(text, "unclaimed port 0x40:")) << text;
  EXPECT_TRUE(has(text, "unclaimed elsewhere: " + std::to_string(2 * (0x1'0000 - 64)) + "\n"))
      << text;
}

TEST(Statistics, AreAdded) {
  Statistics<Board> first;
  Statistics<Board> second;
  first.access(access(Direction::write, 0xE9, 1), console);
  first.access(access(Direction::read, 0x80, 1), nobody);
  second.access(access(Direction::write, 0xE9, 1, 4), console);
  second.access(access(Direction::read, 0x80, 1, 2), nobody);
  second.access(access(Direction::read, 0x81, 1), nobody);
  second.exit(kvm::HltExit{}, KVM_EXIT_HLT);
  first += second;
  EXPECT_EQ(first.entry(0).writes, 5U);
  EXPECT_EQ(first.entry(0).exits, 2U);
  EXPECT_EQ(first.unclaimed().reads, 4U);
  EXPECT_EQ(first.other_exits(), 1U);
  EXPECT_EQ(first.exits(), 6U);
  EXPECT_TRUE(has(first.text(), "unclaimed port 0x80: 3 reads")) << first.text();
  EXPECT_TRUE(has(first.text(), "unclaimed port 0x81: 1 reads")) << first.text();
}

TEST(Statistics, TheTableHasALineForEachDevice) {
  Statistics<Board> statistics;
  statistics.access(access(Direction::write, 0xE9, 1, 12345), console);
  std::string const text = statistics.text();
  EXPECT_TRUE(text.starts_with("device ")) << text;
  EXPECT_TRUE(has(text, "\nconsole ")) << text;
  EXPECT_TRUE(has(text, "\nDisk ")) << text;
  EXPECT_TRUE(has(text, "\n(unclaimed) ")) << text;
  EXPECT_TRUE(has(text, "\n(other exits) ")) << text;
  EXPECT_TRUE(has(text, " 12345 ")) << text;
}

TEST(Statistics, CountARun) {
  FakeMachine<Board> machine{GuestMemory{4 * KiB}, Board{}};
  machine.vcpu().plays([](FakeVcpu& played) { played.exits_with_out(0xE9, 1, "abc"); },
                       [](FakeVcpu& played) { played.exits_with_in(0xE9, 1); },
                       [](FakeVcpu& played) { played.exits_with_store(0xD000'0000, 1, 4); },
                       [](FakeVcpu& played) { played.exits_with_load(0xD000'0000, 4); });
  Statistics<Board> statistics;
  machine.run(statistics);
  EXPECT_EQ(statistics.entry(0).writes, 3U);
  EXPECT_EQ(statistics.entry(0).reads, 1U);
  EXPECT_EQ(statistics.entry(1).bytes, 4U);
  EXPECT_EQ(statistics.unclaimed().reads, 1U);
  EXPECT_EQ(statistics.other_exits(), 1U);
  EXPECT_EQ(statistics.exits(), 5U);
}

}  // namespace
}  // namespace portico
