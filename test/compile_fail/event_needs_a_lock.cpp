// An event that the I/O thread would call while a vCPU is in a handler of the device.
// FIRST: A device's event\(\) would be called by the machine's I/O thread
// EXPECT: event_needs_a_lock<Receiver>
#include <portico/device/locked.hpp>
#include <portico/machine.hpp>

struct Receiver {
  void write(std::uint8_t, portico::Watch& watch) { watch.arm(0); }

  void event() { ++received; }

  int received = 0;
};

#ifdef PORTICO_CONTROL
using Board = portico::DeviceMap<portico::Port<0x40, portico::Locked<Receiver>>>;
#else
using Board = portico::DeviceMap<portico::Port<0x40, Receiver>>;
#endif

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }  // HERE
