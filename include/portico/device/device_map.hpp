/// A machine's devices as a type: checked by the compiler, dispatched without a table.
///
///     #include <portico/device/device_map.hpp>
///     struct Serial {
///       void write(std::uint8_t byte) { std::putchar(byte); }
///       std::uint8_t read() { return static_cast<std::uint8_t>(std::getchar()); }
///     };
///     using Board = portico::DeviceMap<portico::Port<0xE9, Serial, portico::Named<"console">>>;
///     int main() {
///       Board board{Serial{}};      // one argument per entry: a device, or what returns one
///       portico::Context<> context;
///       board.out(0xE9, std::uint8_t{'x'}, context);
///       board.get<"console">().write('y');
///     }
///
/// An access belongs to the entry that holds its first byte, and there to the register with exactly
/// its offset and width. Nothing is split. An unclaimed read gives all ones, an unclaimed write is
/// dropped. Limits: 256 entries are tested.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/device/access.hpp>
#include <portico/device/context.hpp>
#include <portico/device/dispatch.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/map_checks.hpp>
#include <portico/device/route.hpp>
#include <portico/device/slots.hpp>

namespace portico {

/// What a map tells about one of its entries: for printers.
struct EntryInfo {
  std::string_view name;          ///< Named<...>, or the device's type
  std::string_view device;        ///< the device's type
  std::uint32_t first_range = 0;  ///< index into DeviceMap::ranges
  std::uint32_t range_count = 0;
  bool has_irq = false;
  std::uint32_t irq = 0;
  bool level = false;
  bool shared = false;
  bool offloaded = false;  ///< Offload<...>: on a thread of its own
  bool coalesced = false;  ///< Coalesced<...>: KVM gathers its writes
};

/// What a map tells about one register: for traces and printers.
struct RegisterInfo {
  std::string_view name;     ///< the handler's name
  std::uint64_t offset = 0;  ///< from the range's base, the stride counted in
  std::uint64_t size = 0;
  std::uint32_t width = 0;  ///< bytes; 0: any
  bool reads = false;
  bool writes = false;
};

/// Owns one device for each entry, and turns an access into a call.
template <class... Entries>
  requires(detail::check_map<Entries...>())
class DeviceMap : detail::Slots<std::index_sequence_for<Entries...>, Entries...> {
  using Slots = detail::Slots<std::index_sequence_for<Entries...>, Entries...>;
  using Found = detail::MapRanges<Entries...>;
  // Named once: a pack that is written out for each entry costs the compiler the entries squared.
  using Pack = detail::IndexedPack<std::index_sequence_for<Entries...>, Entries...>;
  template <std::size_t Index>
  using Traits = detail::EntryTraits<detail::TypeIn<Pack, Index>>;

  /// Whether constructor arguments are for the devices: there are some, and they are not one map to
  /// copy or move.
  template <class... Arguments>
  static constexpr bool are_for_entries =
      sizeof...(Arguments) > 1 ||
      (sizeof...(Arguments) == 1 &&
       !(std::is_base_of_v<DeviceMap, std::remove_cvref_t<Arguments>> && ...));

 public:
  /// Number of entries.
  static constexpr std::size_t size = sizeof...(Entries);

  /// All ranges, in the order of the entries.
  static constexpr auto& ranges = Found::all;

  /// One record for each entry.
  static constexpr std::array<EntryInfo, size> entries = [] {
    std::array<EntryInfo, size> infos{EntryInfo{
        detail::EntryTraits<Entries>::name,
        type_name<typename detail::EntryTraits<Entries>::Device>(), 0,
        static_cast<std::uint32_t>(detail::EntryTraits<Entries>::range_count),
        detail::EntryTraits<Entries>::options.has_irq, detail::EntryTraits<Entries>::options.irq,
        detail::EntryTraits<Entries>::options.level, detail::EntryTraits<Entries>::options.shared,
        detail::is_offload<Entries>, detail::is_coalesced<Entries>}...};
    std::uint32_t next = 0;
    for (EntryInfo& info : infos) {
      info.first_range = next;
      next += info.range_count;
    }
    return infos;
  }();

  /// Whether several threads may call every device of the map.
  static constexpr bool safe_for_threads =
      (detail::safe_for_threads<typename detail::EntryTraits<Entries>::Held>() && ...);

  /// For a machine with several vCPUs: does not compile if a device of the map is for one thread
  /// only.
  static consteval auto check_threads() {
    return std::bool_constant<(
        decltype(detail::check_threads<typename detail::EntryTraits<Entries>::Held>())::value &&
        ...)>{};
  }

  /// Whether any entry has an interrupt line.
  static constexpr bool has_irq = (detail::EntryTraits<Entries>::options.has_irq || ... || false);

  /// Whether any device has a `deadline()` to be called.
  static constexpr bool has_deadlines =
      (detail::HasDeadline<typename detail::EntryTraits<Entries>::Device> || ...);

  /// For a machine that calls deadlines on a thread of their own: does not compile if a device's
  /// `deadline()` must not meet its handlers.
  static consteval auto check_deadlines() {
    return std::bool_constant<(
        decltype(detail::check_deadline<typename detail::EntryTraits<Entries>::Held>())::value &&
        ...)>{};
  }

  /// Whether any device has an `event()`, which a watch calls.
  static constexpr bool has_events =
      (detail::HasEvent<typename detail::EntryTraits<Entries>::Device> || ...);

  /// The same for `event()`.
  static consteval auto check_events() {
    return std::bool_constant<(
        decltype(detail::check_event<typename detail::EntryTraits<Entries>::Held>())::value &&
        ...)>{};
  }

  /// Whether any entry is Offload<...>.
  static constexpr bool has_offloads = (detail::is_offload<Entries> || ...);

  /// Whether any entry is Coalesced<...>.
  static constexpr bool has_coalesced = (detail::is_coalesced<Entries> || ...);

  /// How many entries have a device that passes `Test` (a class template with a `value`).
  template <template <class> class Test>
  static constexpr std::size_t count_where =
      (std::size_t{Test<typename detail::EntryTraits<Entries>::Device>::value} + ... + 0);

  /// The first of them; `size` if there is none.
  template <template <class> class Test>
  static constexpr std::size_t first_where = [] {
    std::size_t index = 0;
    (void)((Test<typename detail::EntryTraits<Entries>::Device>::value ? true : (++index, false)) ||
           ...);
    return index;
  }();

  /// What entry `Index` was given as: its device, or Locked<Device>.
  template <std::size_t Index>
  using HeldAt = typename Traits<Index>::Held;
  template <std::size_t Index>
  using TraitsAt = Traits<Index>;
  using Slots::held;

  /// Calls `visit(Space, base, size, name)` for each range.
  template <class Visit>
  static void for_each_range(Visit visit) {
    for (auto const& range : Found::all)
      visit(range.space, range.base, range.size, entries[range.entry].name);
  }

  /// The interrupt line of entry `entry`, or nothing.
  [[nodiscard]] static std::optional<std::uint32_t> irq_of(std::size_t entry) noexcept {
    if (entries[entry].has_irq) return entries[entry].irq;
    return std::nullopt;
  }

  /// The lowest MMIO address that is claimed, or the end of the space: RAM has room below it.
  static constexpr std::uint64_t lowest_address = [] {
    std::uint64_t lowest = last_address(Space::mmio) + 1;
    for (auto const& range : Found::all)
      if (range.space == Space::mmio && range.base < lowest) lowest = range.base;
    return lowest;
  }();

  constexpr DeviceMap()
    requires(detail::HasDefault<typename detail::EntryTraits<Entries>::Held> && ...)
  = default;

  /// One argument per entry, in order: the device, something that it is constructed from, or a
  /// callable that returns it (and whose result is built in place, so that a device need not be
  /// movable).
  template <class... Arguments>
    requires(sizeof...(Arguments) == size && are_for_entries<Arguments...>)
  constexpr explicit(sizeof...(Arguments) == 1) DeviceMap(Arguments&&... arguments)
      : Slots(std::in_place, std::forward<Arguments>(arguments)...) {}

  /// Any other number of arguments is an error that says so.
  template <class... Arguments>
    requires(sizeof...(Arguments) != size && are_for_entries<Arguments...>)
  explicit DeviceMap(Arguments&&...) : DeviceMap(Unmade{}) {
    [[maybe_unused]] rules::one_argument_per_entry<DeviceMap> const error{};
  }

  /// The device of entry `Index`.
  template <std::size_t Index>
  [[nodiscard]] constexpr auto& at() noexcept {
    return detail::device_in(this->template held<Index>());
  }

  /// Calls `function` with the device of entry `Index`, under its lock if it has one.
  template <std::size_t Index, class Function>
  decltype(auto) with(Function function) {
    auto& entry = this->template held<Index>();
    if constexpr (Traits<Index>::locked) {
      detail::Guard<typename Traits<Index>::Held> const guard{entry};
      return function(entry.device());
    } else {
      return function(entry);
    }
  }

  /// The device of the one entry with this name.
  template <FixedText Name>
  [[nodiscard]] constexpr auto& get() noexcept {
    constexpr std::size_t index = detail::index_of_name<Name, Entries...>();
    if constexpr (index < size)
      return (at<index>());
    else
      return rules::nothing<rules::no_entry_has_this_name<Text<Name>>>();
  }

  /// The one device of this type.
  template <class Device>
  [[nodiscard]] constexpr Device& get() noexcept {
    constexpr std::size_t count = detail::count_of_device<Device, Entries...>;
    if constexpr (count == 1) {
      return at<detail::index_of_device<Device, Entries...>()>();
    } else {
      if constexpr (count == 0) {
        [[maybe_unused]] rules::no_entry_has_this_device<Device> const error{};
      } else {
        [[maybe_unused]] rules::several_entries_have_this_device<Device> const error{};
      }
      return rules::nothing<Device>();
    }
  }

  /// Carries out one access: `count` elements of `width` bytes at `address`, from or to `data`.
  /// Reads that nobody claims give all ones. The claim says who took it; who does not look at it pays
  /// nothing for it.
  template <Space InSpace, Direction Way, class Context>
  [[gnu::always_inline]] Claim access(std::uint64_t address, std::uint32_t width,
                                      std::uint32_t count, std::byte* data, Context& context) {
    Taker<InSpace, Way, Context> found{*this, {address, width, count, data}, &context};
    detail::Operation& operation = found.operation;
    // Ports fit 32 bits, in which compares with constants are shortest.
    using Key = std::conditional_t<InSpace == Space::port, std::uint32_t, std::uint64_t>;
    std::size_t number = 0;
    for (;; --operation.count, operation.data += width) {
      number = detail::route_to<spans<InSpace>>(static_cast<Key>(address), found);
      if (operation.count <= 1 || operation.row < 0) break;
    }
    if constexpr (Way == Direction::read)
      if (operation.row < 0) detail::fill_with_ones(data, std::size_t{width} * count);
    detail::Owner const owner = Found::template owners<InSpace>[number];
    return {owner.entry, owner.range, operation.row, operation.may_stop};
  }

  /// The guest's `out`: whether a register took it.
  template <class Value, class Context>
    requires detail::is_register_value<Value>
  bool out(std::uint16_t port, Value value, Context& context) {
    return write_value<Space::port>(port, value, context);
  }

  /// The guest's `in`: all ones if no register took it.
  template <class Value, class Context>
    requires detail::is_register_value<Value>
  [[nodiscard]] Value in(std::uint16_t port, Context& context) {
    return read_value<Space::port, Value>(port, context);
  }

  /// The guest's store to MMIO: whether a register took it.
  template <class Value, class Context>
    requires detail::is_register_value<Value>
  bool store(std::uint64_t address, Value value, Context& context) {
    return write_value<Space::mmio>(address, value, context);
  }

  /// The guest's load from MMIO: all ones if no register took it.
  template <class Value, class Context>
    requires detail::is_register_value<Value>
  [[nodiscard]] Value load(std::uint64_t address, Context& context) {
    return read_value<Space::mmio, Value>(address, context);
  }

  /// Calls `deadline()` of entry `entry`'s device, if it has one.
  template <class Context>
  void call_deadline(std::size_t entry, Context& context) {
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      (call_deadline_if<Index>(entry, context), ...);
    }(std::make_index_sequence<size>{});
  }

  /// Calls `event()` of entry `entry`'s device, if it has one.
  template <class Context>
  void call_event(std::size_t entry, Context& context) {
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      (call_event_if<Index>(entry, context), ...);
    }(std::make_index_sequence<size>{});
  }

  /// The registers of entry `Entry`'s range `Range`.
  template <std::size_t Entry, std::size_t Range>
  static constexpr auto registers_of = [] {
    using Table = typename Traits<Entry>::template TableAt<Range>;
    std::array<RegisterInfo, Table::count> infos{};
    for (std::size_t index = 0; index < Table::count; ++index)
      infos[index] = {Table::Table::names[index], Table::rows[index].offset,
                      Table::rows[index].size,    Table::rows[index].width,
                      Table::rows[index].reads,   Table::rows[index].writes};
    return infos;
  }();

  /// The registers of range number `range` (an index into `ranges`), for code that has only the
  /// number.
  [[nodiscard]] static gsl::span<RegisterInfo const> registers_at(std::size_t range) {
    return registers_from<0>(range);
  }

 private:
  template <std::size_t Index, class Context>
  void call_deadline_if([[maybe_unused]] std::size_t entry, [[maybe_unused]] Context& context) {
    if constexpr (detail::HasDeadline<typename Traits<Index>::Device>)
      if (entry == Index) detail::call_deadline<Index>(this->template held<Index>(), context);
  }

  template <std::size_t Index, class Context>
  void call_event_if([[maybe_unused]] std::size_t entry, [[maybe_unused]] Context& context) {
    if constexpr (detail::HasEvent<typename Traits<Index>::Device>)
      if (entry == Index) detail::call_event<Index>(this->template held<Index>(), context);
  }

  struct Unmade {
    explicit Unmade() = default;
  };

  explicit DeviceMap(Unmade);  // never defined: stands behind a rule that was reported

  template <Space InSpace>
  static constexpr auto spans = detail::spans_of(Found::template sorted<InSpace>);

  template <Space InSpace, Direction Way, class Context>
  using Taker = detail::Taker<Slots, Pack, Found::template sorted<InSpace>, Way, Context>;

  template <Space InSpace, class Value, class Context>
  bool write_value(std::uint64_t address, Value value, Context& context) {
    alignas(Value) std::array<std::byte, sizeof(Value)> data;
    portico::store(data.data(), value);
    return access<InSpace, Direction::write>(address, sizeof(Value), 1, data.data(), context)
        .taken();
  }

  template <Space InSpace, class Value, class Context>
  Value read_value(std::uint64_t address, Context& context) {
    alignas(Value) std::array<std::byte, sizeof(Value)> data{};
    access<InSpace, Direction::read>(address, sizeof(Value), 1, data.data(), context);
    return portico::load<Value>(data.data());
  }

  template <std::size_t Index>
  static gsl::span<RegisterInfo const> registers_from(std::size_t range) {
    if constexpr (Index >= Found::total) {
      return {};
    } else {
      if (range == Index) return registers_of<Found::all[Index].entry, Found::all[Index].range>;
      return registers_from<Index + 1>(range);
    }
  }
};

}  // namespace portico
