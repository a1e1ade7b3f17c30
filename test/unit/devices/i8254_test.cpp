// The 8254 after its data sheet: the waves of each mode, the ways to read and write, the line.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/devices/i8254.hpp>

namespace portico {
namespace {

// --- One counter, tick by tick

/// What is done after a tick, before the next one: a count written, or GATE moved.
struct Action {
  std::uint64_t tick;
  int count = -1;
  int gate = -1;
};

/// A program with one-byte counts, and what the data sheet's figures show from tick 1 on.
struct Wave {
  char const* name;
  unsigned mode;
  std::vector<Action> actions;
  char const* counts;
  char const* outputs;
};

Action count(std::uint64_t tick, int value) { return {tick, value, -1}; }

Action gate(std::uint64_t tick, int level) { return {tick, -1, level}; }

std::vector<Wave> const waves{
    {"mode 0", 0, {count(0, 4)}, "4 3 2 1 0 ffff fffe", "0000111"},
    {"mode 0, gate", 0, {count(0, 3), gate(2, 0), gate(4, 1)}, "3 2 2 2 1 0 ffff", "0000011"},
    {"mode 0, gate low", 0, {gate(0, 0), count(0, 2), gate(2, 1)}, "2 2 1 0 ffff", "00011"},
    {"mode 0, new count", 0, {count(0, 3), count(3, 2)}, "3 2 1 2 1 0 ffff", "0000011"},
    {"mode 0, new count later", 0, {count(0, 1), count(3, 2)}, "1 0 ffff 2 1 0", "011001"},
    {"mode 1", 1, {gate(0, 0), count(0, 3), gate(1, 1)}, "0 3 2 1 0 ffff fffe", "1000111"},
    {"mode 1, gate falls",
     1,
     {gate(0, 0), count(0, 3), gate(1, 1), gate(2, 0)},
     "0 3 2 1 0 ffff",
     "100011"},
    {"mode 1, triggered again",
     1,
     {gate(0, 0), count(0, 3), gate(1, 1), gate(3, 0), gate(3, 1)},
     "0 3 2 3 2 1 0",
     "1000001"},
    {"mode 1, new count",
     1,
     {gate(0, 0), count(0, 2), gate(0, 1), count(2, 4), gate(4, 0), gate(4, 1)},
     "2 1 0 ffff 4 3 2 1 0",
     "001100001"},
    {"mode 1, no trigger", 1, {count(0, 2)}, "0 0 0", "111"},
    {"mode 1, trigger before the count",
     1,
     {gate(0, 0), gate(1, 1), count(2, 3)},
     "0 0 0 0",
     "1111"},
    {"mode 2, trigger before the count",
     2,
     {gate(0, 0), gate(1, 1), count(2, 3)},
     "0 0 3 2 1 3",
     "111101"},
    {"mode 2", 2, {count(0, 3)}, "3 2 1 3 2 1 3", "1101101"},
    {"mode 2, gate", 2, {count(0, 3), gate(2, 0), gate(4, 1)}, "3 2 2 2 3 2 1 3", "11111101"},
    {"mode 2, gate falls at 1", 2, {count(0, 2), gate(2, 0), gate(3, 1)}, "2 1 1 2 1", "10110"},
    {"mode 2, new count", 2, {count(0, 4), count(2, 5)}, "4 3 2 1 5 4 3 2 1 5", "1110111101"},
    {"mode 2, new count and trigger",
     2,
     {count(0, 4), count(2, 5), gate(2, 0), gate(2, 1)},
     "4 3 5 4 3 2 1 5",
     "11111101"},
    {"mode 2, new count, then held",
     2,
     {count(0, 4), count(2, 5), gate(2, 0), gate(6, 1)},
     "4 3 3 3 3 3 5 4",
     "11111111"},
    {"mode 2, count of 1", 2, {count(0, 1)}, "2 1 2 1", "1010"},
    {"mode 3, even", 3, {count(0, 4)}, "4 2 4 2 4 2 4 2", "11001100"},
    {"mode 3, odd", 3, {count(0, 5)}, "4 2 0 4 2 4 2 0 4 2", "1110011100"},
    {"mode 3, gate", 3, {count(0, 4), gate(4, 0), gate(6, 1)}, "4 2 4 2 2 2 4 2 4", "110011110"},
    {"mode 3, new count in the high half",
     3,
     {count(0, 4), count(1, 6)},
     "4 2 6 4 2 6 4 2 6",
     "110001110"},
    {"mode 3, new count in the low half",
     3,
     {count(0, 4), count(3, 6)},
     "4 2 4 2 6 4 2 6 4 2 6",
     "11001110001"},
    {"mode 3, new odd count", 3, {count(0, 4), count(1, 5)}, "4 2 4 2 4 2 0 4 2", "110011100"},
    {"mode 3, count of 1", 3, {count(0, 1)}, "2 2 2 2", "1010"},
    {"mode 3, count of 3", 3, {count(0, 3)}, "2 0 2 2 0 2", "110110"},
    {"mode 4", 4, {count(0, 3)}, "3 2 1 0 ffff fffe", "111011"},
    {"mode 4, gate", 4, {gate(0, 0), count(0, 3), gate(3, 1)}, "3 3 3 2 1 0 ffff", "1111101"},
    {"mode 4, new count", 4, {count(0, 3), count(3, 2)}, "3 2 1 2 1 0 ffff", "1111101"},
    {"mode 5", 5, {gate(0, 0), count(0, 3), gate(1, 1)}, "0 3 2 1 0 ffff fffe", "1111011"},
    {"mode 5, triggered again",
     5,
     {gate(0, 0), count(0, 3), gate(0, 1), gate(2, 0), gate(2, 1)},
     "3 2 3 2 1 0 ffff",
     "1111101"},
    {"mode 5, new count",
     5,
     {gate(0, 0), count(0, 3), gate(0, 1), count(2, 5), gate(6, 0), gate(6, 1)},
     "3 2 1 0 ffff fffe 5 4",
     "11101111"},
    {"mode 6 is 2", 6, {count(0, 3)}, "3 2 1 3", "1101"},
    {"mode 7 is 3", 7, {count(0, 4)}, "4 2 4 2", "1100"},
};

std::string hex(unsigned value) {
  char text[16];
  std::snprintf(text, sizeof text, "%x", value);
  return text;
}

struct Seen {
  std::string counts;
  std::string outputs;
};

/// Carries a wave out, looking at the counter at each tick, or at the last one only.
Seen carry_out(Wave const& wave, std::uint64_t first, bool each) {
  Counter8254 counter;
  counter.write_control(static_cast<std::uint8_t>(0x10 | wave.mode << 1), first);
  std::uint64_t const last = std::string{wave.outputs}.size();
  Seen seen;
  for (std::uint64_t tick = 0; tick <= last; ++tick) {
    if (tick > 0 && (each || tick == last)) {
      seen.counts += (seen.counts.empty() ? "" : " ") + hex(counter.count(first + tick));
      seen.outputs += counter.output(first + tick) ? '1' : '0';
    }
    for (Action const& action : wave.actions) {
      if (action.tick != tick) continue;
      if (action.count >= 0) counter.write(static_cast<std::uint8_t>(action.count), first + tick);
      if (action.gate >= 0) counter.set_gate(action.gate != 0, first + tick);
    }
  }
  return seen;
}

TEST(Counter8254Waves, AreThoseOfTheDataSheet) {
  for (Wave const& wave : waves)
    for (std::uint64_t const first : {std::uint64_t{0}, std::uint64_t{987'654'321'098}}) {
      Seen const seen = carry_out(wave, first, true);
      EXPECT_EQ(seen.counts, wave.counts) << wave.name;
      EXPECT_EQ(seen.outputs, wave.outputs) << wave.name;
      Seen const last = carry_out(wave, first, false);
      std::string const counts = wave.counts;
      EXPECT_EQ(last.counts, counts.substr(counts.rfind(' ') + 1)) << wave.name;
      EXPECT_EQ(last.outputs, std::string{wave.outputs}.substr(seen.outputs.size() - 1));
    }
}

/// The rises that next_rise() tells are those that are seen tick by tick.
TEST(Counter8254Waves, RiseWhereTheySayBefore) {
  std::mt19937 random{3};
  for (int round = 0; round < 3000; ++round) {
    Counter8254 counter;
    std::uint64_t tick = random() % 1000;
    counter.write_control(static_cast<std::uint8_t>(0x10 | random() % 12), tick);
    for (int action = 0; action < 6; ++action) {
      if (random() % 3 == 0)
        counter.set_gate(random() % 2 == 0, tick);
      else
        counter.write(static_cast<std::uint8_t>(random() % 12), tick);
      std::uint64_t const end = tick + random() % 60;
      bool high = counter.output(tick);
      std::uint64_t expected = counter.next_rise(tick);
      for (++tick; tick <= end; ++tick) {
        bool const was_high = std::exchange(high, counter.output(tick));
        ASSERT_EQ(!was_high && high, tick == expected) << "round " << round;
        if (tick == expected) expected = counter.next_rise(tick);
      }
    }
  }
}

TEST(Counter8254Waves, GoOnInACopyThatWasLoaded) {
  std::mt19937 random{5};
  for (int round = 0; round < 2000; ++round) {
    Counter8254 counter;
    Counter8254 copy;
    std::uint64_t tick = 100;
    std::uint64_t const shift = random() % 100'000;
    counter.write_control(static_cast<std::uint8_t>(0x10 | random() % 48), tick);
    for (int action = 0; action < 8; ++action) {
      if (random() % 3 == 0)
        counter.set_gate(random() % 2 == 0, tick);
      else
        counter.write(static_cast<std::uint8_t>(random() % 12), tick);
      copy.load(counter.save(tick), tick + shift);
      ASSERT_EQ(copy.save(tick + shift), counter.save(tick));
      for (int look = 0; look < 3; ++look) {
        tick += random() % 10;
        ASSERT_EQ(copy.count(tick + shift), counter.count(tick));
        ASSERT_EQ(copy.output(tick + shift), counter.output(tick));
      }
    }
  }
}

// --- The chip on its ports

using Board = DeviceMap<On<Pit8254, Ranges<Ports<0x40, 4>, Ports<0x61, 1>>, Irq<0>, Named<"pit">>>;

struct Pit : testing::Test {
  TimeSource time = TimeSource::manual(5'000'000'000);
  Clock clock{time};
  IrqWire wire{};
  IrqLine line{wire};
  Context<Clock, IrqLine> context{clock, line};
  Board board{};
  Pit8254& pit = board.get<"pit">();
  std::uint64_t tick = Pit8254::tick_at(time.now());

  Pit() { to(tick); }

  void out(std::uint16_t port, unsigned value) {
    EXPECT_TRUE(board.out(port, static_cast<std::uint8_t>(value), context));
  }

  unsigned in(std::uint16_t port) { return board.in<std::uint8_t>(port, context); }

  unsigned in_word(std::uint16_t port) {
    unsigned const low = in(port);
    return low | in(port) << 8;
  }

  /// Goes to a tick without meeting deadlines.
  void to(std::uint64_t wanted) {
    tick = wanted;
    time.set(Pit8254::time_of(tick));
  }

  void pass(std::uint64_t ticks) { to(tick + ticks); }

  /// Control word, then a count of two bytes.
  void program(unsigned counter, unsigned mode, unsigned value) {
    out(0x43, counter << 6 | 0x30 | mode << 1);
    out(static_cast<std::uint16_t>(0x40 + counter), value & 0xFF);
    out(static_cast<std::uint16_t>(0x40 + counter), value >> 8);
  }

  /// Meets deadlines until `end` (nanoseconds); how many there were.
  int serve_until(std::uint64_t end, std::uint64_t late = 0) {
    int served = 0;
    while (clock.deadline() + late <= end) {
      time.set(clock.deadline() + late);
      EXPECT_TRUE(clock.take_due(time.now()));
      board.call_deadline(0, context);
      ++served;
    }
    time.set(end);
    tick = Pit8254::tick_at(end);
    return served;
  }
};

TEST_F(Pit, TicksHaveNoDrift) {
  EXPECT_EQ(Pit8254::tick_at(0), 0U);
  EXPECT_EQ(Pit8254::tick_at(1'000'000'000), 1'193'182U);
  EXPECT_EQ(Pit8254::tick_at(86'400'000'000'000'000), 1'193'182ULL * 86'400'000);
  std::mt19937_64 random{1};
  for (int round = 0; round < 100'000; ++round) {
    std::uint64_t const number = random() >> 16;
    EXPECT_EQ(Pit8254::tick_at(Pit8254::time_of(number)), number);
    if (number > 0) {
      EXPECT_EQ(Pit8254::tick_at(Pit8254::time_of(number) - 1), number - 1);
    }
  }
}

TEST_F(Pit, DoesNothingBeforeItIsProgrammed) {
  for (std::uint16_t port = 0x40; port < 0x43; ++port) EXPECT_EQ(in(port), 0U);
  EXPECT_EQ(in(0x43), 0xFFU);  // write-only
  EXPECT_EQ(clock.deadline(), Clock::never);
}

TEST_F(Pit, WritesAndReadsAsTheControlWordSays) {
  out(0x43, 0x10);  // LSB
  out(0x40, 0x34);
  pass(1);
  EXPECT_EQ(in(0x40), 0x34U);
  EXPECT_EQ(in(0x40), 0x34U);
  out(0x43, 0x20);  // MSB
  out(0x40, 0x12);
  pass(1);
  EXPECT_EQ(in(0x40), 0x12U);
  EXPECT_EQ(in(0x40), 0x12U);
  pass(1);
  EXPECT_EQ(in(0x40), 0x11U);  // 0x11FF
  out(0x43, 0x30);             // LSB, MSB
  out(0x40, 0x78);
  out(0x40, 0x56);
  pass(1);
  EXPECT_EQ(in_word(0x40), 0x5678U);
  EXPECT_EQ(in(0x40), 0x78U);
  pass(0x79);
  EXPECT_EQ(in(0x40), 0x55U);  // 0x55FF: the bytes of a count that runs do not belong together
}

TEST_F(Pit, AControlWordStartsWithTheFirstByte) {
  out(0x43, 0x30);
  out(0x40, 0x11);
  (void)in(0x40);
  out(0x43, 0x30);
  out(0x40, 0x22);
  out(0x40, 0x33);
  pass(1);
  EXPECT_EQ(in_word(0x40), 0x3322U);
}

TEST_F(Pit, LatchesACountUntilItIsRead) {
  program(0, 2, 1000);
  pass(11);
  out(0x43, 0x00);
  pass(100);
  out(0x43, 0x00);  // there is one already
  EXPECT_EQ(in_word(0x40), 990U);
  EXPECT_EQ(in_word(0x40), 890U);
  out(0x43, 0x00);
  EXPECT_EQ(in(0x40), 890U & 0xFF);
  pass(100);
  EXPECT_EQ(in(0x40), 890U >> 8);
  out(0x43, 0x00);
  program(0, 2, 500);  // takes what was latched back
  pass(1);
  EXPECT_EQ(in_word(0x40), 500U);
}

TEST_F(Pit, LatchesEachCounterForItself) {
  program(0, 2, 1000);
  program(1, 2, 2000);
  pass(51);
  out(0x43, 0x40);
  pass(50);
  EXPECT_EQ(in_word(0x41), 1950U);
  EXPECT_EQ(in_word(0x40), 900U);
}

struct ReadBack {
  unsigned command;
  char const* reads;  ///< of 0x40, 0x41, 0x42, four each
};

TEST_F(Pit, ReadBackLatchesCountsAndStatuses) {
  // Ten ticks after it was loaded each counter shows 90, 100 ticks later -10.
  for (ReadBack const& test :
       {ReadBack{0xD2, "5a 0 f6 ff  f6 ff f6 ff  f6 ff f6 ff"},      // count 0
        ReadBack{0xDE, "5a 0 f6 ff  5a 0 f6 ff  5a 0 f6 ff"},        // counts
        ReadBack{0xE4, "f6 ff f6 ff  30 f6 ff f6  f6 ff f6 ff"},     // status 1
        ReadBack{0xC8, "f6 ff f6 ff  f6 ff f6 ff  30 5a 0 f6"},      // both of 2
        ReadBack{0xF2, "f6 ff f6 ff  f6 ff f6 ff  f6 ff f6 ff"},     // nothing
        ReadBack{0xC0, "f6 ff f6 ff  f6 ff f6 ff  f6 ff f6 ff"}}) {  // of nobody
    out(0x61, 1);
    for (unsigned counter = 0; counter < 3; ++counter) program(counter, 0, 100);
    pass(11);
    out(0x43, test.command);
    pass(100);
    out(0x43, 0xFE);  // nothing: neither count nor status
    std::string reads;
    for (std::uint16_t port = 0x40; port < 0x43; ++port)
      for (int read = 0; read < 4; ++read)
        reads += hex(in(port)) + (read < 3 ? " " : port < 0x42 ? "  " : "");
    EXPECT_EQ(reads, test.reads) << hex(test.command);
  }
}

TEST_F(Pit, AStatusStaysUntilItIsRead) {
  program(0, 0, 10);
  out(0x43, 0xE2);
  pass(20);
  out(0x43, 0xE2);
  EXPECT_EQ(in(0x40), 0x70U);  // null count, OUT low
  out(0x43, 0xE2);
  EXPECT_EQ(in(0x40), 0xB0U);
}

TEST_F(Pit, NullCountSaysThatACountIsNotLoadedYet) {
  auto const status = [&] {
    out(0x43, 0xE2);
    return in(0x40);
  };
  out(0x43, 0x34);
  EXPECT_EQ(status(), 0xF4U);
  out(0x40, 10);
  pass(5);
  EXPECT_EQ(status(), 0xF4U);  // half a count
  out(0x40, 0);
  EXPECT_EQ(status(), 0xF4U);
  pass(1);
  EXPECT_EQ(status(), 0xB4U);
  out(0x40, 20);
  EXPECT_EQ(status(), 0xB4U);
  out(0x40, 0);
  EXPECT_EQ(status(), 0xF4U);
  pass(9);
  EXPECT_EQ(status(), 0x74U);  // the last tick of the old period: OUT is low
  pass(1);
  EXPECT_EQ(status(), 0xB4U);
  out(0x43, 0x7F);  // another counter's
  EXPECT_EQ(status(), 0xB4U);
  out(0x43, 0x1D);  // mode 6, BCD: as written
  EXPECT_EQ(status(), 0xDDU);
}

TEST_F(Pit, CountsInDecimal) {
  out(0x43, 0x31);  // mode 0
  out(0x40, 0x00);
  out(0x40, 0x10);
  pass(1);
  EXPECT_EQ(in_word(0x40), 0x1000U);
  pass(1);
  EXPECT_EQ(in_word(0x40), 0x0999U);
  pass(999);
  EXPECT_EQ(in_word(0x40), 0x0000U);
  pass(1);
  EXPECT_EQ(in_word(0x40), 0x9999U);
  out(0x43, 0x35);  // mode 2, the largest count: 10000
  out(0x40, 0x00);
  out(0x40, 0x00);
  pass(1);
  EXPECT_EQ(in_word(0x40), 0x0000U);
  pass(1);
  EXPECT_EQ(in_word(0x40), 0x9999U);
  pass(9999);
  EXPECT_EQ(in_word(0x40), 0x0000U);
  out(0x43, 0x31);
  out(0x40, 0xFF);  // no decimal digits: 15 * 1111
  out(0x40, 0xFF);
  pass(1 + 16665);
  EXPECT_EQ(in_word(0x40), 0x0000U);
}

TEST_F(Pit, TheLargestCountIsZero) {
  program(0, 2, 0);
  pass(1);
  EXPECT_EQ(in_word(0x40), 0U);
  pass(1);
  EXPECT_EQ(in_word(0x40), 0xFFFFU);
  pass(0xFFFF);
  EXPECT_EQ(in_word(0x40), 0U);
}

// --- Port 61

TEST_F(Pit, Port61HasTheGateOfCounter2AndItsOutput) {
  EXPECT_EQ(in(0x61) & 0xEF, 0x20U);
  out(0x61, 0xFF);
  EXPECT_EQ(in(0x61) & 0xEF, 0x23U);
  out(0x61, 0x02);
  EXPECT_EQ(in(0x61) & 0xEF, 0x22U);

  program(2, 0, 100);  // the gate is low
  EXPECT_EQ(in(0x61) & 0xEF, 0x02U);
  pass(50);
  EXPECT_EQ(in_word(0x42), 100U);
  out(0x61, 0x01);
  pass(99);
  EXPECT_EQ(in(0x61) & 0xEF, 0x01U);
  pass(1);
  EXPECT_EQ(in(0x61) & 0xEF, 0x21U);

  program(2, 1, 100);  // a trigger is needed
  pass(500);
  EXPECT_EQ(in(0x61) & 0xEF, 0x21U);
  out(0x61, 0x00);
  out(0x61, 0x01);
  pass(100);
  EXPECT_EQ(in(0x61) & 0xEF, 0x01U);
  pass(1);
  EXPECT_EQ(in(0x61) & 0xEF, 0x21U);
}

TEST_F(Pit, Port61ShowsTheRefresh) {
  unsigned toggles = 0;
  unsigned last = in(0x61) & 0x10;
  for (int step = 0; step < 18 * 100; ++step) {
    pass(1);
    toggles += last != (in(0x61) & 0x10) ? 1 : 0;
    last = in(0x61) & 0x10;
  }
  EXPECT_EQ(toggles, 100U);
}

// --- The line

TEST_F(Pit, PulsesForEachRiseOfCounter0) {
  std::uint64_t const start = time.now();
  program(0, 2, 11932);
  EXPECT_EQ(clock.deadline(), Pit8254::time_of(tick + 1 + 11932));
  EXPECT_EQ(serve_until(start + 10'000'000'000), 999);
  EXPECT_EQ(wire.raised(), 999U);
  EXPECT_FALSE(wire.level());
  EXPECT_EQ(pit.missed(), 0U);
}

TEST_F(Pit, ASquareWavePulsesOnceAPeriod) {
  std::uint64_t const start = time.now();
  program(0, 3, 11931);
  EXPECT_EQ(serve_until(start + 1'000'000'000), 100);
  EXPECT_EQ(wire.raised(), 100U);
}

TEST_F(Pit, OneShotModesPulseOnce) {
  for (unsigned const mode : {0U, 4U}) {
    program(0, mode, 500);
    std::uint64_t const rise = tick + 1 + 500 + (mode == 4 ? 1 : 0);
    EXPECT_EQ(clock.deadline(), Pit8254::time_of(rise));
    std::uint64_t const before = wire.raised();
    EXPECT_EQ(serve_until(time.now() + 1'000'000'000), 1);
    EXPECT_EQ(wire.raised(), before + 1);
    EXPECT_EQ(clock.deadline(), Clock::never);
  }
  for (unsigned const mode : {1U, 5U}) {
    out(0x43, 0x30 | mode << 1);
    std::uint64_t const before = wire.raised();
    program(0, mode, 500);
    EXPECT_EQ(clock.deadline(), Clock::never);  // gate 0 never triggers
    EXPECT_EQ(wire.raised(), before);
  }
}

TEST_F(Pit, AControlWordThatRaisesOutputIsARise) {
  out(0x43, 0x30);  // low
  EXPECT_EQ(wire.raised(), 0U);
  out(0x43, 0x34);  // high
  EXPECT_EQ(wire.raised(), 1U);
  out(0x43, 0x36);
  EXPECT_EQ(wire.raised(), 1U);
  out(0x43, 0x70);  // counter 1
  out(0x43, 0x74);
  EXPECT_EQ(wire.raised(), 1U);
}

TEST_F(Pit, ANewCountComesAfterTheOldPeriod) {
  program(0, 2, 10'000);
  pass(5'000);
  out(0x40, 5'000 & 0xFF);
  EXPECT_EQ(clock.deadline(), Pit8254::time_of(tick - 5'000 + 1 + 10'000));
  out(0x40, 5'000 >> 8);
  EXPECT_EQ(clock.deadline(), Pit8254::time_of(tick - 5'000 + 1 + 10'000));
  std::uint64_t const end = tick - 5'000 + 1 + 10'000;
  EXPECT_EQ(serve_until(Pit8254::time_of(end)), 1);
  EXPECT_EQ(clock.deadline(), Pit8254::time_of(end + 5'000));
}

TEST_F(Pit, TheFirstByteInMode0TakesTheDeadlineBack) {
  program(0, 0, 1000);
  pass(500);
  out(0x40, 0);
  EXPECT_EQ(clock.deadline(), Clock::never);
  pass(100);
  EXPECT_EQ(in_word(0x40), 501U);
  out(0x40, 1);
  EXPECT_EQ(clock.deadline(), Pit8254::time_of(tick + 1 + 256));
}

TEST_F(Pit, ALateDeadlineIsOnePulse) {
  program(0, 2, 1193);
  std::uint64_t const first = tick + 1 + 1193;
  to(first + 10 * 1193 + 5);
  EXPECT_TRUE(clock.take_due(time.now()));
  board.call_deadline(0, context);
  EXPECT_EQ(wire.raised(), 1U);
  EXPECT_EQ(pit.missed(), 10U);
  EXPECT_EQ(clock.deadline(), Pit8254::time_of(first + 11 * 1193));
}

TEST_F(Pit, AWriteFindsARiseWhoseDeadlineIsLate) {
  program(0, 0, 1000);
  pass(1001);
  out(0x43, 0x30);
  EXPECT_EQ(wire.raised(), 1U);
  EXPECT_EQ(clock.deadline(), Clock::never);
  EXPECT_EQ(pit.missed(), 0U);
}

TEST_F(Pit, ADeadlineThatComesTooEarlyIsNone) {
  program(0, 0, 1000);
  std::uint64_t const due = clock.deadline();
  clock.cancel();
  board.call_deadline(0, context);  // armed by what was programmed before
  EXPECT_EQ(wire.raised(), 0U);
  EXPECT_EQ(clock.deadline(), due);
}

TEST_F(Pit, TheHighestRateCostsTheHostLittle) {
  std::uint64_t const start = time.now();
  for (unsigned const value : {1U, 2U, 3U, 100U}) {
    program(0, value % 2 == 0 ? 2 : 3, value);
    std::uint64_t const before = wire.raised() + pit.missed();
    std::uint64_t const from = tick;
    int const served = serve_until(time.now() + 1'000'000'000);
    EXPECT_GE(served, 4'900) << value;
    EXPECT_LE(served, 5'001) << value;
    std::uint64_t const rises = (tick - from - 1) / std::max(value, 2U);
    EXPECT_NEAR(static_cast<double>(wire.raised() + pit.missed() - before),
                static_cast<double>(rises), 200.0)
        << value;
  }
  EXPECT_LE(wire.raised(), (time.now() - start) / 200'000 + 10);
}

TEST_F(Pit, OneShotsAreNotHeldBack) {
  for (int round = 0; round < 100; ++round) {
    program(0, 4, 15);
    EXPECT_EQ(serve_until(time.now() + 20'000), 1);
  }
  EXPECT_EQ(wire.raised(), 100U);
}

// --- The whole

TEST_F(Pit, StateGoesRound) {
  std::mt19937 random{9};
  std::uint16_t const ports[] = {0x40, 0x41, 0x42, 0x43, 0x61};
  Board other;
  TimeSource other_time = TimeSource::manual(1'000'000);
  Clock other_clock{other_time};
  Context<Clock, IrqLine> other_context{other_clock, line};
  for (int round = 0; round < 3000; ++round) {
    out(ports[random() % 5], random() & 0xFF);
    to(tick + random() % 300);
    other_time.set(Pit8254::time_of(Pit8254::tick_at(other_time.now()) + random() % 300));
    Pit8254::State const state = pit.save(clock);
    other.get<"pit">().load(state, other_clock);
    ASSERT_EQ(other.get<"pit">().save(other_clock), state);
    std::uint64_t const ahead = Pit8254::tick_at(clock.deadline()) - tick;
    if (clock.deadline() != Clock::never && clock.deadline() > time.now()) {
      // The pause after a pulse is the host's, and not saved.
      ASSERT_LE(Pit8254::tick_at(other_clock.deadline()) - Pit8254::tick_at(other_time.now()),
                ahead);
    }
    for (std::uint16_t const port : {ports[0], ports[1], ports[2]})
      ASSERT_EQ(other.in<std::uint8_t>(port, other_context), in(port));
    ASSERT_EQ(other.in<std::uint8_t>(0x61, other_context) & 0xEF, in(0x61) & 0xEF);
  }
}

TEST_F(Pit, ARiseThatNobodyWasToldOfIsSaved) {
  program(0, 4, 1000);
  pass(2000);
  Pit8254::State const state = pit.save(clock);
  EXPECT_TRUE(state.rise_waits);
  Board other;
  other.get<"pit">().load(state, clock);
  ASSERT_TRUE(clock.take_due(time.now()));
  other.call_deadline(0, context);
  EXPECT_EQ(wire.raised(), 1U);
  EXPECT_EQ(clock.deadline(), Clock::never);
  EXPECT_FALSE(other.get<"pit">().save(clock).rise_waits);
}

TEST_F(Pit, NoBytesOfAGuestDoHarm) {
  std::mt19937 random{13};
  std::uint16_t const ports[] = {0x40, 0x41, 0x42, 0x43, 0x61};
  for (int round = 0; round < 200'000; ++round) {
    std::uint16_t const port = ports[random() % 5];
    if (random() % 2 == 0)
      out(port, random() & 0xFF);
    else
      (void)in(port);
    if (random() % 4 == 0) to(tick + random() % 5000);
    if (clock.take_due(time.now())) board.call_deadline(0, context);
    ASSERT_TRUE(clock.deadline() > time.now() || clock.deadline() == Clock::never);
  }
}

TEST_F(Pit, IsSafeFromSeveralThreads) {
  static_assert(Board::safe_for_threads);
  TimeSource real;
  Clock real_clock{real};
  Context<Clock, IrqLine> shared{real_clock, line};
  std::atomic<bool> done{false};
  std::thread services{[&] {
    Context<Clock, IrqLine> mine{real_clock, line};
    while (!done)
      if (real_clock.take_due(real.now())) board.call_deadline(0, mine);
  }};
  for (int round = 0; round < 2000; ++round) {
    board.out(0x43, std::uint8_t{0x34}, shared);
    board.out(0x40, std::uint8_t{20}, shared);
    board.out(0x40, std::uint8_t{0}, shared);
    (void)board.in<std::uint8_t>(0x40, shared);
  }
  std::uint64_t const before = wire.raised();
  while (wire.raised() < before + 3) std::this_thread::yield();
  done = true;
  services.join();
}

}  // namespace
}  // namespace portico
