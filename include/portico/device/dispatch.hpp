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
#include <portico/device/callbacks.hpp>
#include <portico/device/entry_traits.hpp>
#include <portico/device/packs.hpp>
#include <portico/device/route.hpp>
#include <portico/device/slots.hpp>

namespace portico::detail {

/// What nobody takes: reads give all ones, writes are dropped. Out of line, because it is rare.
[[gnu::noinline, gnu::cold]] inline void fill_with_ones(std::byte* data, std::size_t bytes) {
  std::memset(data, 0xFF, bytes);
}

/// The same, with the claim.
template <Direction Way>
[[gnu::always_inline]] inline Claim unclaimed(std::int32_t entry, std::int32_t range,
                                              std::uint32_t width, std::uint32_t count,
                                              std::byte* data) {
  if constexpr (Way == Direction::read) fill_with_ones(data, std::size_t{width} * count);
  return Claim{entry, range, -1, false};
}

/// The handler of a row for one direction.
template <Direction Way, class Line>
struct HandlerIn {
  static constexpr auto handler = Line::read;
};

template <class Line>
struct HandlerIn<Direction::write, Line> {
  static constexpr auto handler = Line::write;
};

/// One element or one batch through one row, under the device's lock if it has one; and the claim.
/// Not a function for each of these steps: a compiler's time goes by functions, and there are as
/// many of this one as a map has registers.
template <Direction Way, class Table, std::size_t Row, std::size_t Entry, std::size_t Range,
          class Held, class Context>
[[gnu::always_inline]] inline Claim perform(Held& held, [[maybe_unused]] std::uint64_t offset,
                                            [[maybe_unused]] std::uint32_t width,
                                            std::uint32_t count, std::byte* data,
                                            [[maybe_unused]] Context& context) {
  if constexpr (DeviceOf<Held>::locked) {
    Guard<Held> const guard{held};
    // What the guest announced before this access comes before it.
    if constexpr (requires { held.template catch_up<Entry>(context); })
      held.template catch_up<Entry>(context);
    return perform<Way, Table, Row, Entry, Range>(held.device(), offset, width, count, data,
                                                  context);
  } else {
    using Line = typename Table::template Line<Row>;
    constexpr auto chosen = HandlerIn<Way, Line>::handler;
    using Handler = HandlerTraits<chosen>;
    using Services = typename Handler::Services;
    using Value = typename Handler::Value;
    if constexpr (Handler::batch) {
      // The run page's data are aligned to a page; whoever makes an access by hand aligns likewise.
      using Element = std::conditional_t<Way == Direction::read, Value, Value const>;
      gsl::span<Element> const batch{reinterpret_cast<Element*>(data), count};
      call_handler<chosen, Entry>(held, context, Services{}, batch);
    } else {
      for (std::uint32_t element = 0;;) {
        if constexpr (Handler::bytes) {
          using Element = std::conditional_t<Way == Direction::read, std::byte, std::byte const>;
          call_handler<chosen, Entry>(held, context, Services{}, offset - Line::row.offset,
                                      gsl::span<Element>{data, width});
          data += width;
        } else {
          if constexpr (!std::is_same_v<Services, TypeList<>>) {
            if constexpr (Way == Direction::read)
              store(data,
                    static_cast<Value>(call_handler<chosen, Entry>(held, context, Services{})));
            else
              call_handler<chosen, Entry>(held, context, Services{}, load<Value>(data));
          } else {
            // The same without a function in between: most handlers ask for nothing.
            typename Handler::Class& owner = held;
            if constexpr (Way == Direction::read)
              store(data, static_cast<Value>((owner.*chosen)()));
            else
              (owner.*chosen)(load<Value>(data));
          }
          data += sizeof(Value);
        }
        if (++element >= count) break;
      }
    }
    return Claim{static_cast<std::int32_t>(Entry), static_cast<std::int32_t>(Range),
                 static_cast<std::int32_t>(Row), Handler::asks_for_control};
  }
}

/// A row of a table, with where it stands in the table.
struct PlacedRow {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  std::size_t row = 0;
};

/// The rows of a table that an access of one direction and width can reach, ascending. Width 0:
/// those that take any.
template <std::size_t Count>
constexpr bool row_fits(std::array<Row, Count> const& rows, std::size_t index, Direction way,
                        std::uint32_t width) {
  return rows[index].width == width &&
         (way == Direction::read ? rows[index].reads : rows[index].writes);
}

template <std::size_t Count>
constexpr std::size_t count_fitting(std::array<Row, Count> const& rows, Direction way,
                                    std::uint32_t width) {
  std::size_t fitting = 0;
  for (std::size_t index = 0; index < Count; ++index)
    fitting += row_fits(rows, index, way, width) ? 1U : 0U;
  return fitting;
}

template <std::size_t Fitting, std::size_t Count>
constexpr std::array<PlacedRow, Fitting> place_fitting(std::array<Row, Count> const& rows,
                                                       Direction way, std::uint32_t width) {
  std::array<PlacedRow, Fitting> result{};
  std::size_t next = 0;
  for (std::size_t index = 0; index < Count; ++index)
    if (row_fits(rows, index, way, width))
      result[next++] = {rows[index].offset, width == 0 ? rows[index].size : 1, index};
  // Insertion sort: tables are mostly written in order already.
  for (std::size_t index = 1; index < Fitting; ++index)
    for (std::size_t back = index; back > 0 && result[back].base < result[back - 1].base; --back) {
      PlacedRow const row = result[back];
      result[back] = result[back - 1];
      result[back - 1] = row;
    }
  return result;
}

template <class Based, std::size_t Count>
constexpr std::array<Span, Count> spans_of(std::array<Based, Count> const& based) {
  std::array<Span, Count> result{};
  for (std::size_t index = 0; index < Count; ++index)
    result[index] = {based[index].base, based[index].size};
  return result;
}

template <class Table, Direction Way, std::uint32_t Width>
struct Selection {
  static constexpr std::size_t count = count_fitting(Table::rows, Way, Width);
  static constexpr std::array<PlacedRow, count> placed =
      place_fitting<count>(Table::rows, Way, Width);
  static constexpr std::array<Span, count> spans = spans_of(placed);
};

/// Whether all bytes of an access are a block's: the device never sees an offset past its end.
constexpr bool lies_in(Row const& block, std::uint64_t offset, std::uint32_t width) noexcept {
  std::uint64_t const start = offset - block.offset;  // wraps below the block: then it is too large
  return start < block.size && width <= block.size - start;
}

/// Tries the rows of one width; a claim that is not taken if there is none at this offset.
template <Direction Way, std::size_t Entry, std::size_t Range, class Table, std::uint32_t Width,
          class Held, class Context>
[[gnu::always_inline]] inline Claim access_width(Held& held, std::uint64_t offset,
                                                 std::uint32_t width, std::uint32_t count,
                                                 std::byte* data, Context& context) {
  using Rows = Selection<Table, Way, Width>;
  auto const found = [&]<std::size_t Index>() __attribute__((always_inline)) {
    if constexpr (Width == 0)
      if (!lies_in(Table::rows[Rows::placed[Index].row], offset, width)) return Claim{};
    return perform<Way, Table, Rows::placed[Index].row, Entry, Range>(held, offset, width, count,
                                                                      data, context);
  };
  return route<Rows::spans>(offset, found, []() __attribute__((always_inline)) { return Claim{}; });
}

/// An access whose first byte lies in a range: to the register with exactly this offset and width.
template <Direction Way, std::size_t Entry, std::size_t Range, class Table, class Held,
          class Context>
[[gnu::always_inline]] inline Claim access_range(Held& held, std::uint64_t offset,
                                                 std::uint32_t width, std::uint32_t count,
                                                 std::byte* data, Context& context) {
  if constexpr (Table::count == 1) {
    // Most devices: one register. A range of one address leaves no offset to compare.
    constexpr Row row = Table::rows[0];
    if constexpr (Way == Direction::read ? row.reads : row.writes) {
      bool const fits = row.width != 0
                            ? width == row.width && (Table::size == 1 || offset == row.offset)
                            : lies_in(row, offset, width);
      if (fits)
        return perform<Way, Table, 0, Entry, Range>(held, offset, width, count, data, context);
    }
  } else {
    Claim claim;
    if constexpr (Selection<Table, Way, 1>::count > 0)
      if (width == 1)
        claim =
            access_width<Way, Entry, Range, Table, 1>(held, offset, width, count, data, context);
    if constexpr (Selection<Table, Way, 2>::count > 0)
      if (width == 2)
        claim =
            access_width<Way, Entry, Range, Table, 2>(held, offset, width, count, data, context);
    if constexpr (Selection<Table, Way, 4>::count > 0)
      if (width == 4)
        claim =
            access_width<Way, Entry, Range, Table, 4>(held, offset, width, count, data, context);
    if constexpr (Selection<Table, Way, 8>::count > 0)
      if (width == 8)
        claim =
            access_width<Way, Entry, Range, Table, 8>(held, offset, width, count, data, context);
    if constexpr (Selection<Table, Way, 0>::count > 0)
      if (!claim.taken())
        claim =
            access_width<Way, Entry, Range, Table, 0>(held, offset, width, count, data, context);
    if (claim.taken()) return claim;
  }
  return Claim{};
}

/// An access on its way, and what became of it.
struct Operation {
  std::uint64_t address = 0;
  std::uint32_t width = 0;    ///< bytes of one element
  std::uint32_t count = 0;    ///< elements that are left
  std::byte* data = nullptr;  ///< of the first of those
  std::int32_t row = -1;      ///< that took it
  bool may_stop = false;
};

/// Whether a range is one register, and one for one thread, whose handler asks for nothing but the
/// value.
template <Direction Way, class Table, class Held>
inline constexpr bool is_plain_register = false;
template <class Only, Space InSpace, std::uint64_t Stride, std::uint64_t Size, class Held>
inline constexpr bool
    is_plain_register<Direction::read, RangeTable<Registers<Only>, InSpace, Stride, Size>, Held> =
        HandlerTraits<Only::read>::plain && !DeviceOf<Held>::locked;
template <class Only, Space InSpace, std::uint64_t Stride, std::uint64_t Size, class Held>
inline constexpr bool
    is_plain_register<Direction::write, RangeTable<Registers<Only>, InSpace, Stride, Size>, Held> =
        HandlerTraits<Only::write>::plain && !DeviceOf<Held>::locked;

template <Direction Way, std::size_t Entry, std::size_t Range, class Traits, bool IsPlain>
struct TargetOf {
  template <class Context>
  [[gnu::always_inline]] static void take(Slot<Entry, typename Traits::Held>& slot,
                                          Operation& operation, Context* context) {
    Claim const claim = access_range<Way, Entry, Range, typename Traits::template TableAt<Range>>(
        slot.held, operation.address - Traits::template range<Range>.base, operation.width,
        operation.count, operation.data, *context);
    operation.count = 1;  // all of them, or none
    operation.row = claim.row;
    operation.may_stop = claim.may_stop;
  }
};

/// Most ranges of most maps: the same in one function, and one element at a time.
template <Direction Way, std::size_t Entry, std::size_t Range, class Traits>
struct TargetOf<Way, Entry, Range, Traits, true> {
  [[gnu::always_inline]] static void take(Slot<Entry, typename Traits::Held>& slot,
                                          Operation& operation, void const*) {
    using Table = typename Traits::template TableAt<Range>;
    using Line = typename Table::First;
    if (operation.width != Table::rows[0].width) return;
    // A range of one address leaves no offset to compare.
    if constexpr (Table::size != 1)
      if (operation.address != Traits::template range<Range>.base + Table::rows[0].offset) return;
    if constexpr (Way == Direction::read) {
      using Handler = HandlerTraits<Line::read>;
      typename Handler::Class& owner = slot.held;
      typename Handler::Value const value = (owner.*Line::read)();
      std::memcpy(operation.data, &value, sizeof value);
    } else {
      using Handler = HandlerTraits<Line::write>;
      typename Handler::Class& owner = slot.held;
      typename Handler::Value value{};
      std::memcpy(&value, operation.data, sizeof value);
      (owner.*Line::write)(value);
    }
    operation.row = 0;
  }
};

/// One range of a map in one direction: carries out an access whose first byte lies in it, one
/// element of it or all. The names of these functions do not have the map's in them, with all its
/// entries: to write that down once for each entry is what cost a compiler most. That it is plain is
/// no default argument: those are worked out again wherever the class is named.
template <Direction Way, std::size_t Entry, std::size_t Range, class Traits>
struct Target
    : TargetOf<
          Way, Entry, Range, Traits,
          is_plain_register<Way, typename Traits::template TableAt<Range>, typename Traits::Held>> {
};

/// What route_to() hands an access over to: a map's devices, the access, and for each of the map's
/// ranges who takes it. Not a member of the map: a compiler goes through all arguments of a
/// template when one of its members is named, and these are named for each range.
template <class Slots, class Pack, auto const& Ranges, Direction Way, class Context>
struct Taker {
  Slots& slots;
  Operation operation;
  Context* context;
  template <std::size_t Index>
  using Take = Target<Way, Ranges[Index].entry, Ranges[Index].range,
                      EntryTraits<TypeIn<Pack, Ranges[Index].entry>>>;
};

}  // namespace portico::detail
