// The IOAPIC after its data sheet (Intel 290566-001) and the ICH's EOI register.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/devices/ioapic.hpp>

namespace portico {
namespace {

constexpr std::uint32_t masked = 1U << 16;
constexpr std::uint32_t level = 1U << 15;
constexpr std::uint32_t remote_irr = 1U << 14;
constexpr std::uint32_t logical = 1U << 11;

using Board = DeviceMap<Mmio<0xFEC0'0000, IoApic>>;

struct TheIoApic : testing::Test {
  Board board{};
  Context<> context{};
  IoApic& ioapic = board.get<IoApic>();

  void write(std::uint32_t index, std::uint32_t value) {
    ASSERT_TRUE(board.store(0xFEC0'0000, index, context));
    ASSERT_TRUE(board.store(0xFEC0'0010, value, context));
  }

  std::uint32_t read(std::uint32_t index) {
    EXPECT_TRUE(board.store(0xFEC0'0000, index, context));
    return board.load<std::uint32_t>(0xFEC0'0010, context);
  }

  void redirect(unsigned line, std::uint32_t low, std::uint32_t destination = 0) {
    write(0x11 + 2 * line, destination << 24);
    write(0x10 + 2 * line, low);
  }

  std::uint32_t low(unsigned line) { return read(0x10 + 2 * line); }

  /// The data of all messages that are to be sent.
  std::vector<std::uint32_t> sent() {
    std::vector<std::uint32_t> data;
    while (auto const message = ioapic.next_message()) data.push_back(message->data);
    return data;
  }

  using Sent = std::vector<std::uint32_t>;
};

// --- Registers (section 3)

TEST_F(TheIoApic, RegistersAfterReset) {
  EXPECT_EQ(board.load<std::uint32_t>(0xFEC0'0000, context), 0U);
  EXPECT_EQ(read(0x00), 0U);
  EXPECT_EQ(read(0x01), 0x0017'0020U);  // 24 lines, version 0x20
  EXPECT_EQ(read(0x02), 0U);
  for (unsigned line = 0; line < 24; ++line) {
    EXPECT_EQ(low(line), masked) << line;
    EXPECT_EQ(read(0x11 + 2 * line), 0U) << line;
  }
}

TEST_F(TheIoApic, TheIdHasFourBitsAndIsTheArbitrationId) {
  write(0x00, 0xFFFF'FFFF);
  EXPECT_EQ(read(0x00), 0x0F00'0000U);
  EXPECT_EQ(read(0x02), 0x0F00'0000U);
  write(0x00, 0x0500'0000);
  EXPECT_EQ(read(0x02), 0x0500'0000U);
}

TEST_F(TheIoApic, VersionAndArbitrationAreReadOnly) {
  write(0x01, 0xFFFF'FFFF);
  write(0x02, 0xFFFF'FFFF);
  EXPECT_EQ(read(0x01), 0x0017'0020U);
  EXPECT_EQ(read(0x02), 0U);
}

TEST_F(TheIoApic, TheSelectorHasEightBits) {
  EXPECT_TRUE(board.store(0xFEC0'0000, std::uint32_t{0xABCD'EF01}, context));
  EXPECT_EQ(board.load<std::uint32_t>(0xFEC0'0000, context), 0x01U);
  EXPECT_EQ(board.load<std::uint32_t>(0xFEC0'0010, context), 0x0017'0020U);
  EXPECT_TRUE(board.store(0xFEC0'0000, std::uint8_t{0x02}, context));  // a byte does as well
  EXPECT_EQ(board.load<std::uint8_t>(0xFEC0'0000, context), 0x02U);
  EXPECT_EQ(board.load<std::uint32_t>(0xFEC0'0010, context), 0U);
}

TEST_F(TheIoApic, OtherRegistersReadZeroAndDropWrites) {
  IoApic::State const before = ioapic.save();
  for (std::uint32_t index = 0; index < 256; ++index) {
    if (index <= 2 || (index >= 0x10 && index < 0x40)) continue;
    write(index, 0xFFFF'FFFF);
    EXPECT_EQ(read(index), 0U) << index;
  }
  IoApic::State after = ioapic.save();
  after.selected = before.selected;
  EXPECT_EQ(after, before);
}

TEST_F(TheIoApic, EntriesKeepWhatCanBeWritten) {
  for (unsigned line = 0; line < 24; ++line) {
    write(0x10 + 2 * line, 0xFFFF'FFFF);
    write(0x11 + 2 * line, 0xFFFF'FFFF);
    EXPECT_EQ(low(line), 0x0001'AFFFU) << line;  // not Delivery Status, not Remote IRR
    EXPECT_EQ(read(0x11 + 2 * line), 0xFF00'0000U) << line;
    write(0x10 + 2 * line, 0);
    EXPECT_EQ(low(line), 0U);
    EXPECT_EQ(read(0x11 + 2 * line), 0xFF00'0000U);  // the halves do not touch each other
  }
}

// --- Edges

TEST_F(TheIoApic, AnEdgeIsOneMessage) {
  redirect(4, 0x31);
  ioapic.set_input(4, true);
  EXPECT_EQ(ioapic.next_message(), (MsiMessage{0xFEE0'0000, 0x31}));
  EXPECT_EQ(ioapic.next_message(), std::nullopt);
  ioapic.set_input(4, true);
  EXPECT_EQ(sent(), Sent{});
  ioapic.set_input(4, false);
  EXPECT_EQ(sent(), Sent{});
  ioapic.set_input(4, true);
  ioapic.set_input(4, false);  // a pulse is an edge, too
  EXPECT_EQ(sent(), Sent{0x31});
  EXPECT_EQ(low(4), 0x31U);  // no Remote IRR
}

TEST_F(TheIoApic, EdgesWhileMaskedAreLost) {
  redirect(4, masked | 0x31);
  ioapic.set_input(4, true);
  EXPECT_EQ(sent(), Sent{});
  redirect(4, 0x31);
  EXPECT_EQ(sent(), Sent{});
  ioapic.set_input(4, false);
  ioapic.set_input(4, true);
  EXPECT_EQ(sent(), Sent{0x31});
}

TEST_F(TheIoApic, AMaskWithdrawsWhatWasNotSent) {
  redirect(4, 0x31);
  ioapic.set_input(4, true);
  redirect(4, masked | 0x31);
  redirect(4, 0x31);
  EXPECT_EQ(sent(), Sent{});
}

// --- Levels

TEST_F(TheIoApic, ALevelIsSentOnceUntilItsEnd) {
  redirect(9, level | 0x42);
  ioapic.set_input(9, true);
  EXPECT_EQ(sent(), Sent{0xC042});
  EXPECT_EQ(low(9), level | remote_irr | 0x42);
  ioapic.set_input(9, false);
  ioapic.set_input(9, true);
  EXPECT_EQ(sent(), Sent{});
  ioapic.end_of_interrupt(0x43);  // another's
  EXPECT_EQ(sent(), Sent{});
  ioapic.end_of_interrupt(0x42);
  EXPECT_EQ(sent(), Sent{0xC042});  // still asserted
  ioapic.set_input(9, false);
  ioapic.end_of_interrupt(0x42);
  EXPECT_EQ(sent(), Sent{});
  EXPECT_EQ(low(9), level | 0x42);
}

TEST_F(TheIoApic, ALevelWaitsBehindItsMask) {
  redirect(9, masked | level | 0x42);
  ioapic.set_input(9, true);
  EXPECT_EQ(sent(), Sent{});
  redirect(9, level | 0x42);
  EXPECT_EQ(sent(), Sent{0xC042});
  redirect(9, masked | level | 0x42);
  EXPECT_EQ(low(9), masked | level | remote_irr | 0x42);  // the mask does not end it
  ioapic.end_of_interrupt(0x42);
  EXPECT_EQ(sent(), Sent{});
  redirect(9, level | 0x42);
  EXPECT_EQ(sent(), Sent{0xC042});
}

TEST_F(TheIoApic, ALevelThatFellBeforeItWasSentIsNot) {
  redirect(9, level | 0x42);
  ioapic.set_input(9, true);
  ioapic.set_input(9, false);
  EXPECT_EQ(sent(), Sent{});
}

TEST_F(TheIoApic, AnEndIsForAllLinesOfTheVector) {
  redirect(9, level | 0x42);
  redirect(10, level | 0x42);
  redirect(11, level | 0x43);
  for (unsigned const line : {9U, 10U, 11U}) ioapic.set_input(line, true);
  EXPECT_EQ(sent(), (Sent{0xC042, 0xC042, 0xC043}));
  EXPECT_TRUE(board.store(0xFEC0'0040, std::uint32_t{0xFFFF'FF42}, context));  // the EOI register
  EXPECT_EQ(low(9) & remote_irr, 0U);
  EXPECT_EQ(low(10) & remote_irr, 0U);
  EXPECT_EQ(low(11) & remote_irr, remote_irr);
  EXPECT_EQ(sent(), (Sent{0xC042, 0xC042}));
}

TEST_F(TheIoApic, TurningToEdgeAndBackClearsRemoteIrr) {
  redirect(9, level | 0x42);
  ioapic.set_input(9, true);
  EXPECT_EQ(sent(), Sent{0xC042});
  redirect(9, masked | 0x42);
  redirect(9, masked | level | 0x42);
  EXPECT_EQ(low(9), masked | level | 0x42);
  redirect(9, level | 0x42);
  EXPECT_EQ(sent(), Sent{0xC042});
}

TEST_F(TheIoApic, RemoteIrrCannotBeWritten) {
  redirect(9, level | remote_irr | 0x42);
  EXPECT_EQ(low(9), level | 0x42);
  ioapic.set_input(9, true);
  EXPECT_EQ(sent(), Sent{0xC042});
  write(0x10 + 2 * 9, level | 0x42);
  EXPECT_EQ(low(9), level | remote_irr | 0x42);
}

// --- Messages

TEST_F(TheIoApic, MessagesCarryDestinationAndMode) {
  redirect(0, logical | 0x131, 0xA5);  // lowest priority
  ioapic.set_input(0, true);
  EXPECT_EQ(ioapic.next_message(), (MsiMessage{0xFEEA'5004, 0x131}));
  redirect(1, 0x431, 0x03);  // NMI
  ioapic.set_input(1, true);
  EXPECT_EQ(ioapic.next_message(), (MsiMessage{0xFEE0'3000, 0x431}));
}

TEST_F(TheIoApic, OnlyFixedAndLowestPriorityAreLevels) {
  for (std::uint32_t const mode : {2U, 4U, 5U, 7U}) {
    redirect(3, masked);
    ioapic.set_input(3, false);
    redirect(3, level | mode << 8 | 0x20);
    ioapic.set_input(3, true);
    EXPECT_EQ(sent(), Sent{mode << 8 | 0x20}) << mode;
    EXPECT_EQ(low(3) & remote_irr, 0U) << mode;
    EXPECT_EQ(ioapic.level_message(3), std::nullopt);
  }
}

TEST_F(TheIoApic, ReservedModesSendNothing) {
  for (std::uint32_t const mode : {3U, 6U}) {
    redirect(3, mode << 8 | 0x20);
    ioapic.set_input(3, true);
    ioapic.set_input(3, false);
    EXPECT_EQ(sent(), Sent{}) << mode;
  }
}

TEST_F(TheIoApic, LinesDoNotDisturbEachOther) {
  for (unsigned line = 0; line < 24; ++line) redirect(line, 0x40 + line);
  for (unsigned line = 24; line-- > 0;) ioapic.set_input(line, true);
  Sent all;
  for (unsigned line = 0; line < 24; ++line) all.push_back(0x40 + line);
  EXPECT_EQ(sent(), all);
  ioapic.set_input(24, true);  // there is none
  ioapic.set_input(~0U, true);
  EXPECT_EQ(sent(), Sent{});
}

// --- What local APICs are told

TEST_F(TheIoApic, LevelMessagesThatChangeAreTold) {
  EXPECT_EQ(ioapic.take_changed_levels(), 0U);
  redirect(4, 0x31);
  EXPECT_EQ(ioapic.take_changed_levels(), 0U);  // an edge's end is nobody's affair
  redirect(9, masked | level | 0x42, 1);
  EXPECT_EQ(ioapic.take_changed_levels(), 1U << 9);
  EXPECT_EQ(ioapic.take_changed_levels(), 0U);
  EXPECT_EQ(ioapic.level_message(9), (MsiMessage{0xFEE0'1000, 0xC042}));
  redirect(9, level | 0x42, 1);
  EXPECT_EQ(ioapic.take_changed_levels(), 0U);  // the mask alone: the same message
  redirect(9, level | 0x42, 2);
  EXPECT_EQ(ioapic.take_changed_levels(), 1U << 9);
  redirect(9, 0x42, 2);
  EXPECT_EQ(ioapic.take_changed_levels(), 1U << 9);
  EXPECT_EQ(ioapic.level_message(9), std::nullopt);
}

// --- State

TEST_F(TheIoApic, StateIsSavedAndLoaded) {
  redirect(4, 0x31, 7);
  redirect(9, level | 0x42);
  ioapic.set_input(9, true);
  EXPECT_EQ(sent(), Sent{0xC042});
  ioapic.set_input(4, true);
  IoApic other;
  other.load(ioapic.save());
  EXPECT_EQ(other.save(), ioapic.save());
  EXPECT_EQ(other.take_changed_levels(), 0xFF'FFFFU);  // all are new to the local APICs
  EXPECT_EQ(other.next_message(), (MsiMessage{0xFEE0'7000, 0x31}));
  EXPECT_EQ(other.next_message(), std::nullopt);
  other.end_of_interrupt(0x42);
  EXPECT_EQ(other.next_message(), (MsiMessage{0xFEE0'0000, 0xC042}));
}

// --- A hostile guest

TEST_F(TheIoApic, AnyAccessesLeaveItsRulesInPlace) {
  std::mt19937 engine{1};
  auto const random = [&] { return static_cast<std::uint32_t>(engine()); };
  for (int step = 0; step < 20'000; ++step) {
    std::uint32_t const value = random();
    switch (random() % 5) {
      case 0:
        write(random() % 0x48, value);
        break;
      case 1:
        ioapic.set_input(random() % 32, random() % 2 == 0);
        break;
      case 2:
        board.store(0xFEC0'0040, value, context);
        break;
      case 3:
        ioapic.end_of_interrupt(static_cast<std::uint8_t>(value));
        break;
      default:
        ASSERT_LE(sent().size(), 24U);
    }
    for (std::uint64_t const entry : ioapic.save().redirection)
      ASSERT_EQ(entry & 0x00FF'FFFF'FFFE'1000, 0U) << "a reserved bit is set";
  }
}

TEST_F(TheIoApic, ThreadsRaiseWhileOthersTake) {
  for (unsigned line = 0; line < 4; ++line) redirect(line, 0x40 + line);
  std::atomic<bool> done = false;
  std::atomic<int> taken = 0;
  constexpr int rounds = 2000;
  std::thread taking{[&] {
    while (!done || ioapic.next_message())
      while (ioapic.next_message()) ++taken;
  }};
  std::vector<std::thread> raising;
  for (unsigned line = 0; line < 4; ++line)
    raising.emplace_back([&, line] {
      for (int round = 0; round < rounds; ++round) {
        ioapic.set_input(line, true);
        ioapic.set_input(line, false);
      }
    });
  for (std::thread& thread : raising) thread.join();
  done = true;
  taking.join();
  EXPECT_GE(taken.load(), 1);
  EXPECT_LE(taken.load(), 4 * rounds);
  EXPECT_EQ(ioapic.next_message(), std::nullopt);
}

}  // namespace
}  // namespace portico
