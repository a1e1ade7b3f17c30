// A handler asks for guest memory, and the context has none.
// FIRST: A handler asks for something that this context does not have.*To fix this: give it to the Context
// EXPECT: context_lacks<portico::GuestMemory>
#include <portico/device/device_map.hpp>
#include <portico/memory/guest_memory.hpp>

struct Disk {
  void write(std::uint32_t, portico::GuestMemory&);
};

using Board = portico::DeviceMap<portico::Port<0x20, Disk>>;

void use(Board& board, [[maybe_unused]] portico::GuestMemory& memory) {
#ifdef PORTICO_CONTROL
  portico::Context context{memory};
#else
  portico::Context<> context;
#endif
  board.out(0x20, std::uint32_t{1}, context);  // HERE
}
