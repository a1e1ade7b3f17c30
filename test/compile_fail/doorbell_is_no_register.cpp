// A doorbell at an offset where the table has another register.
// FIRST: A doorbell is not in its device's register table
// EXPECT: doorbell_is_no_register<portico::Text<.*0x4.*Queues>
#include <portico/device/offload.hpp>
#include <portico/machine.hpp>

struct Queues {
  void select(std::uint32_t) {}

  void notify(std::uint32_t) {}

  using registers = portico::Registers<portico::WriteOnly<0, &Queues::notify>,
                                       portico::WriteOnly<4, &Queues::select>>;
#ifdef PORTICO_CONTROL
  using doorbells = portico::Doorbells<portico::Doorbell<0, &Queues::notify, 0, 1>>;
#else
  using doorbells = portico::Doorbells<portico::Doorbell<4, &Queues::notify, 0, 1>>;
#endif
};

using Board = portico::DeviceMap<portico::Offload<portico::Mmio<0x1000, Queues>>>;  // HERE

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }
