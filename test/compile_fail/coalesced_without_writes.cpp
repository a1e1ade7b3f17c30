// Nothing to gather.
// FIRST: An entry is coalesced whose device has no register to write
// EXPECT: coalesced_without_writes<Dice>
#include <portico/device/coalesced.hpp>
#include <portico/machine.hpp>

struct Dice {
  std::uint8_t read() { return 4; }

#ifdef PORTICO_CONTROL
  void write(std::uint8_t) {}
#endif
};

using Board = portico::DeviceMap<portico::Coalesced<portico::Port<0x40, Dice>>>;  // HERE

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }
