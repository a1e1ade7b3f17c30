// Two entries of one name.
// FIRST: Two entries have one name.*To fix this: rename one
// EXPECT: name_used_twice<.*"keyboard".*>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Name = portico::Named<"keypad">;
#else
using Name = portico::Named<"keyboard">;
#endif

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, portico::Named<"keyboard">>,  // HERE
                                 portico::Port<0x2F8, Uart, Name>>;                       // HERE
static_assert(Board::size == 2);
