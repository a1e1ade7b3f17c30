/// Writes that do not leave the guest one by one: KVM gathers them, and they are carried out together.
///
///     #include <portico/device/coalesced.hpp>
///     #include <portico/portico.hpp>
///     struct Console { void write(std::uint8_t byte) { std::putchar(byte); } };
///     using Board = portico::DeviceMap<portico::Coalesced<portico::Port<0xE9, Console>>>;
///     void run(portico::Machine<Board>& machine);      // Console stays as it is
///
/// KVM has one ring for a VM, of 170 writes, and leaves the guest when it is full (Linux 6.1 takes it
/// for full at half of that now and then). The machine carries out what the ring holds whenever a
/// vCPU leaves its guest, before it handles the exit itself: so all is done in the guest's order, a
/// read of the same device sees what was written before, and nothing is left when run() returns.
/// With several vCPUs it is done by whichever leaves first, under a lock.
///
/// Until then a write has no effect: output comes late, if the guest does not leave for long. What
/// cannot wait does not compile: a write handler that asks for RunControl&, IrqLine& or Watch&, or
/// for Clock& where the device's deadline() can be felt by the guest. That a guest polls memory for
/// the effect of a write cannot be known here.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <portico/device/clock.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/entry_traits.hpp>
#include <portico/device/run_control.hpp>
#include <portico/device/watch.hpp>

namespace portico::detail {

template <class Wanted, class Services>
inline constexpr bool asks_for = false;
template <class Wanted, class... Services>
inline constexpr bool asks_for<Wanted, TypeList<Services...>> =
    (std::is_same_v<Wanted, std::remove_cvref_t<Services>> || ...);

/// Whether a guest can wait for what a handler does with these.
template <class Services>
inline constexpr bool is_felt =
    asks_for<RunControl, Services> || asks_for<IrqLine, Services> || asks_for<Watch, Services>;

template <class Device>
consteval bool deadline_is_felt() {
  if constexpr (HasDeadline<Device>)
    return is_felt<typename HandlerTraits<&Device::deadline>::Write::Services>;
  else
    return false;
}

/// Whether a row's write must be carried out before the guest goes on.
template <class Device, class Line>
consteval bool writes_at_once() {
  if constexpr (is_handler<Line::write>) {
    using Services = typename HandlerTraits<Line::write>::Services;
    return is_felt<Services> || (asks_for<Clock, Services> && deadline_is_felt<Device>());
  } else {
    return false;
  }
}

template <class Device, class Table, std::size_t... Row>
consteval bool any_at_once(std::index_sequence<Row...>) {
  return (writes_at_once<Device, typename Table::template Line<Row>>() || ...);
}

/// What cannot be coalesced, with the reason.
template <class Traits, std::size_t... Range>
consteval auto check_coalesced(std::index_sequence<Range...>) {
  using Device = typename Traits::Device;
  constexpr bool writes = [] {
    bool any = false;
    auto const look = [&](auto const& rows) {
      for (Row const& row : rows) any = any || row.writes;
    };
    (look(Traits::template TableAt<Range>::rows), ...);
    return any;
  }();
  if constexpr (!writes) {
    [[maybe_unused]] rules::coalesced_without_writes<Device> const error{};
  } else if constexpr ((any_at_once<Device, typename Traits::template TableAt<Range>>(
                            std::make_index_sequence<Traits::template TableAt<Range>::count>{}) ||
                        ...)) {
    [[maybe_unused]] rules::coalesced_write_must_happen_at_once<Device> const error{};
  }
  return std::bool_constant<Traits::OptionsChecked::value>{};
}

template <class Inner>
struct CoalescedTraits : Inner {
  using OptionsChecked =
      decltype(check_coalesced<Inner>(std::make_index_sequence<Inner::range_count>{}));
};

template <std::uint64_t Base, class Held, class... Options>
struct EntryTraits<Coalesced<Port<Base, Held, Options...>>>
    : CoalescedTraits<EntryTraits<Port<Base, Held, Options...>>> {};

template <std::uint64_t Base, class Held, class... Options>
struct EntryTraits<Coalesced<Mmio<Base, Held, Options...>>>
    : CoalescedTraits<EntryTraits<Mmio<Base, Held, Options...>>> {};

template <class Held, class Where, class... Options>
struct EntryTraits<Coalesced<On<Held, Where, Options...>>>
    : CoalescedTraits<EntryTraits<On<Held, Where, Options...>>> {};

}  // namespace portico::detail
