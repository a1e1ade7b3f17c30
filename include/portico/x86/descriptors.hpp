/// Segments as the eight bytes of a descriptor, for the tables that a guest's CPU reads.
///
///     #include <portico/x86/descriptors.hpp>
///
///     // 64-bit code, ring 0: what Linux, like most, has in its table.
///     constexpr portico::x86::Segment code{.limit = 0xFFFF'FFFF,
///                                          .type = portico::x86::SegmentType::code,
///                                          .l = true, .g = true};
///     static_assert(portico::x86::descriptor(code) == 0x00AF'9B00'0000'FFFF);
///
/// Format: Intel SDM 3A, section 3.4.5.
#pragma once

#include <cstdint>

#include <portico/x86/cpu_state.hpp>

namespace portico::x86 {

/// The descriptor that a segment register with this contents was loaded from.
constexpr std::uint64_t descriptor(Segment const& segment) noexcept {
  std::uint64_t const limit = segment.g ? segment.limit >> 12 : segment.limit;
  std::uint64_t const access =
      static_cast<std::uint64_t>(segment.type) | std::uint64_t{segment.s} << 4 |
      (std::uint64_t{segment.dpl} & 3) << 5 | std::uint64_t{segment.present} << 7;
  std::uint64_t const flags = std::uint64_t{segment.l} << 1 | std::uint64_t{segment.db} << 2 |
                              std::uint64_t{segment.g} << 3;
  return (limit & 0xFFFF) | (segment.base & 0xFF'FFFF) << 16 | access << 40 |
         (limit >> 16 & 0xF) << 48 | flags << 52 | (segment.base >> 24 & 0xFF) << 56;
}

}  // namespace portico::x86
