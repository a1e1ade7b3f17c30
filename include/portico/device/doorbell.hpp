/// Registers whose writes only say that there is work: they may be taken off the vCPU's thread.
///
///     #include <portico/device/doorbell.hpp>
///     #include <portico/device/registers.hpp>
///     struct Queues {
///       void notify(std::uint32_t queue) { ++notified[queue]; }
///       using registers = portico::Registers<portico::WriteOnly<0x50, &Queues::notify>>;
///       // KVM compares the value, and has an eventfd for each of the two.
///       using doorbells = portico::Doorbells<portico::Doorbell<0x50, &Queues::notify, 0, 1>>;
///       std::array<unsigned, 2> notified{};
///     };
///
/// An eventfd says that a write happened, not what was written. So a doorbell names the values that
/// matter, and its handler gets the one whose eventfd was signalled; or it names none, and then any
/// write rings it and the handler gets 0. Other values leave the guest as ever.
///
/// Rings of one doorbell that come before the work is taken up are one; those of two are taken up in
/// the table's order. What the guest wrote first is done first: before any other access reaches the
/// device, what its doorbells have waiting is carried out. A device to which that does not matter
/// says `static constexpr bool doorbells_in_order = false`, and its accesses are spared the look.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <portico/device/handler.hpp>

namespace portico {

/// The register at `Offset` with the width of `Handler`, a write handler of one value; it is in the
/// device's register table too.
template <std::uint64_t Offset, auto Handler, std::uint64_t... Values>
struct Doorbell {
  static_assert(HandlerTraits<Handler>::writes && !HandlerTraits<Handler>::bytes &&
                    !HandlerTraits<Handler>::batch,
                "portico::Doorbell: the handler must return void and take one value first.");
  static constexpr std::uint64_t offset = Offset;
  static constexpr std::uint32_t width = HandlerTraits<Handler>::width;
  static constexpr auto handler = Handler;
  static_assert(((width >= 8 || Values >> (width * 8 % 64) == 0) && ...),
                "portico::Doorbell: a value is larger than the register.");
  static constexpr std::array<std::uint64_t, sizeof...(Values)> values{Values...};
};

/// All of a device's doorbells.
template <class... Each>
struct Doorbells {
  static constexpr std::size_t size = sizeof...(Each);
};

}  // namespace portico
