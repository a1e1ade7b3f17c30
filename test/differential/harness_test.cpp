// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// The harness itself: that it finds a device that differs, shortens what it found, and takes a
// documented difference for one. The subject is the scratch register of QEMU's serial port.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <string>

#include "differential.hpp"

namespace portico::test {
namespace {

/// Scratch register and interrupt enable register. A flaw, if asked for: after 0x40 to 0x47 the
/// lowest bit is lost.
template <bool Flawed>
struct Scratch {
  void write(std::uint8_t value) {
    scratch = Flawed && (value & 0xF8) == 0x40 ? value & 0xFE : value;
  }

  [[nodiscard]] std::uint8_t read() const { return scratch; }

  std::uint8_t scratch = 0;
};

constexpr Difference lost_bit{"lost bit", "keeps it", "none: this is a test"};

template <bool Flawed, bool Explained>
struct ScratchSubject {
  using Model = BoardModel<DeviceMap<Port<0x3FF, Scratch<Flawed>>>>;

  static Setup setup() {
    Setup setup;
    setup.arguments = {"-machine",
                       "pc",
                       "-nodefaults",
                       "-chardev",
                       "null,id=none",
                       "-device",
                       "isa-serial,chardev=none"};
    setup.prologue = {out(0x3FF, 0)};
    if (Explained) setup.differences = {&lost_bit};
    return setup;
  }

  Sequence generate(Random& random) {
    Sequence sequence;
    for (int step = 0; step < 40; ++step)
      sequence.push_back(random.chance(50)   ? out(0x3FF, random.byte())
                         : random.chance(50) ? in(0x3FF)
                                             : advance(random.below(1000)));
    return sequence;
  }

  static Explanation explain(Sequence const&, std::size_t, Observed qemu, Observed ours) {
    return {Explained && (qemu.value ^ ours.value) == 1 ? &lost_bit : nullptr};
  }
};

TEST(Harness, FindsNothingBetweenEquals) { compare_with_qemu(ScratchSubject<false, false>{}); }

TEST(Harness, ShortensWhatDiffers) {
  if (!find_qemu()) GTEST_SKIP() << "no qemu-system-x86_64";
  testing::TestPartResultArray results;
  {
    testing::ScopedFakeTestPartResultReporter const reporter{
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results};
    compare_with_qemu(ScratchSubject<true, false>{});
  }
  ASSERT_EQ(results.size(), 1);
  std::string const message = results.GetTestPartResult(0).message();
  EXPECT_NE(message.find("40 steps, shortened to\n  outb 0x3ff 0x4"), std::string::npos) << message;
  EXPECT_NE(message.find("\n  inb 0x3ff"), std::string::npos) << message;
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 4) << message;
}

TEST(Harness, TakesADocumentedDifferenceForOne) { compare_with_qemu(ScratchSubject<true, true>{}); }

TEST(Harness, SeesLinesAndTime) {
  std::optional<std::string> const program = find_qemu();
  if (!program) GTEST_SKIP() << "no qemu-system-x86_64";
  Qtest qemu{*program, ScratchSubject<false, false>::setup().arguments};
  std::vector<Reply> const replies = qemu.run(
      {"irq_intercept_in ioapic", "clock_step 1000", "outb 0x3f9 0x2", "inb 0x3fa", "inb 0x3fa"});
  EXPECT_EQ(replies[1].value, 1000U);
  EXPECT_EQ(replies[2].lines, 1U << 4);
  EXPECT_EQ(replies[2].raised, 1U);
  EXPECT_EQ(replies[3].value, 0x02U);
  EXPECT_EQ(replies[3].lines, 0U);
  EXPECT_EQ(replies[3].raised, 0U);
  EXPECT_EQ(replies[4].value, 0x01U);
  // A character in the looped-back FIFO: the timeout comes after four character times at 9600 baud.
  std::vector<Reply> const later =
      qemu.run({"outb 0x3fc 0x10", "outb 0x3f9 0x1", "outb 0x3fa 0xc1", "outb 0x3f8 0x55",
                "clock_step 4000000", "clock_step 200000"});
  EXPECT_EQ(later[4].lines, 0U);
  EXPECT_EQ(later[5].lines, 1U << 4);
  EXPECT_EQ(later[5].value, 1000U + 4'200'000);
  EXPECT_THROW(qemu.run({"nonsense"}), std::runtime_error);
}

TEST(Harness, SaysThatQemuHasEnded) {
  Qtest false_qemu{"/bin/false", {}};
  EXPECT_THROW(false_qemu.run({"inb 0x3fa"}), std::runtime_error);
}

}  // namespace
}  // namespace portico::test
