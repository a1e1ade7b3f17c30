// String instructions: a batch in one call, or element by element.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

#include <portico/device/device_map.hpp>

namespace portico {
namespace {

Context<> nothing;

struct Batch {
  void write(gsl::span<std::uint16_t const> values) {
    batches.emplace_back(values.begin(), values.end());
  }

  void read(gsl::span<std::uint16_t> values) {
    sizes.push_back(values.size());
    for (std::uint16_t& value : values) value = next++;
  }

  std::vector<std::vector<std::uint16_t>> batches{};
  std::vector<std::size_t> sizes{};
  std::uint16_t next = 0x100;
};

struct Single {
  void write(std::uint16_t value) { values.push_back(value); }

  std::uint16_t read() { return next++; }

  std::vector<std::uint16_t> values{};
  std::uint16_t next = 0x200;
};

struct Raw {
  void write(std::uint64_t offset, gsl::span<std::byte const> bytes) {
    ++calls;
    last_offset = offset;
    last_size = bytes.size();
    sum += std::to_integer<unsigned>(bytes[0]);
  }

  unsigned calls = 0;
  std::uint64_t last_offset = 0;
  std::size_t last_size = 0;
  unsigned sum = 0;
};

using Board = DeviceMap<Port<0x10, Batch>, Port<0x20, Single>, Port<0x30, Raw, Size<8>>>;

struct Data {
  alignas(8) std::array<std::byte, 4096> bytes{};

  explicit Data(std::vector<std::uint16_t> const& values = {}) {
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), values.size() * 2);
  }

  [[nodiscard]] std::uint16_t at(std::size_t index) const {
    return load<std::uint16_t>(bytes.data() + 2 * index);
  }
};

TEST(StringIo, ABatchComesInOneCall) {
  Board board;
  Data data{{1, 2, 3, 4, 5}};
  Claim const claim =
      board.access<Space::port, Direction::write>(0x10, 2, 5, data.bytes.data(), nothing);
  EXPECT_TRUE(claim.taken());
  ASSERT_EQ(board.get<Batch>().batches.size(), 1U);
  EXPECT_EQ(board.get<Batch>().batches[0], (std::vector<std::uint16_t>{1, 2, 3, 4, 5}));
}

TEST(StringIo, ASingleAccessIsABatchOfOne) {
  Board board;
  EXPECT_TRUE(board.out(0x10, std::uint16_t{7}, nothing));
  EXPECT_EQ(board.in<std::uint16_t>(0x10, nothing), 0x100);
  EXPECT_EQ(board.get<Batch>().batches, (std::vector<std::vector<std::uint16_t>>{{7}}));
  EXPECT_EQ(board.get<Batch>().sizes, std::vector<std::size_t>{1});
}

TEST(StringIo, ABatchIsFilledInOneCall) {
  Board board;
  Data data;
  board.access<Space::port, Direction::read>(0x10, 2, 1024, data.bytes.data(), nothing);
  EXPECT_EQ(board.get<Batch>().sizes, std::vector<std::size_t>{1024});
  EXPECT_EQ(data.at(0), 0x100);
  EXPECT_EQ(data.at(1023), 0x100 + 1023);
}

TEST(StringIo, OtherDevicesGetElementAfterElement) {
  Board board;
  Data data{{1, 2, 3}};
  EXPECT_TRUE((board.access<Space::port, Direction::write>(0x20, 2, 3, data.bytes.data(), nothing))
                  .taken());
  EXPECT_EQ(board.get<Single>().values, (std::vector<std::uint16_t>{1, 2, 3}));
  board.access<Space::port, Direction::read>(0x20, 2, 3, data.bytes.data(), nothing);
  EXPECT_EQ(data.at(0), 0x200);
  EXPECT_EQ(data.at(2), 0x202);
  EXPECT_EQ(data.at(3), 0);
}

TEST(StringIo, RawBytesGetEachElementAtOneOffset) {
  Board board;
  Data data{{1, 2, 3}};
  EXPECT_TRUE((board.access<Space::port, Direction::write>(0x36, 2, 3, data.bytes.data(), nothing))
                  .taken());
  Raw const& raw = board.get<Raw>();
  EXPECT_EQ(raw.calls, 3U);
  EXPECT_EQ(raw.last_offset, 6U);
  EXPECT_EQ(raw.last_size, 2U);
  EXPECT_EQ(raw.sum, 6U);
  EXPECT_FALSE((board.access<Space::port, Direction::write>(0x37, 2, 3, data.bytes.data(), nothing))
                   .taken());
  EXPECT_EQ(raw.calls, 3U);
}

TEST(StringIo, AnUnclaimedBatchIsOnesThroughout) {
  Board board;
  Data data;
  Claim const claim =
      board.access<Space::port, Direction::read>(0x20, 4, 100, data.bytes.data(), nothing);
  EXPECT_EQ(claim.entry, 1);
  EXPECT_FALSE(claim.taken());
  EXPECT_EQ(data.at(199), 0xFFFF);
  EXPECT_EQ(data.at(200), 0);
}

// More ranges than are compared one by one: a switch over a table, and over the ports themselves.

template <int Number>
struct Numbered : Single {};

template <class... Entries>
void expect_elements_in_order(std::uint16_t port) {
  DeviceMap<Entries...> board;
  Data data{{1, 2, 3}};
  Claim const written =
      board.template access<Space::port, Direction::write>(port, 2, 3, data.bytes.data(), nothing);
  EXPECT_TRUE(written.taken());
  EXPECT_EQ(written.entry, 7);
  EXPECT_EQ(board.template at<7>().values, (std::vector<std::uint16_t>{1, 2, 3}));
  board.template access<Space::port, Direction::read>(port, 2, 3, data.bytes.data(), nothing);
  EXPECT_EQ(data.at(0), 0x200);
  EXPECT_EQ(data.at(2), 0x202);
  EXPECT_EQ(data.at(3), 0);
  Claim const wide =
      board.template access<Space::port, Direction::read>(port, 4, 3, data.bytes.data(), nothing);
  EXPECT_FALSE(wide.taken());
  EXPECT_EQ(wide.entry, 7);
  EXPECT_EQ(data.at(5), 0xFFFF);
  EXPECT_EQ(data.at(6), 0);
}

TEST(StringIo, ElementsComeInOrderThroughASwitch) {
  expect_elements_in_order<Port<0x11, Numbered<0>>, Port<0x33, Numbered<1>>,
                           Port<0x40, Numbered<2>>, Port<0x55, Numbered<3>>,
                           Port<0x61, Numbered<4>>, Port<0x75, Numbered<5>>,
                           Port<0x81, Numbered<6>>, Port<0x97, Numbered<7>>,
                           Port<0x1A0, Numbered<8>>, Port<0x1C9, Numbered<9>>>(0x97);
  expect_elements_in_order<Port<0x10, Numbered<0>>, Port<0x11, Numbered<1>>,
                           Port<0x12, Numbered<2>>, Port<0x13, Numbered<3>>,
                           Port<0x14, Numbered<4>>, Port<0x15, Numbered<5>>,
                           Port<0x16, Numbered<6>>, Port<0x17, Numbered<7>>,
                           Port<0x18, Numbered<8>>, Port<0x19, Numbered<9>>>(0x17);
}

}  // namespace
}  // namespace portico
