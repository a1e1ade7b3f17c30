// Two vCPUs behind an 8259A pair.
// FIRST: A board whose only interrupt controller has one output
// EXPECT: controller_serves_one_vcpu<portico::Locked<portico::Pic8259A>
#include <portico/device/locked.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/machine.hpp>

using portico::Locked;
using Pic = portico::Pic8259A;
using Where =
    portico::Ranges<portico::Ports<0x20, 2>, portico::Ports<0xA0, 2>, portico::Ports<0x4D0, 2>>;

using Board = portico::DeviceMap<portico::On<Locked<Pic>, Where>>;

#ifdef PORTICO_CONTROL
using Machine = portico::Machine<Board, portico::Vcpus<1>>;
#else
using Machine = portico::Machine<Board, portico::Vcpus<2>>;
#endif

portico::Stop run(Machine& machine) { return machine.run(); }  // HERE
