// A static function has no device to be called for.
// FIRST: A device's .read. or .write. is no handler. To fix this: .void write\(V value\).
// EXPECT: handler_has_wrong_signature<Serial>
#include <portico/device/device_map.hpp>

struct Serial {
#ifndef PORTICO_CONTROL
  static
#endif
      void
      write(std::uint8_t);
};

using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;  // HERE
static_assert(Board::size == 1);
