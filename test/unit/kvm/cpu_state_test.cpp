#include <gtest/gtest.h>

#include <cstdint>

#include <portico/kvm/cpu_state.hpp>
#include <portico/x86/cpu_state.hpp>

namespace portico::kvm {
namespace {

/// A vCPU that only remembers its registers.
struct FakeVcpu {
  kvm_regs general{};
  kvm_sregs special{};

  kvm_sregs sregs() const { return special; }

  void set_sregs(kvm_sregs const& registers) { special = registers; }

  void set_regs(kvm_regs const& registers) { general = registers; }
};

TEST(CpuState, GeneralRegistersKeepTheirNames) {
  x86::CpuState state;
  state.rax = 1, state.rbx = 2, state.rcx = 3, state.rdx = 4;
  state.rsi = 5, state.rdi = 6, state.rsp = 7, state.rbp = 8;
  state.r8 = 9, state.r9 = 10, state.r10 = 11, state.r11 = 12;
  state.r12 = 13, state.r13 = 14, state.r14 = 15, state.r15 = 16;
  state.rip = 17, state.rflags = 18;
  kvm_regs const regs = general_registers(state);
  EXPECT_EQ(regs.rax, 1U);
  EXPECT_EQ(regs.rbx, 2U);
  EXPECT_EQ(regs.rcx, 3U);
  EXPECT_EQ(regs.rdx, 4U);
  EXPECT_EQ(regs.rsi, 5U);
  EXPECT_EQ(regs.rdi, 6U);
  EXPECT_EQ(regs.rsp, 7U);
  EXPECT_EQ(regs.rbp, 8U);
  EXPECT_EQ(regs.r8, 9U);
  EXPECT_EQ(regs.r9, 10U);
  EXPECT_EQ(regs.r10, 11U);
  EXPECT_EQ(regs.r11, 12U);
  EXPECT_EQ(regs.r12, 13U);
  EXPECT_EQ(regs.r13, 14U);
  EXPECT_EQ(regs.r14, 15U);
  EXPECT_EQ(regs.r15, 16U);
  EXPECT_EQ(regs.rip, 17U);
  EXPECT_EQ(regs.rflags, 18U);
}

TEST(CpuState, SegmentsKeepEveryField) {
  kvm_segment const code = segment({.base = 0x1234'5678'9ABC,
                                    .limit = 0xFFFF'FFFF,
                                    .selector = 0x8,
                                    .type = x86::SegmentType::code,
                                    .dpl = 3,
                                    .present = true,
                                    .s = true,
                                    .l = true,
                                    .db = false,
                                    .g = true});
  EXPECT_EQ(code.base, 0x1234'5678'9ABCU);
  EXPECT_EQ(code.limit, 0xFFFF'FFFFU);
  EXPECT_EQ(code.selector, 8);
  EXPECT_EQ(code.type, 11);
  EXPECT_EQ(code.dpl, 3);
  EXPECT_EQ(code.present, 1);
  EXPECT_EQ(code.s, 1);
  EXPECT_EQ(code.l, 1);
  EXPECT_EQ(code.db, 0);
  EXPECT_EQ(code.g, 1);
  EXPECT_EQ(code.unusable, 0);
  EXPECT_EQ(segment({.present = false}).unusable, 1);
  EXPECT_EQ(segment({.db = true}).db, 1);
}

TEST(CpuState, WhatIsNotNamedStays) {
  FakeVcpu vcpu;
  vcpu.special.apic_base = 0xFEE0'0900;
  vcpu.special.cr8 = 5;
  vcpu.special.cs.base = 0xFFFF'0000;

  x86::CpuState state;
  state.rip = 0x7C00;
  state.cs.base = 0x10;
  state.ds.base = 0x20;
  state.es.base = 0x30;
  state.fs.base = 0x40;
  state.gs.base = 0x50;
  state.ss.base = 0x60;
  state.tr.base = 0x70;
  state.ldt.base = 0x80;
  state.gdt = {.base = 0x90, .limit = 0x27};
  state.idt = {.base = 0xA0, .limit = 0x37};
  state.cr0 = 1, state.cr2 = 2, state.cr3 = 3, state.cr4 = 4, state.efer = 5;
  set_cpu_state(vcpu, state);

  EXPECT_EQ(vcpu.special.apic_base, 0xFEE0'0900U);
  EXPECT_EQ(vcpu.special.cr8, 5U);
  EXPECT_EQ(vcpu.general.rip, 0x7C00U);
  EXPECT_EQ(vcpu.general.rflags, 2U);
  EXPECT_EQ(vcpu.special.cs.base, 0x10U);
  EXPECT_EQ(vcpu.special.ds.base, 0x20U);
  EXPECT_EQ(vcpu.special.es.base, 0x30U);
  EXPECT_EQ(vcpu.special.fs.base, 0x40U);
  EXPECT_EQ(vcpu.special.gs.base, 0x50U);
  EXPECT_EQ(vcpu.special.ss.base, 0x60U);
  EXPECT_EQ(vcpu.special.tr.base, 0x70U);
  EXPECT_EQ(vcpu.special.tr.s, 0);
  EXPECT_EQ(vcpu.special.ldt.base, 0x80U);
  EXPECT_EQ(vcpu.special.gdt.base, 0x90U);
  EXPECT_EQ(vcpu.special.gdt.limit, 0x27);
  EXPECT_EQ(vcpu.special.idt.base, 0xA0U);
  EXPECT_EQ(vcpu.special.idt.limit, 0x37);
  EXPECT_EQ(vcpu.special.cr0, 1U);
  EXPECT_EQ(vcpu.special.cr2, 2U);
  EXPECT_EQ(vcpu.special.cr3, 3U);
  EXPECT_EQ(vcpu.special.cr4, 4U);
  EXPECT_EQ(vcpu.special.efer, 5U);
}

}  // namespace
}  // namespace portico::kvm
