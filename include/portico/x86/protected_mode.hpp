/// 32-bit protected mode with flat segments and without paging: how Multiboot and PVH kernels
/// start.
///
///     #include <portico/x86/protected_mode.hpp>
///
///     constexpr portico::ProtectedMode mode{.eip = 0x10'0000, .esp = 0x9'0000};
///     static_assert(mode.cpu_state().cr0 == (portico::x86::cr0::pe | portico::x86::cr0::et));
///     static_assert(mode.cpu_state().cs.limit == 0xFFFF'FFFF && mode.cpu_state().cs.db);
///
/// The state: CR0 = PE, ET; CR4 = 0; all segments from 0 to 4 GiB, ring 0; interrupts off. Limits:
/// no GDT, IDT or TSS in memory: a guest that takes interrupts or loads a segment register brings
/// its own. Sources: Multiboot specification 0.6.96, section 3.2; Xen, x86/HVM direct boot ABI.
#pragma once

#include <cstdint>

#include <portico/x86/cpu_state.hpp>

namespace portico {

/// How a guest starts in 32-bit mode; a small value.
struct ProtectedMode {
  std::uint32_t eip = 0;
  std::uint32_t esp = 0;

  /// The registers for the first instruction, at `eip`.
  [[nodiscard]] constexpr x86::CpuState cpu_state() const noexcept {
    constexpr x86::Segment data{.limit = 0xFFFF'FFFF, .selector = 0x18, .db = true, .g = true};
    x86::CpuState state;
    state.rip = eip;
    state.rsp = esp;
    state.cs = {.limit = 0xFFFF'FFFF,
                .selector = 0x10,
                .type = x86::SegmentType::code,
                .db = true,
                .g = true};
    state.ds = state.es = state.fs = state.gs = state.ss = data;
    state.tr.limit = 0x67;
    state.idt.limit = 0;
    state.cr0 = x86::cr0::pe | x86::cr0::et;
    return state;
  }
};

}  // namespace portico
