#include <gtest/gtest.h>

#include <cstdint>

#include <portico/base/bytes.hpp>
#include <portico/x86/cpu_state.hpp>
#include <portico/x86/descriptors.hpp>
#include <portico/x86/long_mode.hpp>
#include <portico/x86/protected_mode.hpp>
#include <portico/x86/real_mode.hpp>

namespace portico {
namespace {

TEST(LongMode, RegistersAreThoseOfTheGuestAbi) {
  constexpr x86::CpuState state = LongMode::cpu_state(0x80'0000, 0x1234, 0x7F'F000);
  EXPECT_EQ(state.cr0, 0x8005'0033U);  // PG, AM, WP, NE, ET, MP, PE
  EXPECT_EQ(state.cr3, 0x80'0000U);
  EXPECT_EQ(state.cr4, 0x620U);   // OSXMMEXCPT, OSFXSR, PAE
  EXPECT_EQ(state.efer, 0x500U);  // LMA, LME
  EXPECT_EQ(state.rflags, 2U);
  EXPECT_EQ(state.rip, 0x1234U);
  EXPECT_EQ(state.rsp, 0x7F'F000U);
  for (std::uint64_t const other :
       {state.rax, state.rbx, state.rcx, state.rdx, state.rsi, state.rdi, state.rbp, state.r8,
        state.r9, state.r10, state.r11, state.r12, state.r13, state.r14, state.r15}) {
    EXPECT_EQ(other, 0U);
  }
}

TEST(LongMode, SegmentsAreFlatAndRingZero) {
  constexpr x86::CpuState state = LongMode::cpu_state(0, 0, 0);
  EXPECT_TRUE(state.cs.l);
  EXPECT_FALSE(state.cs.db);
  EXPECT_EQ(state.cs.type, x86::SegmentType::code);
  for (x86::Segment const& segment : {state.cs, state.ds, state.es, state.fs, state.gs, state.ss}) {
    EXPECT_EQ(segment.base, 0U);
    EXPECT_EQ(segment.limit, 0xFFFF'FFFFU);
    EXPECT_EQ(segment.dpl, 0);
    EXPECT_EQ(segment.selector & 3, 0);
    EXPECT_TRUE(segment.present);
    EXPECT_TRUE(segment.s);
    EXPECT_TRUE(segment.g);
  }
  EXPECT_EQ(state.tr.type, x86::SegmentType::busy_tss);
  EXPECT_FALSE(state.tr.s);
}

TEST(RealMode, AllSegmentsStandAtOnePlace) {
  constexpr x86::CpuState state =
      RealMode{.segment_base = 0x1'0000, .ip = 0x20, .sp = 0xFFF0}.cpu_state();
  EXPECT_EQ(state.rip, 0x20U);
  EXPECT_EQ(state.rsp, 0xFFF0U);
  EXPECT_EQ(state.rflags, 2U);
  EXPECT_EQ(state.cr0, 0x10U);
  EXPECT_EQ(state.efer, 0U);
  for (x86::Segment const& segment : {state.cs, state.ds, state.es, state.fs, state.gs, state.ss}) {
    EXPECT_EQ(segment.base, 0x1'0000U);
    EXPECT_EQ(segment.selector, 0);
    EXPECT_EQ(segment.limit, 0xFFFFU);
    EXPECT_FALSE(segment.g);
    EXPECT_FALSE(segment.l);
    EXPECT_FALSE(segment.db);
  }
  EXPECT_EQ(state.cs.type, x86::SegmentType::code);
  EXPECT_EQ(state.ss.type, x86::SegmentType::data);
}

TEST(RealMode, SegmentsByTheirSelector) {
  static_assert(x86::real_code_segment(0xF000).base == 0xF'0000);
  static_assert(x86::real_data_segment(0x7C0).base == 0x7C00 &&
                x86::real_data_segment(0x7C0).selector == 0x7C0);
}

TEST(ProtectedMode, SegmentsAreFlatAndThereIsNoPaging) {
  constexpr x86::CpuState state = ProtectedMode{.eip = 0x10'000C, .esp = 0x9'0000}.cpu_state();
  EXPECT_EQ(state.rip, 0x10'000CU);
  EXPECT_EQ(state.rsp, 0x9'0000U);
  EXPECT_EQ(state.rflags, 2U);
  EXPECT_EQ(state.cr0, 0x11U);
  EXPECT_EQ(state.cr4, 0U);
  EXPECT_EQ(state.efer, 0U);
  for (x86::Segment const& segment : {state.cs, state.ds, state.es, state.fs, state.gs, state.ss}) {
    EXPECT_EQ(segment.base, 0U);
    EXPECT_EQ(segment.limit, 0xFFFF'FFFFU);
    EXPECT_TRUE(segment.g);
    EXPECT_TRUE(segment.db);
    EXPECT_FALSE(segment.l);
  }
  EXPECT_EQ(state.cs.type, x86::SegmentType::code);
  EXPECT_EQ(state.tr.limit, 0x67U);
}

TEST(Descriptors, HaveTheirBitsInPlace) {
  constexpr x86::CpuState flat = ProtectedMode{}.cpu_state();
  static_assert(x86::descriptor(flat.cs) == 0x00CF'9B00'0000'FFFF);
  static_assert(x86::descriptor(flat.ds) == 0x00CF'9300'0000'FFFF);
  constexpr x86::Segment odd{.base = 0x1234'5678,
                             .limit = 0xF'EDCB,
                             .type = x86::SegmentType::busy_tss,
                             .dpl = 3,
                             .s = false};
  static_assert(x86::descriptor(odd) == 0x120F'EB34'5678'EDCB);
  static_assert(x86::descriptor({.present = false}) >> 47 == 0);
}

}  // namespace
}  // namespace portico
