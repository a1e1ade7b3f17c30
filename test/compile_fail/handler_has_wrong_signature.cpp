// A signed register.
// FIRST: A device's .read. or .write. is no handler. To fix this: .void write\(V value\).
// EXPECT: handler_has_wrong_signature<Serial>
#include <portico/device/device_map.hpp>

struct Serial {
#ifdef PORTICO_CONTROL
  void write(std::uint8_t);
#else
  void write(int);
#endif
};

using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;  // HERE
static_assert(Board::size == 1);
