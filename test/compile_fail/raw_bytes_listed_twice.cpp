// Two blocks of raw bytes that overlap.
// FIRST: A register table has two entries for one offset and width.*To fix this:
// EXPECT: register_listed_twice<.*"0x18".*"0".*Device>
#include <portico/device/device_map.hpp>

struct Device {
  void read(std::uint64_t, gsl::span<std::byte>);
  void write(std::uint64_t, gsl::span<std::byte const>);
#ifdef PORTICO_CONTROL
  static constexpr std::uint64_t size = 8;
#else
  static constexpr std::uint64_t size = 16;
#endif
  using registers = portico::Registers<portico::Bytes<0x18, 8, &Device::read, &Device::write>,
                                       portico::Bytes<0x10, size, &Device::read, &Device::write>>;
};

using Board = portico::DeviceMap<portico::Mmio<0xE000'0000, Device>>;  // HERE
static_assert(Board::size == 1);
