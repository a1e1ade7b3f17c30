// One line, once edge and once level.
// FIRST: Two entries share an interrupt line, one as Edge and one as Level.*To fix this: make both Level
// EXPECT: irq_line_edge_and_level<.*"4".*Uart, Disk>
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
using Line = portico::Irq<4, portico::Shared, portico::Edge>;
#endif

using Board = portico::DeviceMap<  // HERE
    portico::Port<0x3F8, Uart, Line>,
    portico::Port<0x2F8, Disk, portico::Irq<4, portico::Level, portico::Shared>>>;  // HERE
static_assert(Board::size == 2);
