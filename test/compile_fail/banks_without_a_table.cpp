// No register bank at all.
// FIRST: A device has register banks, and its entry another number of ranges. To fix this: give On<
// EXPECT: banks_and_ranges_differ<Pic>
#include <portico/device/device_map.hpp>

struct Pic {
  void write(std::uint8_t);
#ifdef PORTICO_CONTROL
  using banks = portico::Banks<portico::Registers<portico::WriteOnly<0, &Pic::write>>>;
#else
  using banks = portico::Banks<>;
#endif
};

using Board = portico::DeviceMap<portico::Port<0x20, Pic>>;  // HERE
static_assert(Board::size == 1);
