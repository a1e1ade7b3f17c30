// Handlers that the map may not call.
// FIRST: A device's .read. or .write. is .* not accessible
// EXPECT: handlers_are_overloaded<Serial>
#include <portico/device/device_map.hpp>

class Serial {
#ifdef PORTICO_CONTROL
 public:
#endif
  void write(std::uint8_t);
  std::uint8_t read();
};

using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;  // HERE
static_assert(Board::size == 1);
