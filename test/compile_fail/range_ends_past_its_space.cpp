// Eight ports from the last port but three on.
// FIRST: A range ends past its space: ports go up to 0xFFFF.*To fix this: lower its base
// EXPECT: range_ends_past_its_space<.*"0xfffc".*Uart>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Size = portico::Size<4>;
#else
using Size = portico::Size<8>;
#endif

using Board = portico::DeviceMap<portico::Port<0xFFFC, Uart, Size>>;  // HERE
static_assert(Board::size == 1);
