/// The registers that a mode is made of, as plain values: what x86/ fills in and kvm/ hands to a
/// vCPU.
///
///     #include <portico/x86/cpu_state.hpp>
///
///     portico::x86::CpuState at_reset_vector() {
///       portico::x86::CpuState state;                       // real mode, everything 0
///       state.cs = portico::x86::real_code_segment(0xF000); // selector 0xF000, base 0xF'0000
///       state.rip = 0xFFF0;
///       return state;
///     }
///
/// Names are the manuals' (Intel SDM 3A, chapter 2 and 3; AMD APM 2, chapter 3 and 4), in lower
/// case. Limits: no floating point, debug or model-specific registers but EFER; what is not named
/// keeps what the vCPU has.
#pragma once

#include <cstdint>

namespace portico::x86 {

/// Bits of CR0.
namespace cr0 {
inline constexpr std::uint64_t pe = 1U << 0;   ///< protected mode
inline constexpr std::uint64_t mp = 1U << 1;   ///< `wait` obeys TS
inline constexpr std::uint64_t et = 1U << 4;   ///< always 1
inline constexpr std::uint64_t ne = 1U << 5;   ///< x87 errors as exceptions
inline constexpr std::uint64_t wp = 1U << 16;  ///< read-only pages bind CPL 0 too
inline constexpr std::uint64_t am = 1U << 18;  ///< alignment checks possible
inline constexpr std::uint64_t pg = 1U << 31;  ///< paging
}  // namespace cr0

/// Bits of CR4.
namespace cr4 {
inline constexpr std::uint64_t pae = 1U << 5;          ///< 64-bit page table entries
inline constexpr std::uint64_t osfxsr = 1U << 9;       ///< SSE may be used
inline constexpr std::uint64_t osxmmexcpt = 1U << 10;  ///< SSE errors as exceptions
}  // namespace cr4

/// Bits of the EFER register.
namespace efer {
inline constexpr std::uint64_t lme = 1U << 8;   ///< long mode asked for
inline constexpr std::uint64_t lma = 1U << 10;  ///< long mode active
}  // namespace efer

/// Bit 1 of RFLAGS, which is always 1; all else 0 means interrupts off.
inline constexpr std::uint64_t rflags_fixed = 2;

/// Types of segment descriptors that are used here; "accessed" is preset, as a loaded segment has
/// it.
enum class SegmentType : std::uint8_t {
  ldt = 2,        ///< system
  data = 3,       ///< read, write, accessed
  busy_tss = 11,  ///< system; 32-bit, or 64-bit in long mode
  code = 11       ///< execute, read, accessed
};

/// A segment register with the hidden part that a descriptor would fill.
struct Segment {
  std::uint64_t base = 0;
  std::uint32_t limit = 0xFFFF;  ///< in bytes, whatever `g` says
  std::uint16_t selector = 0;
  SegmentType type = SegmentType::data;
  std::uint8_t dpl = 0;
  bool present = true;
  bool s = true;    ///< code or data, not a system segment
  bool l = false;   ///< 64-bit code
  bool db = false;  ///< 32-bit operands and stack
  bool g = false;   ///< the limit counts 4 KiB units in the descriptor
};

/// GDTR or IDTR.
struct DescriptorTable {
  std::uint64_t base = 0;
  std::uint16_t limit = 0;
};

/// A code segment as real mode loads it: base = 16 * selector.
constexpr Segment real_code_segment(std::uint16_t selector) noexcept {
  return {.base = std::uint64_t{selector} * 16, .selector = selector, .type = SegmentType::code};
}

/// A data or stack segment as real mode loads it: base = 16 * selector.
constexpr Segment real_data_segment(std::uint16_t selector) noexcept {
  return {.base = std::uint64_t{selector} * 16, .selector = selector};
}

/// One CPU's registers; the default is real mode at address 0 with interrupts off.
struct CpuState {
  std::uint64_t rax = 0, rbx = 0, rcx = 0, rdx = 0;
  std::uint64_t rsi = 0, rdi = 0, rsp = 0, rbp = 0;
  std::uint64_t r8 = 0, r9 = 0, r10 = 0, r11 = 0;
  std::uint64_t r12 = 0, r13 = 0, r14 = 0, r15 = 0;
  std::uint64_t rip = 0;
  std::uint64_t rflags = rflags_fixed;

  Segment cs = real_code_segment(0);
  Segment ds, es, fs, gs, ss;
  Segment tr{.type = SegmentType::busy_tss, .s = false};
  Segment ldt{.type = SegmentType::ldt, .s = false};
  DescriptorTable gdt{};
  DescriptorTable idt{.limit = 0x3FF};  ///< real mode's vectors at address 0

  std::uint64_t cr0 = x86::cr0::et;
  std::uint64_t cr2 = 0;
  std::uint64_t cr3 = 0;
  std::uint64_t cr4 = 0;
  std::uint64_t efer = 0;
};

}  // namespace portico::x86
