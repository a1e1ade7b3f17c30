// Two functions named write: the address of which one?
// FIRST: A device's .read. or .write. is overloaded.*To fix this: give each handler a name of its own
// EXPECT: handlers_are_overloaded<Serial>
#include <portico/device/device_map.hpp>

struct Serial {
  void write(std::uint8_t);
#ifndef PORTICO_CONTROL
  void write(std::uint16_t);
#endif
};

using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;  // HERE
static_assert(Board::size == 1);
