/// What a machine's handlers may ask for.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/machine/services.hpp>
///     template <class Board>
///     void ring(portico::detail::MachineServices<Board> services) {
///       services.template service<portico::IrqLine, 0>().pulse();   // the line of entry 0
///     }
///
/// Internal to the library; Machine makes one for each access.
#pragma once

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <portico/device/clock.hpp>
#include <portico/device/context.hpp>
#include <portico/device/entry_traits.hpp>
#include <portico/device/run_control.hpp>
#include <portico/machine/interrupt_lines.hpp>
#include <portico/machine/watches.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico::detail {

/// One clock for each entry.
template <class Board>
using Clocks = std::array<Clock, Board::size>;

template <class Board>
Clocks<Board> make_clocks(TimeSource const& time, Alarm& alarm) {
  return [&]<std::size_t... Entry>(std::index_sequence<Entry...>) {
    return Clocks<Board>{((void)Entry, Clock{time, &alarm})...};
  }(std::make_index_sequence<Board::size>{});
}

/// The earliest deadline that is armed, Clock::never if none is.
template <class Clocks>
std::uint64_t earliest_deadline(Clocks const& clocks) noexcept {
  std::uint64_t earliest = Clock::never;
  for (Clock const& clock : clocks)
    if (clock.deadline() < earliest) earliest = clock.deadline();
  return earliest;
}

/// References to a machine's parts, by the type that a handler names.
template <class Board>
struct MachineServices {
  GuestMemory& memory;
  RunControl& control;
  Clocks<Board>& clocks;
  InterruptLines<Board>& lines;
  Watches<Board>& watches;

  template <class Wanted, std::size_t Entry>
  [[gnu::always_inline]] Wanted& service() noexcept {
    if constexpr (std::is_same_v<Wanted, Watch>) {
      using Device = typename DeviceOf<typename Board::template HeldAt<Entry>>::type;
      if constexpr (!HasEvent<Device>) {
        [[maybe_unused]] rules::watch_without_an_event<Device> const error{};
        return rules::nothing<Wanted>();
      } else {
        return service_at<Wanted>(Entry);
      }
    } else {
      return service_at<Wanted>(Entry);
    }
  }

  /// The same for an entry that is known at run time only (DynamicMap).
  template <class Wanted>
  [[gnu::always_inline]] Wanted& service_at([[maybe_unused]] std::size_t entry) noexcept {
    if constexpr (std::is_same_v<Wanted, GuestMemory>)
      return memory;
    else if constexpr (std::is_same_v<Wanted, RunControl>)
      return control;
    else if constexpr (std::is_same_v<Wanted, Clock>)
      return clocks[entry];
    else if constexpr (std::is_same_v<Wanted, IrqLine>)
      return lines[entry];
    else if constexpr (std::is_same_v<Wanted, Watch> && Board::has_events)
      return watches[entry];
    else
      return Context<>{}.template service<Wanted, 0>();  // nobody has it: an error says so
  }
};

/// Calls the devices whose deadline `now` has reached, and those whose event has come.
template <class Board>
void call_due(Board& board, MachineServices<Board>& services, [[maybe_unused]] std::uint64_t now) {
  if constexpr (Board::has_deadlines)
    for (std::size_t entry = 0; entry < Board::size; ++entry)
      if (services.clocks[entry].take_due(now)) board.call_deadline(entry, services);
  if constexpr (Board::has_events)
    services.watches.take_ready([&](std::size_t entry) { board.call_event(entry, services); });
}

}  // namespace portico::detail
