// One instance on no range at all.
// FIRST: A device stands on no range. To fix this: name at least one
// EXPECT: device_has_no_range<Uart>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Where = portico::Ranges<portico::Ports<0x20>>;
#else
using Where = portico::Ranges<>;
#endif

using Board = portico::DeviceMap<portico::On<Uart, Where>>;  // HERE
static_assert(Board::size == 1);
