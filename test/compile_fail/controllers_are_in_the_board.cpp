// Controllers in the kernel and in the board.
// FIRST: A machine is to have its interrupt controllers
// EXPECT: controllers_are_in_the_board<portico::KernelIrqchip
#include <portico/device/locked.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/machine.hpp>

using portico::Locked;
using Pic = portico::Pic8259A;
using Where =
    portico::Ranges<portico::Ports<0x20, 2>, portico::Ports<0xA0, 2>, portico::Ports<0x4D0, 2>>;

using Board = portico::DeviceMap<portico::Mmio<0xFEC0'0000, portico::IoApic>>;

#ifdef PORTICO_CONTROL
using Machine = portico::Machine<Board>;
#else
using Machine = portico::Machine<Board, portico::KernelIrqchip>;
#endif

portico::Stop run(Machine& machine) { return machine.run(); }  // HERE
