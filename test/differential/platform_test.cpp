// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// ACPI's power management (QEMU's is a PIIX4), and the keyboard controller.
#include <gtest/gtest.h>

#include <portico/devices/acpi_power.hpp>
#include <portico/devices/i8042.hpp>

#include "differential.hpp"

namespace portico::test {
namespace {

// --- Power management

constexpr std::uint16_t status = 0x600, enable = 0x602, control = 0x604, timer = 0x608;

constexpr Difference sci_enabled{"SCI_EN", "lets it be written, and is 0 at first",
                                 "ACPI 6.5, section 4.8.3.2.1: software does not change SCI_EN; "
                                 "section 4.8.3.1.2: on ACPI-only platforms it is always set"};

class AcpiSubject {
 public:
  using Model = BoardModel<DeviceMap<Port<0x600, AcpiPower, Irq<9, Level>>>>;

  static Setup setup() {
    Setup setup;
    setup.arguments = {"-machine", "pc"};
    // The power management function of the PIIX4: its base address, and that it decodes it.
    setup.begin = {"outl 0xcf8 0x80000b40", "outl 0xcfc 0x601", "outl 0xcf8 0x80000b80",
                   "outb 0xcfc 0x1"};
    setup.lines = 1U << 9;
    setup.raised = true;
    setup.differences = {&sci_enabled};
    setup.prologue = {out(enable, 0, 2), out(control, 0, 2), out(status, 0xFFFF, 2)};
    return setup;
  }

  static Sequence generate(Random& random) {
    Sequence sequence;
    for (int step = 0; step < 40; ++step) sequence.push_back(draw(random));
    return sequence;
  }

  static Explanation explain(Sequence const& sequence, std::size_t step, Observed qemu,
                             Observed ours) {
    bool const is_control = sequence[step].port == control;
    return {is_control && (qemu.value ^ ours.value) == 1 ? &sci_enabled : nullptr};
  }

 private:
  /// Bits that are reserved stay 0; QEMU keeps them. No SLP_EN: that ends QEMU.
  static Step draw(Random& random) {
    std::uint64_t const lot = random.below(100);
    if (lot < 25) return in(timer, 4);
    if (lot < 40) return in(status, 2);
    if (lot < 50) return out(status, random.chance(70) ? random.below(0x10000) | 1 : 0x0100, 2);
    if (lot < 60) return out(enable, random.below(0x10000) & 0x0721, 2);
    if (lot < 65) return in(enable, 2);
    if (lot < 70) return out(control, random.below(0x10000) & 0x1C03, 2);
    if (lot < 75) return in(control, 2);
    // Half a turn of the timer takes 2.34 s.
    return advance(random.below(random.chance(50) ? 1'000'000 : 3'000'000'000));
  }
};

TEST(AcpiPower, BehavesAsQemus) { compare_with_qemu(AcpiSubject{}); }

// --- Keyboard controller

constexpr std::uint16_t data = 0x60, command = 0x64;

constexpr Difference last_write{
    "bit 3 of the status", "always 1",
    "IBM PS/2 Hardware Interface Technical Reference, keyboard controller, status register: "
    "whether the last write was a command"};

class KeyboardSubject {
 public:
  using Model = BoardModel<DeviceMap<On<I8042, Ranges<Ports<0x60>, Ports<0x64>>, Irq<1>>>>;

  static Setup setup() {
    Setup setup;
    setup.arguments = {"-machine", "pc"};
    setup.lines = 1U << 1;
    setup.differences = {&last_write};
    setup.prologue = {
        out(command, 0x60), out(data, 0x07),    out(data, 0xF6), in(data),           in(data),
        in(data),           out(command, 0xD1), out(data, 0xCF), out(command, 0xAA), in(data),
        in(data),           out(command, 0x60), out(data, 0x07), in(data),           in(data)};
    return setup;
  }

  static Sequence generate(Random& random) {
    Sequence sequence;
    while (sequence.size() < 40) draw(random, sequence);
    return sequence;
  }

  static Explanation explain(Sequence const& sequence, std::size_t step, Observed qemu,
                             Observed ours) {
    bool const is_status = sequence[step].kind == Step::Kind::in && sequence[step].port == command;
    return {is_status && (qemu.value ^ ours.value) == 0x08 ? &last_write : nullptr};
  }

 private:
  /// As drivers do, nothing is left unread where another byte is asked for: QEMU's replies are not
  /// kept in the output buffer, and a newer one takes an unread one's place. Nor is the keyboard
  /// held when translation changes: QEMU translates replies before they wait.
  static void draw(Random& random, Sequence& sequence) {
    Sequence const drain{in(data), in(data), in(data), in(data)};
    auto const after_drain = [&](Sequence const& steps) {
      Sequence all = drain;
      all.insert(all.end(), steps.begin(), steps.end());
      append_tied(sequence, all);
    };
    std::uint64_t const lot = random.below(100);
    if (lot < 30) {
      sequence.push_back(in(data));
    } else if (lot < 55) {
      sequence.push_back(in(command));
    } else if (lot < 65) {
      sequence.push_back(out(
          command, random.one_of<std::uint8_t>({0xA7, 0xA8, 0xAD, 0xAE, 0xDD, 0xDF, 0xF1, 0xFF})));
    } else if (lot < 80) {
      after_drain(
          {out(command, random.one_of<std::uint8_t>({0x20, 0xA9, 0xAA, 0xAB, 0xC0, 0xD0}))});
    } else if (lot < 85) {
      // The system flag (bit 2) stays set, as all drivers leave it: QEMU's status shows it for ever
      // after a self-test.
      append_tied(sequence, {out(command, 0xAE), in(data), in(data), in(data), in(data),
                             out(command, 0x60), out(data, random.byte() | 0x04U)});
    } else if (lot < 88) {
      after_drain(
          {out(command, random.one_of<std::uint8_t>({0xD2, 0xD3})), out(data, random.byte())});
    } else {
      auto const word =
          random.one_of<std::uint8_t>({0xED, 0xEE, 0xF0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xFF});
      bool const has_data = word == 0xED || word == 0xF0 || word == 0xF3;
      Sequence steps{out(data, word)};
      if (has_data) {
        steps.insert(steps.end(), drain.begin(), drain.end());
        steps.push_back(out(data, random.below(word == 0xF0 ? 4 : 0x80)));
      }
      after_drain(steps);
    }
  }
};

TEST(I8042, BehavesAsQemus) { compare_with_qemu(KeyboardSubject{}); }

}  // namespace
}  // namespace portico::test
