// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// The 8259A pair against QEMU's isa-i8259: registers, inputs of either chip, and the INT pin. There
// is no processor that would acknowledge; a poll does the same to the chip.
//
// Not drawn: LTIM, which QEMU 7.2 does not have, and a change of ELCR while inputs are high, after
// which QEMU goes by what they requested in the other mode.
#include <array>
#include <cstdint>

#include <portico/devices/i8259.hpp>

#include "differential.hpp"

namespace portico::test {
namespace {

using Board = DeviceMap<On<Pic8259A, Ranges<Ports<0x20, 2>, Ports<0xA0, 2>, Ports<0x4D0, 2>>>>;

template <unsigned FirstLine>
struct PicModel : BoardModel<Board> {
  explicit PicModel(std::uint64_t now) : BoardModel<Board>{now} {}

  Pic8259A& pics() { return this->board().template get<Pic8259A>(); }

  void line(std::uint16_t number, bool level) { pics().set_input(FirstLine + number, level); }

  std::uint32_t lines() { return pics().output() ? 1 : 0; }
};

constexpr Difference nested{
    "special fully nested mode", "serves lower priorities than the slave while that is in service",
    "8259A (231468), \"Special fully nested mode\": only the slave's own requests get through"};
constexpr Difference masked_eoi{
    "EOI in special mask mode", "a non-specific EOI ends an input that is masked",
    "8259A (231468), \"End of interrupt\": such an IS bit is not cleared; handbook page 2-273"};
constexpr Difference late_mask{
    "entering special mask mode", "INT follows only at the next access that changes something else",
    "8259A (231468), \"Special mask mode\": set by OCW3, it enables interrupts from other levels"};
constexpr Difference no_edge{
    "automatic EOI of a slave", "no second edge on the master's IR2 if the slave has more requests",
    "8259A (231468), \"Automatic end of interrupt mode\": a slave may use it (since 1985)"};
constexpr Difference old_edge{
    "master's ICW1", "the slave's INT, high all the time, becomes an edge again",
    "8259A (231468), \"Initialization command word 1\": an input must go from low to high"};

/// The chip whose inputs the test drives: the master's from line 0 on, or the slave's from 8.
template <unsigned FirstLine>
struct PicSubject {
  using Model = PicModel<FirstLine>;

  static Setup setup() {
    Setup setup;
    setup.arguments = {"-machine", "pc", "-nodefaults"};
    setup.intercept = "irq_intercept_out /machine/unattached/device[6]";
    setup.input = FirstLine == 0 ? "/machine/unattached/device[6] unnamed-gpio-in"
                                 : "/machine/unattached/device[7] unnamed-gpio-in";
    for (std::uint16_t number = 0; number < 8; ++number)
      if (FirstLine != 0 || number != 2) setup.prologue.push_back(test::line(number, false));
    setup.prologue.push_back(out(0x4D0, 0));
    setup.prologue.push_back(out(0x4D1, 0));
    initialise(setup.prologue, 0xA0, 0x11, 0x01);
    initialise(setup.prologue, 0x20, 0x11, 0x01);
    setup.lines = 1;
    setup.differences = {&masked_eoi, &late_mask};
    if constexpr (FirstLine != 0)
      setup.differences = {&nested, &masked_eoi, &late_mask, &no_edge, &old_edge};
    return setup;
  }

  static void initialise(Sequence& sequence, std::uint16_t port, std::uint64_t icw1,
                         std::uint64_t icw4) {
    auto const data = static_cast<std::uint16_t>(port + 1);
    sequence.push_back(out(port, icw1));
    sequence.push_back(out(data, port == 0x20 ? 0x08 : 0x70));
    if ((icw1 & 2) == 0) sequence.push_back(out(data, port == 0x20 ? 4 : 2));
    if ((icw1 & 1) != 0) sequence.push_back(out(data, icw4));
  }

  Sequence generate(Random& random) {
    // Half of the sequences stay away from what is explained below, and have to be alike to the end.
    bool const plain = random.chance(50);
    std::array<bool, 8> high{};
    Sequence sequence;
    while (sequence.size() < 120) draw(random, plain, high, sequence);
    return sequence;
  }

  static void draw(Random& random, bool plain, std::array<bool, 8>& high, Sequence& sequence) {
    // Mostly the chip whose inputs move; a slave is heard through its master.
    bool const master = random.chance(FirstLine == 0 ? 90 : 45);
    std::uint16_t const port = master ? 0x20 : 0xA0;
    auto const data = static_cast<std::uint16_t>(port + 1);
    std::uint64_t const what = random.below(100);
    if (what < 35) {
      auto const number = static_cast<std::uint16_t>(random.below(8));
      if (FirstLine == 0 && number == 2) return;
      high[number] = !high[number];
      sequence.push_back(test::line(number, high[number]));
    } else if (what < 55) {
      sequence.push_back(out(port, 0x0A + random.below(2)));
      sequence.push_back(in(port));
    } else if (what < 68) {
      sequence.push_back(out(port, 0x0C + random.below(4)));
      sequence.push_back(in(static_cast<std::uint16_t>(port + random.below(2))));
    } else if (what < 82) {
      // An EOI, or any command.
      sequence.push_back(out(port, random.chance(50) ? 0x20 : random.byte() & 0xE7));
    } else if (what < 91) {
      sequence.push_back(out(data, random.byte() & random.byte()));
      sequence.push_back(in(data));
    } else if (what < 94) {
      std::uint64_t const command = random.byte() & 0x6FU;  // OCW2, OCW3 of any kind
      sequence.push_back(out(port, plain && (command & 8) != 0 ? command & 0x0B : command));
      sequence.push_back(out(data, random.byte() & random.byte()));  // after it QEMU has noticed
    } else if (what < 98) {
      if (plain && master && FirstLine != 0) return;
      initialise(sequence, port, 0x10 | random.below(4), random.byte() & (plain ? 0xED : 0xFF));
    } else {
      change_elcr(random, plain, high, sequence);
    }
  }

  static void change_elcr(Random& random, bool plain, std::array<bool, 8>& high,
                          Sequence& sequence) {
    for (std::uint16_t number = 0; number < 8; ++number)
      if (high[number]) sequence.push_back(test::line(number, high[number] = false));
    // QEMU takes an ELCR as it is written; a request that is latched goes with ICW1.
    std::uint16_t const port = FirstLine == 0 ? 0x4D0 : 0x4D1;
    sequence.push_back(out(port, 0));
    initialise(sequence, 0xA0, 0x11, random.byte() & (plain ? 0xED : 0xFF));
    initialise(sequence, 0x20, 0x11, random.byte() & (plain ? 0xED : 0xFF));
    sequence.push_back(out(port, random.byte()));
    sequence.push_back(in(port));
  }

  /// Carries the sequence out again, and looks at what our chips are in.
  static Explanation explain(Sequence const& sequence, std::size_t step, Observed, Observed) {
    Model model{0};
    for (Step const& before : setup().prologue) carry_out(model, before);
    for (std::size_t index = 0; index <= step; ++index) {
      Difference const* const why = reason(model.pics().save(), sequence[index]);
      // The master has caught up with the next access; what it has heard of the slave stays.
      bool const passes = why == &late_mask && sequence[index].port == 0x20;
      if (why != nullptr && (!passes || index == step)) return {why, !passes};
      carry_out(model, sequence[index]);
    }
    Chip8259A::State const master = model.pics().save().master;
    return {master.fully_nested && (master.in_service & 4) != 0 ? &nested : nullptr, true};
  }

  static void carry_out(Model& model, Step const& step) {
    if (step.kind == Step::Kind::in) (void)model.in(step.port, 1);
    if (step.kind == Step::Kind::out) model.out(step.port, 1, step.value);
    if (step.kind == Step::Kind::line) model.line(step.port, step.value != 0);
  }

  /// What QEMU does otherwise at a step, given the state before it.
  static Difference const* reason(Pic8259A::State const& state, Step const& step) {
    bool const is_out = step.kind == Step::Kind::out;
    bool const at_master = step.port == 0x20;
    Chip8259A::State const& chip = at_master ? state.master : state.slave;
    if (is_out && (at_master || step.port == 0xA0)) {
      bool const ends = (step.value & 0x78) == 0x20;
      bool const sets_mode = (step.value & 0x58) == 0x48;
      if (sets_mode && chip.special_mask != ((step.value & 0x20) != 0)) return &late_mask;
      if (ends && chip.special_mask && (chip.in_service & chip.mask) != 0) return &masked_eoi;
      Chip8259A slave;
      slave.load(state.slave);
      if (at_master && (step.value & 0x10) != 0 && slave.output()) return &old_edge;
    }
    bool const polls_slave = step.kind == Step::Kind::in && (step.port & 0xFFFE) == 0xA0;
    if (polls_slave && state.slave.polled && state.slave.auto_eoi) {
      Chip8259A slave;
      slave.load(state.slave);
      (void)slave.read_command();
      if (slave.output()) return &no_edge;
    }
    bool const polls_master = step.kind == Step::Kind::in && (step.port & 0xFFFE) == 0x20;
    if (polls_master && state.master.polled && state.master.fully_nested &&
        (state.master.in_service & 4) != 0)
      return &nested;
    return nullptr;
  }
};

TEST(Pic, MasterBehavesAsQemus) { compare_with_qemu(PicSubject<0>{}); }

TEST(Pic, SlaveBehavesAsQemus) { compare_with_qemu(PicSubject<8>{}); }

}  // namespace
}  // namespace portico::test
