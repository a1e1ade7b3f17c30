// Two doorbells that would both ring.
// FIRST: Two doorbells stand at one offset with one value
// EXPECT: doorbell_listed_twice<portico::Text<.*0x8.*Queues>
#include <portico/device/offload.hpp>
#include <portico/machine.hpp>

struct Queues {
  void notify(std::uint32_t) {}

  using registers = portico::Registers<portico::WriteOnly<8, &Queues::notify>>;
#ifdef PORTICO_CONTROL
  using doorbells = portico::Doorbells<portico::Doorbell<8, &Queues::notify, 0, 1>>;
#else
  using doorbells = portico::Doorbells<portico::Doorbell<8, &Queues::notify, 0, 1>,
                                       portico::Doorbell<8, &Queues::notify>>;
#endif
};

using Board = portico::DeviceMap<portico::Offload<portico::Mmio<0x1000, Queues>>>;  // HERE

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }
