// A device placed in a map that has no room for its type.
// FIRST: DynamicMap::place: the device is none of the map's
// EXPECT: map_has_no_such_device<Disk, portico::DynamicMap<Serial>
#include <portico/device/dynamic_map.hpp>

struct Serial {
  void write(std::uint8_t);
};

struct Disk {
  void write(std::uint32_t);
};

#ifdef PORTICO_CONTROL
using Board = portico::DynamicMap<Serial, Disk>;
#else
using Board = portico::DynamicMap<Serial>;
#endif

void place(Board& board) {
  board.place<Disk>({.base = 0x20});  // HERE
}
