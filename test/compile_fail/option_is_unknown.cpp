// A number where an option belongs.
// FIRST: An entry has an option that is none. The options are Size<n>
// EXPECT: option_is_unknown<std::integral_constant<int, 8>, Uart>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Option = portico::Size<8>;
#else
using Option = std::integral_constant<int, 8>;
#endif

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, Option>>;  // HERE
static_assert(Board::size == 1);
