#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/file_device.hpp>
#include <portico/devices/guest_files.hpp>
#include <portico/memory/guest_memory.hpp>

#include "temporary_folder.hpp"

namespace {

/// Files that are texts, and a record of what was asked for.
struct FakeFiles {
  struct State {
    std::uint64_t calls = 0;

    friend bool operator==(State const&, State const&) = default;
  };

  std::int32_t open_to_read(std::string_view name) {
    asked.push_back("read " + std::string{name});
    return answer;
  }

  std::int32_t open_to_write(std::string_view name) {
    asked.push_back("write " + std::string{name});
    return answer;
  }

  bool close(std::int32_t descriptor) {
    asked.push_back("close " + std::to_string(descriptor));
    return answer >= 0;
  }

  std::int64_t read(std::int32_t descriptor, gsl::span<std::byte> buffer) {
    asked.push_back("get " + std::to_string(buffer.size()) + " from " + std::to_string(descriptor));
    if (answer < 0) return -1;
    std::size_t const count = std::min(buffer.size(), text.size());
    std::memcpy(buffer.data(), text.data(), count);
    text.erase(0, count);
    return static_cast<std::int64_t>(count);
  }

  std::int64_t write(std::int32_t descriptor, gsl::span<std::byte const> bytes) {
    asked.push_back("put " + std::to_string(bytes.size()) + " to " + std::to_string(descriptor));
    if (answer < 0) return -1;
    text.append(reinterpret_cast<char const*>(bytes.data()), bytes.size());
    return static_cast<std::int64_t>(bytes.size());
  }

  [[nodiscard]] State save() const { return {asked.size()}; }

  void load(State const& state) { asked.assign(static_cast<std::size_t>(state.calls), "saved"); }

  std::int32_t answer = 0;
  std::string text{};
  std::vector<std::string> asked{};
};

using Device = portico::FileDevice<FakeFiles>;
using Board = portico::DeviceMap<portico::Port<0x278, Device>>;
using Bytes = std::vector<std::uint8_t>;

class FileDeviceTest : public testing::Test {
 protected:
  void out(Bytes const& bytes) {
    for (std::uint8_t byte : bytes) board.out(0x278, byte, context);
  }

  void out(std::uint8_t operation, std::string_view name) {
    board.out(0x278, operation, context);
    for (char letter : name) board.out(0x278, static_cast<std::uint8_t>(letter), context);
    board.out(0x278, std::uint8_t{0}, context);
  }

  Bytes in(std::size_t count) {
    Bytes bytes;
    while (bytes.size() < count) bytes.push_back(board.in<std::uint8_t>(0x278, context));
    return bytes;
  }

  FakeFiles& files() { return board.get<Device>().files(); }

  [[nodiscard]] std::vector<std::string> const& asked() { return files().asked; }

  /// A block request at `where`; its result.
  std::int64_t request(portico::FileRequest request, std::uint32_t where = 0x1000) {
    EXPECT_TRUE(ram.write(where, request));
    EXPECT_TRUE(board.out(0x278, where, context));
    return ram.read<portico::FileRequest>(where)->result;
  }

  portico::GuestMemory ram{2 * portico::MiB};
  portico::RunControl control;
  portico::Context<portico::GuestMemory, portico::RunControl> context{ram, control};
  Board board{Device{FakeFiles{}}};
};

using Asked = std::vector<std::string>;

TEST_F(FileDeviceTest, OpenForReadingAnswersWithADescriptorMostSignificantByteFirst) {
  files().answer = 0x01020304;
  out(1, "a.txt");
  EXPECT_EQ(asked(), Asked{"read a.txt"});
  EXPECT_EQ(in(5), (Bytes{1, 2, 3, 4, 0xFF}));
}

TEST_F(FileDeviceTest, OpenForWritingAnswersTheSameWay) {
  files().answer = 7;
  out(2, "b");
  EXPECT_EQ(asked(), Asked{"write b"});
  EXPECT_EQ(in(5), (Bytes{0, 0, 0, 7, 0xFF}));
}

TEST_F(FileDeviceTest, AFailedOpenIsMinusOne) {
  files().answer = -1;
  out(1, "a");
  EXPECT_EQ(in(4), (Bytes{0xFF, 0xFF, 0xFF, 0xFF}));
  out(2, "a");
  EXPECT_EQ(in(4), (Bytes{0xFF, 0xFF, 0xFF, 0xFF}));
  EXPECT_EQ(asked(), (Asked{"read a", "write a"}));
}

TEST_F(FileDeviceTest, CloseTakesTheDescriptorMostSignificantByteFirst) {
  out({3, 0x01, 0x02, 0x03, 0x04});
  EXPECT_EQ(asked(), Asked{"close " + std::to_string(0x01020304)});
  EXPECT_EQ(in(2), (Bytes{0, 0xFF}));
  files().answer = -1;
  out({3, 0xFF, 0xFF, 0xFF, 0xFE});
  EXPECT_EQ(asked().back(), "close -2");
  EXPECT_EQ(in(1), Bytes{0xFF});
}

TEST_F(FileDeviceTest, ReadGivesOneByteAnd0xFFAtTheEndAndOnError) {
  files().text = "A";
  out({4, 0, 0, 0, 5});
  EXPECT_EQ(in(2), (Bytes{'A', 0xFF}));
  out({4, 0, 0, 0, 5});
  EXPECT_EQ(in(1), Bytes{0xFF});
  files().answer = -1;
  out({4, 0, 0, 0, 5});
  EXPECT_EQ(in(1), Bytes{0xFF});
  EXPECT_EQ(asked(), (Asked{"get 1 from 5", "get 1 from 5", "get 1 from 5"}));
}

TEST_F(FileDeviceTest, WriteEchoesTheByteAnd0xFFOnError) {
  out({5, 0, 0, 0, 9, 'x'});
  EXPECT_EQ(in(2), (Bytes{'x', 0xFF}));
  EXPECT_EQ(files().text, "x");
  files().answer = -1;
  out({5, 0, 0, 0, 9, 'y'});
  EXPECT_EQ(in(1), Bytes{0xFF});
  EXPECT_EQ(files().text, "x");
}

TEST_F(FileDeviceTest, ARequestIsCarriedOutEvenIfItsReplyIsNeverFetched) {
  out({5, 0, 0, 0, 9, 'x'});
  out({5, 0, 0, 0, 9, 'y'});
  out({3, 0, 0, 0, 9});
  EXPECT_EQ(files().text, "xy");
  EXPECT_EQ(asked().back(), "close 9");
}

TEST_F(FileDeviceTest, AnIdleInGives0xFF) {
  EXPECT_EQ(in(3), (Bytes{0xFF, 0xFF, 0xFF}));
  EXPECT_EQ(asked(), Asked{});
}

TEST_F(FileDeviceTest, AnUnknownRequestIsAnsweredWith0xFFForAsLongAsTheGuestAsks) {
  for (std::uint8_t operation : Bytes{0, 6, 7, 0x80, 0xFF}) {
    out({operation});
    EXPECT_EQ(in(6), Bytes(6, 0xFF)) << int{operation};
  }
  EXPECT_EQ(asked(), Asked{});
  out(1, "after");
  EXPECT_EQ(in(4), (Bytes{0, 0, 0, 0}));
}

TEST_F(FileDeviceTest, AnEmptyNameIsAnError) {
  out(1, "");
  EXPECT_EQ(in(6), Bytes(6, 0xFF));
  out(2, "");
  EXPECT_EQ(in(6), Bytes(6, 0xFF));
  EXPECT_EQ(asked(), Asked{});
}

TEST_F(FileDeviceTest, ANameHasThreeHundredBytesAtMost) {
  std::string const longest(300, 'n');
  out(1, longest);
  EXPECT_EQ(asked(), Asked{"read " + longest});
  EXPECT_EQ(in(4), (Bytes{0, 0, 0, 0}));
}

TEST_F(FileDeviceTest, ALongerNameIsSwallowedUpToItsZeroAndAnError) {
  for (std::size_t length : {301U, 302U, 5000U}) {
    out(2, std::string(length, '\x01'));
    EXPECT_EQ(in(6), Bytes(6, 0xFF)) << length;
  }
  EXPECT_EQ(asked(), Asked{});
  out(2, "short");
  EXPECT_EQ(asked(), Asked{"write short"});
}

TEST_F(FileDeviceTest, AnInBeforeARequestIsCompleteDropsIt) {
  for (Bytes const& part : {Bytes{1}, Bytes{1, 'a'}, Bytes{2, 'a', 'b'}, Bytes{3},
                            Bytes{3, 0, 0, 0}, Bytes{4, 1}, Bytes{5, 0, 0, 0, 9}}) {
    out(part);
    EXPECT_EQ(in(1), Bytes{0xFF});
    // What would have completed it begins a request of its own instead.
    out({0});
    EXPECT_EQ(in(2), (Bytes{0xFF, 0xFF}));
  }
  out(Bytes(303, 1));
  EXPECT_EQ(in(1), Bytes{0xFF});
  EXPECT_EQ(asked(), Asked{});
  out(1, "next");
  EXPECT_EQ(asked(), Asked{"read next"});
}

TEST_F(FileDeviceTest, AnOutWhileAReplyIsPendingDropsTheReplyAndBeginsARequest) {
  files().answer = 0x01020304;
  out(1, "a");
  EXPECT_EQ(in(2), (Bytes{1, 2}));
  out(1, "b");
  EXPECT_EQ(in(5), (Bytes{1, 2, 3, 4, 0xFF}));
  out({3, 0, 0, 0, 1});
  out(2, "c");
  EXPECT_EQ(in(4), (Bytes{1, 2, 3, 4}));
  EXPECT_EQ(asked(), (Asked{"read a", "read b", "close 1", "write c"}));
}

TEST_F(FileDeviceTest, NamesMayHoldAnyByteButZero) {
  out(1, "\x01\x02\x05\xFF");
  EXPECT_EQ(asked(), Asked{"read \x01\x02\x05\xFF"});
}

TEST_F(FileDeviceTest, ABlockOpens) {
  ASSERT_TRUE(ram.copy_out(0x2000, gsl::as_bytes(gsl::span{std::string_view{"name!"}})));
  files().answer = 12;
  EXPECT_EQ(request({1, 0, 0x2000, 4, 0}), 12);
  EXPECT_EQ(request({2, 0, 0x2000, 5, 0}), 12);
  files().answer = -1;
  EXPECT_EQ(request({2, 0, 0x2000, 5, 0}), -1);
  EXPECT_EQ(asked(), (Asked{"read name", "write name!", "write name!"}));
}

TEST_F(FileDeviceTest, ABlockNameIsCheckedLikeAnyOther) {
  ASSERT_TRUE(ram.copy_out(0x2000, gsl::as_bytes(gsl::span{std::string(301, 'n')})));
  EXPECT_EQ(request({1, 0, 0x2000, 0, 0}), -1);
  EXPECT_EQ(request({1, 0, 0x2000, 301, 0}), -1);
  EXPECT_EQ(request({1, 0, 0x2000, ~std::uint64_t{0}, 0}), -1);
  EXPECT_EQ(request({1, 0, 2 * portico::MiB - 2, 3, 0}), -1);
  EXPECT_EQ(request({1, 0, ~std::uint64_t{0}, 3, 0}), -1);
  EXPECT_EQ(asked(), Asked{});
  EXPECT_EQ(request({1, 0, 0x2000, 300, 0}), 0);
  EXPECT_EQ(request({1, 0, 2 * portico::MiB - 3, 3, 0}), 0);
}

TEST_F(FileDeviceTest, ABlockClosesReadsAndWrites) {
  ASSERT_TRUE(ram.copy_out(0x2000, gsl::as_bytes(gsl::span{std::string_view{"hello"}})));
  EXPECT_EQ(request({5, 8, 0x2000, 5, 0}), 5);
  EXPECT_EQ(files().text, "hello");
  EXPECT_EQ(request({4, 8, 0x3000, 100, 7}), 5);
  EXPECT_EQ(ram.read<std::uint32_t>(0x3000), 0x6C6C'6568U);
  EXPECT_EQ(request({4, 8, 0x3000, 100, 7}), 0);
  EXPECT_EQ(request({3, 8, 0, 0, 7}), 0);
  files().answer = -1;
  EXPECT_EQ(request({4, 8, 0x3000, 100, 7}), -1);
  EXPECT_EQ(request({5, 8, 0x3000, 100, 7}), -1);
  EXPECT_EQ(request({3, -5, 0, 0, 7}), -1);
  EXPECT_EQ(asked(), (Asked{"put 5 to 8", "get 100 from 8", "get 100 from 8", "close 8",
                            "get 100 from 8", "put 100 to 8", "close -5"}));
}

TEST_F(FileDeviceTest, ABlocksBufferMustLieInRam) {
  auto const size = 2 * portico::MiB;
  for (std::uint32_t operation : {4U, 5U}) {
    EXPECT_EQ(request({operation, 8, size, 1, 0}), -1);
    EXPECT_EQ(request({operation, 8, size - 1, 2, 0}), -1);
    EXPECT_EQ(request({operation, 8, 0x3000, ~std::uint64_t{0}, 0}), -1);
    EXPECT_EQ(request({operation, 8, ~std::uint64_t{0}, 2, 0}), -1);
    EXPECT_EQ(request({operation, 8, 1, ~std::uint64_t{0}, 0}), -1);
  }
  EXPECT_EQ(asked(), Asked{});
  EXPECT_EQ(request({5, 8, size - 1, 1, 0}), 1);
  EXPECT_EQ(request({5, 8, 0, size, 0}), static_cast<std::int64_t>(size));
}

TEST_F(FileDeviceTest, ABlockOfNothingNeedsNoAddress) {
  EXPECT_EQ(request({4, 8, ~std::uint64_t{0}, 0, 9}), 0);
  EXPECT_EQ(request({5, 8, ~std::uint64_t{0}, 0, 9}), 0);
}

TEST_F(FileDeviceTest, AnUnknownBlockOperationIsMinusOne) {
  for (std::uint32_t operation : {0U, 6U, 0x101U, 0x0100'0001U, 0xFFFF'FFFFU})
    EXPECT_EQ(request({operation, 8, 0x3000, 1, 0}), -1) << operation;
  EXPECT_EQ(asked(), Asked{});
}

TEST_F(FileDeviceTest, AStructureOutsideRamIsDroppedAndCounted) {
  for (std::uint32_t address : {0x20'0000U, 0x1F'FFE1U, 0xFFFF'FFFFU, 0xFFFF'FFE0U})
    EXPECT_TRUE(board.out(0x278, address, context));
  EXPECT_EQ(board.get<Device>().dropped_requests(), 4U);
  EXPECT_EQ(asked(), Asked{});
  EXPECT_EQ(request({3, 8, 0, 0, 7}, 0x1F'FFE0), 0);
  EXPECT_EQ(request({3, 8, 0, 0, 7}, 0x1003), 0);
  EXPECT_EQ(board.get<Device>().dropped_requests(), 4U);
}

TEST_F(FileDeviceTest, TheStructureIsCopiedBeforeItIsOverwrittenByItsOwnBuffer) {
  files().text = std::string(64, '\x11');
  portico::FileRequest const overlapping{4, 8, 0x1000, 64, 0};
  EXPECT_EQ(request(overlapping, 0x1000), 64);
  EXPECT_EQ(ram.read<std::uint32_t>(0x1000), 0x1111'1111U);
}

TEST_F(FileDeviceTest, ABlockNeitherSeesNorDisturbsAByteRequest) {
  out({1, 'a'});
  EXPECT_EQ(request({3, 8, 0, 0, 7}), 0);
  out({'b', 0});
  EXPECT_EQ(asked(), (Asked{"close 8", "read ab"}));
  files().answer = 5;
  EXPECT_EQ(request({3, 9, 0, 0, 7}), 0);
  EXPECT_EQ(in(4), (Bytes{0, 0, 0, 0}));
}

TEST_F(FileDeviceTest, WidthsThatNoRegisterHasAreUnclaimed) {
  out({1, 'a'});
  EXPECT_EQ(board.in<std::uint32_t>(0x278, context), 0xFFFF'FFFFU);
  EXPECT_EQ(board.in<std::uint16_t>(0x278, context), 0xFFFFU);
  EXPECT_FALSE(board.out(0x278, std::uint16_t{0x0303}, context));
  EXPECT_FALSE(board.out(0x279, std::uint8_t{3}, context));
  out({0});
  EXPECT_EQ(asked(), Asked{"read a"});
}

TEST_F(FileDeviceTest, ASavedDeviceGoesOnInTheMiddleOfARequest) {
  Bytes const whole{5, 0, 0, 1, 2, 'x'};
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    Device first{FakeFiles{}};
    for (std::size_t index = 0; index < cut; ++index) first.write_byte(whole[index]);
    Device second{FakeFiles{}};
    second.load(first.save());
    EXPECT_EQ(second.save(), first.save());
    for (std::size_t index = cut; index < whole.size(); ++index) second.write_byte(whole[index]);
    EXPECT_EQ(second.read_byte(), 'x') << cut;
    EXPECT_EQ(second.read_byte(), 0xFF) << cut;
  }
}

TEST_F(FileDeviceTest, ASavedDeviceGoesOnInTheMiddleOfANameOrAReply) {
  Device first{FakeFiles{}};
  for (char letter : {'\x01', 'a', 'b'}) first.write_byte(static_cast<std::uint8_t>(letter));
  Device second{FakeFiles{}};
  second.load(first.save());
  second.files().answer = 0x01020304;
  second.write_byte('c');
  second.write_byte(0);
  EXPECT_EQ(second.files().asked, Asked{"read abc"});
  EXPECT_EQ(second.read_byte(), 1);
  Device third{FakeFiles{}};
  third.load(second.save());
  EXPECT_EQ(third.save(), second.save());
  EXPECT_EQ(third.read_byte(), 2);
  EXPECT_EQ(third.read_byte(), 3);
  EXPECT_EQ(third.read_byte(), 4);
  EXPECT_EQ(third.read_byte(), 0xFF);
}

TEST_F(FileDeviceTest, AStateThatCannotBeLeavesTheProtocolIdle) {
  using State = Device::State;
  for (State const& state : {State{State::Phase::reply, 0, {}, 0, 0, {}, {}},
                             State{State::Phase::reply, 0, {}, 0, 5, {}, {}},
                             State{State::Phase::descriptor, 4, {}, 0, 4, {}, {}},
                             State{State::Phase::name, 1, std::string(301, 'n'), 0, 0, {}, {}},
                             State{static_cast<State::Phase>(77), 1, {}, 0, 0, {}, {}}}) {
    Device device{FakeFiles{}};
    device.load(state);
    EXPECT_EQ(device.save().phase, State::Phase::idle);
    EXPECT_EQ(device.read_byte(), 0xFF);
  }
}

TEST(FileDeviceOnTheHost, CopiesASharedFileByBytesAndByBlocks) {
  using HostDevice = portico::FileDevice<portico::GuestFiles>;
  TemporaryFolder folder;
  std::string const text(3000, 'q');
  folder.write("in.txt", text);
  portico::SharedFiles const shared{{folder.path("in.txt")}};
  HostDevice device{
      portico::GuestFiles{shared, portico::LocalDirectory{folder.descriptor(), 4, shared}}};
  portico::GuestMemory const ram{2 * portico::MiB};

  auto const open = [&](std::uint8_t operation, std::string_view name) {
    device.write_byte(operation);
    for (char letter : name) device.write_byte(static_cast<std::uint8_t>(letter));
    device.write_byte(0);
    std::array<std::uint8_t, 4> bytes{};
    for (std::uint8_t& byte : bytes) byte = device.read_byte();
    return bytes;
  };
  auto const send = [&](std::uint8_t operation, std::array<std::uint8_t, 4> descriptor) {
    device.write_byte(operation);
    for (std::uint8_t byte : descriptor) device.write_byte(byte);
  };
  auto const in = open(1, "in.txt");
  auto const out = open(2, "out.txt");
  for (std::size_t index = 0; index < 1000; ++index) {
    send(4, in);
    std::uint8_t const byte = device.read_byte();
    send(5, out);
    device.write_byte(byte);
    ASSERT_EQ(device.read_byte(), byte);
  }
  EXPECT_EQ(folder.read("out.txt.local4"), text.substr(0, 1000));

  // The descriptors are the same for blocks.
  ASSERT_TRUE(ram.write(0, portico::FileRequest{4, in[3], 0x1000, 4096, 0}));
  device.request(0, ram);
  EXPECT_EQ(ram.read<portico::FileRequest>(0)->result, 2000);
  ASSERT_TRUE(ram.write(0, portico::FileRequest{5, out[3], 0x1000, 2000, 0}));
  device.request(0, ram);
  EXPECT_EQ(ram.read<portico::FileRequest>(0)->result, 2000);
  EXPECT_EQ(folder.read("out.txt.local4"), text);
  send(3, in);
  EXPECT_EQ(device.read_byte(), 0);
  send(4, in);
  EXPECT_EQ(device.read_byte(), 0xFF);
}

}  // namespace
