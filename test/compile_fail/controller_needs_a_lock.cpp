// An 8259A pair that every thread would drive at once.
// FIRST: An interrupt controller in the board is driven by every thread
// EXPECT: controller_needs_a_lock<portico::Pic8259A>
#include <portico/device/locked.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/machine.hpp>

using portico::Locked;
using Pic = portico::Pic8259A;
using Where =
    portico::Ranges<portico::Ports<0x20, 2>, portico::Ports<0xA0, 2>, portico::Ports<0x4D0, 2>>;

#ifdef PORTICO_CONTROL
using Board = portico::DeviceMap<portico::On<Locked<Pic>, Where>>;
#else
using Board = portico::DeviceMap<portico::On<Pic, Where>>;
#endif

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }  // HERE
