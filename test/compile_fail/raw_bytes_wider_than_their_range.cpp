// A block of raw bytes that is cut off by the end of its ports.
// FIRST: wider than what is left of its range.*To fix this: make Size larger
// EXPECT: register_wider_than_its_range<.*"0x2".*Device>
#include <portico/device/device_map.hpp>

struct Device {
  void read(std::uint64_t, gsl::span<std::byte>);
  void write(std::uint64_t, gsl::span<std::byte const>);
  using registers = portico::Registers<portico::Bytes<2, 8, &Device::read, &Device::write>>;
};

#ifdef PORTICO_CONTROL
using Size = portico::Size<10>;
#else
using Size = portico::Size<8>;
#endif

using Board = portico::DeviceMap<portico::Port<0x60, Device, Size>>;  // HERE
static_assert(Board::size == 1);
