// A line that is both.
// FIRST: portico::Irq: a line is Edge or Level, not both
// EXPECT: portico::Irq<4, portico::Edge, portico::Level>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Option = portico::Irq<4, portico::Level, portico::Shared>;
#else
using Option = portico::Irq<4, portico::Edge, portico::Level>;
#endif

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, Option>>;  // HERE
static_assert(Board::size == 1);
