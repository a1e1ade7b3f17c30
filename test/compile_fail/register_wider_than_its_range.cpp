// An MMIO register with its last bytes outside.
// FIRST: An MMIO register.* is wider than what is left of its range.*To fix this: make Size larger
// EXPECT: register_wider_than_its_range<.*"0x4".*Disk>
#include <portico/device/device_map.hpp>

struct Disk {
  void first(std::uint32_t);
  void last(std::uint32_t);
  using registers =
      portico::Registers<portico::WriteOnly<0, &Disk::first>, portico::WriteOnly<4, &Disk::last>>;
};

#ifdef PORTICO_CONTROL
using Size = portico::Size<8>;
#else
using Size = portico::Size<6>;
#endif

using Board = portico::DeviceMap<portico::Mmio<0xD000'0000, Disk, Size>>;  // HERE
static_assert(Board::size == 1);
