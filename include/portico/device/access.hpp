/// The words of an access: which space, which way, and who took it.
///
///     #include <portico/device/access.hpp>
///     bool print(auto& board, auto& context, std::byte byte) {
///       portico::Claim const claim =
///           board.template access<portico::Space::port, portico::Direction::write>(
///               0xE9, 1, 1, &byte, context);
///       return claim.taken();
///     }
#pragma once

#include <cstddef>
#include <cstdint>

namespace portico {

/// The two address spaces of an x86 machine.
enum class Space : std::uint8_t { port, mmio };

/// Seen from the guest: it reads from a device, or writes to it.
enum class Direction : std::uint8_t { read, write };

/// Who answered an access.
struct Claim {
  std::int32_t entry = -1;  ///< index of the map's entry that holds the address, or -1
  std::int32_t range = -1;  ///< index of the entry's range, or -1
  std::int32_t row =
      -1;  ///< index of the register in that range's table, or -1: nobody took the access
  bool may_stop = false;  ///< the handler asked for RunControl&, so the run may be over

  /// Whether a register took the access; otherwise a read gave all ones and a write was dropped.
  [[nodiscard]] constexpr bool taken() const noexcept { return row >= 0; }
};

/// One access as the machine saw it: what observers (traces, statistics) get.
struct Access {
  Space space = Space::port;
  Direction direction = Direction::read;
  std::uint64_t address = 0;        ///< port or guest-physical address of the first byte
  std::uint32_t width = 0;          ///< bytes of one element: 1, 2, 4 on ports, 1 to 8 on MMIO
  std::uint32_t count = 1;          ///< elements: more than one for string instructions on ports
  std::byte const* data = nullptr;  ///< width * count bytes, valid during the call
  bool exits = true;                ///< the guest left for it; else KVM gathered it (Coalesced)
};

/// The highest address that a space has.
[[nodiscard]] constexpr std::uint64_t last_address(Space space) noexcept {
  // 52 bits are the most that the architecture gives a physical address (Intel SDM vol. 3A,
  // section 4.1.4).
  return space == Space::port ? 0xFFFF : (std::uint64_t{1} << 52) - 1;
}

}  // namespace portico
