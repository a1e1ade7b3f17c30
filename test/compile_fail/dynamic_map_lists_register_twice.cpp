// A faulty register table does not wait for the run to be found.
// FIRST: A register table has two entries for one offset and width
// EXPECT: register_listed_twice<.*"0x4".*"1".*Disk>
#include <portico/device/dynamic_map.hpp>

struct Disk {
  void first(std::uint8_t);
  void second(std::uint8_t);
#ifdef PORTICO_CONTROL
  static constexpr std::uint64_t place = 5;
#else
  static constexpr std::uint64_t place = 4;
#endif
  using registers = portico::Registers<portico::WriteOnly<4, &Disk::first>,
                                       portico::WriteOnly<place, &Disk::second>>;
};

void place(portico::DynamicMap<Disk>& board) {
  board.place<Disk>({.base = 0x20});  // HERE
}
