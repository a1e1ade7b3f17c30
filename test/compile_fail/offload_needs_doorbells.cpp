// An offloaded device each of whose registers must be served before the guest goes on.
// FIRST: An entry is offloaded whose device has no doorbells
// EXPECT: offload_needs_doorbells<Counter>
#include <portico/device/offload.hpp>
#include <portico/machine.hpp>

struct Counter {
  std::uint8_t read() { return 7; }

  void write(std::uint8_t) {}

#ifdef PORTICO_CONTROL
  using doorbells = portico::Doorbells<portico::Doorbell<0, &Counter::write>>;
#endif
};

using Board = portico::DeviceMap<portico::Offload<portico::Port<0x40, Counter>>>;  // HERE

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }
