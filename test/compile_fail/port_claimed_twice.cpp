// A range reaches into another entry's port.
// FIRST: Two entries claim one port.*To fix this: move one of them
// EXPECT: port_claimed_twice<.*"0x3ff".*Uart, DebugConsole>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

struct DebugConsole {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Console = portico::Port<0x400, DebugConsole>;
#else
using Console = portico::Port<0x3FF, DebugConsole>;
#endif

using Board = portico::DeviceMap<Console, portico::Port<0x3F8, Uart, portico::Size<8>>>;  // HERE
static_assert(Board::size == 2);
