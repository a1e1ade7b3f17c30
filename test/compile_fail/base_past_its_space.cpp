// A base beyond the 52 bits of a physical address.
// FIRST: A range ends past its space.*guest-physical addresses to 2\^52 - 1.*To fix this: lower its base
// EXPECT: range_ends_past_its_space<.*"0x10000000000000".*Disk>
#include <portico/device/device_map.hpp>

struct Disk {
  void write(std::uint32_t);
};

#ifdef PORTICO_CONTROL
inline constexpr std::uint64_t base = 0xF'FFFF'FFFF'FFFC;
#else
inline constexpr std::uint64_t base = 0x10'0000'0000'0000;
#endif

using Board = portico::DeviceMap<portico::Mmio<base, Disk>>;  // HERE
static_assert(Board::size == 1);
