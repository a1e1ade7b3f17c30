// A value is compared with all bytes of a write: their number cannot be left open.
// FIRST: Offload<..., AnyWidth>: a doorbell of the device names values
// EXPECT: offload_with_any_width<Queues>
#include <portico/device/offload.hpp>
#include <portico/machine.hpp>

struct Queues {
  void notify(std::uint32_t) {}

  using registers = portico::Registers<portico::WriteOnly<0, &Queues::notify>>;
#ifdef PORTICO_CONTROL
  using doorbells = portico::Doorbells<portico::Doorbell<0, &Queues::notify>>;
#else
  using doorbells = portico::Doorbells<portico::Doorbell<0, &Queues::notify, 1>>;
#endif
};

using Entry = portico::Mmio<0x1000, Queues>;
using Board = portico::DeviceMap<portico::Offload<Entry, portico::AnyWidth>>;  // HERE

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }
