/// Hands the registers of a mode to a vCPU. This is the one place where kvm/ knows x86/: its plain
/// structure.
///
///     #include <portico/kvm/cpu_state.hpp>
///     #include <portico/kvm/vcpu.hpp>
///     #include <portico/x86/real_mode.hpp>
///
///     void start_in_real_mode(portico::kvm::Vcpu& vcpu) {
///       constexpr portico::RealMode mode{.segment_base = 0x1'0000, .ip = 0x100};
///       portico::kvm::set_cpu_state(vcpu, mode.cpu_state());
///     }
///
/// Limits: three system calls; the APIC base and what CpuState does not name stay as the vCPU has
/// them. Before the first run, or on the vCPU's thread.
#pragma once

#include <portico/kvm/abi.hpp>
#include <portico/x86/cpu_state.hpp>

namespace portico::kvm {

/// The general registers as KVM takes them.
constexpr kvm_regs general_registers(x86::CpuState const& state) noexcept {
  return {.rax = state.rax,
          .rbx = state.rbx,
          .rcx = state.rcx,
          .rdx = state.rdx,
          .rsi = state.rsi,
          .rdi = state.rdi,
          .rsp = state.rsp,
          .rbp = state.rbp,
          .r8 = state.r8,
          .r9 = state.r9,
          .r10 = state.r10,
          .r11 = state.r11,
          .r12 = state.r12,
          .r13 = state.r13,
          .r14 = state.r14,
          .r15 = state.r15,
          .rip = state.rip,
          .rflags = state.rflags};
}

/// A segment as KVM takes it.
constexpr kvm_segment segment(x86::Segment const& segment) noexcept {
  return {.base = segment.base,
          .limit = segment.limit,
          .selector = segment.selector,
          .type = static_cast<__u8>(segment.type),
          .present = segment.present,
          .dpl = segment.dpl,
          .db = segment.db,
          .s = segment.s,
          .l = segment.l,
          .g = segment.g,
          .avl = 0,
          .unusable = !segment.present,
          .padding = 0};
}

/// The special registers as KVM takes them; what `state` does not name comes from `before`.
constexpr kvm_sregs special_registers(x86::CpuState const& state,
                                      kvm_sregs const& before) noexcept {
  kvm_sregs all = before;
  all.cs = segment(state.cs);
  all.ds = segment(state.ds);
  all.es = segment(state.es);
  all.fs = segment(state.fs);
  all.gs = segment(state.gs);
  all.ss = segment(state.ss);
  all.tr = segment(state.tr);
  all.ldt = segment(state.ldt);
  all.gdt = {.base = state.gdt.base, .limit = state.gdt.limit, .padding = {}};
  all.idt = {.base = state.idt.base, .limit = state.idt.limit, .padding = {}};
  all.cr0 = state.cr0;
  all.cr2 = state.cr2;
  all.cr3 = state.cr3;
  all.cr4 = state.cr4;
  all.efer = state.efer;
  return all;
}

/// Sets all registers of `state`; `vcpu` is a Vcpu, or a test's that has the same three functions.
template <class VirtualCpu>
void set_cpu_state(VirtualCpu& vcpu, x86::CpuState const& state) {
  vcpu.set_sregs(special_registers(state, vcpu.sregs()));
  vcpu.set_regs(general_registers(state));
}

}  // namespace portico::kvm
