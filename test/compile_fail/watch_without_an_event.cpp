// A device that arms a watch, which then has nothing to call.
// FIRST: A handler asks for Watch&, and its device has nothing to be called
// EXPECT: watch_without_an_event<Receiver>
#include <portico/machine.hpp>

struct Receiver {
  static constexpr auto threads = portico::Threads::any;

  void write(std::uint8_t, portico::Watch& watch) { watch.arm(0); }

#ifdef PORTICO_CONTROL
  void event() {}
#endif
};

using Board = portico::DeviceMap<portico::Port<0x40, Receiver>>;

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }  // HERE
