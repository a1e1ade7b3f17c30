// A board with a lock in it, handed to a machine as a value.
// FIRST: A device of this board cannot be moved.*To fix this: give the machine a callable
// EXPECT: board_cannot_be_moved<portico::DeviceMap<.*Locked<Serial>
#include <portico/device/locked.hpp>
#include <portico/machine.hpp>

struct Serial {
  void write(std::uint8_t);
};

using Board = portico::DeviceMap<portico::Port<0xE9, portico::Locked<Serial>>>;

void run(portico::GuestMemory ram) {
#ifdef PORTICO_CONTROL
  portico::Machine machine{std::move(ram), [] { return Board{}; }};
#else
  Board board;
  portico::Machine<Board> machine{std::move(ram), std::move(board)};  // HERE
#endif
  machine.run();
}
