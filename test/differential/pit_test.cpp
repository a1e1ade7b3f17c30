// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// The 8254 with port 0x61 against QEMU's isa-pit: counts, statuses, OUT 2, and the line of OUT 0.
//
// QEMU loads a count when it is written, the 8254 with the next clock pulse ("Mode definitions":
// N + 1 pulses). So that all else can be compared to the tick, each counter of ours stands in a
// chip of its own, which gets one tick more at each load; and time passes in whole ticks.
//
// Not drawn: modes 6 and 7, which QEMU does not take for 2 and 3; counts of 1 in these; periods of
// counter 0 below 200 µs, where ours leaves out interrupts.
#include <array>
#include <cstdint>
#include <vector>

#include <portico/devices/i8254.hpp>

#include "differential.hpp"

namespace portico::test {
namespace {

using Board = DeviceMap<On<Pit8254, Ranges<Ports<0x40, 4>, Ports<0x61, 1>>, Irq<0>>>;

constexpr Difference unwritten{
    "between control word and count", "goes on with the old count, in the new mode; no null count",
    "8254 (231164), \"Programming the 8254\": OUT goes to its first level, null count is 1"};
constexpr Difference kept_latch{
    "latch and control word", "what was latched stays latched",
    "8254 (231164), \"Counter latch command\": held until read, or until reprogrammed"};
constexpr Difference level{
    "level of OUT in modes 1, 2, 4, 5",
    "high where it should be low; in mode 2 at other ticks, as rounding has it",
    "8254 (231164), \"Mode definitions\": OUT is low during the shot, or for one CLK pulse"};
constexpr Difference decimal{"BCD", "counts in binary",
                             "8254 (231164), \"Control word format\": four decades"};
constexpr Difference odd{"odd counts in mode 3",
                         "counts by two from the odd number, across both halves",
                         "8254 (231164), \"Mode 3\": from N - 1, again in each half"};
constexpr Difference reload{
    "new count in modes 2 and 3", "starts anew at once",
    "8254 (231164), \"Mode 2\", \"Mode 3\": at the end of the (half) period"};
constexpr Difference half_count{"half a count in mode 0", "goes on with the old count",
                                "8254 (231164), \"Mode 0\": the first byte disables counting"};
constexpr Difference stopped{
    "gate in modes 0, 2, 3, 4", "does not stop the counter",
    "8254 (231164), \"Gate pin operations summary\": low disables counting"};
constexpr Difference untriggered{"trigger in modes 1 and 5", "the count that is written starts",
                                 "8254 (231164), \"Mode 1\", \"Mode 5\": the trigger loads it"};
constexpr Difference refresh{"refresh bit", "toggles at each read of port 61",
                             "82371AB (290562), \"NMI status and control\": at each refresh"};

/// What was programmed, as far as QEMU differs in it.
struct Program {
  unsigned access = 3, mode = 3, count = 0;
  bool bcd = false;
  bool first_byte = false;              ///< half a count is written
  bool written = false;                 ///< a count, since the control word
  bool triggered = false;               ///< modes 1 and 5
  bool rewritten = false;               ///< modes 2 and 3
  bool gate_was_low = false;            ///< modes 0 and 4: it does not count as QEMU's since
  bool unlatched = false;               ///< QEMU's latch was lost
  Difference const* status = nullptr;   ///< why the latched one differs
  Difference const* latched = nullptr;  ///< the same for the count

  [[nodiscard]] bool needs_trigger() const { return mode == 1 || mode == 5; }

  [[nodiscard]] bool makes_wave() const { return mode == 2 || mode == 3; }
};

class PitModel {
 public:
  explicit PitModel(std::uint64_t) {
    for (auto& chip : chips_) chip.advance(Pit8254::time_of(1'000));
  }

  std::uint64_t in(std::uint16_t port, std::uint8_t) { return chips_[index_of(port)].in(port, 1); }

  void out(std::uint16_t port, std::uint8_t, std::uint64_t value) {
    if (port == 0x43) {
      write_control(static_cast<unsigned>(value));
    } else if (port == 0x61) {
      write_gate((value & 1) != 0, value);
    } else {
      write_count(port - 0x40U, value);
    }
  }

  /// One step for QEMU: it works off what is late.
  std::vector<std::uint64_t> advance(std::uint64_t nanoseconds) {
    if (nanoseconds > 0 && !gate_) programs_[2].gate_was_low = true;
    for (auto& chip : chips_) pass(chip, Pit8254::tick_at(nanoseconds));
    return {nanoseconds};
  }

  /// OUT 0; the line itself gets pulses.
  std::uint32_t lines() { return output(0) ? 1 : 0; }

  std::uint32_t raised(std::uint32_t) { return chips_[0].raised(1); }

  [[nodiscard]] Program const& program(std::size_t counter) const { return programs_[counter]; }

  Counter8254::State state(std::size_t counter) { return chips_[counter].state(counter); }

  /// Why the count of a counter differs, if it does.
  Difference const* count_reason(std::size_t counter) {
    Program const& program = programs_[counter];
    if (program.unlatched) return &kept_latch;
    if (!program.written) return &unwritten;
    if (program.mode == 0 && program.first_byte) return &half_count;
    if (program.needs_trigger() && !program.triggered) return &untriggered;
    if (program.rewritten) return &reload;
    if (counter == 2 && (!gate_ || program.gate_was_low) && !program.needs_trigger())
      return &stopped;
    if (program.bcd) return &decimal;
    if (program.mode == 3 && program.count % 2 == 1) return &odd;
    return nullptr;
  }

  /// The same for OUT.
  Difference const* output_reason(std::size_t counter) {
    Difference const* const why = count_reason(counter);
    if (why != nullptr && why != &odd) return why;
    return programs_[counter].mode == 0 || programs_[counter].mode == 3 ? nullptr : &level;
  }

 private:
  struct Chip : BoardModel<Board> {
    Chip() : BoardModel<Board>{0} {}

    Pit8254& pit() { return board().get<Pit8254>(); }

    Counter8254::State state(std::size_t counter) {
      return pit().save(service<Clock, 0>()).counters[counter];
    }
  };

  static std::size_t index_of(std::uint16_t port) { return port == 0x61 ? 2 : port - 0x40U; }

  static void pass(Chip& chip, std::uint64_t ticks) {
    std::uint64_t const now = chip.service<Clock, 0>().now();
    chip.advance(Pit8254::time_of(Pit8254::tick_at(now) + ticks) - now);
  }

  bool output(std::size_t counter) {
    Counter8254 copy;
    copy.load(state(counter), 1'000'000);
    return copy.output(1'000'000);
  }

  void write_control(unsigned value) {
    unsigned const which = value >> 6;
    if (which == 3 || (value & 0x30) == 0) {
      for (std::size_t counter = 0; counter < 3; ++counter) {
        bool const named = which == 3 ? (value >> (counter + 1) & 1) != 0 : which == counter;
        if (!named) continue;
        latch(counter, which != 3 || (value & 0x20) == 0, which == 3 && (value & 0x10) == 0);
        chips_[counter].out(0x43, 1, value);
      }
      return;
    }
    Counter8254::State const before = state(which);
    bool const unlatched = before.latched_bytes > 0 || before.status_latched;
    bool const lost = programs_[which].unlatched;
    programs_[which] = {value >> 4 & 3, value >> 1 & 7, 0, (value & 1) != 0};
    programs_[which].unlatched = lost || unlatched;
    chips_[which].out(0x43, 1, value);
  }

  void latch(std::size_t counter, bool count, bool status) {
    Counter8254::State const before = state(counter);
    if (count && before.latched_bytes == 0) programs_[counter].latched = count_reason(counter);
    if (status && !before.status_latched) programs_[counter].status = output_reason(counter);
  }

  void write_count(std::size_t counter, std::uint64_t value) {
    Program& program = programs_[counter];
    chips_[counter].out(static_cast<std::uint16_t>(0x40 + counter), 1, value);
    auto const byte = static_cast<unsigned>(value);
    if (program.access == 3 && !program.first_byte) {
      program.first_byte = true;
      low_ = byte;
      return;
    }
    program.count = program.access == 1 ? byte : byte << 8 | (program.access == 3 ? low_ : 0);
    program.first_byte = false;
    if (program.makes_wave() && program.written) {
      program.rewritten = true;
    } else if (program.needs_trigger()) {
      program.triggered = false;
    } else {
      program.gate_was_low = false;
      pass(chips_[counter], 1);
    }
    program.written = true;
  }

  void write_gate(bool high, std::uint64_t value) {
    Program& program = programs_[2];
    chips_[2].out(0x61, 1, value);
    bool const rises = high && !gate_;
    gate_ = high;
    if (!rises || !program.written) return;
    if (program.makes_wave() || program.needs_trigger()) {
      program.triggered = true;
      program.rewritten = false;
      program.gate_was_low = false;
      pass(chips_[2], 1);
    }
  }

  std::array<Chip, 3> chips_;
  std::array<Program, 3> programs_{};
  unsigned low_ = 0;
  bool gate_ = false;
};

struct PitSubject {
  using Model = PitModel;

  static Setup setup() {
    Setup setup;
    setup.arguments = {"-machine", "pc,hpet=off", "-nodefaults"};
    setup.lines = 1;
    setup.raised = true;
    setup.differences = {&unwritten, &kept_latch, &level,   &decimal,     &odd,
                         &reload,    &half_count, &stopped, &untriggered, &refresh};
    // QEMU forgets what it has latched when it is read only.
    for (std::uint16_t port = 0x40; port < 0x43; ++port)
      for (int read = 0; read < 3; ++read) setup.prologue.push_back(in(port));
    setup.prologue.push_back(out(0x61, 0));
    setup.prologue.push_back(out(0x61, 1));
    for (unsigned counter = 0; counter < 3; ++counter)
      write_program(setup.prologue, counter, 0, 0, 3, 2000);
    return setup;
  }

  static void write_program(Sequence& sequence, unsigned counter, unsigned mode, unsigned bcd,
                            unsigned access, unsigned count) {
    auto const port = static_cast<std::uint16_t>(0x40 + counter);
    sequence.push_back(out(0x43, counter << 6 | access << 4 | mode << 1 | bcd));
    if ((access & 1) != 0) sequence.push_back(out(port, count & 0xFF));
    if ((access & 2) != 0) sequence.push_back(out(port, count >> 8));
  }

  Sequence generate(Random& random) {
    // Half of the sequences stay away from what QEMU does otherwise, but for the level of OUT.
    bool const plain = random.chance(50);
    Sequence sequence;
    while (sequence.size() < 80) draw(random, plain, sequence);
    return sequence;
  }

  static void draw(Random& random, bool plain, Sequence& sequence) {
    auto const counter = static_cast<unsigned>(random.below(3));
    auto const port = static_cast<std::uint16_t>(0x40 + counter);
    std::uint64_t const what = random.below(100);
    if (what < 15) {
      draw_program(random, plain, counter, sequence);
    } else if (what < 40) {
      sequence.push_back(advance_ticks(draw_ticks(random)));
    } else if (what < 55) {
      for (std::uint64_t reads = random.below(4); reads > 0; --reads) sequence.push_back(in(port));
    } else if (what < 65) {
      sequence.push_back(out(0x43, counter << 6));
      read_both(random, plain, port, sequence);
    } else if (what < 80) {
      sequence.push_back(out(0x43, 0xC0 | random.below(16) << 1 | (random.chance(50) ? 0x20 : 0)));
      for (std::uint16_t each = 0x40; each < 0x43; ++each) read_both(random, plain, each, sequence);
    } else if (what < 92) {
      sequence.push_back(in(0x61));
    } else if (what < 96) {
      sequence.push_back(out(0x61, random.below(2) << 1));
      if (!plain && random.chance(30)) sequence.push_back(advance_ticks(random.below(100)));
      sequence.push_back(out(0x61, random.below(2) << 1 | 1));
    } else if (!plain) {
      sequence.push_back(out(port, 2 + random.below(200)));
    }
  }

  /// Reads all that may be latched, in the plain sequences: a control word may follow.
  static void read_both(Random& random, bool plain, std::uint16_t port, Sequence& sequence) {
    std::uint64_t const reads = plain ? 3 : random.below(4);
    for (std::uint64_t read = 0; read < reads; ++read) sequence.push_back(in(port));
  }

  static void draw_program(Random& random, bool plain, unsigned counter, Sequence& sequence) {
    // Only counter 2 has a gate, without which modes 1 and 5 do nothing.
    unsigned const modes[] = {0, 2, 3, 4, 1, 5};
    unsigned const mode = modes[random.below(counter == 2 || !plain ? 6 : 4)];
    unsigned const bcd = !plain && random.chance(20) ? 1 : 0;
    auto const access = static_cast<unsigned>(1 + random.below(3));
    auto count =
        static_cast<unsigned>(random.chance(50) ? random.below(0x10000) : 300 + random.below(2000));
    if (access == 1) count = count & 0xFF;
    if (access == 2) count = count & 0xFF00;
    if (counter == 0 && (mode == 2 || mode == 3) && count != 0 && count < 300) return;
    if (count == 1) count = 2;
    if (plain && mode == 3) count &= ~1U;
    write_program(sequence, counter, mode, bcd, access, count);
    if (counter == 2 && (mode == 1 || mode == 5)) {
      sequence.push_back(out(0x61, 0));
      sequence.push_back(out(0x61, 1));
    }
  }

  static std::uint64_t draw_ticks(Random& random) {
    return random.chance(40) ? random.below(20) : random.below(random.chance(50) ? 500 : 70'000);
  }

  static Step advance_ticks(std::uint64_t ticks) { return test::advance(Pit8254::time_of(ticks)); }

  static Explanation explain(Sequence const& sequence, std::size_t step, Observed qemu,
                             Observed ours) {
    Model model{0};
    for (Step const& before : setup().prologue) carry_out(model, before);
    for (std::size_t index = 0; index < step; ++index) carry_out(model, sequence[index]);
    Difference const* const before = model.output_reason(0);
    Difference const* const read = reason_for_read(model, sequence[step], qemu, ours);
    if (qemu.value != ours.value && read == nullptr) return {};
    carry_out(model, sequence[step]);
    if (qemu.lines == ours.lines && qemu.raised == ours.raised) return {read, false};
    Difference const* const after = model.output_reason(0);
    return {before != nullptr ? before : after, false};
  }

  static Difference const* reason_for_read(Model& model, Step const& step, Observed qemu,
                                           Observed ours) {
    if (step.kind != Step::Kind::in) return nullptr;
    if (step.port == 0x61) {
      std::uint64_t const difference = qemu.value ^ ours.value;
      if ((difference & ~0x30U) != 0) return nullptr;
      return (difference & 0x20) != 0 ? model.output_reason(2) : &refresh;
    }
    std::size_t const counter = step.port - 0x40U;
    Program const& program = model.program(counter);
    if (program.unlatched) return &kept_latch;
    Counter8254::State const state = model.state(counter);
    if (state.status_latched)
      return program.status == &level && (qemu.value ^ ours.value) != 0x80 ? nullptr
                                                                           : program.status;
    return state.latched_bytes > 0 ? program.latched : model.count_reason(counter);
  }

  static void carry_out(Model& model, Step const& step) {
    if (step.kind == Step::Kind::in) (void)model.in(step.port, 1);
    if (step.kind == Step::Kind::out) model.out(step.port, 1, step.value);
    if (step.kind == Step::Kind::advance) model.advance(step.value);
  }
};

TEST(Pit, BehavesAsQemus) { compare_with_qemu(PitSubject{}); }

}  // namespace
}  // namespace portico::test
