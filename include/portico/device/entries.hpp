/// The words of a device map: where a device stands, and with what options.
///
///     #include <portico/device/entries.hpp>
///     class Serial; class Uart16550; class SimpleDisk; class Pic8259A;
///     using Console = portico::Port<0xE9, Serial>;
///     using Uart    = portico::Port<0x3F8, Uart16550, portico::Irq<4>, portico::Named<"com1">>;
///     using Disk    = portico::Mmio<0x20'0100, SimpleDisk, portico::Stride<8>>;
///     using Pic     = portico::On<Pic8259A,
///         portico::Ranges<portico::Ports<0x20, 2>, portico::Ports<0xA0, 2>>>;
///
/// Every option is a type; their order does not matter. These are descriptions only: DeviceMap
/// checks and owns the devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <portico/base/text.hpp>
#include <portico/device/access.hpp>

namespace portico {

/// Addresses that the range takes, in bytes; default: what the register table needs.
template <std::uint64_t Bytes>
struct Size {
  static_assert(Bytes > 0, "portico::Size: must not be 0.");
  static constexpr std::uint64_t value = Bytes;
};

/// Registers stand `Bytes` apart: the one at offset k of the table is at base + Bytes * k, and what
/// is between is unclaimed.
template <std::uint64_t Bytes>
struct Stride {
  static_assert(Bytes > 0, "portico::Stride: must not be 0.");
  static constexpr std::uint64_t value = Bytes;
};

/// The line is edge-triggered: `IrqLine::pulse()` is one interrupt. The default, as on the ISA bus.
struct Edge {};

/// The line is level-triggered: it interrupts as long as it is held by `IrqLine::set(true)`.
struct Level {};

/// Other entries that say so too may have the same line.
struct Shared {};

namespace detail {
template <class Wanted, class... Options>
inline constexpr bool one_of = (std::is_same_v<Wanted, Options> || ...);
}  // namespace detail

/// Interrupt line `Number` (a pin of the interrupt controller, KVM's gsi) belongs to the entry.
template <std::uint32_t Number, class... Modes>
struct Irq {
  static_assert(((detail::one_of<Modes, Edge, Level, Shared>) && ...),
                "portico::Irq: after the number come Edge or Level, and Shared; nothing else.");
  static_assert(!(detail::one_of<Edge, Modes...> && detail::one_of<Level, Modes...>),
                "portico::Irq: a line is Edge or Level, not both.");
  static_assert(Number < 24, "portico::Irq: the interrupt controllers have lines 0 to 23.");
  static constexpr std::uint32_t number = Number;
  static constexpr bool level = detail::one_of<Level, Modes...>;
  static constexpr bool shared = detail::one_of<Shared, Modes...>;
};

/// The entry's name, for `get<"com1">()` and for everything printed; default: the device's type.
template <FixedText Name>
struct Named {
  static constexpr auto text = Name;
};

/// Consecutive ports; size 0 means what the register table needs.
template <std::uint64_t Base, std::uint64_t Size_ = 0>
struct Ports {
  static constexpr Space space = Space::port;
  static constexpr std::uint64_t base = Base;
  static constexpr std::uint64_t size = Size_;
};

/// Consecutive guest-physical addresses, in bytes; size 0 means what the register table needs.
template <std::uint64_t Base, std::uint64_t Size_ = 0>
struct Addresses {
  static constexpr Space space = Space::mmio;
  static constexpr std::uint64_t base = Base;
  static constexpr std::uint64_t size = Size_;
};

/// The ranges of one instance.
template <class... AddressRanges>
struct Ranges {};

/// One instance of `Device` on several ranges, each with a register table of its own
/// (`Device::banks`) or all with the same.
template <class Device, class Where, class... Options>
struct On;

/// One instance of `Device` on ports from `Base` on.
template <std::uint64_t Base, class Device, class... Options>
struct Port;

/// One instance of `Device` on guest-physical addresses from `Base` on.
template <std::uint64_t Base, class Device, class... Options>
struct Mmio;

/// The entry's device works on a thread of its own: what its doorbells announce, and its events
/// (device/offload.hpp). `Options` are AnyWidth or none.
template <class Entry, class... Options>
struct Offload;

/// The guest does not leave for writes to the entry: KVM gathers them (device/coalesced.hpp).
template <class Entry>
struct Coalesced;

namespace detail {
template <class Entry>
inline constexpr bool is_offload = false;
template <class Entry, class... Options>
inline constexpr bool is_offload<Offload<Entry, Options...>> = true;
template <class Entry>
inline constexpr bool is_coalesced = false;
template <class Entry>
inline constexpr bool is_coalesced<Coalesced<Entry>> = true;
}  // namespace detail

/// Which threads may call a device's handlers. A device says `static constexpr auto threads =
/// portico::Threads::any;`; one that says nothing is for one thread.
enum class Threads : std::uint8_t { one, any };

/// A device behind a lock, for machines with several vCPUs (device/locked.hpp).
template <class Device>
class Locked;

}  // namespace portico
