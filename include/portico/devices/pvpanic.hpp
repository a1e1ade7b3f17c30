/// The port by which a kernel says that it has panicked.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/pvpanic.hpp>
///     using Board = portico::DeviceMap<portico::Port<0x505, portico::PvPanic>>;
///     Board board{portico::PvPanic{6}};              // a panic ends the run with GuestExit{6}
///     void panic(auto& context) { board.out(0x505, std::uint8_t{1}, context); }
///
/// *Emulated*: QEMU's pvpanic on the ISA bus (docs/specs/pvpanic.rst): reading tells which events it
/// takes, writing is an event. A panic (bit 0) ends the run. Guests find it by its ACPI hardware ID,
/// QEMU0001; Linux 5.13 and later has the driver pvpanic-mmio for it.
///
/// *Not emulated*: the other events, which it does not offer and ignores: a panic that the guest
/// handles itself (bit 1), a regular shutdown (bit 2). The methods RDPT and WRPT of QEMU's ACPI
/// object, which newer drivers do not call.
///
/// *What a hostile guest can do*: end its own machine.
#pragma once

#include <cstdint>
#include <string_view>

#include <portico/device/entries.hpp>
#include <portico/device/run_control.hpp>

namespace portico {

/// The port. Any thread may call it.
class PvPanic {
 public:
  static constexpr auto threads = Threads::any;
  static constexpr std::string_view acpi_hid = "QEMU0001";

  /// The event that it takes.
  static constexpr std::uint8_t panicked = 0x01;

  /// Nothing outlives the access.
  struct State {
    friend bool operator==(State const&, State const&) = default;
  };

  /// A panic ends the run with GuestExit{code}.
  explicit PvPanic(int code) noexcept : code_{code} {}

  /// rw  Read: the events that are taken; write: an event.
  [[nodiscard]] std::uint8_t read() const noexcept { return panicked; }

  void write(std::uint8_t events, RunControl& control) const noexcept {
    if ((events & panicked) != 0) control.exit(code_);
  }

  [[nodiscard]] State save() const noexcept { return {}; }

  void load(State const&) noexcept {}

 private:
  int code_;
};

}  // namespace portico
