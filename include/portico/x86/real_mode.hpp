/// 16-bit real mode with all segments at one place: how a boot sector or another tiny 8086 program
/// starts.
///
///     #include <portico/x86/real_mode.hpp>
///
///     // Every segment register has selector 0 and base 0x1'0000; ip = 0, sp = 0.
///     constexpr portico::x86::CpuState state = portico::RealMode{0x1'0000}.cpu_state();
///     static_assert(state.cs.base == 0x1'0000 && state.ss.selector == 0 && state.rip == 0);
///
/// Limits: the bases are hidden parts of the segment registers, as on a CPU that was in protected
/// mode before: a guest that loads a segment register moves that segment to 16 times the selector.
/// Intel processors without "unrestricted guest" also need Vm::reserve_real_mode_pages().
#pragma once

#include <cstdint>
#include <initializer_list>

#include <portico/x86/cpu_state.hpp>

namespace portico {

/// How a guest starts in real mode; a small value.
struct RealMode {
  std::uint64_t segment_base = 0x1'0000;  ///< of all six segments, in bytes; their selectors are 0
  std::uint16_t ip = 0;
  std::uint16_t sp = 0;

  /// The registers for the first instruction, at segment_base + ip.
  [[nodiscard]] constexpr x86::CpuState cpu_state() const noexcept {
    x86::CpuState state;
    state.rip = ip;
    state.rsp = sp;
    for (x86::Segment* segment :
         {&state.cs, &state.ds, &state.es, &state.fs, &state.gs, &state.ss}) {
      segment->base = segment_base;
    }
    return state;
  }
};

}  // namespace portico
