// Bus semantics: who gets an access, and what becomes of the rest.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include <portico/device/device_map.hpp>

namespace portico {
namespace {

Context<> nothing;

/// One access of any length, as the run loop makes it.
struct Result {
  Claim claim;
  std::array<std::byte, 8> data;
};

template <Space InSpace, Direction Way, class Board>
Result access(Board& board, std::uint64_t address, std::uint32_t width,
              std::array<std::byte, 8> data = {}) {
  Result result{{}, data};
  result.claim =
      board.template access<InSpace, Way>(address, width, 1, result.data.data(), nothing);
  return result;
}

bool is_ones(Result const& result, std::uint32_t width) {
  for (std::uint32_t at = 0; at < 8; ++at)
    if (result.data[at] != (at < width ? std::byte{0xFF} : std::byte{0})) return false;
  return true;
}

/// Notes what it is called with.
struct Recorder {
  void write8(std::uint8_t value) { calls.push_back("write8 " + std::to_string(value)); }

  void write16(std::uint16_t value) { calls.push_back("write16 " + std::to_string(value)); }

  void write32(std::uint32_t value) { calls.push_back("write32 " + std::to_string(value)); }

  void write64(std::uint64_t value) { calls.push_back("write64 " + std::to_string(value)); }

  std::uint8_t read8() {
    calls.emplace_back("read8");
    return 0x12;
  }

  std::uint16_t read16() {
    calls.emplace_back("read16");
    return 0x3456;
  }

  std::uint32_t read32() {
    calls.emplace_back("read32");
    return 0x789A'BCDE;
  }

  std::uint64_t read64() {
    calls.emplace_back("read64");
    return 0x0123'4567'89AB'CDEF;
  }

  std::vector<std::string> taken() { return std::exchange(calls, {}); }

  std::vector<std::string> calls{};
};

using Calls = std::vector<std::string>;

/// Registers of all widths, two widths on one offset, and neighbours that an access could straddle.
struct Widths : Recorder {
  using registers = Registers<ReadWrite<0, &Recorder::read8, &Recorder::write8>,
                              ReadWrite<0, &Recorder::read16, &Recorder::write16>,
                              ReadWrite<2, &Recorder::read32, &Recorder::write32>,
                              ReadOnly<6, &Recorder::read8>, WriteOnly<7, &Recorder::write8>>;
};

struct Wide : Recorder {
  using registers = Registers<ReadWrite<0, &Recorder::read64, &Recorder::write64>,
                              ReadWrite<8, &Recorder::read32, &Recorder::write32>>;
};

/// One byte, right behind Widths.
struct Neighbour {
  void write(std::uint8_t value) { last = value; }

  std::uint8_t read() { return 0x77; }

  int last = -1;
};

using Board = DeviceMap<Port<0x100, Widths, Named<"port">>, Port<0x108, Neighbour>,
                        Mmio<0x8000, Widths, Named<"mmio">>, Mmio<0x9000, Wide>>;

constexpr Direction in = Direction::read;
constexpr Direction out = Direction::write;

TEST(Bus, ReachesTheRegisterOfOffsetAndWidth) {
  Board board;
  auto& device = board.get<"port">();
  EXPECT_TRUE(board.out(0x100, std::uint8_t{1}, nothing));
  EXPECT_TRUE(board.out(0x100, std::uint16_t{0x102}, nothing));
  EXPECT_TRUE(board.out(0x102, std::uint32_t{0x0102'0304}, nothing));
  EXPECT_EQ(device.taken(), (Calls{"write8 1", "write16 258", "write32 16909060"}));
  EXPECT_EQ(board.in<std::uint8_t>(0x100, nothing), 0x12);
  EXPECT_EQ(board.in<std::uint16_t>(0x100, nothing), 0x3456);
  EXPECT_EQ(board.in<std::uint32_t>(0x102, nothing), 0x789A'BCDEU);
  EXPECT_EQ(board.in<std::uint8_t>(0x106, nothing), 0x12);
  EXPECT_EQ(device.taken(), (Calls{"read8", "read16", "read32", "read8"}));
}

TEST(Bus, TheSameDeviceStandsOnAddresses) {
  Board board;
  auto& device = board.get<"mmio">();
  EXPECT_TRUE(board.store(0x8002, std::uint32_t{5}, nothing));
  EXPECT_EQ(board.load<std::uint16_t>(0x8000, nothing), 0x3456);
  EXPECT_EQ(device.taken(), (Calls{"write32 5", "read16"}));
  EXPECT_TRUE(board.get<"port">().calls.empty());
}

TEST(Bus, AddressesHaveRegistersOfEightBytes) {
  Board board;
  EXPECT_TRUE(board.store(0x9000, ~std::uint64_t{0}, nothing));
  EXPECT_EQ(board.load<std::uint64_t>(0x9000, nothing), 0x0123'4567'89AB'CDEFU);
  EXPECT_EQ(board.get<Wide>().taken(), (Calls{"write64 18446744073709551615", "read64"}));
}

TEST(Bus, AnotherWidthIsUnclaimed) {
  Board board;
  EXPECT_FALSE(board.out(0x100, std::uint32_t{1}, nothing));
  EXPECT_FALSE(board.out(0x102, std::uint8_t{1}, nothing));
  EXPECT_FALSE(board.out(0x102, std::uint16_t{1}, nothing));
  EXPECT_EQ(board.in<std::uint32_t>(0x100, nothing), 0xFFFF'FFFFU);
  EXPECT_EQ(board.in<std::uint8_t>(0x103, nothing), 0xFF);
  EXPECT_EQ(board.load<std::uint64_t>(0x9008, nothing), ~std::uint64_t{0});
  EXPECT_TRUE(board.get<"port">().calls.empty());
  EXPECT_TRUE(board.get<Wide>().calls.empty());
}

TEST(Bus, AnotherDirectionIsUnclaimed) {
  Board board;
  EXPECT_FALSE(board.out(0x106, std::uint8_t{1}, nothing));  // r-
  EXPECT_EQ(board.in<std::uint8_t>(0x107, nothing), 0xFF);   // -w
  EXPECT_TRUE(board.out(0x107, std::uint8_t{1}, nothing));
  EXPECT_EQ(board.get<"port">().taken(), (Calls{"write8 1"}));
}

TEST(Bus, NothingIsSplitOverTwoRegisters) {
  Board board;
  // 2 bytes over the byte at 6 and the byte at 7; 4 bytes over several.
  EXPECT_EQ(board.in<std::uint16_t>(0x106, nothing), 0xFFFF);
  EXPECT_FALSE(board.out(0x106, std::uint16_t{0}, nothing));
  EXPECT_EQ(board.load<std::uint32_t>(0x8004, nothing), 0xFFFF'FFFFU);
  EXPECT_EQ(board.load<std::uint64_t>(0x9004, nothing), ~std::uint64_t{0});
  EXPECT_TRUE(board.get<"port">().calls.empty());
  EXPECT_TRUE(board.get<Wide>().calls.empty());
}

TEST(Bus, NothingIsSplitOverTwoDevices) {
  Board board;
  EXPECT_FALSE(board.out(0x107, std::uint16_t{0xABCD}, nothing));
  EXPECT_EQ(board.in<std::uint16_t>(0x107, nothing), 0xFFFF);
  EXPECT_EQ(board.get<Neighbour>().last, -1);
  EXPECT_TRUE(board.get<"port">().calls.empty());
  auto const claim = access<Space::port, out>(board, 0x107, 2).claim;
  EXPECT_EQ(claim.entry, 0);  // where the first byte lies
  EXPECT_FALSE(claim.taken());
}

TEST(Bus, OutsideAllRangesIsUnclaimed) {
  Board board;
  for (std::uint64_t const port : {0x0UL, 0xFFUL, 0x109UL, 0xFFFFUL}) {
    Result const read = access<Space::port, in>(board, port, 4);
    EXPECT_EQ(read.claim.entry, -1) << port;
    EXPECT_TRUE(is_ones(read, 4)) << port;
    EXPECT_FALSE((access<Space::port, out>(board, port, 1).claim.taken())) << port;
  }
  // The spaces are apart: a port's number is no address.
  EXPECT_EQ((access<Space::mmio, in>(board, 0x100, 1).claim.entry), -1);
  EXPECT_EQ((access<Space::port, in>(board, 0x8000, 1).claim.entry), -1);
  EXPECT_EQ((access<Space::mmio, in>(board, ~std::uint64_t{0}, 8).claim.entry), -1);
  EXPECT_EQ((access<Space::mmio, in>(board, 0x1'0000'8000, 1).claim.entry), -1);
}

TEST(Bus, UnclaimedReadsGiveOnesInTheirOwnWidthOnly) {
  Board board;
  for (std::uint32_t width = 1; width <= 8; ++width)
    EXPECT_TRUE(is_ones(access<Space::mmio, in>(board, 0x7000, width), width)) << width;
}

TEST(Bus, UnclaimedWritesLeaveTheDataAlone) {
  Board board;
  std::array<std::byte, 8> data{};
  data.fill(std::byte{0x5A});
  EXPECT_EQ((access<Space::mmio, out>(board, 0x7000, 8, data).data), data);
}

TEST(Bus, OddLengthsReachNoRegister) {
  Board board;
  for (std::uint32_t const width : {3U, 5U, 6U, 7U}) {
    EXPECT_FALSE((access<Space::mmio, out>(board, 0x9000, width).claim.taken())) << width;
    EXPECT_TRUE(is_ones(access<Space::mmio, in>(board, 0x8000, width), width)) << width;
  }
}

TEST(Bus, APortRegisterMayBeWiderThanItsRange) {
  struct Disk {
    void sector(std::uint32_t value) { values.push_back(value); }

    void address(std::uint32_t value) { values.push_back(value + 100); }

    using registers = Registers<WriteOnly<0, &Disk::sector>, WriteOnly<1, &Disk::address>>;
    std::vector<std::uint32_t> values{};
  };

  DeviceMap<Port<0x20, Disk>, Port<0x22, Neighbour>> board;
  EXPECT_TRUE(board.out(0x20, std::uint32_t{1}, nothing));
  EXPECT_TRUE(board.out(0x21, std::uint32_t{2}, nothing));  // its bytes reach to 0x24
  EXPECT_FALSE(board.out(0x22, std::uint32_t{3}, nothing));
  EXPECT_EQ(board.get<Disk>().values, (std::vector<std::uint32_t>{1, 102}));
  EXPECT_EQ(board.get<Neighbour>().last, -1);
}

struct Dword {
  void write(std::uint32_t value) { last = value; }

  std::uint32_t last = 0;
};

TEST(Bus, TheEndsOfASpaceAreReached) {
  DeviceMap<Port<0, Neighbour, Named<"first">>, Port<0xFFFF, Dword>,
            Mmio<0, Neighbour, Named<"zero">>, Mmio<0xF'FFFF'FFFF'FFFC, Dword, Named<"last">>>
      board;
  EXPECT_TRUE(board.out(0, std::uint8_t{1}, nothing));
  EXPECT_TRUE(board.out(0xFFFF, std::uint32_t{2}, nothing));
  EXPECT_TRUE(board.store(0, std::uint8_t{3}, nothing));
  EXPECT_TRUE(board.store(0xF'FFFF'FFFF'FFFC, std::uint32_t{4}, nothing));
  EXPECT_EQ(board.get<"first">().last, 1);
  EXPECT_EQ(board.at<1>().last, 2U);
  EXPECT_EQ(board.get<"zero">().last, 3);
  EXPECT_EQ(board.get<"last">().last, 4U);
}

TEST(Bus, StridesSetRegistersApart) {
  struct Pair {
    void first(std::uint8_t value) { sum += value; }

    void second(std::uint8_t value) { sum += 1000U * value; }

    using registers = Registers<WriteOnly<0, &Pair::first>, WriteOnly<1, &Pair::second>>;
    unsigned sum = 0;
  };

  DeviceMap<Mmio<0x1000, Pair, Stride<8>>, Port<0x40, Pair, Stride<2>, Named<"p">>> board;
  for (std::uint64_t at = 0; at < 16; ++at)
    EXPECT_EQ(board.store(0x1000 + at, std::uint8_t{1}, nothing), at == 0 || at == 8) << at;
  EXPECT_EQ(board.at<0>().sum, 1001U);
  // What is between belongs to the entry, and what is behind to nobody.
  EXPECT_EQ((access<Space::mmio, out>(board, 0x1004, 1).claim.entry), 0);
  EXPECT_EQ((access<Space::mmio, out>(board, 0x1009, 1).claim.entry), -1);
  EXPECT_TRUE(board.out(0x42, std::uint8_t{7}, nothing));
  EXPECT_FALSE(board.out(0x41, std::uint8_t{7}, nothing));
  EXPECT_EQ(board.get<"p">().sum, 7000U);
}

// --- Raw bytes

struct Block {
  void read(std::uint64_t offset, gsl::span<std::byte> bytes) {
    for (std::byte& byte : bytes) byte = memory.at(offset++);
  }

  void write(std::uint64_t offset, gsl::span<std::byte const> bytes) {
    for (std::byte const byte : bytes) memory.at(offset++) = byte;
  }

  std::array<std::byte, 16> memory{};
};

TEST(Bus, RawBytesTakeEveryLength) {
  DeviceMap<Mmio<0x1000, Block, Size<16>>> board;
  std::array<std::byte, 8> data{};
  for (std::size_t at = 0; at < 8; ++at) data[at] = static_cast<std::byte>(at + 1);
  for (std::uint32_t width = 1; width <= 8; ++width) {
    board.at<0>().memory.fill(std::byte{0});
    EXPECT_TRUE((access<Space::mmio, out>(board, 0x1003, width, data).claim.taken())) << width;
    for (std::size_t at = 0; at < 16; ++at)
      EXPECT_EQ(board.at<0>().memory[at], at >= 3 && at < 3 + width ? data[at - 3] : std::byte{0});
    Result const read = access<Space::mmio, in>(board, 0x1003, width);
    EXPECT_TRUE(read.claim.taken());
    for (std::size_t at = 0; at < 8; ++at)
      EXPECT_EQ(read.data[at], at < width ? data[at] : std::byte{0});
  }
}

TEST(Bus, RawBytesNeverSeeAnAccessThatReachesPastThem) {
  DeviceMap<Mmio<0x1000, Block, Size<16>>, Port<0x80, Block, Size<4>, Named<"port">>> board;
  EXPECT_TRUE((access<Space::mmio, in>(board, 0x1008, 8).claim.taken()));
  for (std::uint32_t width = 2; width <= 8; ++width) {
    Result const read = access<Space::mmio, in>(board, 0x1010 - width + 1, width);
    EXPECT_FALSE(read.claim.taken()) << width;
    EXPECT_EQ(read.claim.entry, 0) << width;
    EXPECT_TRUE(is_ones(read, width)) << width;
  }
  EXPECT_TRUE(board.out(0x82, std::uint16_t{1}, nothing));
  EXPECT_FALSE(board.out(0x83, std::uint16_t{1}, nothing));
}

struct Mixed : Block {
  std::uint32_t status() { return 0xCAFE; }

  void control(std::uint32_t value) { controlled = value; }

  using registers = Registers<Bytes<0x20, 16, &Block::read, &Block::write>,
                              ReadOnly<0, &Mixed::status>, WriteOnly<0x24, &Mixed::control>>;
  std::uint32_t controlled = 0;
};

TEST(Bus, RawBytesStandAmongRegisters) {
  DeviceMap<Mmio<0x1000, Mixed>> board;
  EXPECT_EQ(board.ranges[0].size, 0x30U);
  EXPECT_EQ(board.load<std::uint32_t>(0x1000, nothing), 0xCAFEU);
  EXPECT_TRUE(board.store(0x1020, std::uint8_t{0x11}, nothing));
  EXPECT_TRUE(board.store(0x102F, std::uint8_t{0x22}, nothing));
  EXPECT_FALSE(board.store(0x101F, std::uint8_t{1}, nothing));
  EXPECT_FALSE(board.store(0x1030, std::uint8_t{1}, nothing));
  EXPECT_FALSE((access<Space::mmio, out>(board, 0x102E, 4).claim.taken()));
  EXPECT_FALSE((access<Space::mmio, out>(board, 0x101E, 4).claim.taken()));
  EXPECT_EQ(board.at<0>().memory.front(), std::byte{0x11});
  EXPECT_EQ(board.at<0>().memory.back(), std::byte{0x22});
  // A register inside the block takes its own offset, width and direction; the block the rest.
  EXPECT_TRUE(board.store(0x1024, std::uint32_t{9}, nothing));
  EXPECT_EQ(board.at<0>().controlled, 9U);
  EXPECT_EQ(board.load<std::uint32_t>(0x1024, nothing), 0U);
  EXPECT_TRUE(board.store(0x1024, std::uint16_t{0x3333}, nothing));
  EXPECT_EQ(board.at<0>().memory[4], std::byte{0x33});
}

// --- Several ranges

struct Pic {
  void first(std::uint8_t value) { calls.push_back("first " + std::to_string(value)); }

  void second(std::uint8_t value) { calls.push_back("second " + std::to_string(value)); }

  using banks = Banks<Registers<WriteOnly<0, &Pic::first>>, Registers<WriteOnly<0, &Pic::second>>>;
  Calls calls{};
};

TEST(Bus, OneInstanceOnSeveralRanges) {
  DeviceMap<Port<0x30, Neighbour>, On<Pic, Ranges<Ports<0x20, 2>, Ports<0xA0, 2>>>,
            On<Block, Ranges<Ports<0x50, 4>, Addresses<0x1000, 8>>>>
      board;
  EXPECT_TRUE(board.out(0x20, std::uint8_t{1}, nothing));
  EXPECT_TRUE(board.out(0xA0, std::uint8_t{2}, nothing));
  EXPECT_FALSE(board.out(0x21, std::uint8_t{3}, nothing));
  EXPECT_EQ(board.get<Pic>().calls, (Calls{"first 1", "second 2"}));

  Claim const second = access<Space::port, out>(board, 0xA0, 1).claim;
  EXPECT_EQ(second.entry, 1);
  EXPECT_EQ(second.range, 1);
  EXPECT_EQ(second.row, 0);

  // One table for all ranges, in both spaces.
  EXPECT_TRUE(board.out(0x51, std::uint8_t{0xAB}, nothing));
  EXPECT_EQ(board.load<std::uint8_t>(0x1001, nothing), 0xAB);
  EXPECT_TRUE(board.store(0x1007, std::uint8_t{0xCD}, nothing));
  EXPECT_FALSE((access<Space::mmio, out>(board, 0x1007, 2).claim.taken()));
  EXPECT_EQ(board.get<Block>().memory[7], std::byte{0xCD});
}

TEST(Bus, AnEmptyMapClaimsNothing) {
  DeviceMap<> board;
  EXPECT_EQ(board.in<std::uint16_t>(0x20, nothing), 0xFFFF);
  EXPECT_FALSE(board.store(0x20, std::uint16_t{1}, nothing));
}

// --- Claims

TEST(Bus, AClaimTellsEntryRangeAndRow) {
  Board board;
  Claim const second = access<Space::port, out>(board, 0x100, 2).claim;
  EXPECT_EQ(second.entry, 0);
  EXPECT_EQ(second.range, 0);
  EXPECT_EQ(second.row, 1);
  EXPECT_TRUE(second.taken());
  EXPECT_FALSE(second.may_stop);

  Claim const last = access<Space::mmio, in>(board, 0x9008, 4).claim;
  EXPECT_EQ(last.entry, 3);
  EXPECT_EQ(last.row, 1);

  Claim const missed = access<Space::mmio, in>(board, 0x9008, 2).claim;
  EXPECT_EQ(missed.entry, 3);
  EXPECT_EQ(missed.range, 0);
  EXPECT_EQ(missed.row, -1);

  auto const registers = Board::registers_at(3);
  ASSERT_EQ(registers.size(), 2U);
  EXPECT_EQ(registers[1].name, "write32");
  EXPECT_TRUE(Board::registers_at(4).empty());
}

}  // namespace
}  // namespace portico
