// A mode that is none.
// FIRST: portico::Irq: after the number come Edge or Level, and Shared; nothing else
// EXPECT: portico::Irq<4, portico::Size<1> ?>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Option = portico::Irq<4, portico::Edge>;
#else
using Option = portico::Irq<4, portico::Size<1>>;
#endif

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, Option>>;  // HERE
static_assert(Board::size == 1);
