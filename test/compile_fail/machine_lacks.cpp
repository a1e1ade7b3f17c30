// A handler asks a machine for something that no machine has.
// FIRST: A handler asks for something that this context does not have
// EXPECT: context_lacks<Network>
// LINES: 70
#include <portico/machine.hpp>

struct Network {};

struct Disk {
#ifdef PORTICO_CONTROL
  void write(std::uint32_t, portico::GuestMemory const&);
#else
  void write(std::uint32_t, Network&);
#endif
};

using Board = portico::DeviceMap<portico::Port<0x20, Disk>>;

void run(portico::Machine<Board>& machine) {
  machine.run();  // HERE
}
