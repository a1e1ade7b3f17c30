// Two readers of one offset and width.
// FIRST: A register table has two entries for one offset and width.*To fix this: join them with ReadWrite
// EXPECT: register_listed_twice<.*"0x4".*"2".*Disk>
#include <portico/device/device_map.hpp>

struct Disk {
  std::uint16_t status();
  std::uint16_t error();
  std::uint8_t kind();
#ifdef PORTICO_CONTROL
  static constexpr std::uint64_t place = 5;
#else
  static constexpr std::uint64_t place = 4;
#endif
  using registers =
      portico::Registers<portico::ReadOnly<4, &Disk::status>, portico::ReadOnly<4, &Disk::kind>,
                         portico::ReadOnly<place, &Disk::error>>;
};

using Board = portico::DeviceMap<portico::Port<0x1F0, Disk>>;  // HERE
static_assert(Board::size == 1);
