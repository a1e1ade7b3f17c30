// One line, of which only one entry says that it is shared.
// FIRST: One interrupt line is given to two devices that do not both share it.*To fix this: give one another line
// EXPECT: irq_line_not_shared<.*"4".*Uart, Disk>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>

struct Uart {
  void write(std::uint8_t, portico::IrqLine&);
};

struct Disk {
  void write(std::uint8_t, portico::IrqLine&);
};

#ifdef PORTICO_CONTROL
using Line = portico::Irq<4, portico::Shared, portico::Level>;
#else
using Line = portico::Irq<4, portico::Level>;
#endif

using Board = portico::DeviceMap<  // HERE
    portico::Port<0x3F8, Uart, Line>,
    portico::Port<0x2F8, Disk, portico::Irq<4, portico::Level, portico::Shared>>>;  // HERE
static_assert(Board::size == 2);
