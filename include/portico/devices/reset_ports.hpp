/// Two ports by which a PC's software resets it: system control port A, and the chip set's reset
/// control.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/reset_ports.hpp>
///     using Board = portico::DeviceMap<portico::Port<0x92, portico::SystemControlPortA>,
///                                      portico::Port<0xCF9, portico::ResetControl>>;
///     // out 0xCF9 with 6 ends the run with Reset; the tables of ACPI may name that register
///
/// *Emulated*: port 0x92 of the PS/2 (bit 0: fast reset, when it goes from 0 to 1; bit 1: A20), and
/// port 0xCF9 of Intel's chip sets (82371SB, PIIX3, reset control register: bit 2 resets when it goes
/// from 0 to 1; bit 1 says how hard). Either reset ends the run.
///
/// *Not emulated*: the gate itself: address line 20 is always on, whatever the bit says that reads
/// back. The other bits of port 0x92 (disk lights, a password). What a soft reset leaves as it was.
///
/// *What a hostile guest can do*: reset its own machine; the program decides how often.
#pragma once

#include <atomic>
#include <cstdint>

#include <portico/device/acpi_role.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/run_control.hpp>

namespace portico {

namespace detail {

/// A byte that several threads read and write.
class ResetPort {
 public:
  static constexpr auto threads = Threads::any;

  /// What the guest can see.
  struct State {
    std::uint8_t value = 0;

    friend bool operator==(State const&, State const&) = default;
  };

  ResetPort(ResetPort const& other) noexcept : value_{other.value_.load()} {}
  ResetPort& operator=(ResetPort const&) = delete;
  ~ResetPort() = default;

  [[nodiscard]] State save() const noexcept { return {value_.load()}; }

  void load(State const& state) noexcept { value_.store(state.value); }

 protected:
  explicit ResetPort(std::uint8_t value) noexcept : value_{value} {}

  std::atomic<std::uint8_t> value_;
};

}  // namespace detail

/// Port 0x92. Any thread may call it.
class SystemControlPortA : public detail::ResetPort {
 public:
  /// A20 is on, as nobody has turned it off.
  SystemControlPortA() noexcept : ResetPort{0x02} {}

  /// rw  Bit 1: A20; bit 0: 1 after 0 resets the machine, and stays.
  [[nodiscard]] std::uint8_t read() const noexcept { return value_.load(); }

  void write(std::uint8_t value, RunControl& control) noexcept {
    std::uint8_t const before = value_.exchange(value & 0x03);
    if ((value & 0x01) != 0 && (before & 0x01) == 0) control.reset();
  }
};

/// Port 0xCF9. Any thread may call it.
class ResetControl : public detail::ResetPort {
 public:
  static constexpr AcpiReset acpi_reset{.offset = 0, .value = 0x06};

  ResetControl() noexcept : ResetPort{0x00} {}

  /// rw  Bit 2: 1 resets the machine, and is 0 after that; bit 1: the whole system, not the CPU
  /// alone.
  [[nodiscard]] std::uint8_t read() const noexcept { return value_.load(); }

  void write(std::uint8_t value, RunControl& control) noexcept {
    value_.store(value & 0x02);
    if ((value & 0x04) != 0) control.reset();
  }
};

}  // namespace portico
