/// From a range of the map to a handler: by width, then by offset, then a direct call.
///
/// Internal to the library; DeviceMap and DynamicMap share it. The order matters for the cost: a
/// register loads its own type from the run page only after its width has matched.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <portico/base/bytes.hpp>
#include <portico/device/access.hpp>
#include <portico/device/entry_traits.hpp>
#include <portico/device/route.hpp>

namespace portico::detail {

/// What nobody takes: reads give all ones, writes are dropped. Out of line, because it is rare.
[[gnu::noinline, gnu::cold]] inline void fill_with_ones(std::byte* data, std::size_t bytes) {
  std::memset(data, 0xFF, bytes);
}

template <Direction Way>
[[gnu::always_inline]] inline Claim unclaimed(std::int32_t entry, std::int32_t range,
                                              std::uint32_t width, std::uint32_t count,
                                              std::byte* data) {
  if constexpr (Way == Direction::read) fill_with_ones(data, std::size_t{width} * count);
  return Claim{entry, range, -1, false};
}

template <class Held>
[[gnu::always_inline]] constexpr auto& device_in(Held& held) noexcept {
  if constexpr (DeviceOf<Held>::locked)
    return held.device();
  else
    return held;
}

template <class Held>
consteval bool safe_for_threads() {
  if constexpr (requires { Held::threads; })
    return Held::threads == Threads::any;
  else
    return DeviceOf<Held>::locked;
}

template <class Held>
consteval bool check_thread_safety() {
  if constexpr (!safe_for_threads<Held>()) {
    [[maybe_unused]] rules::device_is_for_one_thread<Held> const error{};
  }
  return safe_for_threads<Held>();
}

/// Holds the lock of a Locked device, or nothing.
template <class Held>
class Guard {
 public:
  [[gnu::always_inline]] explicit Guard(Held& held) : held_{held} {
    if constexpr (DeviceOf<Held>::locked) held_.mutex().lock();
  }

  [[gnu::always_inline]] ~Guard() {
    if constexpr (DeviceOf<Held>::locked) held_.mutex().unlock();
  }

  Guard(Guard const&) = delete;
  Guard& operator=(Guard const&) = delete;

 private:
  Held& held_;
};

template <class Device>
concept HasDeadline = requires { &Device::deadline; };

template <std::size_t Entry, class Held, class Context>
void call_deadline(Held& held, Context& context) {
  using Device = typename DeviceOf<Held>::type;
  Guard<Held> const guard{held};
  call_handler<&Device::deadline, Entry>(
      device_in(held), context, typename HandlerTraits<&Device::deadline>::Write::Services{});
}

/// One element or one batch through one row.
template <Direction Way, class Line, std::size_t Entry, class Device, class Context>
[[gnu::always_inline]] inline void perform(Device& device, [[maybe_unused]] std::uint64_t offset,
                                           [[maybe_unused]] std::uint32_t width,
                                           std::uint32_t count, std::byte* data, Context& context) {
  constexpr auto chosen = [] {
    if constexpr (Way == Direction::read)
      return Line::read;
    else
      return Line::write;
  }();
  using Handler = HandlerTraits<chosen>;
  using Services = typename Handler::Services;
  using Value = typename Handler::Value;
  if constexpr (Handler::batch) {
    // The run page's data are aligned to a page; whoever makes an access by hand aligns likewise.
    using Element = std::conditional_t<Way == Direction::read, Value, Value const>;
    gsl::span<Element> const batch{reinterpret_cast<Element*>(data), count};
    call_handler<chosen, Entry>(device, context, Services{}, batch);
  } else {
    for (std::uint32_t element = 0;;) {
      if constexpr (Handler::bytes) {
        using Element = std::conditional_t<Way == Direction::read, std::byte, std::byte const>;
        call_handler<chosen, Entry>(device, context, Services{}, offset - Line::row.offset,
                                    gsl::span<Element>{data, width});
        data += width;
      } else if constexpr (Way == Direction::read) {
        store(data, static_cast<Value>(call_handler<chosen, Entry>(device, context, Services{})));
        data += sizeof(Value);
      } else {
        call_handler<chosen, Entry>(device, context, Services{}, load<Value>(data));
        data += sizeof(Value);
      }
      if (++element >= count) break;
    }
  }
}

template <class Line, Direction Way>
inline constexpr bool may_stop =
    Way == Direction::read ? HandlerTraits<Line::read>::asks_for_control
                           : HandlerTraits<Line::write>::asks_for_control;

/// A row of a table, with where it stands in the table.
struct PlacedRow {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  std::size_t row = 0;
};

/// The rows of a table that an access of one direction and width can reach, ascending. Width 0:
/// those that take any.
template <class Table, Direction Way, std::uint32_t Width>
struct Selection {
  static constexpr bool fits(Row const& row) {
    return row.width == Width && (Way == Direction::read ? row.reads : row.writes);
  }

  static constexpr std::size_t count = [] {
    std::size_t fitting = 0;
    for (Row const& row : Table::rows) fitting += fits(row) ? 1U : 0U;
    return fitting;
  }();
  static constexpr std::array<PlacedRow, count> placed = [] {
    std::array<PlacedRow, count> result{};
    std::size_t next = 0;
    for (std::size_t index = 0; index < Table::count; ++index)
      if (fits(Table::rows[index]))
        result[next++] = {Table::rows[index].offset, Width == 0 ? Table::rows[index].size : 1,
                          index};
    // Insertion sort: tables are mostly written in order already.
    for (std::size_t index = 1; index < count; ++index)
      for (std::size_t back = index; back > 0 && result[back].base < result[back - 1].base;
           --back) {
        PlacedRow const row = result[back];
        result[back] = result[back - 1];
        result[back - 1] = row;
      }
    return result;
  }();
  static constexpr std::array<Span, count> spans = [] {
    std::array<Span, count> result{};
    for (std::size_t index = 0; index < count; ++index)
      result[index] = {placed[index].base, placed[index].size};
    return result;
  }();
};

/// Tries the rows of one width; `missed` otherwise.
template <Direction Way, std::size_t Entry, std::size_t Range, class Table, std::uint32_t Width,
          class Held, class Context, class Missed>
[[gnu::always_inline]] inline Claim access_width(Held& held, std::uint64_t offset,
                                                 std::uint32_t width, std::uint32_t count,
                                                 std::byte* data, Context& context,
                                                 Missed const& missed) {
  using Rows = Selection<Table, Way, Width>;
  auto const found = [&]<std::size_t Index>() __attribute__((always_inline)) {
    constexpr std::size_t row = Rows::placed[Index].row;
    using Line = typename Table::template Line<row>;
    {
      Guard<Held> const guard{held};
      perform<Way, Line, Entry>(device_in(held), offset, width, count, data, context);
    }
    return Claim{static_cast<std::int32_t>(Entry), static_cast<std::int32_t>(Range),
                 static_cast<std::int32_t>(row), may_stop<Line, Way>};
  };
  // A range of one address leaves nothing to compare.
  if constexpr (Table::size == 1 && Rows::count == 1)
    return found.template operator()<0>();
  else
    return route<Rows::spans>(offset, found, missed);
}

/// An access whose first byte lies in a range: to the register with exactly this offset and width.
template <Direction Way, std::size_t Entry, std::size_t Range, class Table, class Held,
          class Context>
[[gnu::always_inline]] inline Claim access_range(Held& held, std::uint64_t offset,
                                                 std::uint32_t width, std::uint32_t count,
                                                 std::byte* data, Context& context) {
  auto const nobody = [&]() __attribute__((always_inline)) {
    return unclaimed<Way>(static_cast<std::int32_t>(Entry), static_cast<std::int32_t>(Range), width,
                          count, data);
  };
  auto const any_width = [&]() __attribute__((always_inline)) {
    if constexpr (Selection<Table, Way, 0>::count > 0)
      return access_width<Way, Entry, Range, Table, 0>(held, offset, width, count, data, context,
                                                       nobody);
    else
      return nobody();
  };
  if constexpr (Selection<Table, Way, 1>::count > 0)
    if (width == 1)
      return access_width<Way, Entry, Range, Table, 1>(held, offset, width, count, data, context,
                                                       any_width);
  if constexpr (Selection<Table, Way, 2>::count > 0)
    if (width == 2)
      return access_width<Way, Entry, Range, Table, 2>(held, offset, width, count, data, context,
                                                       any_width);
  if constexpr (Selection<Table, Way, 4>::count > 0)
    if (width == 4)
      return access_width<Way, Entry, Range, Table, 4>(held, offset, width, count, data, context,
                                                       any_width);
  if constexpr (Selection<Table, Way, 8>::count > 0)
    if (width == 8)
      return access_width<Way, Entry, Range, Table, 8>(held, offset, width, count, data, context,
                                                       any_width);
  return any_width();
}

}  // namespace portico::detail
