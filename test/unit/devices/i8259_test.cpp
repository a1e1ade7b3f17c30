// The 8259A pair after its data sheet: each command word, priorities, cascade.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/devices/i8259.hpp>

namespace portico {
namespace {

using Board =
    DeviceMap<On<Pic8259A, Ranges<Ports<0x20, 2>, Ports<0xA0, 2>, Ports<0x4D0, 2>>, Named<"pic">>>;

struct Pics : testing::Test {
  Board board{};
  Context<> context{};
  Pic8259A& pics = board.get<"pic">();

  void out(std::uint16_t port, unsigned value) {
    EXPECT_TRUE(board.out(port, static_cast<std::uint8_t>(value), context));
  }

  unsigned in(std::uint16_t port) { return board.in<std::uint8_t>(port, context); }

  /// As a PC's firmware does, with all inputs unmasked. `icw4` is the master's.
  void initialise(unsigned icw4 = 0x01, unsigned slave_icw4 = 0x01, unsigned icw1 = 0x11) {
    out(0x20, icw1);
    for (unsigned const value : {0x08U, 0x04U, icw4}) out(0x21, value);
    out(0xA0, icw1);
    for (unsigned const value : {0x70U, 0x02U, slave_icw4}) out(0xA1, value);
  }

  void pulse(unsigned line) {
    pics.set_input(line, true);
    pics.set_input(line, false);
  }

  unsigned irr(std::uint16_t port = 0x20) {
    out(port, 0x0A);
    return in(port);
  }

  unsigned isr(std::uint16_t port = 0x20) {
    out(port, 0x0B);
    return in(port);
  }

  /// What would be acknowledged, one after the other with an EOI after each; ends at no output.
  std::vector<unsigned> serve_all() {
    std::vector<unsigned> vectors;
    while (pics.output() && vectors.size() < 20) {
      unsigned const vector = pics.acknowledge();
      vectors.push_back(vector);
      if (vector >= 0x70) out(0xA0, 0x20);
      out(0x20, 0x20);
    }
    return vectors;
  }
};

TEST_F(Pics, AreSilentBeforeTheyAreInitialised) {
  for (unsigned line = 0; line < 16; ++line) pulse(line);
  EXPECT_FALSE(pics.output());
  EXPECT_EQ(in(0x21), 0xFFU);
  EXPECT_EQ(in(0xA1), 0xFFU);
}

TEST_F(Pics, ServeEveryLineWithItsVector) {
  initialise();
  for (unsigned line = 0; line < 16; ++line) {
    if (line == 2) continue;
    pulse(line);
    ASSERT_TRUE(pics.output()) << line;
    EXPECT_EQ(pics.acknowledge(), line < 8 ? 0x08 + line : 0x70 + line - 8);
    EXPECT_FALSE(pics.output());
    EXPECT_EQ(isr(0x20), line < 8 ? 1U << line : 4U);
    EXPECT_EQ(isr(0xA0), line < 8 ? 0 : 1U << (line - 8));
    if (line >= 8) out(0xA0, 0x20);
    out(0x20, 0x20);
    EXPECT_EQ(isr(0x20) | isr(0xA0), 0U);
  }
}

TEST_F(Pics, LineTwoIsTheSlavesAlone) {
  initialise();
  pulse(2);
  EXPECT_FALSE(pics.output());
  pulse(9);
  pics.set_input(2, false);  // does not take the slave's request away
  EXPECT_EQ(irr(), 0x04U);
}

TEST_F(Pics, ServeInTheOrderOfPriority) {
  initialise();
  for (unsigned line = 0; line < 16; ++line) pulse(line);
  EXPECT_EQ(irr(0x20), 0xFFU);
  EXPECT_EQ(irr(0xA0), 0xFFU);
  EXPECT_EQ(serve_all(), (std::vector<unsigned>{0x08, 0x09, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75,
                                                0x76, 0x77, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F}));
}

TEST_F(Pics, NestOnlyWhatIsMoreUrgent) {
  initialise();
  pulse(4);
  EXPECT_EQ(pics.acknowledge(), 0x0C);
  for (unsigned const line : {4U, 5U, 7U}) pulse(line);
  EXPECT_FALSE(pics.output());
  pulse(3);
  ASSERT_TRUE(pics.output());
  EXPECT_EQ(pics.acknowledge(), 0x0B);
  EXPECT_EQ(isr(), 0x18U);
  out(0x20, 0x20);  // ends IRQ 3, the more urgent
  EXPECT_EQ(isr(), 0x10U);
  EXPECT_FALSE(pics.output());
  out(0x20, 0x20);
  EXPECT_EQ(serve_all(), (std::vector<unsigned>{0x0C, 0x0D, 0x0F}));
}

TEST_F(Pics, MaskRequestsWithoutForgettingThem) {
  initialise();
  out(0x21, 0x10);
  EXPECT_EQ(in(0x21), 0x10U);
  pulse(4);
  EXPECT_FALSE(pics.output());
  EXPECT_EQ(irr(), 0x10U);
  out(0x21, 0x00);
  EXPECT_EQ(pics.acknowledge(), 0x0C);
  out(0xA1, 0xFF);
  pulse(9);
  EXPECT_EQ(irr(), 0U);  // masked in the slave: the master hears nothing
  out(0xA1, 0xFD);
  EXPECT_EQ(irr(), 4U);
}

TEST_F(Pics, GiveSevenWhenTheRequestIsGone) {
  initialise();
  pulse(5);
  out(0x21, 0x20);  // between INT and INTA
  EXPECT_FALSE(pics.output());
  EXPECT_EQ(pics.acknowledge(), 0x0F);
  EXPECT_EQ(isr(), 0U);

  out(0x21, 0x00);
  pulse(12);
  out(0xA1, 0x10);
  EXPECT_TRUE(pics.output());  // the master has latched the edge
  EXPECT_EQ(pics.acknowledge(), 0x77);
  EXPECT_EQ(isr(0x20), 4U);  // which the handler has to end there
  EXPECT_EQ(isr(0xA0), 0U);
}

// --- Edge and level

TEST_F(Pics, NeedAnEdgeForEachRequest) {
  initialise();
  pics.set_input(6, true);
  EXPECT_EQ(pics.acknowledge(), 0x0E);
  out(0x20, 0x20);
  EXPECT_FALSE(pics.output());
  pics.set_input(6, true);
  EXPECT_FALSE(pics.output());
  pics.set_input(6, false);
  EXPECT_FALSE(pics.output());
  pics.set_input(6, true);
  EXPECT_TRUE(pics.output());
}

TEST_F(Pics, RepeatALevelUntilItFalls) {
  initialise();
  out(0x4D0, 0x20);
  out(0x4D1, 0x02);
  for (unsigned const line : {5U, 9U}) {
    unsigned const vector = line < 8 ? 8 + line : 0x70 + line - 8;
    pics.set_input(line, true);
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE(pics.output());
      EXPECT_EQ(pics.acknowledge(), vector);
      EXPECT_FALSE(pics.output());
      if (line >= 8) out(0xA0, 0x20);
      out(0x20, 0x20);
    }
    pics.set_input(line, false);
    EXPECT_EQ(line < 8 ? irr() : irr(0xA0), 0U);
    if (line < 8) {
      EXPECT_FALSE(pics.output());
    } else {
      EXPECT_EQ(pics.acknowledge(), 0x77);  // the level fell before INTA
    }
  }
}

TEST_F(Pics, ElcrKeepsReservedBitsZero) {
  out(0x4D0, 0xFF);
  out(0x4D1, 0xFF);
  EXPECT_EQ(in(0x4D0), 0xF8U);
  EXPECT_EQ(in(0x4D1), 0xDEU);
  initialise();
  EXPECT_EQ(in(0x4D0), 0xF8U);  // ICW1 leaves it alone
}

TEST_F(Pics, ElcrSwitchesBetweenEdgesAndLevels) {
  initialise();
  pulse(3);
  out(0x4D0, 0x08);
  EXPECT_EQ(irr(), 0U);  // the edge does not count, and the level is low
  pics.set_input(3, true);
  EXPECT_EQ(irr(), 8U);
  out(0x4D0, 0x00);
  EXPECT_EQ(irr(), 0U);  // no edge so far
}

TEST_F(Pics, LtimMakesEveryInputLevelTriggered) {
  initialise(0x01, 0x01, 0x19);
  pulse(4);
  EXPECT_FALSE(pics.output());
  pics.set_input(4, true);
  EXPECT_EQ(pics.acknowledge(), 0x0C);
  out(0x20, 0x20);
  EXPECT_TRUE(pics.output());
  pics.set_input(4, false);
  EXPECT_FALSE(pics.output());
  pics.set_input(14, true);
  EXPECT_EQ(pics.acknowledge(), 0x76);
}

// --- Initialisation

TEST_F(Pics, InitialisationForgetsAllButTheInputs) {
  initialise(0x13, 0x13);
  out(0x21, 0xF0);
  out(0x20, 0x68);  // special mask mode
  out(0x20, 0xC3);  // priorities
  out(0x20, 0x0B);  // ISR
  pics.set_input(4, true);
  pulse(0);
  initialise();
  EXPECT_EQ(in(0x21), 0U);
  EXPECT_EQ(in(0x20), 0U);  // IRR again: IRQ 4 is high, but has not risen since
  for (unsigned line = 0; line < 8; ++line) pulse(line);
  EXPECT_EQ(irr(), 0xEBU);  // but not IRQ 4, which was high already
  EXPECT_EQ(pics.acknowledge(), 0x08);
  EXPECT_EQ(isr(), 1U);  // no automatic EOI
}

TEST_F(Pics, AnInputThatStaysHighDoesNotRequestAgain) {
  initialise();
  pics.set_input(4, true);
  initialise();
  pics.set_input(4, true);
  EXPECT_EQ(irr(), 0U);
  pics.set_input(4, false);
  pics.set_input(4, true);
  EXPECT_EQ(irr(), 0x10U);
}

struct Words {
  unsigned icw1;
  std::vector<unsigned> then;  ///< the last is OCW1
};

TEST_F(Pics, TakeAsManyWordsAsIcw1Says) {
  for (auto const& [icw1, then] : std::vector<Words>{{0x10, {0x40, 0x04, 0x5A}},
                                                     {0x11, {0x40, 0x04, 0x01, 0x5A}},
                                                     {0x12, {0x40, 0x5A}},
                                                     {0x13, {0x40, 0x01, 0x5A}}}) {
    out(0x20, icw1);
    for (unsigned const value : then) out(0x21, value);
    EXPECT_EQ(in(0x21), 0x5AU) << icw1;
  }
  out(0x20, 0x11);
  out(0x21, 0x40);
  out(0x20, 0x11);  // begins again
  for (unsigned const value : {0x48U, 0x04U, 0x01U, 0x00U}) out(0x21, value);
  pulse(1);
  EXPECT_EQ(pics.acknowledge(), 0x49);
}

TEST_F(Pics, WithoutIcw4ItsFunctionsAreOff) {
  initialise(0x13);
  out(0x20, 0x10);
  out(0x21, 0x08);
  out(0x21, 0x04);
  pulse(1);
  EXPECT_EQ(pics.acknowledge(), 0x09);
  EXPECT_EQ(isr(), 2U);
}

TEST_F(Pics, TakeOnlyTheUpperFiveBitsOfTheVector) {
  out(0x20, 0x13);
  out(0x21, 0xFF);
  out(0x21, 0x01);
  pulse(3);
  EXPECT_EQ(pics.acknowledge(), 0xFB);
}

// --- End of interrupt, rotation

TEST_F(Pics, AutomaticEoiLeavesNothingInService) {
  initialise(0x03, 0x03);
  for (unsigned line : {9U, 12U, 4U}) pulse(line);
  std::vector<unsigned> vectors;
  while (pics.output() && vectors.size() < 10) vectors.push_back(pics.acknowledge());
  EXPECT_EQ(vectors, (std::vector<unsigned>{0x71, 0x74, 0x0C}));
  EXPECT_EQ(isr() | isr(0xA0), 0U);
}

struct Ocw2 {
  unsigned value;
  unsigned in_service;  ///< afterwards, of 0x58 (IRQ 3, 4, 6) before
  unsigned first;       ///< the input that comes first then
};

TEST_F(Pics, Ocw2EndsAndRotates) {
  for (Ocw2 const& word : {Ocw2{0x20, 0x50, 0},  // EOI
                           Ocw2{0x60, 0x58, 0},  // specific EOI, 0 is not in service
                           Ocw2{0x64, 0x48, 0},  // specific EOI
                           Ocw2{0x66, 0x18, 0}, Ocw2{0xA0, 0x50, 4},  // rotate on EOI
                           Ocw2{0xE6, 0x18, 7},                       // rotate on specific EOI
                           Ocw2{0xE1, 0x58, 2},  // the same for one that is not in service
                           Ocw2{0xC5, 0x58, 6},  // set priority
                           Ocw2{0xC7, 0x58, 0}, Ocw2{0x40, 0x58, 0},  // no operation
                           Ocw2{0x47, 0x58, 0}}) {
    initialise();
    for (unsigned const line : {6U, 4U, 3U}) {
      pulse(line);
      EXPECT_EQ(pics.acknowledge(), 8 + line);
    }
    out(0x20, word.value);
    EXPECT_EQ(isr(), word.in_service) << std::hex << word.value;
    for (unsigned line = 0; line < 8; ++line) out(0x20, 0x60 | line);
    for (unsigned line = 0; line < 16; ++line) pulse(line);
    if (word.first == 2)
      EXPECT_EQ(pics.acknowledge(), 0x70) << std::hex << word.value;
    else
      EXPECT_EQ(pics.acknowledge(), 8 + word.first) << std::hex << word.value;
  }
}

TEST_F(Pics, RotationServesEqualDevicesInTurn) {
  initialise();
  out(0x21, 0x04);
  std::string order;
  for (int round = 0; round < 8; ++round) {
    for (unsigned const line : {0U, 3U, 5U}) pulse(line);
    order += std::to_string(pics.acknowledge() - 8);
    out(0x20, 0xA0);
  }
  EXPECT_EQ(order, "03503503");
}

TEST_F(Pics, RotationInAutomaticEoiMode) {
  initialise(0x03);
  out(0x20, 0x80);
  std::string order;
  for (int round = 0; round < 6; ++round) {
    for (unsigned const line : {1U, 4U, 7U}) pulse(line);
    order += std::to_string(pics.acknowledge() - 8);
  }
  out(0x20, 0x00);  // cleared: from now on IRQ 7 stays the last
  for (int round = 0; round < 3; ++round) {
    for (unsigned const line : {1U, 4U, 7U}) pulse(line);
    order += std::to_string(pics.acknowledge() - 8);
  }
  EXPECT_EQ(order, "147147111");
}

// --- Special modes, poll

TEST_F(Pics, SpecialMaskModeLetsLowerPrioritiesIn) {
  initialise();
  pulse(4);
  EXPECT_EQ(pics.acknowledge(), 0x0C);
  pulse(6);
  out(0x21, 0x10);
  EXPECT_FALSE(pics.output());
  out(0x20, 0x68);
  EXPECT_TRUE(pics.output());
  EXPECT_EQ(pics.acknowledge(), 0x0E);
  pulse(7);
  EXPECT_FALSE(pics.output());  // IRQ 6 is in service and not masked
  out(0x20, 0x08);              // ESMM is 0: SMM does not matter
  out(0x20, 0x20);              // a non-specific EOI ends IRQ 6: IRQ 4 is masked
  EXPECT_EQ(isr(), 0x10U);
  out(0x20, 0x20);
  EXPECT_EQ(isr(), 0x10U);
  EXPECT_EQ(pics.acknowledge(), 0x0F);
  out(0x20, 0x67);
  out(0x20, 0x48);  // normal mask mode
  out(0x20, 0x20);
  EXPECT_EQ(isr(), 0U);
}

TEST_F(Pics, SpecialFullyNestedModeLetsASlaveInterruptItself) {
  for (bool const special : {false, true}) {
    initialise(special ? 0x11 : 0x01);
    pulse(12);
    EXPECT_EQ(pics.acknowledge(), 0x74);
    pulse(13);
    EXPECT_FALSE(pics.output());
    pulse(9);
    EXPECT_EQ(pics.output(), special);
    pulse(3);  // less urgent than the slave, in either mode
    if (special) {
      EXPECT_EQ(pics.acknowledge(), 0x71);
      EXPECT_EQ(isr(0xA0), 0x12U);
      EXPECT_FALSE(pics.output());
    } else {
      EXPECT_EQ(isr(0xA0), 0x10U);
    }
    pulse(1);
    EXPECT_EQ(pics.acknowledge(), 0x09);
  }
}

TEST_F(Pics, InSpecialFullyNestedModeOnlyTheSlaveInterruptsItself) {
  initialise(0x11);
  pulse(4);
  EXPECT_EQ(pics.acknowledge(), 0x0C);
  pulse(4);
  EXPECT_FALSE(pics.output());
}

TEST_F(Pics, APollAcknowledges) {
  initialise();
  for (unsigned const port : {0x20U, 0x21U}) {
    out(0x20, 0x0C);
    EXPECT_EQ(in(static_cast<std::uint16_t>(port)), 0U);
    pulse(5);
    out(0x20, 0x0C);
    EXPECT_EQ(in(static_cast<std::uint16_t>(port)), 0x85U);
    EXPECT_EQ(in(0x21), 0U);  // one read only: this is IMR
    EXPECT_EQ(isr(), 0x20U);
    EXPECT_FALSE(pics.output());
    out(0x20, 0x20);
  }
}

TEST_F(Pics, APolledSlaveTakesItsRequestBack) {
  initialise();
  pulse(10);
  pulse(11);
  out(0xA0, 0x0C);
  EXPECT_EQ(in(0xA0), 0x82U);
  EXPECT_EQ(isr(0xA0), 4U);
  out(0x20, 0x0C);
  EXPECT_EQ(in(0x20), 0x82U);  // the master's IR2 is latched
  out(0x20, 0x20);
  EXPECT_FALSE(pics.output());
  out(0xA0, 0x20);
  EXPECT_EQ(pics.acknowledge(), 0x73);
}

TEST_F(Pics, APollComesBeforeTheStatus) {
  initialise();
  pulse(1);
  out(0x20, 0x0F);  // P, RR, RIS
  EXPECT_EQ(in(0x20), 0x81U);
  EXPECT_EQ(in(0x20), 0x02U);  // ISR
}

// --- The whole

TEST_F(Pics, StateGoesRound) {
  std::mt19937 random{7};
  Board other;
  std::uint16_t const ports[] = {0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1};
  for (int round = 0; round < 2000; ++round) {
    if (random() % 2 == 0)
      pics.set_input(random() % 16, random() % 2 == 0);
    else
      out(ports[random() % 6], random() & 0xFF);
    Pic8259A::State const state = pics.save();
    other.get<"pic">().load(state);
    ASSERT_EQ(other.get<"pic">().save(), state);
    ASSERT_EQ(other.get<"pic">().output(), pics.output());
  }
  for (std::uint16_t const port : ports) EXPECT_EQ(other.in<std::uint8_t>(port, context), in(port));
  EXPECT_EQ(other.get<"pic">().acknowledge(), pics.acknowledge());
  EXPECT_EQ(other.get<"pic">().save(), pics.save());
}

TEST_F(Pics, NoBytesOfAGuestDoHarm) {
  std::mt19937 random{11};
  std::uint16_t const ports[] = {0x20, 0x21, 0xA0, 0xA1, 0x4D0, 0x4D1};
  for (int round = 0; round < 200'000; ++round) {
    std::uint16_t const port = ports[random() % 6];
    switch (random() % 4) {
      case 0:
        out(port, random() & 0xFF);
        break;
      case 1:
        (void)in(port);
        break;
      case 2:
        pics.set_input(random() % 16, random() % 2 == 0);
        break;
      default:
        (void)pics.acknowledge();
    }
    ASSERT_LT(pics.save().master.first, 8);
    ASSERT_LT(pics.save().slave.first, 8);
  }
}

}  // namespace
}  // namespace portico
