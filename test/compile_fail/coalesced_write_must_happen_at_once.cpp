// A timer whose interrupt the guest may wait for while the write that sets it lies in KVM's ring.
// FIRST: A coalesced entry's device has a write handler that asks for
// EXPECT: coalesced_write_must_happen_at_once<Timer>
#include <portico/device/coalesced.hpp>
#include <portico/machine.hpp>

struct Timer {
  static constexpr auto deadline_threads = portico::Threads::any;

  void write(std::uint8_t, portico::Clock& clock) { clock.arm(clock.now() + 1000); }

#ifdef PORTICO_CONTROL
  void deadline() {}
#else
  void deadline(portico::IrqLine& line) { line.pulse(); }
#endif
};

using Entry = portico::Port<0x40, Timer, portico::Irq<5>>;
using Board = portico::DeviceMap<portico::Coalesced<Entry>>;  // HERE

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }
