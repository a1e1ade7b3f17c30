// Two register banks on one range.
// FIRST: A device has register banks, and its entry another number of ranges. To fix this: give On<
// EXPECT: banks_and_ranges_differ<Pic>
#include <portico/device/device_map.hpp>

struct Pic {
  void first(std::uint8_t);
  void second(std::uint8_t);
  using banks = portico::Banks<portico::Registers<portico::WriteOnly<0, &Pic::first>>,
                               portico::Registers<portico::WriteOnly<0, &Pic::second>>>;
};

#ifdef PORTICO_CONTROL
using Where = portico::Ranges<portico::Ports<0x20>, portico::Ports<0xA0>>;
#else
using Where = portico::Ranges<portico::Ports<0x20>>;
#endif

using Board = portico::DeviceMap<portico::On<Pic, Where>>;  // HERE
static_assert(Board::size == 1);
