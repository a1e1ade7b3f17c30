// The MC146818 after its data sheet: calendar, update cycle, alarm, interrupts, memory.
#include <gtest/gtest.h>

#include <time.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/devices/mc146818.hpp>

namespace portico {
namespace {

constexpr std::uint64_t second = 1'000'000'000;

// --- Dates

TEST(Calendar, AgreesWithTheCLibrary) {
  for (std::int64_t day = -150'000; day < 3'000'000; day += 97) {
    std::int64_t const seconds = day * 86'400 + (day * 7919 % 86'400 + 86'400) % 86'400;
    time_t const given = seconds;
    tm expected{};
    ::gmtime_r(&given, &expected);
    CalendarDate const date = date_of(seconds);
    ASSERT_EQ(date.year, expected.tm_year + 1900) << seconds;
    ASSERT_EQ(date.month, expected.tm_mon + 1) << seconds;
    ASSERT_EQ(date.day, expected.tm_mday) << seconds;
    ASSERT_EQ(date.hour, expected.tm_hour) << seconds;
    ASSERT_EQ(date.minute, expected.tm_min) << seconds;
    ASSERT_EQ(date.second, expected.tm_sec) << seconds;
    ASSERT_EQ(date.weekday, static_cast<unsigned>(expected.tm_wday)) << seconds;
    ASSERT_EQ(seconds_of(date), seconds);
  }
}

TEST(Calendar, CountsOnFromWhatIsNoDate) {
  EXPECT_EQ(date_of(seconds_of({2023, 2, 30, 24, 60, 60})).day, 3);
  EXPECT_EQ(date_of(seconds_of({2023, 14, 1, 0, 0, 0})).month, 2);
  EXPECT_EQ(date_of(seconds_of({2023, 0, 1, 0, 0, 0})).year, 2022);
  EXPECT_EQ(date_of(seconds_of({2024, 3, 0, 0, 0, 0})).day, 29);
}

// --- The alarm against looking at every second

bool matches(std::uint8_t wanted, std::uint8_t shown) { return wanted >= 0xC0 || wanted == shown; }

TEST(Alarm, ComesAtTheFirstSecondThatLooksLikeIt) {
  std::mt19937 random{21};
  int found = 0;
  for (int round = 0; round < 400; ++round) {
    ClockFormat const format{random() % 2 == 0, random() % 2 == 0};
    // Mostly bytes that a clock shows: else nothing would ever match.
    auto const draw = [&](std::uint8_t shown) {
      unsigned const lot = random() % 8;
      return static_cast<std::uint8_t>(lot < 3                      ? 0xC0 | (random() & 0x3F)
                                       : lot == 7 && round % 8 == 0 ? random() & 0xFF
                                                                    : shown);
    };
    auto const below = [&](unsigned end) { return static_cast<std::int64_t>(random() % end); };
    ClockAlarm const alarm{draw(format.encode(below(60))), draw(format.encode(below(60))),
                           draw(format.encode_hour(below(24)))};
    auto const start = static_cast<std::int64_t>(random() % 200'000) - 100'000;
    std::int64_t expected = ClockAlarm::never;
    for (std::int64_t at = start + 1; at <= start + 86'400; ++at) {
      CalendarDate const date = date_of(at);
      if (!matches(alarm.hour, format.encode_hour(date.hour)) ||
          !matches(alarm.minute, format.encode(date.minute)) ||
          !matches(alarm.second, format.encode(date.second)))
        continue;
      expected = at;
      break;
    }
    ASSERT_EQ(alarm.next(start, format), expected) << round;
    found += expected != ClockAlarm::never ? 1 : 0;
  }
  EXPECT_GT(found, 300);
  EXPECT_LT(found, 400);
}

// --- The device

using Device = Mc146818<FixedWallClock>;
using Board = DeviceMap<Port<0x70, Device, Irq<8>, Named<"rtc">>>;

/// 1999-12-31 23:59:50.25, a Friday.
constexpr std::int64_t new_year = 946'684'800;
constexpr std::int64_t begin = (new_year - 10) * 1'000'000'000 + 250'000'000;

struct Rtc : testing::Test {
  TimeSource time = TimeSource::manual(7'000);
  Clock clock{time};
  IrqWire wire{};
  IrqLine line{wire};
  Context<Clock, IrqLine> context{clock, line};
  Board board = make(begin);
  Device& rtc = board.get<"rtc">();

  Rtc() { (void)get(0); }  // the clock begins with the first access

  static Board make(std::int64_t wall) {
    return Board{[wall] { return Device{FixedWallClock{wall}}; }};
  }

  unsigned get(unsigned index) {
    EXPECT_TRUE(board.out(0x70, static_cast<std::uint8_t>(index), context));
    return board.in<std::uint8_t>(0x71, context);
  }

  void put(unsigned index, unsigned value) {
    EXPECT_TRUE(board.out(0x70, static_cast<std::uint8_t>(index), context));
    EXPECT_TRUE(board.out(0x71, static_cast<std::uint8_t>(value), context));
  }

  void pass(std::uint64_t nanoseconds) { time.set(time.now() + nanoseconds); }

  /// Time passes and deadlines are met; how many there were.
  int serve(std::uint64_t nanoseconds) {
    std::uint64_t const end = time.now() + nanoseconds;
    int served = 0;
    while (clock.deadline() <= end) {
      if (clock.deadline() > time.now()) time.set(clock.deadline());
      EXPECT_TRUE(clock.take_due(time.now()));
      board.call_deadline(0, context);
      ++served;
    }
    time.set(end);
    return served;
  }

  /// "CCYY-MM-DD W hh:mm:ss" from the bytes, in hexadecimal.
  std::string shown() {
    char text[64];
    std::snprintf(text, sizeof text, "%02x%02x-%02x-%02x %x %02x:%02x:%02x", get(0x32), get(9),
                  get(8), get(7), get(6), get(4), get(2), get(0));
    return text;
  }
};

TEST_F(Rtc, ShowsTheWallClocksTime) {
  EXPECT_EQ(shown(), "1999-12-31 6 23:59:50");
  pass(749'999'999);
  EXPECT_EQ(get(0), 0x50U);
  pass(1);
  EXPECT_EQ(get(0), 0x51U);
  pass(9 * second);
  EXPECT_EQ(shown(), "2000-01-01 7 00:00:00");
  pass(59 * 86'400 * second);
  EXPECT_EQ(shown(), "2000-02-29 3 00:00:00");
  pass(86'400 * second);
  EXPECT_EQ(shown(), "2000-03-01 4 00:00:00");
}

TEST_F(Rtc, IsSetUpAsFirmwareLeavesIt) {
  EXPECT_EQ(get(0x0A), 0x26U);
  EXPECT_EQ(get(0x0B), 0x02U);
  EXPECT_EQ(get(0x0C), 0x00U);
  EXPECT_EQ(get(0x0D), 0x80U);
  EXPECT_EQ(clock.deadline(), Clock::never);
}

TEST_F(Rtc, TheIndexIsWriteOnlyAndMasksNmi) {
  EXPECT_EQ(board.in<std::uint8_t>(0x70, context), 0xFFU);
  EXPECT_FALSE(rtc.nmi_masked());
  EXPECT_EQ(get(0x8D), 0x80U);
  EXPECT_TRUE(rtc.nmi_masked());
  (void)get(0x0D);
  EXPECT_FALSE(rtc.nmi_masked());
}

struct Format {
  unsigned register_b;
  std::int64_t hour;
  unsigned shown;
};

TEST_F(Rtc, HasFourFormats) {
  for (Format const& format : std::vector<Format>{{0x02, 0, 0x00},
                                                  {0x02, 12, 0x12},
                                                  {0x02, 23, 0x23},
                                                  {0x06, 0, 0},
                                                  {0x06, 12, 12},
                                                  {0x06, 23, 23},
                                                  {0x00, 0, 0x12},
                                                  {0x00, 1, 0x01},
                                                  {0x00, 11, 0x11},
                                                  {0x00, 12, 0x92},
                                                  {0x00, 13, 0x81},
                                                  {0x00, 23, 0x91},
                                                  {0x04, 0, 12},
                                                  {0x04, 11, 11},
                                                  {0x04, 12, 0x8C},
                                                  {0x04, 13, 0x81},
                                                  {0x04, 23, 0x8B}}) {
    put(0x0B, format.register_b | 0x80);
    put(4, format.shown);
    put(2, (format.register_b & 4) != 0 ? 45 : 0x45);
    put(0x0B, format.register_b);
    EXPECT_EQ(get(4), format.shown) << format.register_b << ' ' << format.hour;
    put(0x0B, 0x06);  // the time stays, the format changes
    EXPECT_EQ(get(4), static_cast<unsigned>(format.hour));
    EXPECT_EQ(get(2), 45U);
  }
}

TEST_F(Rtc, StandsStillWhileItIsSet) {
  put(0x0B, 0x82);
  pass(100 * second);
  EXPECT_EQ(shown(), "1999-12-31 6 23:59:50");
  unsigned const bytes[][2] = {{0, 0x58}, {2, 0x59}, {4, 0x22}, {6, 0x03},
                               {7, 0x28}, {8, 0x02}, {9, 0x04}, {0x32, 0x20}};
  for (auto const& [index, value] : bytes) put(index, value);
  EXPECT_EQ(shown(), "2004-02-28 3 22:59:58");
  put(7, 0xEE);  // no date; it reads as it was written
  EXPECT_EQ(get(7), 0xEEU);
  put(7, 0x28);
  put(0x0B, 0x02);
  EXPECT_EQ(shown(), "2004-02-28 3 22:59:58");
  // The divider chain went on all the time: the next second begins where it would have.
  pass(749'999'999);
  EXPECT_EQ(get(0), 0x58U);
  pass(1);
  EXPECT_EQ(get(0), 0x59U);
  pass(3601 * second);
  EXPECT_EQ(shown(), "2004-02-29 4 00:00:00");
}

TEST_F(Rtc, TakesASingleByteWhileItRuns) {
  put(2, 0x30);
  EXPECT_EQ(shown(), "1999-12-31 6 23:30:50");
  put(9, 0x05);
  EXPECT_EQ(shown(), "1905-12-31 6 23:30:50");
  put(0x32, 0x20);
  EXPECT_EQ(shown(), "2005-12-31 6 23:30:50");
  put(6, 0x02);
  pass(86'400 * second);
  EXPECT_EQ(shown(), "2006-01-01 3 23:30:50");
  put(8, 0x02);
  put(7, 0x31);  // three days too late
  EXPECT_EQ(shown().substr(0, 10), "2006-03-03");
}

TEST_F(Rtc, UpdateInProgressComesBeforeTheSecond) {
  for (int round = 0; round < 3; ++round) {
    std::uint64_t const rest = second - (250'000'000 + (time.now() - 7'000)) % second;
    pass(rest - 2'228'001);
    EXPECT_EQ(get(0x0A), 0x26U);
    unsigned const seconds = get(0);
    pass(1);
    EXPECT_EQ(get(0x0A), 0xA6U);
    EXPECT_EQ(get(0), seconds);
    put(0x0B, 0x82);  // SET stops it
    EXPECT_EQ(get(0x0A), 0x26U);
    put(0x0B, 0x02);
    pass(2'227'999);
    EXPECT_EQ(get(0x0A), 0xA6U);
    pass(1);
    EXPECT_EQ(get(0x0A), 0x26U);
    EXPECT_NE(get(0), seconds);
  }
  put(0x0A, 0xA6);  // read-only
  EXPECT_EQ(get(0x0A), 0x26U);
}

TEST_F(Rtc, ADividerResetStartsTheSecondHalfway) {
  for (unsigned const reset : {0x60U, 0x70U}) {
    put(0x0A, reset);
    std::string const before = shown();
    pass(12'345'678'901);
    EXPECT_EQ(shown(), before);
    EXPECT_EQ(get(0x0A), reset);
    unsigned const seconds = get(0);
    put(0x0A, 0x26);
    pass(499'999'999);
    EXPECT_EQ(get(0), seconds);
    pass(1);
    EXPECT_NE(get(0), seconds);
    pass(999'999'999);
    unsigned const next = get(0);
    pass(1);
    EXPECT_NE(get(0), next);
  }
}

TEST_F(Rtc, ADividerThatIsSetToATestStops) {
  put(0x0A, 0x36);
  pass(10 * second);
  EXPECT_EQ(get(0), 0x50U);
  EXPECT_EQ(get(0x0C), 0U);
}

// --- Interrupts

TEST_F(Rtc, SetsFlagsWithoutInterrupts) {
  put(0x0A, 0x2F);  // 2 Hz
  (void)get(0x0C);
  pass(second);
  EXPECT_EQ(get(0x0C), 0x50U);
  EXPECT_EQ(get(0x0C), 0x00U);
  put(0x0A, 0x20);  // no period
  pass(second);
  EXPECT_EQ(get(0x0C), 0x10U);
  put(0x0C, 0xFF);
  put(0x0D, 0x00);
  EXPECT_EQ(get(0x0C), 0x00U);
  EXPECT_EQ(get(0x0D), 0x80U);
  put(1, 0xC0);
  put(3, 0xC0);
  put(5, 0xC0);
  pass(second);
  EXPECT_EQ(get(0x0C), 0x30U);
  EXPECT_EQ(wire.raised(), 0U);
  EXPECT_EQ(clock.deadline(), Clock::never);
}

struct Rate {
  unsigned select;
  int per_second;
};

TEST_F(Rtc, InterruptsAtEachRate) {
  for (Rate const& rate : std::vector<Rate>{{1, 256},
                                            {2, 128},
                                            {3, 8192},
                                            {4, 4096},
                                            {5, 2048},
                                            {6, 1024},
                                            {7, 512},
                                            {8, 256},
                                            {9, 128},
                                            {10, 64},
                                            {11, 32},
                                            {12, 16},
                                            {13, 8},
                                            {14, 4},
                                            {15, 2},
                                            {0, 0}}) {
    put(0x0B, 0x02);
    put(0x0A, 0x20 | rate.select);
    (void)get(0x0C);
    put(0x0B, 0x42);
    std::uint64_t const end = time.now() + 3 * second;
    int interrupts = 0;
    std::uint64_t const before = wire.raised();
    while (clock.deadline() <= end) {
      time.set(clock.deadline());
      ASSERT_TRUE(clock.take_due(time.now()));
      board.call_deadline(0, context);
      ASSERT_EQ(get(0x0C) & 0xC0, 0xC0U);
      ++interrupts;
    }
    time.set(end);
    EXPECT_EQ(interrupts, 3 * rate.per_second) << rate.select;
    EXPECT_EQ(wire.raised() - before, static_cast<std::uint64_t>(interrupts));
  }
}

TEST_F(Rtc, GivesNoInterruptBeforeRegisterCIsRead) {
  put(0x0A, 0x23);  // 8192 Hz
  put(0x0B, 0x42);
  EXPECT_EQ(serve(5 * second), 1);
  EXPECT_EQ(wire.raised(), 1U);
  EXPECT_EQ(clock.deadline(), Clock::never);
  EXPECT_EQ(get(0x0C), 0xD0U);
  EXPECT_GT(clock.deadline(), time.now());
  EXPECT_LE(clock.deadline(), time.now() + 122'071);
}

TEST_F(Rtc, InterruptsAtTheEndOfAnUpdate) {
  put(0x0B, 0x12);
  EXPECT_EQ(clock.deadline(), 7'000 + 750'000'000U);
  EXPECT_EQ(serve(750'000'000), 1);
  EXPECT_EQ(wire.raised(), 1U);
  EXPECT_EQ(get(0), 0x51U);
  EXPECT_EQ(get(0x0C), 0xD0U);
  EXPECT_EQ(clock.deadline(), time.now() + second);
  put(0x0B, 0x92);  // SET clears UIE
  EXPECT_EQ(get(0x0B), 0x82U);
  EXPECT_EQ(clock.deadline(), Clock::never);
  put(0x0B, 0x02);
  EXPECT_EQ(get(0x0B), 0x02U);
}

TEST_F(Rtc, AFlagInterruptsWhenItIsEnabled) {
  pass(second);
  EXPECT_EQ(wire.raised(), 0U);
  put(0x0B, 0x12);
  EXPECT_EQ(wire.raised(), 1U);
  EXPECT_EQ(get(0x0C), 0xD0U);
  pass(second);
  put(0x0B, 0x02);
  put(0x0B, 0x22);               // the alarm has not come
  EXPECT_EQ(wire.raised(), 2U);  // but the deadline before that was late
  EXPECT_EQ(get(0x0C), 0x50U);
}

TEST_F(Rtc, SetDoesNotStopThePeriodicInterrupt) {
  put(0x0A, 0x2F);
  put(0x0B, 0xC2);
  EXPECT_EQ(serve(second), 1);
  EXPECT_EQ(get(0x0C), 0xC0U);  // no update has ended
  put(0x0A, 0x6F);              // the reset does
  EXPECT_EQ(clock.deadline(), Clock::never);
  EXPECT_EQ(serve(10 * second), 0);
  EXPECT_EQ(get(0x0C), 0U);
}

struct AlarmCase {
  unsigned second, minute, hour;
  std::uint64_t after;  ///< seconds after 23:59:50 on which it comes first
  std::uint64_t then;   ///< seconds from that to the next; 0 for never
};

TEST_F(Rtc, InterruptsAtTheAlarm) {
  for (AlarmCase const& test : std::vector<AlarmCase>{{0x55, 0x59, 0x23, 5, 86'400},
                                                      {0x50, 0x59, 0x23, 86'400, 86'400},
                                                      {0x00, 0x00, 0x00, 10, 86'400},
                                                      {0x30, 0xC0, 0xC0, 40, 60},
                                                      {0x30, 0x15, 0xC0, 940, 3600},
                                                      {0x30, 0xFF, 0x01, 3640, 60},
                                                      {0xC0, 0x01, 0xC0, 70, 1},
                                                      {0xC0, 0xC0, 0xFF, 1, 1},
                                                      {0x5A, 0x00, 0x00, 0, 0},
                                                      {0x00, 0x60, 0x00, 0, 0},
                                                      {0x00, 0x00, 0x24, 0, 0}}) {
    put(0x0B, 0x82);
    put(0, 0x50);
    put(2, 0x59);
    put(4, 0x23);
    put(1, test.second);
    put(3, test.minute);
    put(5, test.hour);
    put(0x0B, 0x02);
    // From the beginning of a second.
    put(0x0A, 0x66);
    put(0x0A, 0x26);
    serve(500'000'000);
    put(0, 0x50);
    (void)get(0x0C);
    put(0x0B, 0x22);
    std::uint64_t const start = time.now();
    std::uint64_t const raised = wire.raised();
    if (test.then == 0) {
      EXPECT_EQ(clock.deadline(), Clock::never) << std::hex << test.second;
      continue;
    }
    EXPECT_EQ(clock.deadline(), start + test.after * second) << std::hex << test.second;
    EXPECT_EQ(serve(test.after * second), 1);
    EXPECT_EQ(wire.raised(), raised + 1);
    EXPECT_EQ(get(0x0C) & 0xA0, 0xA0U);
    EXPECT_EQ(clock.deadline(), time.now() + test.then * second) << std::hex << test.second;
  }
}

TEST_F(Rtc, TheAlarmHasTheTimesFormat) {
  put(0x0B, 0x24);  // binary, 12 hours
  put(1, 0);
  put(3, 30);
  put(5, 0x81);  // 1 PM
  EXPECT_EQ(clock.deadline(), time.now() + (9 + 13 * 3600 + 1800) * second + 750'000'000);
  put(5, 0x01);
  EXPECT_EQ(clock.deadline(), time.now() + (9 + 3600 + 1800) * second + 750'000'000);
  put(5, 0x0D);  // no hour of twelve
  EXPECT_EQ(clock.deadline(), Clock::never);
}

TEST_F(Rtc, FindsAnAlarmBetweenTwoLooks) {
  put(1, 0x00);
  put(3, 0x00);
  put(5, 0x00);
  (void)get(0x0C);
  pass(5 * second);
  EXPECT_EQ(get(0x0C), 0x50U);
  pass(3600 * second);
  EXPECT_EQ(get(0x0C), 0x70U);
  pass(3600 * second);
  EXPECT_EQ(get(0x0C), 0x50U);
  pass(40 * 86'400 * second);
  EXPECT_EQ(get(0x0C), 0x70U);
}

// --- Memory

TEST_F(Rtc, KeepsBytes) {
  for (unsigned index = 0x0E; index < 0x80; ++index)
    if (index != 0x32) put(index, index ^ 0xA5);
  for (unsigned index = 0x0E; index < 0x80; ++index) {
    if (index != 0x32) {
      EXPECT_EQ(get(index), index ^ 0xA5);
    }
  }
}

struct Memory {
  std::uint64_t below, above;
  unsigned base, extended, above_16m, above_4g;
};

TEST_F(Rtc, TellsTheSizeOfMemory) {
  auto const expect_checksum = [&] {
    unsigned sum = 0;
    for (unsigned index = 0x10; index < 0x2E; ++index) sum += get(index);
    EXPECT_GT(sum, 0U);
    EXPECT_EQ(get(0x2E) << 8 | get(0x2F), sum);
  };
  constexpr std::uint64_t mib = 1024 * 1024;
  for (Memory const& memory :
       std::vector<Memory>{{512 * 1024, 0, 512, 0, 0, 0},
                           {mib, 0, 640, 0, 0, 0},
                           {8 * mib, 0, 640, 7 * 1024, 0, 0},
                           {128 * mib, 0, 640, 0xFFFF, 112 * 16, 0},
                           {3072 * mib, 5120 * mib, 640, 0xFFFF, 3056 * 16, 5120 * 16},
                           {3072 * mib, 2'000'000 * mib, 640, 0xFFFF, 3056 * 16, 0xFFFFFF}}) {
    rtc.set_memory(memory.below, memory.above);
    EXPECT_EQ(get(0x15) | get(0x16) << 8, memory.base);
    EXPECT_EQ(get(0x17) | get(0x18) << 8, memory.extended);
    EXPECT_EQ(get(0x30) | get(0x31) << 8, memory.extended);
    EXPECT_EQ(get(0x34) | get(0x35) << 8, memory.above_16m);
    EXPECT_EQ(get(0x5B) | get(0x5C) << 8 | get(0x5D) << 16, memory.above_4g);
    expect_checksum();
  }
  rtc.set_byte(0x14, 0x2F);
  EXPECT_EQ(get(0x14), 0x2FU);
  expect_checksum();
}

// --- The whole

TEST_F(Rtc, StateGoesRound) {
  std::mt19937_64 random{17};
  for (int round = 0; round < 3000; ++round) {
    auto const index =
        static_cast<unsigned>(random() % 3 == 0 ? 0x0A + random() % 2 : random() % 0x34);
    // A guest that runs mostly: else it would stand still nearly always.
    std::uint64_t const bits = random();
    bool const any = random() % 4 == 0;
    auto const value = static_cast<unsigned>(index == 0x0A   ? 0x20 | (bits & (any ? 0x4F : 0x0F))
                                             : index == 0x0B ? bits & (any ? 0xFF : 0x7F)
                                                             : bits & 0x99);
    put(index, value);
    pass(random() % (3 * second));
    Device::State const state = rtc.save(clock);
    // Another host, another wall clock, another time: `ahead` is against the wall.
    Board other = make(begin + static_cast<std::int64_t>(random() % 1'000'000'000'000));
    TimeSource other_time = TimeSource::manual(random() % 1'000'000'000'000);
    Clock other_clock{other_time};
    Context<Clock, IrqLine> other_context{other_clock, line};
    other.get<"rtc">().load(state, other_clock);
    ASSERT_EQ(other.get<"rtc">().save(other_clock), state);
    Board same = make(begin);
    same.get<"rtc">().load(state, other_clock);
    if (clock.deadline() > time.now() && clock.deadline() != Clock::never) {
      ASSERT_EQ(other_clock.deadline() - other_time.now(), clock.deadline() - time.now());
    }
    for (unsigned const byte : {0U, 2U, 4U, 6U, 7U, 8U, 9U, 0x32U, 0x0AU, 0x0BU, 0x0CU}) {
      unsigned const expected = get(byte);
      same.out(0x70, static_cast<std::uint8_t>(byte), other_context);
      unsigned const seen = same.in<std::uint8_t>(0x71, other_context);
      ASSERT_EQ(seen, expected) << byte;
    }
  }
}

TEST_F(Rtc, AFlagThatNobodyWasToldOfIsLoaded) {
  put(0x0B, 0x12);
  pass(10 * second);
  Device::State const state = rtc.save(clock);
  Board other = make(begin);
  other.get<"rtc">().load(state, clock);
  ASSERT_TRUE(clock.take_due(time.now()));
  other.call_deadline(0, context);
  EXPECT_EQ(wire.raised(), 1U);
}

TEST_F(Rtc, ARestoredClockHasGoneOn) {
  put(2, 0x30);  // 29 minutes slow
  Device::State const state = rtc.save(clock);
  EXPECT_EQ(state.chip.ahead, -29 * 60);
  EXPECT_EQ(state.chip.ahead_nanoseconds, 0U);
  board.get<"rtc">().load(state, clock);
  EXPECT_EQ(shown(), "1999-12-31 6 23:30:50");
  Board later = make(begin + 3'600'000'000'000);
  later.get<"rtc">().load(state, clock);
  later.out(0x70, std::uint8_t{4}, context);
  EXPECT_EQ(later.in<std::uint8_t>(0x71, context), 0x00U);
}

TEST_F(Rtc, ReadsTheHostsClock) {
  DeviceMap<Port<0x70, Mc146818<>, Irq<8>>> real;
  real.out(0x70, std::uint8_t{9}, context);
  std::int64_t const now = HostWallClock{}.now() / 1'000'000'000;
  unsigned const year = real.in<std::uint8_t>(0x71, context);
  EXPECT_EQ(year, ClockFormat{}.encode(date_of(now).year % 100));
  EXPECT_GT(now, 1'700'000'000);
}

TEST_F(Rtc, NoBytesOfAGuestDoHarm) {
  std::mt19937_64 random{19};
  auto const lot = [](std::uint64_t number) { return static_cast<unsigned>(number & 0xFF); };
  for (int round = 0; round < 200'000; ++round) {
    put(lot(random() % 3 == 0 ? 0x0A + random() % 2 : random() % 128), lot(random()));
    (void)get(lot(random() % 128));
    if (random() % 4 == 0) pass(random() % (100'000 * second));
    if (clock.take_due(time.now())) board.call_deadline(0, context);
    ASSERT_TRUE(clock.deadline() > time.now()) << clock.deadline() << ' ' << time.now();
  }
}

TEST_F(Rtc, IsSafeFromSeveralThreads) {
  static_assert(Board::safe_for_threads);
  TimeSource real;
  Clock real_clock{real};
  Context<Clock, IrqLine> shared{real_clock, line};
  std::atomic<bool> done{false};
  auto const put_there = [&](std::uint8_t index, std::uint8_t value) {
    board.out(0x70, index, shared);
    board.out(0x71, value, shared);
  };
  put_there(0x0A, 0x23);
  put_there(0x0B, 0x42);
  std::thread services{[&] {
    Context<Clock, IrqLine> mine{real_clock, line};
    while (!done)
      if (real_clock.take_due(real.now())) board.call_deadline(0, mine);
  }};
  // Each interrupt is answered by a read of register C, without which there is no other.
  board.out(0x70, std::uint8_t{0x0C}, shared);
  std::uint64_t const end = real.now() + 30 * second;
  while (wire.raised() < 200 && real.now() < end) (void)board.in<std::uint8_t>(0x71, shared);
  done = true;
  services.join();
  EXPECT_GE(wire.raised(), 200U);
}

}  // namespace
}  // namespace portico
