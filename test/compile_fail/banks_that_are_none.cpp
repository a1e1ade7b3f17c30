// A register table where banks of them are asked for.
// FIRST: A device has register banks, and its entry another number of ranges. To fix this: give On<
// EXPECT: banks_and_ranges_differ<Pic>
#include <portico/device/device_map.hpp>

struct Pic {
  void first(std::uint8_t);
  void second(std::uint8_t);
  using Table =
      portico::Registers<portico::WriteOnly<0, &Pic::first>, portico::WriteOnly<1, &Pic::second>>;
#ifdef PORTICO_CONTROL
  using banks = portico::Banks<Table>;
#else
  using banks = Table;
#endif
};

using Board = portico::DeviceMap<portico::Port<0x20, Pic>>;  // HERE
static_assert(Board::size == 1);
