// A device where an entry belongs.
// FIRST: A device map has an entry that is none. The entries are Port<
// EXPECT: entry_is_unknown<Uart>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Entry = portico::Port<0x3F8, Uart>;
#else
using Entry = Uart;
#endif

using Board = portico::DeviceMap<Entry>;  // HERE
static_assert(Board::size == 1);
