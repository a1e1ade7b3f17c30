// After National Semiconductor's PC16550D (June 1995); test/differential compares with QEMU's.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/uart16550.hpp>

namespace portico {
namespace {

using Uart = Uart16550<MemoryStreams>;
using Board = DeviceMap<Port<0x3F8, Uart, Irq<4>, Named<"com1">>>;

static_assert(DeviceMap<Port<0x3F8, Uart16550<>, Irq<4>, Named<"com1">>>::ranges[0].size == 8);
static_assert(Board::safe_for_threads && Board::has_deadlines);

constexpr std::uint16_t rbr = 0x3F8, thr = 0x3F8, dll = 0x3F8, ier = 0x3F9, dlm = 0x3F9,
                        iir = 0x3FA, fcr = 0x3FA, lcr = 0x3FB, mcr = 0x3FC, lsr = 0x3FD,
                        msr = 0x3FE, scr = 0x3FF;
/// At 115,200 baud and 8N1: ten bits.
constexpr std::uint64_t character = 86'805;

class Uart16550Test : public testing::Test {
 protected:
  std::uint8_t in(std::uint16_t port) { return board.in<std::uint8_t>(port, context); }

  void out(std::uint16_t port, unsigned value) {
    ASSERT_TRUE(board.out(port, static_cast<std::uint8_t>(value), context));
  }

  std::size_t type(std::string_view text) {
    return uart.receive({reinterpret_cast<std::uint8_t const*>(text.data()), text.size()});
  }

  std::string read(std::size_t count) {
    std::string text;
    while (text.size() < count) text.push_back(static_cast<char>(in(rbr)));
    return text;
  }

  void pass(std::uint64_t nanoseconds) {
    time.set(time.now() + nanoseconds);
    if (clock.take_due(time.now())) board.call_deadline(0, context);
  }

  /// 115,200 baud, eight bits, FIFO on with the trigger level of FCR's bits 6 and 7.
  void begin(unsigned fifo = 0x01) {
    out(lcr, 0x83);
    out(dll, 1);
    out(dlm, 0);
    out(lcr, 0x03);
    out(fcr, fifo);
    (void)in(iir);
  }

  [[nodiscard]] std::string written() { return uart.backend().output; }

  TimeSource time = TimeSource::manual(1'000'000);
  Clock clock{time};
  RunControl control;
  IrqWire wire;
  IrqLine line{wire};
  Context<Clock, RunControl, IrqLine> context{clock, control, line};
  Board board{[] { return Uart{MemoryStreams{}}; }};
  Uart& uart = board.get<"com1">();
};

// --- Reset and plain registers (section 5, table III)

TEST_F(Uart16550Test, BeginsAsAfterMasterReset) {
  EXPECT_EQ(in(ier), 0x00);
  EXPECT_EQ(in(iir), 0x01);
  EXPECT_EQ(in(lcr), 0x00);
  EXPECT_EQ(in(mcr), 0x00);
  EXPECT_EQ(in(lsr), 0x60);
  EXPECT_EQ(in(msr), 0xB0);
  EXPECT_FALSE(wire.level());
}

TEST_F(Uart16550Test, RegistersHoldTheBitsTheyHave) {
  for (unsigned value : {0xFFU, 0x00U, 0xA5U, 0x5AU}) {
    out(scr, value);
    EXPECT_EQ(in(scr), value);
    out(lcr, value & 0x7F);
    EXPECT_EQ(in(lcr), value & 0x7F);
    out(ier, value);
    EXPECT_EQ(in(ier), value & 0x0F);
    out(mcr, value);
    EXPECT_EQ(in(mcr), value & 0x1F);
  }
}

TEST_F(Uart16550Test, TheDivisorLatchStandsBeforeTwoRegistersAndNoOthers) {
  out(ier, 0x05);
  out(lcr, 0x80);
  out(dll, 0x34);
  out(dlm, 0x12);
  out(scr, 0x77);
  EXPECT_EQ(in(dll), 0x34);
  EXPECT_EQ(in(dlm), 0x12);
  EXPECT_EQ(in(scr), 0x77);
  out(lcr, 0x00);
  EXPECT_EQ(in(ier), 0x05);
  EXPECT_EQ(uart.save().divisor, 0x1234);
  uart.flush();
  EXPECT_EQ(written(), "");
}

TEST_F(Uart16550Test, OnlyBytesAreRegisters) {
  EXPECT_FALSE(board.out(thr, std::uint16_t{0x4142}, context));
  EXPECT_EQ(board.in<std::uint16_t>(lsr, context), 0xFFFF);
  EXPECT_FALSE(board.out(lsr, std::uint8_t{0}, context));
  EXPECT_FALSE(board.out(msr, std::uint8_t{0}, context));
}

// --- Sending

TEST_F(Uart16550Test, SendsAtOnceAndIsEmptyAgain) {
  out(thr, 'h');
  EXPECT_EQ(in(lsr), 0x60);
  out(thr, 'i');
  uart.flush();
  EXPECT_EQ(written(), "hi");
}

TEST_F(Uart16550Test, OutputGoesOutByItsDeadline) {
  out(thr, 'x');
  pass(39'000'000);
  EXPECT_EQ(written(), "");
  pass(1'000'000);
  EXPECT_EQ(written(), "x");
  EXPECT_EQ(clock.deadline(), Clock::never);
}

TEST_F(Uart16550Test, AnEmptyTransmitterInterruptsWhenThatIsEnabled) {
  out(ier, 0x02);
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(in(iir), 0x02);
  EXPECT_FALSE(wire.level()) << "reading IIR takes it back";
  EXPECT_EQ(in(iir), 0x01);
  out(ier, 0x02);
  EXPECT_FALSE(wire.level()) << "nothing was enabled that was not";
  out(ier, 0x00);
  out(ier, 0x02);
  EXPECT_TRUE(wire.level());
  out(ier, 0x00);
  EXPECT_FALSE(wire.level());
}

TEST_F(Uart16550Test, EachWriteIsFollowedByAnotherEdge) {
  out(ier, 0x02);
  EXPECT_EQ(wire.raised(), 1U);
  out(thr, 'a');
  EXPECT_EQ(wire.raised(), 2U) << "it was high: falls with the write, rises when that is sent";
  EXPECT_TRUE(wire.level());
  (void)in(iir);
  out(thr, 'b');
  EXPECT_EQ(wire.raised(), 3U);
  out(ier, 0x00);
  out(thr, 'c');
  EXPECT_EQ(wire.raised(), 3U);
}

TEST_F(Uart16550Test, ABatchIsOneEdge) {
  out(ier, 0x02);
  (void)in(iir);
  std::array<std::byte, 5> text{std::byte{'h'}, std::byte{'e'}, std::byte{'l'}, std::byte{'l'},
                                std::byte{'o'}};
  board.access<Space::port, Direction::write>(thr, 1, 5, text.data(), context);
  EXPECT_EQ(wire.raised(), 2U);
  uart.flush();
  EXPECT_EQ(written(), "hello");
}

TEST_F(Uart16550Test, OutputBeyondTheBufferGoesOutByItself) {
  std::vector<std::byte> text(10'000, std::byte{'z'});
  board.access<Space::port, Direction::write>(thr, 1, 10'000, text.data(), context);
  EXPECT_EQ(written().size(), 10'000U);
}

// --- Receiving in character mode

TEST_F(Uart16550Test, CharacterModeHasRoomForOne) {
  out(ier, 0x01);
  EXPECT_EQ(type("ab"), 1U);
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(in(iir), 0x04);
  EXPECT_EQ(in(lsr), 0x61);
  EXPECT_EQ(type("b"), 0U);
  EXPECT_EQ(in(rbr), 'a');
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(in(lsr), 0x60);
  EXPECT_EQ(in(rbr), 'a') << "the buffer keeps what it had";
  EXPECT_EQ(type("b"), 1U);
  EXPECT_EQ(in(rbr), 'b');
}

TEST_F(Uart16550Test, ABreakIsAZeroWithAnError) {
  out(ier, 0x04);
  EXPECT_TRUE(uart.receive_break());
  EXPECT_EQ(in(iir), 0x06);
  EXPECT_EQ(in(rbr), 0x00);
  EXPECT_TRUE(wire.level()) << "until LSR is read";
  EXPECT_EQ(in(lsr), 0x70);
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(in(lsr), 0x60);
}

// --- Receiving with the FIFO (section 8.11)

TEST_F(Uart16550Test, EachTriggerLevelIsReachedExactly) {
  std::array<std::uint8_t, 4> const levels{1, 4, 8, 14};
  for (unsigned bits = 0; bits < 4; ++bits) {
    begin(0x07 | bits << 6);
    (void)in(iir);
    out(ier, 0x01);
    EXPECT_EQ(in(iir), 0xC1);
    std::string const text = "0123456789abcd";
    EXPECT_EQ(type(text.substr(0, levels[bits] - 1U)), levels[bits] - 1U);
    EXPECT_FALSE(wire.level()) << bits;
    EXPECT_EQ(type(text.substr(levels[bits] - 1U, 1)), 1U);
    EXPECT_TRUE(wire.level()) << bits;
    EXPECT_EQ(in(iir), 0xC4);
    EXPECT_EQ(in(rbr), '0');
    EXPECT_FALSE(wire.level()) << "below the level again";
    out(ier, 0x00);
  }
}

TEST_F(Uart16550Test, TheFifoTakesSixteenAndNoMore) {
  begin();
  EXPECT_EQ(uart.room(), 16U);
  EXPECT_EQ(type("0123456789abcdefXYZ"), 16U);
  EXPECT_EQ(uart.room(), 0U);
  EXPECT_EQ(type("X"), 0U);
  EXPECT_FALSE(uart.receive_break());
  EXPECT_EQ(in(lsr), 0x61) << "no overrun";
  EXPECT_EQ(read(16), "0123456789abcdef");
  EXPECT_EQ(in(lsr), 0x60);
  EXPECT_EQ(in(rbr), 0x00);
}

TEST_F(Uart16550Test, FewCharactersInterruptAfterFourCharacterTimes) {
  begin(0xC1);
  out(ier, 0x01);
  type("ab");
  pass(4 * character - 1);
  EXPECT_FALSE(wire.level());
  type("c");
  pass(4 * character - 1);
  EXPECT_FALSE(wire.level()) << "a new character begins the time anew";
  EXPECT_EQ(in(rbr), 'a');
  pass(4 * character - 1);
  EXPECT_FALSE(wire.level()) << "and so does a read";
  pass(2);
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(in(iir), 0xCC);
  EXPECT_EQ(in(iir), 0xCC) << "reading IIR does not end it";
  EXPECT_EQ(in(rbr), 'b');
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(in(iir), 0xC1);
  pass(4 * character + 1);
  EXPECT_TRUE(wire.level()) << "'c' is still there";
  EXPECT_EQ(in(rbr), 'c');
  pass(100 * character);
  EXPECT_FALSE(wire.level()) << "nothing is there";
}

TEST_F(Uart16550Test, TheTimeoutFollowsTheFrame) {
  begin(0xC1);
  out(ier, 0x01);
  out(lcr, 0x83);
  out(dll, 12);
  out(lcr, 0x0C);  // 9,600 baud; five data bits, parity, one and a half stop bits: 8.5 bits
  type("x");
  std::uint64_t const time4 = 4 * 17 * 12 * 1'000'000'000ULL / 2 / 115'200;
  pass(time4 - 10);
  EXPECT_FALSE(wire.level());
  pass(20);
  EXPECT_TRUE(wire.level());
}

TEST_F(Uart16550Test, AnErrorInTheFifoShowsWithItsCharacter) {
  begin();
  out(ier, 0x04);
  type("a");
  EXPECT_TRUE(uart.receive_break());
  type("b");
  EXPECT_EQ(in(lsr), 0xE1) << "bit 7: an error somewhere; no interrupt yet";
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(in(rbr), 'a');
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(in(iir), 0xC6);
  EXPECT_EQ(in(lsr), 0xF1);
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(in(lsr), 0x61);
  EXPECT_EQ(read(2), std::string("\0b", 2));
}

TEST_F(Uart16550Test, FcrClearsTheReceiver) {
  begin();
  type("abc");
  out(fcr, 0x03);
  EXPECT_EQ(in(lsr), 0x60);
  type("abc");
  out(fcr, 0x05);
  EXPECT_EQ(in(lsr), 0x61) << "bit 2 is the transmitter's";
  out(fcr, 0x00);
  EXPECT_EQ(in(lsr), 0x60) << "a change of bit 0 clears both";
  EXPECT_EQ(in(iir), 0x01);
  EXPECT_EQ(uart.room(), 1U);
  type("a");
  out(fcr, 0x02);
  EXPECT_EQ(in(lsr), 0x61) << "without bit 0 nothing is programmed";
  out(fcr, 0x01);
  EXPECT_EQ(in(lsr), 0x60);
}

TEST_F(Uart16550Test, ChangingTheFifoIsFollowedByATransmitterInterrupt) {
  out(ier, 0x02);
  (void)in(iir);
  out(fcr, 0x01);
  EXPECT_EQ(in(iir), 0xC2);
  out(fcr, 0x01);
  EXPECT_EQ(in(iir), 0xC1);
}

// --- Priorities (section 8.6, table IV)

TEST_F(Uart16550Test, InterruptsComeInTheirOrder) {
  begin(0x41);
  uart.set_modem({.cts = false});
  type("abcd");
  pass(5 * character);
  out(ier, 0x0F);
  EXPECT_EQ(in(iir), 0xCC);
  EXPECT_TRUE(wire.level());
  out(mcr, 0x10);
  for (int fill = 0; fill < 13; ++fill) out(thr, 'x');
  EXPECT_EQ(in(iir), 0xC6) << "an overrun";
  EXPECT_EQ(in(lsr), 0x63);
  EXPECT_EQ(in(rbr), 'a');
  EXPECT_EQ(in(iir), 0xC4);
  read(12);
  EXPECT_EQ(in(iir), 0xC2) << "three left: below the level";
  EXPECT_EQ(in(iir), 0xC0) << "that reading took back";
  EXPECT_TRUE(wire.level());
  (void)in(msr);
  EXPECT_EQ(in(iir), 0xC1);
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(wire.raised(), 1U) << "the line stayed high all the while";
}

// --- Modem lines (sections 8.8, 8.9)

TEST_F(Uart16550Test, TellsWhichModemLineHasChanged) {
  out(ier, 0x08);
  uart.set_modem({.cts = false});
  EXPECT_TRUE(wire.level());
  EXPECT_EQ(in(iir), 0x00);
  EXPECT_EQ(in(msr), 0xA1);
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(in(msr), 0xA0);
  uart.set_modem({.dsr = false});
  EXPECT_EQ(in(msr), 0x93);
  uart.set_modem({.ri = true});
  EXPECT_EQ(in(msr), 0xF2) << "the beginning of a ring is no change";
  uart.set_modem({.dcd = false});
  EXPECT_EQ(in(msr), 0x3C) << "its end is";
  EXPECT_EQ(in(iir), 0x01);
}

TEST_F(Uart16550Test, LoopbackTiesOutputsToInputs) {
  out(mcr, 0x10);
  (void)in(msr);
  std::array<std::uint8_t, 16> const lines{0x00, 0x20, 0x10, 0x30, 0x40, 0x60, 0x50, 0x70,
                                           0x80, 0xA0, 0x90, 0xB0, 0xC0, 0xE0, 0xD0, 0xF0};
  for (unsigned outputs = 0; outputs < 16; ++outputs) {
    out(mcr, 0x10 | outputs);
    EXPECT_EQ(in(msr) & 0xF0, lines[outputs]) << outputs;
  }
  out(mcr, 0x10);
  EXPECT_EQ(in(msr), 0x0F) << "all of them went away";
  out(ier, 0x08);
  out(mcr, 0x11);
  EXPECT_EQ(in(iir), 0x00) << "and they interrupt";
  EXPECT_EQ(in(msr), 0x22);
}

TEST_F(Uart16550Test, LoopbackReceivesWhatIsSentAndNothingElse) {
  out(mcr, 0x10);
  EXPECT_EQ(type("x"), 0U) << "the line is cut";
  out(thr, 0xA5);
  EXPECT_EQ(in(lsr), 0x61);
  out(thr, 0x5A);
  EXPECT_EQ(in(lsr), 0x63) << "an overrun: the newer one stays";
  EXPECT_EQ(in(rbr), 0x5A);
  uart.flush();
  EXPECT_EQ(written(), "");
}

TEST_F(Uart16550Test, AnOverrunLeavesTheFifoAsItWas) {
  begin();
  out(mcr, 0x10);
  for (unsigned byte = 0; byte < 17; ++byte) out(thr, 'a' + byte);
  EXPECT_EQ(in(lsr), 0x63);
  EXPECT_EQ(in(lsr), 0x61);
  EXPECT_EQ(read(16), "abcdefghijklmnop");
}

// --- Saving

TEST_F(Uart16550Test, AStateGoesOnElsewhere) {
  begin(0x81);
  out(ier, 0x01);
  out(scr, 0x42);
  type("abc");
  pass(character);
  auto const state = uart.save();
  EXPECT_EQ(state.timeout_in, 3 * character);

  Board other{[] { return Uart{MemoryStreams{}}; }};
  TimeSource other_time = TimeSource::manual(77);
  Clock other_clock{other_time};
  IrqWire other_wire;
  IrqLine other_line{other_wire};
  Context<Clock, RunControl, IrqLine> other_context{other_clock, control, other_line};
  other.get<"com1">().load(state);
  other.get<"com1">().attach(other_line, other_clock);
  EXPECT_EQ(other.get<"com1">().save(), state);
  EXPECT_EQ(other_clock.deadline(), 77 + 3 * character);
  other_time.set(other_clock.deadline());
  ASSERT_TRUE(other_clock.take_due(other_time.now()));
  other.call_deadline(0, other_context);
  EXPECT_TRUE(other_wire.level());
  EXPECT_EQ(other.in<std::uint8_t>(rbr, other_context), 'a');
  EXPECT_EQ(other.in<std::uint8_t>(scr, other_context), 0x42);
}

TEST_F(Uart16550Test, AnImpossibleStateIsMadePossible) {
  Uart::State state;
  state.count = 200;
  state.fcr = 0xC1;
  uart.load(state);
  EXPECT_EQ(uart.room(), 0U);
  read(20);
  EXPECT_EQ(uart.room(), 16U);
}

// --- Threads

/// A guest that reads at its own pace what another thread pumps in.
TEST_F(Uart16550Test, NothingOfALongPasteIsLost) {
  std::string text;
  while (text.size() < 64 * 1024) text += std::to_string(text.size()) + ' ';
  uart.backend().input = text;
  begin(0x81);
  std::jthread const pump{[&] { uart.pump(control.token()); }};
  std::string got;
  while (got.size() < text.size()) {
    if ((in(lsr) & 0x01) != 0)
      got.push_back(static_cast<char>(in(rbr)));
    else
      std::this_thread::yield();
  }
  EXPECT_EQ(in(lsr), 0x60) << "no overrun";
  EXPECT_EQ(got, text);
}

TEST_F(Uart16550Test, APumpLetsGoWhenTheRunEnds) {
  uart.backend().input = "more than there is room for";
  std::jthread const pump{[&] { uart.pump(control.token()); }};
  while (uart.room() > 0) std::this_thread::yield();
  control.stop();
}

/// Interrupts of two threads: in the end the line is as the registers say.
TEST_F(Uart16550Test, TheLineIsRightAfterARace) {
  begin();
  out(ier, 0x01);
  std::atomic<bool> done{false};
  std::jthread const typist{[&] {
    for (int round = 0; round < 20'000; ++round) type("x");
    done = true;
  }};
  while (!done) {
    (void)in(rbr);
    (void)in(iir);
  }
  while ((in(lsr) & 0x01) != 0) (void)in(rbr);
  EXPECT_FALSE(wire.level());
  type("x");
  EXPECT_TRUE(wire.level());
}

/// A backend that takes nothing until it is told that the run ends.
struct Stuck {
  std::atomic<bool>* waits;

  [[nodiscard]] static bool flushes_lines() { return true; }

  Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const& limit) const {
    if (limit.milliseconds >= 0) return {};
    *waits = true;
    while (!limit.stop.stopping()) std::this_thread::yield();
    return {bytes.size(), bytes.size(), ETIMEDOUT};
  }
};

TEST_F(Uart16550Test, AReaderThatStopsHoldsOneVcpuUntilTheRunEnds) {
  std::atomic<bool> waits{false};
  Uart16550<Stuck> stuck{Stuck{&waits}};
  std::jthread const vcpu{[&] {
    std::array<std::uint8_t, 2> const text{'x', '\n'};
    stuck.write_thr(text, line, clock, control);
  }};
  while (!waits) std::this_thread::yield();
  EXPECT_EQ(stuck.read_lsr(line, clock), 0x60) << "others go on";
  stuck.deadline(line, clock);
  control.stop();
  while (stuck.lost().bytes == 0) std::this_thread::yield();
  EXPECT_EQ(stuck.lost(), (OutputLoss{2, ETIMEDOUT}));
}

}  // namespace
}  // namespace portico
