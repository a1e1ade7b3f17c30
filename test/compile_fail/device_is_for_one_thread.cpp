// Two vCPUs, and a device that nobody made safe for two threads.
// FIRST: A machine with several vCPUs has a device.*To fix this: place Locked<Device>
// EXPECT: device_is_for_one_thread<Serial>
#include <portico/device/locked.hpp>
#include <portico/machine.hpp>

struct Serial {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Board = portico::DeviceMap<portico::Port<0xE9, portico::Locked<Serial>>>;
#else
using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;
#endif

void run(portico::GuestMemory ram) {
  portico::Machine<Board, portico::Vcpus<2>> machine{// HERE
                                                     std::move(ram), [] { return Board{}; }};
  machine.run();
}
