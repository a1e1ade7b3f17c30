// A name that no entry has.
// FIRST: get<"name">\(\): no entry has this name. To fix this: add Named
// EXPECT: no_entry_has_this_name<.*"com2".*>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, portico::Named<"com1">>>;

void use(Board& board) {
#ifdef PORTICO_CONTROL
  board.get<"com1">().write(1);
#else
  board.get<"com2">().write(1);  // HERE
#endif
}
