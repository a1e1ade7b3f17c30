/// A port that prints: one register, one byte wide, out only.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/simple_serial.hpp>
///     using Serial = portico::SimpleSerial<>;
///     using OnPort   = portico::DeviceMap<portico::Port<0x10, Serial>>;
///     using InMemory = portico::DeviceMap<portico::Mmio<0x20'0080, Serial>>;  // the same
///     portico::OutputSink output{STDOUT_FILENO};
///     OnPort board{Serial{portico::LabelledOutput{output, ""}}};
///
/// *Emulated*: the serial port of the course machine "Simple KVM I/O": a byte written is a byte
/// printed; a string instruction's batch is printed in one piece. Nothing is held back: when `out`
/// has completed, the host has the bytes.
///
/// *Not emulated*: input, status, speed, interrupts; a read is unclaimed, as is any other width.
///
/// *What a hostile guest can do*: write any bytes, escape sequences included, to where the host let
/// it; wait for a reader that does not read, until it is stopped. What the host does not take is
/// lost and counted.
#pragma once

#include <cstdint>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/backend.hpp>
#include <portico/devices/console_backend.hpp>

namespace portico {

/// The port over anything with the `write` of LabelledOutput, or a variant of such. For one thread.
template <class Output = LabelledOutput>
class SimpleSerial {
 public:
  /// Nothing that the guest can see outlives an access.
  struct State {
    friend bool operator==(State const&, State const&) = default;
  };

  explicit SimpleSerial(Output output) : output_{std::move(output)} {}

  /// -w  Bytes to print.
  void write(gsl::span<std::uint8_t const> bytes, RunControl& control) {
    lost_ += detail::with_backend(
        output_, [&](auto& chosen) { return chosen.write(bytes, {control.token(), -1}); });
  }

  /// What the host has not taken so far.
  [[nodiscard]] OutputLoss const& lost() const noexcept { return lost_; }

  [[nodiscard]] Output& output() noexcept { return output_; }

  [[nodiscard]] State save() const { return {}; }

  void load(State const&) {}

 private:
  Output output_;
  OutputLoss lost_;
};

}  // namespace portico
