// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// The serial port. QEMU's has no sender whose characters could be told to arrive at a certain step,
// so what is received comes through loopback.
#include <gtest/gtest.h>

#include <portico/devices/console_backend.hpp>
#include <portico/devices/uart16550.hpp>

#include "differential.hpp"

namespace portico::test {
namespace {

constexpr std::uint16_t rbr = 0x3F8, thr = 0x3F8, ier = 0x3F9, iir = 0x3FA, fcr = 0x3FA,
                        lcr = 0x3FB, mcr = 0x3FC, lsr = 0x3FD, msr = 0x3FE, scr = 0x3FF;

constexpr Difference fcr_without_enable{
    "FCR's reset bits without its bit 0", "resets the receiver and raises the THRE interrupt",
    "PC16550D, section 8.5, bit 0 (TI TL16C550C, section 7.7.2, the same): must be 1 when other "
    "bits are written, or they are not programmed"};
constexpr Difference loopback_changes{
    "changes of the modem's lines in loopback", "shows the lines but no changes",
    "PC16550D, section 8.8, bit 4: in loopback the modem status interrupts work, their sources "
    "are the outputs of MCR"};
constexpr Difference stop_bits{"stop bits of five-bit characters", "counts two of them",
                               "PC16550D, section 8.1, bit 2: one and a half"};

using Board = DeviceMap<Port<0x3F8, Uart16550<MemoryStreams>, Irq<4>>>;

class Model : public BoardModel<Board> {
 public:
  explicit Model(std::uint64_t now)
      : BoardModel{now, [] { return Uart16550<MemoryStreams>{MemoryStreams{}}; }} {}
};

class Subject {
 public:
  using Model = test::Model;

  static Setup setup() {
    Setup setup;
    setup.arguments = {"-machine",     "pc",      "-chardev",
                       "null,id=none", "-device", "isa-serial,chardev=none"};
    setup.lines = 1U << 4;
    setup.raised = true;
    setup.differences = {&fcr_without_enable, &loopback_changes, &stop_bits};
    // FIFOs off and on clear what was received; what is read clears the errors and changes.
    setup.prologue = {out(lcr, 0x83), out(thr, 12), out(ier, 0), out(lcr, 3), out(ier, 0),
                      out(mcr, 0),    out(fcr, 1),  out(fcr, 0), in(rbr),     in(lsr),
                      in(msr),        out(mcr, 16), out(thr, 0), out(mcr, 0), in(rbr),
                      in(lsr),        in(msr),      in(iir),     out(scr, 0)};
    return setup;
  }

  Sequence generate(Random& random) {
    lcr_ = 3;
    divisor_ = 12;
    looped_ = random.chance(80);
    Sequence sequence;
    if (looped_) sequence.push_back(out(mcr, 0x10 | random.below(16)));
    if (random.chance(50)) sequence.push_back(out(fcr, 1 | random.below(4) << 6));
    if (random.chance(50)) sequence.push_back(out(ier, enabled(random)));
    for (int step = 0; step < 60; ++step) sequence.push_back(draw(random));
    return sequence;
  }

  static Explanation explain(Sequence const& sequence, std::size_t step, Observed qemu,
                             Observed ours) {
    Step const& now = sequence[step];
    if (now.kind == Step::Kind::in && now.port == msr && (qemu.value ^ ours.value) < 0x10 &&
        qemu.lines == ours.lines && qemu.raised == ours.raised)
      return {&loopback_changes};
    bool short_stop = false;
    for (std::size_t index = 0; index <= step; ++index) {
      Step const& past = sequence[index];
      if (past.kind == Step::Kind::advance && short_stop) return {&stop_bits, true};
      if (past.kind != Step::Kind::out) continue;
      if (past.port == fcr && (past.value & 1) == 0 && (past.value & 6) != 0)
        return {&fcr_without_enable, true};
      if (past.port == lcr && (past.value & 7) == 4) short_stop = true;
    }
    return {};
  }

 private:
  /// The modem status interrupt only where no line ever changes: see loopback_changes.
  std::uint64_t enabled(Random& random) const {
    return random.below(16) & (looped_ ? 0xF7U : 0xFFU);
  }

  /// The divisor latch is never 0, which the data sheet leaves open.
  Step draw(Random& random) {
    bool const latch = (lcr_ & 0x80) != 0;
    std::uint64_t const lot = random.below(100);
    if (lot < 25) return latch ? out(thr, random.byte() | 1U) : out(thr, random.byte());
    if (lot < 45) return in(rbr);
    if (lot < 55) return out(ier, latch ? random.below(3) : enabled(random));
    if (lot < 65) return in(iir);
    if (lot < 71) return draw_fcr(random);
    if (lot < 75 || (latch && lot < 90)) {
      lcr_ = static_cast<std::uint8_t>(random.below(random.chance(85) ? 0x80 : 0x100));
      if ((lcr_ & 7) == 4 && random.chance(50)) lcr_ |= 3;
      return out(lcr, lcr_);
    }
    if (lot < 78) return out(mcr, random.below(256) & (looped_ ? 0xFFU : 0xEFU));
    if (lot < 86) return in(lsr);
    if (lot < 89) return in(msr);
    if (lot < 91) return random.chance(50) ? in(scr) : out(scr, random.byte());
    if (lot < 94) return in(random.one_of({ier, lcr, mcr}));
    if (lot < 95) return out(random.one_of({lsr, msr}), random.byte());
    return advance(character_time() * random.below(5) + character_time() / 2 +
                   random.below(character_time() / 4));
  }

  static Step draw_fcr(Random& random) {
    if (random.chance(3)) return out(fcr, 2 + random.below(3) * 2);
    if (random.chance(15)) return out(fcr, 0);
    return out(fcr, 1 | random.below(4) << 6 | (random.chance(30) ? random.below(64) : 0));
  }

  /// Roughly: where QEMU's and ours might round differently is not hit.
  [[nodiscard]] std::uint64_t character_time() const { return std::uint64_t{divisor_} * 86'806; }

  std::uint8_t lcr_ = 3;
  std::uint16_t divisor_ = 12;
  bool looped_ = true;
};

TEST(Uart16550, BehavesAsQemus) { compare_with_qemu(Subject{}); }

}  // namespace
}  // namespace portico::test
