// All registers on one address.
// FIRST: portico::Stride: must not be 0
// EXPECT: portico::Stride<0>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Option = portico::Stride<1>;
#else
using Option = portico::Stride<0>;
#endif

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, Option>>;  // HERE
static_assert(Board::size == 1);
