/// The checks behind a device map: loops over values, and one rule instantiated for what they find.
///
/// Internal to the library; DeviceMap's `requires` calls `check_map`. Checking by value keeps the
/// cost low: 256 entries are one sort in the compiler, not 32,640 pairs of types. A broken rule
/// is the only error where the map can be built nevertheless: so the functions with rules in them
/// are never evaluated, only their types are looked at, since Clang reports a call to one as a
/// second error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <portico/device/entry_traits.hpp>

namespace portico::detail {

template <class Entry, std::size_t... Index>
constexpr auto ranges_of_entry(std::uint32_t entry, std::index_sequence<Index...>) {
  std::array<RangeValues, sizeof...(Index)> ranges{EntryTraits<Entry>::template range<Index>...};
  for (RangeValues& range : ranges) range.entry = entry;
  return ranges;
}

template <class Value, std::size_t Count>
constexpr void sort_by_base(std::array<Value, Count>& values) {
  bool sorted = true;
  for (std::size_t index = 1; index < Count; ++index)
    sorted = sorted && values[index - 1].base <= values[index].base;
  if (sorted) return;  // most maps are written so
  // A bottom-up merge sort: std::sort costs the compiler more, and simpler sorts are quadratic.
  auto other = values;
  for (std::size_t width = 1; width < Count; width *= 2) {
    for (std::size_t low = 0; low < Count; low += 2 * width) {
      std::size_t const middle = low + width < Count ? low + width : Count;
      std::size_t const high = low + 2 * width < Count ? low + 2 * width : Count;
      std::size_t left = low;
      std::size_t right = middle;
      for (std::size_t out = low; out < high; ++out) {
        bool const take_left =
            left < middle && (right >= high || !(values[right].base < values[left].base));
        other[out] = take_left ? values[left++] : values[right++];
      }
    }
    values = other;
  }
}

/// Whose a range is.
struct Owner {
  std::int32_t entry = -1;  ///< index of the map's entry
  std::int32_t range = -1;  ///< index of that entry's range
};

template <class... Entries>
struct MapRanges {
  static constexpr std::size_t total = (EntryTraits<Entries>::range_count + ... + 0);

  /// All ranges of the map, in the order of its entries.
  static constexpr std::array<RangeValues, total> all = [] {
    [[maybe_unused]] std::uint32_t entry = 0;
    if constexpr (((EntryTraits<Entries>::range_count == 1) && ...)) {
      // Most maps: no function for each entry.
      std::array<RangeValues, total> ranges{EntryTraits<Entries>::template range<0>...};
      for (RangeValues& range : ranges) range.entry = entry++;
      return ranges;
    } else {
      std::array<RangeValues, total> ranges{};
      std::size_t next = 0;
      auto const append = [&](auto const& of_entry) {
        for (RangeValues const& range : of_entry) ranges[next++] = range;
      };
      (append(ranges_of_entry<Entries>(
           entry++, std::make_index_sequence<EntryTraits<Entries>::range_count>{})),
       ...);
      return ranges;
    }
  }();

  template <Space InSpace>
  static constexpr std::size_t count_in = [] {
    std::size_t count = 0;
    for (RangeValues const& range : all) count += range.space == InSpace ? 1U : 0U;
    return count;
  }();

  /// The ranges of one space, ascending.
  template <Space InSpace>
  static constexpr std::array<RangeValues, count_in<InSpace>> sorted = [] {
    std::array<RangeValues, count_in<InSpace>> ranges{};
    std::size_t next = 0;
    for (RangeValues const& range : all)
      if (range.space == InSpace) ranges[next++] = range;
    sort_by_base(ranges);
    return ranges;
  }();

  /// Whose those are, counted from 1; nobody's for 0.
  template <Space InSpace>
  static constexpr std::array<Owner, count_in<InSpace> + 1> owners = [] {
    std::array<Owner, count_in<InSpace> + 1> result{};
    for (std::size_t number = 1; number < result.size(); ++number) {
      RangeValues const& range = sorted<InSpace>[number - 1];
      result[number] = {static_cast<std::int32_t>(range.entry),
                        static_cast<std::int32_t>(range.range)};
    }
    return result;
  }();
};

/// Two parties and what they quarrel about.
struct Clash {
  bool found = false;
  std::uint64_t what = 0;
  std::size_t first = 0;
  std::size_t second = 0;
};

template <std::size_t Count>
consteval Clash overlap_in(std::array<RangeValues, Count> const& sorted) {
  for (std::size_t index = 0; index + 1 < Count; ++index)
    if (sorted[index + 1].base - sorted[index].base < sorted[index].size)
      return {true, sorted[index + 1].base, sorted[index].entry, sorted[index + 1].entry};
  return {};
}

template <std::size_t Count>
consteval Clash past_the_end_in(std::array<RangeValues, Count> const& ranges) {
  for (RangeValues const& range : ranges) {
    std::uint64_t const last = last_address(range.space);
    if (range.base > last || range.size > last - range.base + 1)
      return {true, range.base, range.entry, 0};
  }
  return {};
}

template <std::size_t Count>
consteval Clash shared_wrongly_in(std::array<OptionValues, Count> const& entries) {
  for (std::size_t first = 0; first < Count; ++first) {
    if (!entries[first].has_irq) continue;  // most have none: the pairs would be thousands
    for (std::size_t second = first + 1; second < Count; ++second)
      if (entries[second].has_irq && entries[first].irq == entries[second].irq &&
          !(entries[first].shared && entries[second].shared))
        return {true, entries[first].irq, first, second};
  }
  return {};
}

template <std::size_t Count>
consteval Clash edge_and_level_in(std::array<OptionValues, Count> const& entries) {
  for (std::size_t first = 0; first < Count; ++first) {
    if (!entries[first].has_irq) continue;
    for (std::size_t second = first + 1; second < Count; ++second)
      if (entries[second].has_irq && entries[first].irq == entries[second].irq &&
          entries[first].level != entries[second].level)
        return {true, entries[first].irq, first, second};
  }
  return {};
}

template <std::size_t Count>
consteval Clash named_twice_in(std::array<OptionValues, Count> const& entries) {
  for (std::size_t first = 0; first < Count; ++first) {
    if (entries[first].name.empty()) continue;
    for (std::size_t second = first + 1; second < Count; ++second)
      if (entries[first].name == entries[second].name) return {true, 0, first, second};
  }
  return {};
}

// --- One range

/// What is wrong with a table on its range.
enum class Fault : std::uint8_t { none, twice, outside, too_wide, eight_on_port };

struct RowFault {
  Fault what = Fault::none;
  std::uint64_t offset = 0;
  std::uint64_t width = 0;
};

template <std::size_t Count>
consteval RowFault listed_twice_in(std::array<Row, Count> const& rows) {
  // By offset, then neighbours: a large table costs no more than its sort.
  struct Key {
    std::uint64_t base;
    std::uint64_t size;
    std::uint32_t width;
    bool reads;
    bool writes;
  };

  std::array<Key, Count> keys{};
  for (std::size_t index = 0; index < Count; ++index)
    keys[index] = {rows[index].offset, rows[index].width == 0 ? rows[index].size : 1,
                   rows[index].width, rows[index].reads, rows[index].writes};
  sort_by_base(keys);
  for (std::size_t first = 0; first < Count; ++first)
    for (std::size_t second = first + 1;
         second < Count && keys[second].base - keys[first].base < keys[first].size; ++second)
      if (keys[first].width == keys[second].width && ((keys[first].reads && keys[second].reads) ||
                                                      (keys[first].writes && keys[second].writes)))
        return {Fault::twice, keys[second].base, keys[second].width};
  return {};
}

template <std::size_t Count>
consteval RowFault fault_in(std::array<Row, Count> const& rows, Space space, std::uint64_t size) {
  for (Row const& row : rows) {
    if (row.offset >= size) return {Fault::outside, row.offset, row.width};
    if (space == Space::port && row.width == 8)
      return {Fault::eight_on_port, row.offset, row.width};
    if ((space == Space::mmio || row.width == 0) && row.size > size - row.offset)
      return {Fault::too_wide, row.offset, row.width};
  }
  if constexpr (Count > 1)
    return listed_twice_in(rows);
  else
    return {};
}

template <std::size_t Count>
consteval bool asks_for_line_in(std::array<Row, Count> const& rows) {
  for (Row const& row : rows)
    if (row.asks_for_line) return true;
  return false;
}

template <class Traits, std::size_t Index>
consteval auto check_range() {
  using Device = typename Traits::Device;
  using Table = typename Traits::template TableAt<Index>;
  constexpr RangeValues range = Traits::template range<Index>;
  if constexpr (Table::count == 0) {
    // A device without a table has reported its own error.
    if constexpr (HasRegisters<Device> || HasBanks<Device>) {
      [[maybe_unused]] rules::device_has_no_handler<Device> const error{};
    }
  } else if constexpr (range.size == 0) {
    [[maybe_unused]] rules::size_is_unknown<Device> const error{};
  } else {
    constexpr RowFault fault = fault_in(Table::rows, range.space, range.size);
    if constexpr (fault.what != Fault::none) {
      using Offset = Text<hex_text<fault.offset>>;
      if constexpr (fault.what == Fault::twice) {
        [[maybe_unused]] rules::register_listed_twice<Offset, Text<decimal_text<fault.width>>,
                                                      Device> const error{};
      } else if constexpr (fault.what == Fault::outside) {
        [[maybe_unused]] rules::register_outside_its_range<Offset, Device> const error{};
      } else if constexpr (fault.what == Fault::eight_on_port) {
        [[maybe_unused]] rules::port_register_too_wide<Offset, Device> const error{};
      } else {
        [[maybe_unused]] rules::register_wider_than_its_range<Offset, Device> const error{};
      }
    }
    constexpr bool asks_for_line = asks_for_line_in(Table::rows);
    if constexpr (asks_for_line && !Traits::options.has_irq) {
      [[maybe_unused]] rules::device_needs_an_irq_line<Device> const error{};
    }
  }
  return std::true_type{};
}

template <class Traits, std::size_t... Index>
std::bool_constant<(decltype(check_range<Traits, Index>())::value && ...)> check_ranges(
    std::index_sequence<Index...>);

template <class Device>
consteval bool banks_fit(std::size_t ranges) {
  if constexpr (HasBanks<Device>)
    return Device::banks::size == ranges;
  else
    return true;
}

/// The rules of one entry; false if there is no telling what the entry is.
template <class Entry>
consteval auto check_entry() {
  using Traits = EntryTraits<Entry>;
  if constexpr (!Traits::known) {
    [[maybe_unused]] rules::entry_is_unknown<Entry> const error{};
    return std::false_type{};
  } else if constexpr (Traits::range_count == 0) {
    [[maybe_unused]] rules::device_has_no_range<typename Traits::Device> const error{};
    return std::false_type{};
  } else if constexpr (!banks_fit<typename Traits::Device>(Traits::range_count)) {
    [[maybe_unused]] rules::banks_and_ranges_differ<typename Traits::Device> const error{};
    return std::false_type{};
  } else if constexpr (!Traits::OptionsChecked::value ||
                       !decltype(check_ranges<Traits>(
                           std::make_index_sequence<Traits::range_count>{}))::value) {
    return std::false_type{};
  } else {
    if constexpr (callbacks_ask_for_line<typename Traits::Device>() && !Traits::options.has_irq) {
      [[maybe_unused]] rules::device_needs_an_irq_line<typename Traits::Device> const error{};
    }
    return std::true_type{};
  }
}

template <class... Entries>
struct MapOf {
  template <std::size_t Index>
  using Device = typename EntryTraits<TypeAt<Index, Entries...>>::Device;
};

template <std::size_t Size>
consteval FixedText<Size> copy_text(std::string_view from) {
  FixedText<Size> copy;
  copy.characters[Size] = 0;  // see FixedText's constructor
  for (std::size_t index = 0; index < Size; ++index) copy.characters[index] = from[index];
  return copy;
}

/// The rules between a map's entries.
template <class... Entries>
consteval auto check_entries_together() {
  if constexpr (sizeof...(Entries) > 0) {
    using Ranges = MapRanges<Entries...>;
    using Map = MapOf<Entries...>;
    constexpr Clash past = past_the_end_in(Ranges::all);
    constexpr Clash ports = overlap_in(Ranges::template sorted<Space::port>);
    constexpr Clash addresses = overlap_in(Ranges::template sorted<Space::mmio>);
    constexpr std::array<OptionValues, sizeof...(Entries)> options{
        EntryTraits<Entries>::options...};
    constexpr Clash lines = shared_wrongly_in(options);
    constexpr Clash modes = edge_and_level_in(options);
    constexpr Clash names = named_twice_in(options);
    if constexpr (past.found) {
      [[maybe_unused]] rules::range_ends_past_its_space<
          Text<hex_text<past.what>>, typename Map::template Device<past.first>> const error{};
    } else if constexpr (ports.found) {
      [[maybe_unused]] rules::port_claimed_twice<
          Text<hex_text<ports.what>>, typename Map::template Device<ports.first>,
          typename Map::template Device<ports.second>> const error{};
    } else if constexpr (addresses.found) {
      [[maybe_unused]] rules::address_claimed_twice<
          Text<hex_text<addresses.what>>, typename Map::template Device<addresses.first>,
          typename Map::template Device<addresses.second>> const error{};
    } else if constexpr (lines.found) {
      [[maybe_unused]] rules::irq_line_not_shared<
          Text<decimal_text<lines.what>>, typename Map::template Device<lines.first>,
          typename Map::template Device<lines.second>> const error{};
    } else if constexpr (modes.found) {
      [[maybe_unused]] rules::irq_line_edge_and_level<
          Text<decimal_text<modes.what>>, typename Map::template Device<modes.first>,
          typename Map::template Device<modes.second>> const error{};
    } else if constexpr (names.found) {
      constexpr std::string_view name = options[names.first].name;
      constexpr auto text = copy_text<name.size()>(name);
      [[maybe_unused]] rules::name_used_twice<Text<text>> const error{};
    }
  }
  return std::true_type{};
}

/// All rules of a map: instantiates the one that is broken. False if a map cannot be built at all.
template <class... Entries>
consteval bool check_map() {
  if constexpr ((decltype(check_entry<Entries>())::value && ...))
    return decltype(check_entries_together<Entries...>())::value;
  else
    return false;
}

}  // namespace portico::detail
