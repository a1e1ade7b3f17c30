// A device that the map does not hold.
// FIRST: get<Device>\(\): no entry of the map holds such a device
// EXPECT: no_entry_has_this_device<Disk>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

struct Disk {
  void write(std::uint8_t);
};

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart>>;

void use(Board& board) {
#ifdef PORTICO_CONTROL
  board.get<Uart>().write(1);
#else
  board.get<Disk>().write(1);  // HERE
#endif
}
