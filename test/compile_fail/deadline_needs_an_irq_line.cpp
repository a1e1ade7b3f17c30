// A deadline asks for the line that its entry does not have.
// FIRST: A handler asks for IrqLine&.*To fix this: add the option Irq<n>
// EXPECT: device_needs_an_irq_line<Timer>
#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>

struct Timer {
  void write(std::uint8_t, portico::Clock&);
  void deadline(portico::IrqLine&);
};

#ifdef PORTICO_CONTROL
using Entry = portico::Port<0x40, Timer, portico::Irq<0>>;
#else
using Entry = portico::Port<0x40, Timer>;
#endif

using Board = portico::DeviceMap<Entry>;  // HERE
static_assert(Board::size == 1);
