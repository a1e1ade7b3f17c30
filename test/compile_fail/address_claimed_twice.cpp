// Two devices on one guest-physical address.
// FIRST: Two MMIO entries claim one address.*To fix this: move one of them
// EXPECT: address_claimed_twice<.*"0xd0000ffc".*Disk, Network>
#include <portico/device/device_map.hpp>

struct Disk {
  void write(std::uint32_t);
};

struct Network {
  void write(std::uint32_t);
};

#ifdef PORTICO_CONTROL
using Size = portico::Size<0xFFC>;
#else
using Size = portico::Size<0x1000>;
#endif

using Board = portico::DeviceMap<portico::Mmio<0xD000'0000, Disk, Size>,  // HERE
                                 portico::Mmio<0xD000'0FFC, Network>>;    // HERE
static_assert(Board::size == 2);
