// Two IOAPICs.
// FIRST: A board has two interrupt controllers of one kind
// EXPECT: board_has_several_controllers<
#include <portico/device/locked.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/machine.hpp>

using portico::Locked;
using Pic = portico::Pic8259A;
using Where =
    portico::Ranges<portico::Ports<0x20, 2>, portico::Ports<0xA0, 2>, portico::Ports<0x4D0, 2>>;

using First = portico::Mmio<0xFEC0'0000, portico::IoApic>;
#ifdef PORTICO_CONTROL
using Board = portico::DeviceMap<First>;
#else
using Board = portico::DeviceMap<First, portico::Mmio<0xFEC0'1000, portico::IoApic>>;
#endif

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }  // HERE
