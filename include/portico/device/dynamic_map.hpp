/// A device map whose addresses are known only at run time, from a configuration file for instance.
///
///     #include <portico/device/dynamic_map.hpp>
///     struct Serial { void write(std::uint8_t byte) { std::putchar(byte); } };
///     struct Counter { std::uint32_t read() { return count++; } std::uint32_t count = 0; };
///     using Board = portico::DynamicMap<Serial, Counter>;      // the devices there may be
///     Board make_board() {
///       using portico::Space;
///       Board board;
///       board.place<Serial>({.space = Space::port, .base = 0xE9, .name = "console"});
///       board.place<Counter>({.space = Space::mmio, .base = 0x20'0100, .name = "counter"});
///       return board;
///     }
///
/// The same devices, the same bus semantics and the same dispatch below the address as DeviceMap;
/// what it checks at compile time is checked by `place`, which throws std::invalid_argument and
/// names both parties. An access is a look at a table, or a binary search where the places lie too
/// far apart for one, and a choice among the device types: no virtual call, no function pointer.
/// Limits: 64 devices; one range for each.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <portico/base/hex.hpp>
#include <portico/base/match.hpp>
#include <portico/device/access.hpp>
#include <portico/device/acpi_role.hpp>
#include <portico/device/context.hpp>
#include <portico/device/dispatch.hpp>
#include <portico/device/entry_traits.hpp>
#include <portico/device/map_checks.hpp>
#include <portico/device/place_index.hpp>
#include <portico/device/route.hpp>

namespace portico {

/// Where a device of a DynamicMap stands, and with what options. Sizes and addresses in bytes, or
/// ports.
struct Placement {
  Space space = Space::port;
  std::uint64_t base = 0;
  std::uint64_t size = 0;    ///< 0: what the register table needs
  std::uint64_t stride = 1;  ///< the register at offset k stands at base + stride * k
  std::string name{};        ///< unique; default: the device's type
  std::optional<std::uint32_t> irq{};
  bool level = false;   ///< the line is level-triggered
  bool shared = false;  ///< others that say so too may have the same line
};

namespace detail {

template <class... Lines>
consteval bool takes_raw_bytes(Registers<Lines...>) {
  return ((Lines::row.width == 0 && Lines::row.size == 0) || ...);
}

template <class... Lines>
consteval bool takes_bytes(Registers<Lines...>) {
  return ((Lines::row.width == 0) || ...);
}

/// The rows of a device for a placement in one space, before any stride. Where the placement ends
/// is known at run time only, so every offset is compared.
template <class Device, Space InSpace>
struct Unplaced {
  using Registers = decltype(table_of<typename DeviceOf<Device>::type, 0>());
  static constexpr bool raw = takes_raw_bytes(Registers{});
  using Table = RangeTable<Registers, InSpace, 1, last_address(InSpace) + 1>;
};

/// The device types of a map, for `route` to choose among.
template <std::size_t Count>
inline constexpr auto kinds = [] {
  std::array<Span, Count> numbers{};
  for (std::size_t kind = 0; kind < Count; ++kind) numbers[kind] = {kind, 1};
  return numbers;
}();

/// What is wrong with a device wherever it stands.
template <class Device>
consteval auto check_unplaced() {
  using Table = typename Unplaced<Device, Space::mmio>::Table;
  constexpr RowFault fault = fault_in(Table::rows, Space::mmio, Table::size);
  if constexpr (fault.what == Fault::twice) {
    [[maybe_unused]] rules::register_listed_twice<
        Text<hex_text<fault.offset>>, Text<decimal_text<fault.width>>, Device> const error{};
  }
  return std::true_type{};
}

}  // namespace detail

/// Owns devices of the given types, placed at run time.
template <class... Devices>
class DynamicMap {
 public:
  /// How many devices can be placed.
  static constexpr std::size_t size = 64;
  static constexpr bool has_irq = true;  ///< it may have lines: irq_of tells which
  static constexpr bool has_offloads = false;
  static constexpr bool has_coalesced = false;
  static constexpr bool safe_for_threads = (detail::safe_for_threads<Devices>() && ...);
  static constexpr bool has_deadlines =
      (detail::HasDeadline<typename detail::DeviceOf<Devices>::type> || ...);

  static constexpr bool has_events =
      (detail::HasEvent<typename detail::DeviceOf<Devices>::type> || ...);

  /// As DeviceMap's.
  static consteval auto check_threads() {
    return std::bool_constant<(decltype(detail::check_threads<Devices>())::value && ...)>{};
  }

  /// As DeviceMap's.
  static consteval auto check_deadlines() {
    return std::bool_constant<(decltype(detail::check_deadline<Devices>())::value && ...)>{};
  }

  /// As DeviceMap's.
  static consteval auto check_events() {
    return std::bool_constant<(decltype(detail::check_event<Devices>())::value && ...)>{};
  }

  /// Makes a device from `arguments` and puts it where `placement` says; it stays there. Throws
  /// std::invalid_argument, and places nothing, if it overlaps another, ends past its space, cannot
  /// hold its registers, or takes a name or a line that is taken.
  template <class Device, class... Arguments>
  auto& place(Placement placement, Arguments&&... arguments) {
    if constexpr ((std::is_same_v<Device, Devices> || ...)) {
      static_assert(decltype(detail::check_unplaced<Device>())::value);
      return place_known<Device>(std::move(placement), std::forward<Arguments>(arguments)...);
    } else {
      [[maybe_unused]] rules::map_has_no_such_device<Device, DynamicMap> const error{};
      return rules::nothing<Device>();
    }
  }

  /// The placements in the order of `place`; a Claim's entry is an index into them.
  [[nodiscard]] std::vector<Placement> const& placements() const noexcept { return placements_; }

  /// The device placed under a name, or nullptr if there is none of this type.
  template <class Device>
  [[nodiscard]] auto* find(std::string_view name) noexcept {
    using Found = std::remove_reference_t<decltype(detail::device_in(std::declval<Device&>()))>;
    for (std::size_t index = 0; index < placements_.size(); ++index)
      if (placements_[index].name == name)
        if (auto* const held = std::get_if<Device>(slots_[index].get()))
          return static_cast<Found*>(&detail::device_in(*held));
    return static_cast<Found*>(nullptr);
  }

  /// As DeviceMap's.
  template <class Visit>
  void for_each_range(Visit visit) const {
    for (Placement const& placement : placements_)
      visit(placement.space, placement.base, placement.size, std::string_view{placement.name});
  }

  /// As DeviceMap's.
  [[nodiscard]] std::optional<std::uint32_t> irq_of(std::size_t entry) const noexcept {
    return entry < placements_.size() ? placements_[entry].irq : std::nullopt;
  }

  /// How the device of a placement is described to a guest.
  [[nodiscard]] AcpiRole acpi_role_of(std::size_t entry) const {
    return match(*slots_[entry], []<class Held>(Held const& held) {
      return portico::acpi_role_of(detail::device_in(held));
    });
  }

  /// As DeviceMap's; for placements beyond the last it does nothing.
  template <class Context>
  void call_deadline(std::size_t entry, Context& context) {
    if (entry >= placements_.size()) return;
    AtEntry<Context> services{context, static_cast<std::uint32_t>(entry)};
    match(*slots_[entry], [&]<class Held>(Held& held) {
      if constexpr (detail::HasDeadline<typename detail::DeviceOf<Held>::type>)
        detail::call_deadline<0>(held, services);
    });
  }

  /// As DeviceMap's; for placements beyond the last it does nothing.
  template <class Context>
  void call_event(std::size_t entry, Context& context) {
    if (entry >= placements_.size()) return;
    AtEntry<Context> services{context, static_cast<std::uint32_t>(entry)};
    match(*slots_[entry], [&]<class Held>(Held& held) {
      if constexpr (detail::HasEvent<typename detail::DeviceOf<Held>::type>)
        detail::call_event<0>(held, services);
    });
  }

  /// As DeviceMap::access.
  template <Space InSpace, Direction Way, class Context>
  Claim access(std::uint64_t address, std::uint32_t width, std::uint32_t count, std::byte* data,
               Context& context) {
    Place const* const place = (InSpace == Space::port ? ports_ : addresses_).find(address);
    if (place == nullptr) return detail::unclaimed<Way>(-1, -1, width, count, data);
    std::uint64_t offset = address - place->base;
    if (InSpace == Space::mmio && width > place->size - offset)  // nothing reaches past the end
      return detail::unclaimed<Way>(static_cast<std::int32_t>(place->entry), 0, width, count, data);
    if (place->stride != 1) {
      // Strides are powers of two nearly always; then this is a mask and a shift.
      if (place->shift >= 0 ? (offset & (place->stride - 1)) != 0 : offset % place->stride != 0)
        return detail::unclaimed<Way>(static_cast<std::int32_t>(place->entry), 0, width, count,
                                      data);
      offset = place->shift >= 0 ? offset >> place->shift : offset / place->stride;
    }
    AtEntry<Context> services{context, place->entry};
    auto const found = [&]<std::size_t Kind>() __attribute__((always_inline)) {
      auto* const held = std::get_if<Kind>(place->slot);
      if (held == nullptr) __builtin_unreachable();  // its kind is what the place says
      using Held = std::remove_pointer_t<decltype(held)>;
      return detail::access_range<Way, 0, 0, typename detail::Unplaced<Held, InSpace>::Table>(
          *held, offset, width, count, data, services);
    };
    Claim claim = route<detail::kinds<sizeof...(Devices)>>(
        place->kind, found,
        []() __attribute__((always_inline)) -> Claim { __builtin_unreachable(); });
    auto const entry = static_cast<std::int32_t>(place->entry);
    if (!claim.taken()) return detail::unclaimed<Way>(entry, 0, width, count, data);
    claim.entry = entry;
    return claim;
  }

  /// The guest's `out`: whether a register took it.
  template <class Value, class Context>
  bool out(std::uint16_t port, Value value, Context& context) {
    return access<Space::port, Direction::write>(port, sizeof value, 1, bytes_of(value), context)
        .taken();
  }

  /// The guest's `in`: all ones if no register took it.
  template <class Value, class Context>
  [[nodiscard]] Value in(std::uint16_t port, Context& context) {
    Value value{};
    access<Space::port, Direction::read>(port, sizeof value, 1, bytes_of(value), context);
    return value;
  }

  /// The guest's store to MMIO: whether a register took it.
  template <class Value, class Context>
  bool store(std::uint64_t address, Value value, Context& context) {
    return access<Space::mmio, Direction::write>(address, sizeof value, 1, bytes_of(value), context)
        .taken();
  }

  /// The guest's load from MMIO: all ones if no register took it.
  template <class Value, class Context>
  [[nodiscard]] Value load(std::uint64_t address, Context& context) {
    Value value{};
    access<Space::mmio, Direction::read>(address, sizeof value, 1, bytes_of(value), context);
    return value;
  }

 private:
  using Slot = std::variant<Devices...>;

  /// What an access looks at.
  struct Place {
    std::uint64_t base;
    std::uint64_t size;
    std::uint64_t stride;
    std::int16_t shift;  ///< log2 of the stride, or -1 if it is no power of two
    std::uint16_t kind;  ///< which of the device types
    std::uint32_t entry;
    Slot* slot;
  };

  /// A context for an entry that is known at run time only.
  template <class Context>
  struct AtEntry {
    Context& context;
    std::uint32_t entry;

    template <class Wanted, std::size_t>
    [[nodiscard]] Wanted& service() noexcept {
      if constexpr (requires { context.template service_at<Wanted>(std::size_t{entry}); })
        return context.template service_at<Wanted>(std::size_t{entry});
      else
        return context.template service<Wanted, 0>();
    }
  };

  template <class Value>
  static std::byte* bytes_of(Value& value) noexcept {
    return reinterpret_cast<std::byte*>(&value);
  }

  template <class Device, class... Arguments>
  auto& place_known(Placement placement, Arguments&&... arguments) {
    if (placement.name.empty())
      placement.name = type_name<typename detail::DeviceOf<Device>::type>();
    if (placement.space == Space::port)
      check<Device, Space::port>(placement);
    else
      check<Device, Space::mmio>(placement);
    check_neighbours(placement);
    slots_.push_back(
        std::make_unique<Slot>(std::in_place_type<Device>, std::forward<Arguments>(arguments)...));
    placements_.push_back(std::move(placement));
    index_last();
    return detail::device_in(*std::get_if<Device>(slots_.back().get()));
  }

  static std::string place_text(Placement const& placement) {
    return "'" + placement.name + "' (" +
           (placement.space == Space::port ? "ports " : "addresses ") + hex(placement.base) +
           " to " + hex(placement.base + placement.size - 1) + ")";
  }

  [[noreturn]] static void refuse(Placement const& placement, std::string const& why) {
    throw std::invalid_argument{"device '" + placement.name + "' at " + hex(placement.base) + ": " +
                                why};
  }

  /// What concerns the device alone; fills in the size.
  template <class Device, Space InSpace>
  static void check(Placement& placement) {
    using Unplaced = detail::Unplaced<Device, InSpace>;
    using Table = typename Unplaced::Table;
    constexpr bool raw = Unplaced::raw;
    constexpr detail::Fault fault = detail::fault_in(Table::rows, InSpace, Table::size).what;
    if (fault == detail::Fault::eight_on_port)
      refuse(placement, "it has a register of 8 bytes, which no access to a port has");
    if (placement.stride == 0) refuse(placement, "the stride must not be 0");
    if (raw && placement.size == 0) refuse(placement, "it takes raw bytes and needs a size");
    if (detail::takes_bytes(typename Unplaced::Registers{}) && placement.stride != 1)
      refuse(placement,
             "it takes bytes at any offset, so its registers cannot be set apart by a stride");
    if (detail::asks_for_line_in(Table::rows) && !placement.irq)
      refuse(placement, "it needs an interrupt line (irq)");
    if (placement.irq && *placement.irq >= 24)
      refuse(placement,
             "interrupt line " + std::to_string(*placement.irq) + ": lines go from 0 to 23");
    std::uint64_t const last = last_address(InSpace);
    if (placement.stride > last) refuse(placement, "the stride is larger than the address space");
    std::uint64_t const needed =
        raw ? 1 : detail::size_needed(Table::rows, InSpace, placement.stride);
    if (placement.size == 0) placement.size = needed;
    if (placement.size < needed)
      refuse(placement, "its registers need " + std::to_string(needed) +
                            " addresses, the size is " + std::to_string(placement.size));
    if (placement.base > last || placement.size > last - placement.base + 1)
      refuse(placement, "it ends past the last " +
                            std::string{InSpace == Space::port ? "port, " : "address, "} +
                            hex(last));
  }

  /// What concerns the devices that are there already.
  void check_neighbours(Placement const& placement) const {
    if (placements_.size() == size)
      refuse(placement,
             "there are " + std::to_string(size) + " devices already, the most there can be");
    for (Placement const& other : placements_) {
      if (other.space == placement.space && placement.base < other.base + other.size &&
          other.base < placement.base + placement.size)
        throw std::invalid_argument{"devices overlap: " + place_text(placement) + " and " +
                                    place_text(other)};
      if (other.name == placement.name)
        refuse(placement, "the name is taken by the device at " + hex(other.base));
      if (other.irq && placement.irq == other.irq &&
          (!other.shared || !placement.shared || other.level != placement.level))
        refuse(placement, "interrupt line " + std::to_string(*other.irq) + " belongs to '" +
                              other.name +
                              "', and both must say that they share it, with one trigger mode");
    }
  }

  /// Where an access will find the device placed last.
  void index_last() {
    Placement const& placement = placements_.back();
    bool const regular = std::has_single_bit(placement.stride);
    (placement.space == Space::port ? ports_ : addresses_)
        .add({placement.base, placement.size, placement.stride,
              static_cast<std::int16_t>(regular ? std::countr_zero(placement.stride) : -1),
              static_cast<std::uint16_t>(slots_.back()->index()),
              static_cast<std::uint32_t>(placements_.size() - 1), slots_.back().get()});
  }

  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Placement> placements_;
  detail::PlaceIndex<Place> ports_;
  detail::PlaceIndex<Place> addresses_;
};

}  // namespace portico
