/// What the map knows about one entry: device, options, ranges, and each range's rows with their
/// final offsets.
///
///     #include <portico/device/entry_traits.hpp>
///     struct Serial { void write(std::uint8_t byte); };
///     using Traits = portico::detail::EntryTraits<
///         portico::Port<0xE9, Serial, portico::Named<"console">>>;
///     static_assert(Traits::range<0>.size == 1 && Traits::name == "console");
///
/// Internal to the library: DeviceMap, the machine and the printers read it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <portico/base/names.hpp>
#include <portico/base/text.hpp>
#include <portico/device/access.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/handler.hpp>
#include <portico/device/packs.hpp>
#include <portico/device/registers.hpp>
#include <portico/device/rules.hpp>

namespace portico::detail {

// --- The device behind an entry

template <class Held>
struct DeviceOf {
  using type = Held;
  static constexpr bool locked = false;
};

template <class Device>
struct DeviceOf<Locked<Device>> {
  using type = Device;
  static constexpr bool locked = true;
};

template <class Device>
concept HasRegisters = requires { typename Device::registers; };
template <class Device>
concept HasBanks = requires { typename Device::banks; };
template <class Device>
concept HasRead = requires { &Device::read; };
template <class Device>
concept HasWrite = requires { &Device::write; };

struct ReadMember {
  int read;
};

struct WriteMember {
  int write;
};

template <class Device, class Member>
struct Joined : Device, Member {};

/// Whether a class has any member of that name, overloaded or not: then the name is ambiguous in a
/// class that inherits another.
template <class Device>
consteval bool names_read() {
  if constexpr (std::is_class_v<Device> && !std::is_final_v<Device>)
    return !requires { &Joined<Device, ReadMember>::read; };
  else
    return HasRead<Device>;
}

template <class Device>
consteval bool names_write() {
  if constexpr (std::is_class_v<Device> && !std::is_final_v<Device>)
    return !requires { &Joined<Device, WriteMember>::write; };
  else
    return HasWrite<Device>;
}

/// Whether a name stands for several functions. As concepts, for these look no further once
/// HasRead holds: a class is made to ask whether there is such a name.
template <class Device>
concept OverloadsRead = (!HasRead<Device>) && (names_read<Device>());
template <class Device>
concept OverloadsWrite = (!HasWrite<Device>) && (names_write<Device>());

template <class Device>
consteval auto read_of() {
  if constexpr (HasRead<Device>)
    return &Device::read;
  else
    return NoHandler{};
}

template <class Device>
consteval auto write_of() {
  if constexpr (HasWrite<Device>)
    return &Device::write;
  else
    return NoHandler{};
}

/// The table of a device that has only `read` and `write`; an empty one after a broken rule, so
/// that the rule is all that the compiler reports.
template <class Device>
consteval auto table_of_functions() {
  constexpr auto read = read_of<Device>();
  constexpr auto write = write_of<Device>();
  if constexpr (OverloadsRead<Device> || OverloadsWrite<Device>) {
    [[maybe_unused]] rules::handlers_are_overloaded<Device> const error{};
    return Registers<>{};
  } else if constexpr (!is_handler<read> && !is_handler<write>) {
    [[maybe_unused]] rules::device_has_no_handler<Device> const error{};
    return Registers<>{};
  } else if constexpr (is_handler<read> && !HandlerTraits<read>::reads) {
    [[maybe_unused]] rules::handler_has_wrong_signature<Device> const error{};
    return Registers<>{};
  } else if constexpr (is_handler<write> && !HandlerTraits<write>::writes) {
    [[maybe_unused]] rules::handler_has_wrong_signature<Device> const error{};
    return Registers<>{};
  } else if constexpr (HandlerTraits<read>::bytes || HandlerTraits<write>::bytes) {
    return Registers<AllBytes<read, write>>{};
  } else if constexpr (!is_handler<write>) {
    return Registers<ReadOnly<0, read>>{};
  } else if constexpr (!is_handler<read>) {
    return Registers<WriteOnly<0, write>>{};
  } else if constexpr (HandlerTraits<read>::width == HandlerTraits<write>::width) {
    return Registers<ReadWrite<0, read, write>>{};
  } else {
    return Registers<ReadOnly<0, read>, WriteOnly<0, write>>{};
  }
}

/// The same for the device with one register of one value, read and written: most of those without
/// a table. A class that the compiler knows by its arguments, and no function to go through.
template <class Device, class Read, class Write>
struct TableOfFunctions {
  using type = decltype(table_of_functions<Device>());
};

template <class Device, class Value>
  requires is_register_value<Value>
struct TableOfFunctions<Device, Value (Device::*)(), void (Device::*)(Value)> {
  using type = Registers<ReadWrite<0, &Device::read, &Device::write>>;
};

template <std::size_t Index, class... Tables>
TypeAt<Index, Tables...> table_at(Banks<Tables...>);

/// The register table of a device's range.
template <class Device, std::size_t RangeIndex>
consteval auto table_of() {
  if constexpr (HasBanks<Device>)
    return decltype(table_at<RangeIndex>(typename Device::banks{})){};
  else if constexpr (HasRegisters<Device>)
    return typename Device::registers{};
  else if constexpr (HasRead<Device> && HasWrite<Device>)
    return typename TableOfFunctions<Device, decltype(&Device::read),
                                     decltype(&Device::write)>::type{};
  else
    return table_of_functions<Device>();
}

// --- Options

/// All options of an entry as values.
struct OptionValues {
  std::uint64_t size = 0;
  std::uint64_t stride = 1;
  bool has_irq = false;
  std::uint32_t irq = 0;
  bool level = false;
  bool shared = false;
  std::string_view name{};
};

enum class OptionKind : std::uint8_t { none, size, stride, irq, name };

template <class Option>
struct OptionTraits {
  static constexpr OptionKind kind = OptionKind::none;

  static constexpr void apply(OptionValues&) {}
};

template <std::uint64_t Bytes>
struct OptionTraits<Size<Bytes>> {
  static constexpr OptionKind kind = OptionKind::size;

  static constexpr void apply(OptionValues& values) { values.size = Bytes; }
};

template <std::uint64_t Bytes>
struct OptionTraits<Stride<Bytes>> {
  static constexpr OptionKind kind = OptionKind::stride;

  static constexpr void apply(OptionValues& values) { values.stride = Bytes; }
};

template <std::uint32_t Number, class... Modes>
struct OptionTraits<Irq<Number, Modes...>> {
  static constexpr OptionKind kind = OptionKind::irq;

  static constexpr void apply(OptionValues& values) {
    values.has_irq = true;
    values.irq = Number;
    values.level = one_of<Level, Modes...>;
    values.shared = one_of<Shared, Modes...>;
  }
};

template <FixedText Name>
struct OptionTraits<Named<Name>> {
  static constexpr OptionKind kind = OptionKind::name;

  static constexpr void apply(OptionValues& values) { values.name = Name.view(); }
};

template <class... Options>
constexpr OptionValues values_of() {
  OptionValues values;
  (OptionTraits<Options>::apply(values), ...);
  return values;
}

/// The index of the first option that is none, or of the first whose kind was given before; the
/// number of options if they are in order.
template <class... Options>
consteval std::size_t bad_option() {
  constexpr std::array<OptionKind, sizeof...(Options)> kinds{OptionTraits<Options>::kind...};
  for (std::size_t index = 0; index < kinds.size(); ++index) {
    if (kinds[index] == OptionKind::none) return index;
    for (std::size_t before = 0; before < index; ++before)
      if (kinds[before] == kinds[index]) return index;
  }
  return kinds.size();
}

/// All options of an entry, in a class that entries with the same options share.
template <class... Options>
struct OptionsOf {
  static constexpr OptionValues options = values_of<Options...>();
};

template <class Device, class... Options>
consteval auto check_options() {
  constexpr std::size_t bad = bad_option<Options...>();
  if constexpr (bad < sizeof...(Options)) {
    using Option = TypeAt<bad, Options...>;
    if constexpr (OptionTraits<Option>::kind == OptionKind::none) {
      [[maybe_unused]] rules::option_is_unknown<Option, Device> const error{};
    } else {
      [[maybe_unused]] rules::option_given_twice<Option, Device> const error{};
    }
  } else {
    (void)(sizeof(Options) + ... + 0);  // each option checks its own arguments
  }
  return std::true_type{};
}

// --- Ranges

/// A range as a value.
struct RangeValues {
  Space space = Space::port;
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  std::uint32_t entry = 0;
  std::uint32_t range = 0;
};

template <class Rows>
constexpr std::uint64_t size_needed(Rows const& rows, Space space, std::uint64_t stride) {
  std::uint64_t end = 0;
  for (Row const& row : rows) {
    // On ports a register takes the port that it is reached by, however wide it is (see README.md,
    // "Bus semantics").
    std::uint64_t const bytes = space == Space::port && row.width != 0 ? 1 : row.size;
    std::uint64_t const row_end = row.offset * stride + bytes;
    if (row_end > end) end = row_end;
  }
  return end;
}

/// The rows as they stand in a range: offsets multiplied by the stride, raw bytes as large as the
/// range.
template <std::size_t Count>
constexpr std::array<Row, Count> scale_rows(std::array<Row, Count> rows, std::uint64_t stride,
                                            std::uint64_t size) {
  for (Row& row : rows) {
    row.offset *= stride;
    if (row.width == 0 && row.size == 0) row.size = size;
  }
  return rows;
}

template <class Table, Space InSpace, std::uint64_t Stride_, std::uint64_t Size_>
struct RangeTable;

/// The rows of one range.
template <class... Lines, Space InSpace, std::uint64_t Stride_, std::uint64_t Size_>
struct RangeTable<Registers<Lines...>, InSpace, Stride_, Size_> {
  using Table = Registers<Lines...>;
  static constexpr std::uint64_t size =
      Size_ != 0 ? Size_ : size_needed(Table::rows, InSpace, Stride_);
  template <std::size_t Index>
  using Line = TypeAt<Index, Lines...>;
  using First = typename FirstOf<Lines...>::type;
  static constexpr std::size_t count = sizeof...(Lines);
  static constexpr std::array<Row, count> rows = scale_rows(Table::rows, Stride_, size);
};

/// One range of an entry and its table: a class, so that they are worked out once, and not wherever
/// they are named.
template <class Device, std::size_t Index, std::uint64_t Stride, std::uint64_t Size,
          class... RangeTypes>
struct EntryRange {
  using Where = TypeAt<Index, RangeTypes...>;
  using Table = RangeTable<decltype(table_of<Device, Index>()), Where::space, Stride,
                           Where::size != 0 ? Where::size : Size>;
  static constexpr RangeValues values{Where::space, Where::base, Table::size, 0,
                                      static_cast<std::uint32_t>(Index)};
};

template <class Held_, class RangeList, class... Options>
struct EntryParts;

template <class Held_, class... RangeTypes, class... Options>
struct EntryParts<Held_, TypeList<RangeTypes...>, Options...> : OptionsOf<Options...> {
  using Held = Held_;
  using Device = typename DeviceOf<Held>::type;
  static constexpr bool known = true;
  static constexpr bool locked = DeviceOf<Held>::locked;
  using OptionsOf<Options...>::options;
  using OptionsChecked = decltype(check_options<Device, Options...>());
  static constexpr std::string_view name =
      options.name.empty() ? type_name<Device>() : options.name;
  static constexpr std::size_t range_count = sizeof...(RangeTypes);

  template <std::size_t Index>
  using Range = EntryRange<Device, Index, OptionsOf<Options...>::options.stride,
                           OptionsOf<Options...>::options.size, RangeTypes...>;
  template <std::size_t Index>
  using TableAt = typename Range<Index>::Table;
  template <std::size_t Index>
  static constexpr RangeValues range = Range<Index>::values;
};

template <class Entry>
struct EntryTraits {
  static constexpr bool known = false;
};

template <std::uint64_t Base, class Device, class... Options>
struct EntryTraits<Port<Base, Device, Options...>>
    : EntryParts<Device, TypeList<Ports<Base>>, Options...> {};

template <std::uint64_t Base, class Device, class... Options>
struct EntryTraits<Mmio<Base, Device, Options...>>
    : EntryParts<Device, TypeList<Addresses<Base>>, Options...> {};

template <class Device, class... RangeTypes, class... Options>
struct EntryTraits<On<Device, Ranges<RangeTypes...>, Options...>>
    : EntryParts<Device, TypeList<RangeTypes...>, Options...> {};

template <class Device>
concept HasDeadline = requires { &Device::deadline; };

template <class Device>
concept HasEvent = requires { &Device::event; };

/// Whether what the machine calls by itself, deadline() or event(), asks for the interrupt line.
template <class Device>
consteval bool callbacks_ask_for_line() {
  bool asks = false;
  if constexpr (HasDeadline<Device>) asks = HandlerTraits<&Device::deadline>::asks_for_line;
  if constexpr (HasEvent<Device>) asks = asks || HandlerTraits<&Device::event>::asks_for_line;
  return asks;
}

}  // namespace portico::detail
