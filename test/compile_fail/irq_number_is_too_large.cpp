// A line that no interrupt controller has.
// FIRST: portico::Irq: the interrupt controllers have lines 0 to 23
// EXPECT: portico::Irq<24>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Option = portico::Irq<23>;
#else
using Option = portico::Irq<24>;
#endif

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, Option>>;  // HERE
static_assert(Board::size == 1);
