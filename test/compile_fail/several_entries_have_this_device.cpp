// One type of device on two entries: which one?
// FIRST: get<Device>\(\): several entries hold such a device. To fix this: name them
// EXPECT: several_entries_have_this_device<Uart>
#include <portico/device/device_map.hpp>

struct Uart {
  void write(std::uint8_t);
};

using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, portico::Named<"com1">>,
                                 portico::Port<0x2F8, Uart, portico::Named<"com2">>>;

void use(Board& board) {
#ifdef PORTICO_CONTROL
  board.get<"com1">().write(1);
#else
  board.get<Uart>().write(1);  // HERE
#endif
}
