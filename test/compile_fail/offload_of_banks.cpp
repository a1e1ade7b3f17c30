// A doorbell's offset does not say which of two tables it is in.
// FIRST: An entry is offloaded whose device has several register tables
// EXPECT: offload_of_banks<Pair>
#include <portico/device/offload.hpp>
#include <portico/machine.hpp>

struct Pair {
  void start(std::uint8_t) {}

  using One = portico::Registers<portico::WriteOnly<0, &Pair::start>>;
  using doorbells = portico::Doorbells<portico::Doorbell<0, &Pair::start>>;
#ifdef PORTICO_CONTROL
  using registers = One;
#else
  using banks = portico::Banks<One, One>;
#endif
};

using Where = portico::Ranges<portico::Ports<0x40>, portico::Ports<0x50>>;
using Board = portico::DeviceMap<portico::Offload<portico::On<Pair, Where>>>;  // HERE

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }
