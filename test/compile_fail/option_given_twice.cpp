// Two interrupt lines for one entry.
// FIRST: An entry has two options of one kind.*To fix this: leave one out
// EXPECT: option_given_twice<portico::Irq<5.*>, Uart>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

#ifdef PORTICO_CONTROL
using Option = portico::Named<"uart">;
#else
using Option = portico::Irq<5>;
#endif

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, portico::Irq<4>, Option>>;  // HERE
static_assert(Board::size == 1);
