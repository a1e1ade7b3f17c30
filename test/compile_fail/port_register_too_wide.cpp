// Ports have no access of 8 bytes.
// FIRST: A register of 8 bytes stands on a port.*To fix this: split it, or place the device with Mmio
// EXPECT: port_register_too_wide<.*"0x0".*Disk>
#include <portico/device/device_map.hpp>

struct Disk {
  void write(std::uint64_t);
};

#ifdef PORTICO_CONTROL
using Entry = portico::Mmio<0x1F0, Disk>;
#else
using Entry = portico::Port<0x1F0, Disk>;
#endif

using Board = portico::DeviceMap<Entry>;  // HERE
static_assert(Board::size == 1);
