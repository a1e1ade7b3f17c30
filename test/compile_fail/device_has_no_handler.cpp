// A class without read, write or a register table.
// FIRST: A device has no handler. To fix this: give it .*void write\(std::uint8_t\)
// EXPECT: device_has_no_handler<Clockwork>
#include <portico/device/device_map.hpp>

struct Clockwork {
#ifdef PORTICO_CONTROL
  void write(std::uint8_t);
#else
  void put(std::uint8_t);
#endif
};

using Board = portico::DeviceMap<portico::Port<0x70, Clockwork>>;  // HERE
static_assert(Board::size == 1);
