// A reader where a writer belongs.
// FIRST: portico::WriteOnly: the handler must return void and take the value first
// EXPECT: portico::WriteOnly<0.*Device::
#include <portico/device/device_map.hpp>

struct Device {
  std::uint8_t read8();
  std::uint16_t read16();
  void write8(std::uint8_t);
  void write16(std::uint16_t);
  void read_bytes(std::uint64_t, gsl::span<std::byte>);
  void write_bytes(std::uint64_t, gsl::span<std::byte const>);
#ifdef PORTICO_CONTROL
  using registers = portico::Registers<portico::WriteOnly<0, &Device::write8>>;
#else
  using registers = portico::Registers<portico::WriteOnly<0, &Device::read8>>;
#endif
};

using Board = portico::DeviceMap<portico::Port<0x20, Device>>;  // HERE
static_assert(Board::size == 1);
