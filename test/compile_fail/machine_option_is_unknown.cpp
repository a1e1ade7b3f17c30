// An option of an entry, given to a machine.
// FIRST: portico::Machine: the options are Vcpus<N>, HostCpuid, KernelIrqchip, KernelPit
// EXPECT: <portico::Size<2>
#include <portico/machine.hpp>

using Board = portico::DeviceMap<>;

#ifdef PORTICO_CONTROL
using Option = portico::Vcpus<2>;
#else
using Option = portico::Size<2>;
#endif

portico::Machine<Board, Option>* make(portico::GuestMemory memory) {
  return new portico::Machine<Board, Option>{std::move(memory), Board{}, Option{}};  // HERE
}
