// A deadline that the I/O thread would call while a vCPU is in a handler of the device.
// FIRST: A device's deadline\(\) would be called by the machine's I/O thread
// EXPECT: deadline_needs_a_lock<Timer>
#include <portico/device/locked.hpp>
#include <portico/machine.hpp>

struct Timer {
  void write(std::uint8_t, portico::Clock& clock) { clock.arm(clock.now() + 1000); }

  void deadline() { ++ticks; }

  int ticks = 0;
};

#ifdef PORTICO_CONTROL
using Board = portico::DeviceMap<portico::Port<0x40, portico::Locked<Timer>>>;
#else
using Board = portico::DeviceMap<portico::Port<0x40, Timer>>;
#endif

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }  // HERE
