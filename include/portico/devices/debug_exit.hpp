/// A port with which a guest ends its machine, and says how it went.
///
///     #include <portico/portico.hpp>
///     #include <portico/devices/debug_exit.hpp>
///     using Board = portico::DeviceMap<portico::Port<0x501, portico::DebugExit>>;
///     int run(portico::Machine<Board>& machine) {
///       return portico::match(machine.run(),
///           [](portico::GuestExit guest) { return guest.code; },   // what it wrote, 0 to 255
///           [](auto const&) { return 1; });
///     }
///
/// On a board with interrupt lines `hlt` waits in the kernel for an interrupt: there a guest has no
/// other way to end.
///
/// *Emulated*: a byte written ends the run with `GuestExit`, when its `out` is complete.
///
/// *Not emulated*: QEMU's isa-debug-exit at the same port gives 2 * code + 1; a read is unclaimed,
/// as is any other width.
///
/// *What a hostile guest can do*: end its own machine.
#pragma once

#include <cstdint>

#include <portico/device/entries.hpp>
#include <portico/device/run_control.hpp>

namespace portico {

/// Safe from any thread.
struct DebugExit {
  static constexpr auto threads = Threads::any;

  /// Nothing that the guest can see.
  struct State {
    friend bool operator==(State const&, State const&) = default;
  };

  /// -w  Ends the run with this code.
  void write(std::uint8_t code, RunControl& control) { control.exit(code); }

  [[nodiscard]] State save() const { return {}; }

  void load(State const&) {}
};

}  // namespace portico
