// A doorbell that ends the run: the guest would go on beyond it.
// FIRST: An offloaded doorbell's handler asks for RunControl&
// EXPECT: doorbell_must_be_served_at_once<portico::Text<.*0x0.*Power>
#include <portico/device/offload.hpp>
#include <portico/machine.hpp>

struct Power {
#ifdef PORTICO_CONTROL
  void write(std::uint8_t) {}
#else
  void write(std::uint8_t code, portico::RunControl& control) { control.exit(code); }
#endif

  using doorbells = portico::Doorbells<portico::Doorbell<0, &Power::write>>;
};

using Board = portico::DeviceMap<portico::Offload<portico::Port<0x40, Power>>>;  // HERE

portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }
