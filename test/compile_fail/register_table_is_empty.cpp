// A register table without a register.
// FIRST: A device has no handler. To fix this: give it
// EXPECT: device_has_no_handler<Clockwork>
#include <portico/device/device_map.hpp>

struct Clockwork {
  void put(std::uint8_t);
#ifdef PORTICO_CONTROL
  using registers = portico::Registers<portico::WriteOnly<0, &Clockwork::put>>;
#else
  using registers = portico::Registers<>;
#endif
};

using Board = portico::DeviceMap<portico::Port<0x70, Clockwork, portico::Size<2>>>;  // HERE
static_assert(Board::size == 1);
