// A range of no address.
// FIRST: portico::Size: must not be 0
// EXPECT: portico::Size<0>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Option = portico::Size<1>;
#else
using Option = portico::Size<0>;
#endif

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, Option>>;  // HERE
static_assert(Board::size == 1);
