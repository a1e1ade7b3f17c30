// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// The MC146818 against QEMU's mc146818rtc, whose clock is the virtual machine's here.
//
// Not drawn: bytes that are no date or time, years before 1970, settings of the divider other than
// 000 to 010 and reset, and the byte 0x37, which QEMU takes for the century.
#include <array>
#include <cstdint>
#include <vector>

#include <portico/devices/mc146818.hpp>

#include "differential.hpp"

namespace portico::test {
namespace {

constexpr std::uint64_t second = 1'000'000'000;

using Device = Mc146818<FixedWallClock>;
using Board = DeviceMap<Port<0x70, Device, Irq<8>>>;

/// The registers that differences depend on.
struct ControlRegisters {
  std::uint64_t a = 0, b = 0;

  [[nodiscard]] bool is_set() const { return (b & 0x80) != 0; }

  [[nodiscard]] bool is_reset() const { return (a & 0x60) == 0x60; }

  [[nodiscard]] bool has_period() const { return (a & 0x0F) != 0; }

  [[nodiscard]] bool hours24() const { return (b & 0x02) != 0; }
};

struct CmosModel : BoardModel<Board> {
  explicit CmosModel(std::uint64_t now) : BoardModel<Board>{now} {}

  std::uint64_t in(std::uint16_t port, std::uint8_t width) {
    if (index == 0x0C) {
      set_since_read = false;
      has_period_since_read = registers.has_period();
    }
    note();
    return BoardModel<Board>::in(port, width);
  }

  void out(std::uint16_t port, std::uint8_t width, std::uint64_t value) {
    if (port < 0x70) return;
    bool const is_time = index <= 9 && index != 1 && index != 3 && index != 5;
    bool const runs = !registers.is_set() && !registers.is_reset();
    if (port == 0x70)
      index = static_cast<std::uint8_t>(value & 0x7F);
    else if (index == 0x0A)
      write_a(value);
    else if (index == 0x0B)
      registers.b = value;
    else if (runs && (is_time || index == 0x32))
      restarted = true;
    BoardModel<Board>::out(port, width, value);
    note();
  }

  std::vector<std::uint64_t> advance(std::uint64_t nanoseconds) {
    if (nanoseconds > 0 && registers.is_set()) set_since_read = true;
    return BoardModel<Board>::advance(nanoseconds);
  }

  /// IRQF; the line itself gets pulses.
  std::uint32_t lines() {
    auto const state = board().get<Device>().save(service<Clock, 0>());
    return (state.chip.bytes[0x0C] & 0x80) != 0 ? 1U << 8 : 0;
  }

  ControlRegisters registers{};
  std::uint8_t index = 0;
  bool restarted = false;              ///< QEMU's second began anew with a byte of the time
  bool released = false;               ///< a reset ended while SET was 1
  bool set_since_read = false;         ///< time has passed with SET since C was read
  bool has_period_since_read = false;  ///< there was a period since C was read
  bool was_12_hours = false;
  bool was_now = false;      ///< an access came in the very second of an alarm that repeats
  bool was_no_time = false;  ///< an alarm byte was one that no clock shows

 private:
  void write_a(std::uint64_t value) {
    bool const was_reset = registers.is_reset();
    registers.a = value;
    if (was_reset && !registers.is_reset() && registers.is_set()) released = true;
  }

  void note() {
    has_period_since_read = has_period_since_read || registers.has_period();
    was_12_hours = was_12_hours || !registers.hours24();
    Chip146818::State const chip = board().get<Device>().save(service<Clock, 0>()).chip;
    auto const& bytes = chip.bytes;
    ClockFormat const format{(registers.b & 4) != 0, registers.hours24()};
    auto const is_time = [&](std::uint8_t byte, std::int64_t end) {
      std::int64_t const value = format.decode(byte);
      return byte >= 0xC0 || (value < end && format.encode(value) == byte);
    };
    was_no_time = was_no_time || !is_time(bytes[1], 60) || !is_time(bytes[3], 60) ||
                  (registers.hours24() && !is_time(bytes[5], 24));
    // The wall clock stands at 0: what the chip is ahead of it is its time.
    ClockAlarm const alarm{bytes[1], bytes[3], bytes[5]};
    bool const repeats = bytes[3] >= 0xC0 || bytes[5] >= 0xC0;
    was_now = was_now || (repeats && alarm.next(chip.ahead - 1, format) == chip.ahead);
  }
};

constexpr Difference weekday{
    "day of the week", "is made from the date",
    "MC146818A, \"Time, calendar, and alarm locations\": a counter of its own"};
constexpr Difference update_cycle{"UIP", "244 us before the second only",
                                  "MC146818A, table 6: 244 us, and an update cycle of 1984 us"};
constexpr Difference no_update{"flags while SET is 1", "UF and AF go on",
                               "MC146818A, \"Update cycle\": not while SET is 1"};
constexpr Difference periodic{
    "periodic flag", "only with PIE, from when that is set, and in divider reset too",
    "MC146818A, \"Register C\": at an edge of the divider's tap, independent of PIE"};
constexpr Difference phase{"a byte of the time while it runs", "the second begins anew",
                           "MC146818A, \"DV2, DV1, DV0\": only a divider reset sets the phase"};
constexpr Difference release{"end of a divider reset with SET", "the divider was not reset",
                             "MC146818A, \"DV2, DV1, DV0\": the next update is in half a second"};
constexpr Difference afternoon{"alarm in 12-hour mode", "takes the time's PM bit for the alarm's",
                               "MC146818A, table 3: bit 7 of the hours alarm"};

constexpr Difference repeated{
    "alarm that repeats, in its own second", "comes the next day, not the next hour or minute",
    "MC146818A, \"Time, calendar, and alarm locations\": don't care, an alarm each hour or minute"};
constexpr Difference no_time{
    "alarm bytes that are no time", "counts on from them",
    "MC146818A, \"Time, calendar, and alarm locations\": a match of bytes"};

struct CmosSubject {
  using Model = CmosModel;

  /// Bytes of memory, for all of them.
  static constexpr std::uint8_t memory[] = {0x0E, 0x10, 0x31, 0x7F};

  static Setup setup() {
    Setup setup;
    setup.arguments = {"-machine", "pc,hpet=off", "-nodefaults", "-rtc", "clock=vm"};
    setup.lines = 1U << 8;
    setup.differences = {&weekday, &update_cycle, &no_update, &periodic, &phase,
                         &release, &afternoon,    &no_time,   &repeated};
    // QEMU's timer of port 0x40 stops, or it would work off all its interrupts in each long step.
    setup.prologue = {out(0x43, 0x30), out(0x40, 1), out(0x40, 0)};
    // A divider reset: from here on both begin their seconds together.
    write(setup.prologue, 0x0B, 0x02);
    write(setup.prologue, 0x0A, 0x60);
    write(setup.prologue, 0x0A, 0x20);
    write(setup.prologue, 0x0B, 0x82);
    for (auto const& [index, value] : std::array<std::array<std::uint8_t, 2>, 11>{{{0, 0x50},
                                                                                   {2, 0x59},
                                                                                   {4, 0x23},
                                                                                   {7, 0x28},
                                                                                   {8, 0x02},
                                                                                   {9, 0x04},
                                                                                   {0x32, 0x20},
                                                                                   {1, 0x30},
                                                                                   {3, 0x40},
                                                                                   {5, 0x12},
                                                                                   {6, 0x07}}})
      write(setup.prologue, index, value);
    write(setup.prologue, 0x0B, 0x02);
    for (std::uint8_t const index : memory) write(setup.prologue, index, 0);
    read(setup.prologue, 0x0C);
    return setup;
  }

  static void write(Sequence& sequence, std::uint8_t index, std::uint64_t value) {
    sequence.push_back(out(0x70, index));
    sequence.push_back(out(0x71, value));
  }

  static void read(Sequence& sequence, std::uint8_t index) {
    sequence.push_back(out(0x70, index));
    sequence.push_back(in(0x71));
  }

  Sequence generate(Random& random) {
    Drawn drawn{.plain = random.chance(50)};
    while (drawn.sequence.size() < 120) drawn.draw(random);
    return drawn.sequence;
  }

  /// What has been drawn, and the format that it is in. Plain sequences stay away from what QEMU
  /// does otherwise, but for the day of the week and UIP.
  struct Drawn {
    bool plain;
    Sequence sequence{};
    std::uint64_t register_b = 0x02;
    std::uint64_t period = 0;

    void draw(Random& random) {
      std::uint64_t const what = random.below(100);
      if (what < 20) {
        pass(draw_time(random));
      } else if (what < 45) {
        std::uint8_t const indices[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0A, 0x0B, 0x0D, 0x32};
        read(sequence, random.one_of(indices));
      } else if (what < 60) {
        read(sequence, 0x0C);
      } else if (what < 70) {
        draw_date(random);
      } else if (what < 80) {
        draw_alarm(random);
      } else if (what < 92) {
        draw_register_b(random);
      } else if (what < 94) {
        draw_reset(random);
      } else if (what < 96) {
        if (plain) return;
        period = draw_period(random);
        write(sequence, 0x0A, 0x20 | period);
      } else {
        std::uint8_t const index = random.one_of(memory);
        write(sequence, index, random.byte());
        read(sequence, index);
      }
    }

    /// With SET no flag is to be set in the plain sequences.
    void pass(std::uint64_t nanoseconds) {
      if (plain && (register_b & 0x80) != 0) write(sequence, 0x0B, register_b &= 0x7F);
      sequence.push_back(test::advance(nanoseconds));
    }

    std::uint64_t draw_period(Random& random) const {
      return plain || random.chance(50) ? 0 : random.below(16);
    }

    void draw_reset(Random& random) {
      if (plain && (register_b & 0x80) != 0) return;
      period = draw_period(random);
      write(sequence, 0x0A, 0x60 | period);
      if (random.chance(50)) pass(draw_time(random));
      write(sequence, 0x0A, 0x20 | period);
      if (random.chance(50)) return;
      // The end of an update cycle, or before.
      pass(second / 2 - random.below(4'000'000));
      read(sequence, 0x0A);
    }

    [[nodiscard]] ClockFormat format() const {
      return {(register_b & 4) != 0, (register_b & 2) != 0};
    }

    void draw_register_b(Random& random) {
      // A format changes with SET, and all bytes are written again, as the data sheet asks for.
      bool const changes = random.chance(25);
      std::uint64_t const next = random.byte() & 0x70;
      if (!changes) {
        register_b = (register_b & 0x06) | next | (random.chance(20) ? 0x80 : 0);
        write(sequence, 0x0B, register_b);
        return;
      }
      write(sequence, 0x0B, 0x80 | (register_b & 0x06));
      register_b = random.byte() & 0x06;
      if (plain) register_b |= 2;
      write(sequence, 0x0B, 0x80 | register_b);
      constexpr std::array<std::uint8_t, 11> all{0, 2, 4, 7, 8, 9, 0x32, 6, 1, 3, 5};
      for (std::uint8_t const index : all) write(sequence, index, draw_byte(random, index));
      register_b |= next;
      write(sequence, 0x0B, register_b);
    }

    void draw_date(Random& random) {
      std::uint8_t const indices[] = {0, 2, 4, 6, 7, 8, 9, 0x32};
      std::uint8_t const index = random.one_of(indices);
      // Mostly as the data sheet asks for.
      bool const sets = (register_b & 0x80) == 0 && (plain || random.chance(90));
      if (sets) write(sequence, 0x0B, 0x80 | register_b);
      write(sequence, index, draw_byte(random, index));
      if (sets) write(sequence, 0x0B, register_b);
    }

    /// An alarm each minute, whose second it is now.
    void draw_repeated(Random& random) {
      std::uint64_t const byte = draw_byte(random, 0);
      write(sequence, 0x0B, 0x80 | register_b);
      write(sequence, 0, byte);
      write(sequence, 1, byte);
      write(sequence, 3, 0xC0);
      write(sequence, 5, 0xC0);
      read(sequence, 0x0C);
      write(sequence, 0x0B, register_b &= 0x7F);
    }

    void draw_alarm(Random& random) {
      if (!plain && random.chance(5)) return draw_repeated(random);
      std::uint8_t const indices[] = {1, 3, 5};
      std::uint8_t const index = random.one_of(indices);
      write(sequence, index,
            random.chance(60)            ? 0xC0 | random.below(64)
            : plain || random.chance(80) ? draw_byte(random, index)
                                         : random.byte());
    }

    /// A byte that is right; days only to the 28th, which every month has.
    std::uint64_t draw_byte(Random& random, std::uint8_t index) const {
      auto const draw = [&](std::uint64_t end) {
        return static_cast<std::int64_t>(random.below(end));
      };
      switch (index) {
        case 4:
        case 5:
          return format().encode_hour(draw(24));
        case 6:
          return format().encode(1 + draw(7));
        case 7:
          return format().encode(1 + draw(28));
        case 8:
          return format().encode(1 + draw(12));
        case 9:
          return format().encode(draw(100));
        case 0x32:
          return format().encode(20 + draw(2));
        default:
          return format().encode(draw(60));
      }
    }

    /// QEMU's periodic timer works off all that has passed: not too much then.
    std::uint64_t draw_time(Random& random) const {
      std::uint64_t const ends[] = {1'000,      2'000'000,     second,
                                    5 * second, 4000 * second, 100'000 * second};
      return random.below(ends[random.below(period == 0 ? 6 : 4)]);
    }
  };

  static Explanation explain(Sequence const& sequence, std::size_t step, Observed qemu,
                             Observed ours) {
    Model model{0};
    for (Step const& before : setup().prologue) carry_out(model, before);
    model.restarted = model.released = model.was_12_hours = model.was_no_time = model.was_now =
        false;
    for (std::size_t before = 0; before < step; ++before) carry_out(model, sequence[before]);
    bool const reads = sequence[step].kind == Step::Kind::in;
    bool const set_since_read = model.set_since_read;
    bool const has_period = model.has_period_since_read;
    if (!reads) carry_out(model, sequence[step]);
    if (model.restarted) return {&phase, true};
    if (model.released) return {&release, true};
    std::uint64_t const difference = qemu.value ^ ours.value;
    if (reads && qemu.lines == ours.lines) {
      if (model.index == 6) return {&weekday};
      if (model.index == 0x0A) return {(ours.value & difference) == 0x80 ? &update_cycle : nullptr};
      if (model.index != 0x0C) return {};
    }
    // Flags, or the line, which is their sum.
    if (has_period || model.has_period_since_read) return {&periodic};
    if (set_since_read || model.set_since_read) return {&no_update};
    if (model.was_12_hours) return {&afternoon, true};
    if (model.was_no_time) return {&no_time, true};
    if (model.was_now) return {&repeated, true};
    return {};
  }

  static void carry_out(Model& model, Step const& step) {
    if (step.kind == Step::Kind::in) (void)model.in(step.port, 1);
    if (step.kind == Step::Kind::out) model.out(step.port, 1, step.value);
    if (step.kind == Step::Kind::advance) (void)model.advance(step.value);
  }
};

TEST(Cmos, BehavesAsQemus) { compare_with_qemu(CmosSubject{}); }

}  // namespace
}  // namespace portico::test
