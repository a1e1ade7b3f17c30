/// A port by which a guest ends its machine with an exit status, as tests in guests use it.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/debug_exit.hpp>
///     using Board = portico::DeviceMap<portico::Port<0xF4, portico::DebugExit<>>>;
///     // out 0xF4 with 0x10 ends the run with GuestExit{0x21}
///
/// On a board with interrupt lines `hlt` waits for an interrupt and does not end the run: there a
/// guest ends with this.
///
/// *Emulated*: QEMU's isa-debug-exit with iobase=0xf4 (0x501 there if nothing is said): a write of
/// 8, 16 or 32 bits ends the run, and the status is twice the value and 1, so never 0. With
/// `DebugExit<ExitStatus::plain>` it is the value itself. Reads give 0.
///
/// *Not emulated*: nothing is left out.
///
/// *What a hostile guest can do*: end its own machine, with any status; what a program makes of it
/// is the program's affair.
#pragma once

#include <cstdint>

#include <portico/device/entries.hpp>
#include <portico/device/registers.hpp>
#include <portico/device/run_control.hpp>

namespace portico {

/// What becomes of the value that a guest writes.
enum class ExitStatus : std::uint8_t {
  doubled,  ///< value * 2 + 1, as QEMU has it: a failure to start QEMU cannot be mistaken for it
  plain,    ///< the value
};

/// The port. Any thread may call it.
template <ExitStatus Status = ExitStatus::doubled>
class DebugExit {
 public:
  static constexpr auto threads = Threads::any;

  /// Nothing outlives the access.
  struct State {
    friend bool operator==(State const&, State const&) = default;
  };

  /// -w  Ends the run with GuestExit; the status has 32 bits, of which a process keeps eight.
  void exit8(std::uint8_t value, RunControl& control) const { exit32(value, control); }

  void exit16(std::uint16_t value, RunControl& control) const { exit32(value, control); }

  void exit32(std::uint32_t value, RunControl& control) const {
    control.exit(static_cast<int>(Status == ExitStatus::plain ? value : value << 1 | 1));
  }

  /// r-  0.
  [[nodiscard]] std::uint8_t read8() const { return 0; }

  [[nodiscard]] std::uint16_t read16() const { return 0; }

  [[nodiscard]] std::uint32_t read32() const { return 0; }

  using registers = Registers<ReadWrite<0, &DebugExit::read8, &DebugExit::exit8>,
                              ReadWrite<0, &DebugExit::read16, &DebugExit::exit16>,
                              ReadWrite<0, &DebugExit::read32, &DebugExit::exit32>>;

  [[nodiscard]] State save() const { return {}; }

  void load(State const&) {}
};

}  // namespace portico
