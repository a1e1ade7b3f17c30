// A Size that leaves the last register out.
// FIRST: A register lies outside its range.*To fix this: make Size larger or leave it out
// EXPECT: register_outside_its_range<.*"0x8".*Disk>
#include <portico/device/device_map.hpp>

struct Disk {
  void first(std::uint8_t);
  void last(std::uint8_t);
  using registers =
      portico::Registers<portico::WriteOnly<0, &Disk::first>, portico::WriteOnly<2, &Disk::last>>;
};

#ifdef PORTICO_CONTROL
using Size = portico::Size<9>;
#else
using Size = portico::Size<8>;
#endif

using Board = portico::DeviceMap<portico::Port<0x20, Disk, Size, portico::Stride<4>>>;  // HERE
static_assert(Board::size == 1);
