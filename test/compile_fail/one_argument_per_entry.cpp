// A board of two entries, made from one argument.
// FIRST: A board takes one argument per entry, in the map's order
// EXPECT: one_argument_per_entry<portico::DeviceMap<.*Uart
#include <portico/device/device_map.hpp>

struct Uart {
  explicit Uart(int);
  void write(std::uint8_t);
};

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart>, portico::Port<0x2F8, Uart>>;

void use() {
#ifdef PORTICO_CONTROL
  Board const board{1, Uart{2}};
#else
  Board const board{1};  // HERE
#endif
}
