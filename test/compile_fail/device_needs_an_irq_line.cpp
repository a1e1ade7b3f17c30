// A handler asks for the line that its entry does not have.
// FIRST: A handler asks for IrqLine&.*To fix this: add the option Irq<n>
// EXPECT: device_needs_an_irq_line<Uart>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>

struct Uart {
  void write(std::uint8_t, portico::IrqLine&);
};

#ifdef PORTICO_CONTROL
using Entry = portico::Port<0x3F8, Uart, portico::Irq<4>>;
#else
using Entry = portico::Port<0x3F8, Uart>;
#endif

using Board = portico::DeviceMap<Entry>;  // HERE
static_assert(Board::size == 1);
