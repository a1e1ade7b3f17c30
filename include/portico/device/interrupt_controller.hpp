/// What a machine asks of interrupt controllers that stand in its board.
///
///     #include <portico/device/interrupt_controller.hpp>
///     /// The smallest there is: one line, vector 0x20, no mask.
///     struct OneLine {
///       void set_input(unsigned, bool level) { wanted = wanted || level; }
///       bool output() const { return wanted; }
///       std::uint8_t acknowledge() { wanted = false; return 0x20; }
///       bool wanted = false;
///     };
///     static_assert(portico::VectorController<OneLine>);
///
/// A machine finds the entries whose devices are controllers at compile time. Their calls come from
/// its vCPUs' and its I/O thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

namespace portico {

/// A message-signalled interrupt as it goes over the bus (Intel SDM 3, "Message Signalled
/// Interrupts"): a store of `data` to `address`.
struct MsiMessage {
  std::uint64_t address = 0;
  std::uint32_t data = 0;

  friend bool operator==(MsiMessage const&, MsiMessage const&) = default;
};

/// A controller with one output to the processor, who asks it for the vector: an 8259A pair, with
/// lines 0 to 15. A line is at a level; `output` is the INT pin, `acknowledge` the INTA cycles.
template <class Device>
concept VectorController = requires(Device device, unsigned line, bool level) {
  device.set_input(line, level);
  { device.output() } -> std::same_as<bool>;
  { device.acknowledge() } -> std::same_as<std::uint8_t>;
};

/// A controller that sends messages to local APICs: an IOAPIC, with lines 0 to 23. `next_message`
/// gives what is to be sent, one after the other. Where a local APIC has to report the end of a
/// level interrupt, `take_changed_levels` says of which lines the message changed, and
/// `level_message` what it is now.
template <class Device>
concept MessageController = requires(Device device, unsigned line, bool level) {
  device.set_input(line, level);
  { device.next_message() } -> std::same_as<std::optional<MsiMessage>>;
  { device.take_changed_levels() } -> std::same_as<std::uint32_t>;
  { device.level_message(line) } -> std::same_as<std::optional<MsiMessage>>;
  device.end_of_interrupt(std::uint8_t{});
};

}  // namespace portico
