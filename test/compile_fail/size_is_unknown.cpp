// Raw bytes: how many?
// FIRST: A device that takes raw bytes needs the size of its range. To fix this: add the option Size<n>
// EXPECT: size_is_unknown<Space>
#include <portico/device/device_map.hpp>

struct Space {
  void read(std::uint64_t, gsl::span<std::byte>);
};

#ifdef PORTICO_CONTROL
using Entry = portico::Mmio<0xE000'0000, Space, portico::Size<0x1000>>;
#else
using Entry = portico::Mmio<0xE000'0000, Space>;
#endif

using Board = portico::DeviceMap<Entry>;  // HERE
static_assert(Board::size == 1);
