// Line 17 where only an 8259A pair is.
// FIRST: An entry has an interrupt line that the board's controller lacks
// EXPECT: irq_line_beyond_the_controller<portico::Text<.*17.*Bell
#include <portico/device/locked.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/machine.hpp>

using portico::Locked;
using Pic = portico::Pic8259A;
using Where =
    portico::Ranges<portico::Ports<0x20, 2>, portico::Ports<0xA0, 2>, portico::Ports<0x4D0, 2>>;

struct Bell {
  void write(std::uint8_t, portico::IrqLine& line) { line.pulse(); }
};

#ifdef PORTICO_CONTROL
using Line = portico::Irq<7>;
#else
using Line = portico::Irq<17>;
#endif
using Board = portico::DeviceMap<portico::On<Locked<Pic>, Where>, portico::Port<0x70, Bell, Line>>;

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }  // HERE
