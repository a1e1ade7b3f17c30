// A number of vCPUs for a machine whose type knows of one only.
// FIRST: portico::Machine: an option is given to the constructor that the machine's type does not have
// EXPECT: Vcpus<4
#include <portico/machine.hpp>

using Board = portico::DeviceMap<>;

#ifdef PORTICO_CONTROL
using Machine = portico::Machine<Board, portico::Vcpus<4>>;
#else
using Machine = portico::Machine<Board>;
#endif

void run(portico::GuestMemory ram) {
  Machine machine{std::move(ram), Board{}, portico::Vcpus<4>{2}};  // HERE
  machine.run();
}
