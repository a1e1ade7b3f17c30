// A block of no bytes.
// FIRST: portico::Bytes: the size must not be 0
// EXPECT: portico::Bytes<0.*Device::
#include <portico/device/device_map.hpp>

struct Device {
  std::uint8_t read8();
  std::uint16_t read16();
  void write8(std::uint8_t);
  void write16(std::uint16_t);
  void read_bytes(std::uint64_t, gsl::span<std::byte>);
  void write_bytes(std::uint64_t, gsl::span<std::byte const>);
#ifdef PORTICO_CONTROL
  using registers =
      portico::Registers<portico::Bytes<0, 1, &Device::read_bytes, &Device::write_bytes>>;
#else
  using registers =
      portico::Registers<portico::Bytes<0, 0, &Device::read_bytes, &Device::write_bytes>>;
#endif
};

using Board = portico::DeviceMap<portico::Port<0x20, Device>>;  // HERE
static_assert(Board::size == 1);
