/// A device off the vCPU's thread: one word in the map.
///
///     #include <portico/device/offload.hpp>
///     #include <portico/portico.hpp>
///     struct Disk {
///       void start(std::uint32_t, portico::GuestMemory& ram, portico::IrqLine& line);
///       using registers = portico::Registers<portico::WriteOnly<0, &Disk::start>>;
///       using doorbells = portico::Doorbells<portico::Doorbell<0, &Disk::start, 1>>;
///     };
///     using Board = portico::DeviceMap<
///         portico::Offload<portico::Mmio<0xD000'0000, Disk, portico::Irq<5>>>>;
///     void run(portico::Machine<Board>& machine);      // the rest stays as it is
///
/// The machine has an eventfd for each value of each doorbell, which KVM signals without leaving the
/// guest (KVM_IOEVENTFD), and a thread for each such entry, on which the doorbells' handlers and the
/// device's `event()` run while the machine does. All other accesses come on the vCPUs' threads as
/// ever, under the lock that the device gets with this. With KVM's interrupt controllers the entry's
/// line is an irqfd, a level-triggered one with resampling: it stays up until the guest ends the
/// interrupt, and comes again if the device still holds it. Observers do not see doorbells.
///
/// What a run's guest has rung is carried out before run() returns. An exception out of a handler on
/// the thread ends the run and comes out of run().
///
/// `Offload<Entry, AnyWidth>` is for a doorbell without values whose handler does not care how wide
/// the guest's write is: KVM then need not look at the instruction, which on some processors spares
/// it the decoding (KVM_CAP_IOEVENTFD_NO_LENGTH). Writes of other widths, which no register of the
/// table takes, ring too.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>
#include <portico/device/callbacks.hpp>
#include <portico/device/doorbell.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/entry_traits.hpp>
#include <portico/device/locked.hpp>

namespace portico {

/// A doorbell rings with a write of any width.
struct AnyWidth {};

namespace detail {

/// One eventfd's worth of a doorbell.
struct Bell {
  std::uint64_t offset = 0;  ///< as in the register table, without the stride
  std::uint32_t width = 0;   ///< bytes
  bool any_value = false;
  std::uint64_t value = 0;
};

template <class All>
struct BellsIn;

template <class... Each>
struct BellsIn<Doorbells<Each...>> {
  static constexpr std::size_t count =
      ((Each::values.size() == 0 ? std::size_t{1} : Each::values.size()) + ... + std::size_t{0});

  /// All bells, and for each the index of its doorbell.
  static constexpr auto both = [] {
    std::pair<std::array<Bell, count>, std::array<std::size_t, count>> result{};
    [[maybe_unused]] std::size_t next = 0;
    [[maybe_unused]] std::size_t doorbell = 0;
    [[maybe_unused]] auto const append = [&](auto const& values, Bell bell) {
      bell.any_value = values.size() == 0;
      for (std::size_t index = 0; index < values.size() || (bell.any_value && index < 1); ++index) {
        if (!bell.any_value) bell.value = values[index];
        result.first[next] = bell;
        result.second[next++] = doorbell;
      }
      ++doorbell;
    };
    (append(Each::values, Bell{Each::offset, Each::width, false, 0}), ...);
    return result;
  }();
  static constexpr std::array<Bell, count> bells = both.first;

  /// The doorbell of bell `Index`.
  template <std::size_t Index>
  using Of = TypeAt<both.second[Index], Each...>;

  /// How many doorbells ask for what only the vCPU's thread can give; the offset of the first.
  static constexpr Bell at_once = [] {
    Bell first{};
    (void)((HandlerTraits<Each::handler>::asks_for_control
                ? (first = {Each::offset, Each::width, false, 0}, true)
                : false) ||
           ...);
    return first;
  }();

  template <class One, class... Rows>
  static constexpr bool has(Registers<Rows...>) {
    return (is_row<One, Rows>() || ...);
  }

  template <class One, class RowType>
  static constexpr bool is_row() {
    if constexpr (std::is_same_v<std::remove_cv_t<decltype(RowType::write)>,
                                 std::remove_cv_t<decltype(One::handler)>>)
      return RowType::row.offset == One::offset && RowType::write == One::handler;
    else
      return false;
  }

  /// Whether a register table has all of them; the offset of the first that it lacks.
  template <class Table>
  static constexpr Bell lacking = [] {
    Bell first{};
    (void)((!has<Each>(Table{}) ? (first = {Each::offset, Each::width, false, 0}, true) : false) ||
           ...);
    return first;
  }();
};

template <class Device>
struct DoorbellsOf {
  using type = Doorbells<>;
};

template <class Device>
  requires requires { typename Device::doorbells; }
struct DoorbellsOf<Device> {
  using type = typename Device::doorbells;
};

/// The bell that is there twice, or whose value another's any includes.
template <std::size_t Count>
consteval Bell doubled_in(std::array<Bell, Count> const& bells) {
  for (std::size_t first = 0; first < Count; ++first)
    for (std::size_t second = first + 1; second < Count; ++second)
      if (bells[first].offset == bells[second].offset &&
          bells[first].width == bells[second].width &&
          (bells[first].any_value || bells[second].any_value ||
           bells[first].value == bells[second].value))
        return bells[second];
  return {};
}

template <class Device>
consteval bool doorbells_in_order() {
  if constexpr (requires { Device::doorbells_in_order; })
    return Device::doorbells_in_order;
  else
    return true;
}

}  // namespace detail

/// Holds the device, its lock, and what KVM signals for its doorbells. Not movable, as Locked.
template <class Device>
class Offloaded : public Locked<Device> {
 public:
  using Bells = detail::BellsIn<typename detail::DoorbellsOf<Device>::type>;
  static constexpr bool in_order = detail::doorbells_in_order<Device>();
  using Locked<Device>::Locked;

  /// For the machine, before anything of it is used: gets the eventfds. Throws std::system_error.
  void open() {
    for (Fd& event : events_) event = detail::make_event();
  }

  /// The eventfd of bell `index`; -1 without a machine.
  [[nodiscard]] int event(std::size_t index) const noexcept { return events_[index].get(); }

  /// For the device's thread: bell `index` has rung. Calls its handler, under the lock, unless a
  /// vCPU's access was quicker.
  template <std::size_t Entry, class Context>
  void rang(std::size_t index, Context& context) {
    detail::Guard<Offloaded> const guard{*this};
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      ((Index == index ? carry_out<Index, Entry>(context) : void()), ...);
    }(std::make_index_sequence<Bells::count>{});
  }

  /// For an access of a vCPU's, with the lock held: what has rung is carried out first.
  template <std::size_t Entry, class Context>
    requires in_order
  void catch_up(Context& context) {
    if (!events_.front()) return;
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      if constexpr (Bells::count == 1) {
        carry_out<0, Entry>(context);
      } else {
        std::array<pollfd, Bells::count> inputs{pollfd{event(Index), POLLIN, 0}...};
        if (::poll(inputs.data(), inputs.size(), 0) > 0)
          ((inputs[Index].revents != 0 ? carry_out<Index, Entry>(context) : void()), ...);
      }
    }(std::make_index_sequence<Bells::count>{});
  }

 private:
  template <std::size_t Index, std::size_t Entry, class Context>
  void carry_out(Context& context) {
    // Where order does not matter, nobody else takes rings: there is nothing to compare notes on.
    std::uint64_t rings = 0;
    if (in_order && ::read(event(Index), &rings, sizeof rings) != sizeof rings) return;
    using Handler = HandlerTraits<Bells::template Of<Index>::handler>;
    using Value = typename Handler::Value;
    detail::call_handler<Bells::template Of<Index>::handler, Entry>(
        this->device(), context, typename Handler::Services{},
        static_cast<Value>(Bells::bells[Index].value));
  }

  std::array<Fd, Bells::count> events_{};
};

namespace detail {

template <class Device>
struct DeviceOf<Offloaded<Device>> {
  using type = Device;
  static constexpr bool locked = true;
};

/// What cannot be offloaded, with the reason.
template <class Traits, class... Options>
consteval auto check_offload() {
  using Device = typename Traits::Device;
  using Bells = BellsIn<typename DoorbellsOf<Device>::type>;
  if constexpr (Bells::count == 0) {
    [[maybe_unused]] rules::offload_needs_doorbells<Device> const error{};
  } else if constexpr (HasBanks<Device>) {
    [[maybe_unused]] rules::offload_of_banks<Device> const error{};
  } else {
    constexpr Bell lacking = Bells::template lacking<decltype(table_of<Device, 0>())>;
    constexpr Bell twice = doubled_in(Bells::bells);
    constexpr bool values = [] {
      for (Bell const& bell : Bells::bells)
        if (!bell.any_value) return true;
      return false;
    }();
    if constexpr (lacking.width != 0) {
      [[maybe_unused]] rules::doorbell_is_no_register<Text<hex_text<lacking.offset>>, Device> const
          error{};
    } else if constexpr (twice.width != 0) {
      [[maybe_unused]] rules::doorbell_listed_twice<Text<hex_text<twice.offset>>, Device> const
          error{};
    } else if constexpr (Bells::at_once.width != 0) {
      [[maybe_unused]] rules::doorbell_must_be_served_at_once<Text<hex_text<Bells::at_once.offset>>,
                                                              Device> const error{};
    } else if constexpr (sizeof...(Options) > 0 && values) {
      [[maybe_unused]] rules::offload_with_any_width<Device> const error{};
    }
  }
  static_assert((std::is_same_v<Options, AnyWidth> && ...),
                "portico::Offload: after the entry comes AnyWidth or nothing.");
  return std::bool_constant<Traits::OptionsChecked::value>{};
}

template <class Inner, class... Options>
struct OffloadTraits : Inner {
  using OptionsChecked = decltype(check_offload<Inner, Options...>());
  static constexpr bool any_width = sizeof...(Options) > 0;
};

/// A lock of the device's own is not needed twice.
template <class Held>
using OffloadedOf = Offloaded<typename DeviceOf<Held>::type>;

template <std::uint64_t Base, class Held, class... Options, class... Modes>
struct EntryTraits<Offload<Port<Base, Held, Options...>, Modes...>>
    : OffloadTraits<EntryTraits<Port<Base, OffloadedOf<Held>, Options...>>, Modes...> {};

template <std::uint64_t Base, class Held, class... Options, class... Modes>
struct EntryTraits<Offload<Mmio<Base, Held, Options...>, Modes...>>
    : OffloadTraits<EntryTraits<Mmio<Base, OffloadedOf<Held>, Options...>>, Modes...> {};

template <class Held, class Where, class... Options, class... Modes>
struct EntryTraits<Offload<On<Held, Where, Options...>, Modes...>>
    : OffloadTraits<EntryTraits<On<OffloadedOf<Held>, Where, Options...>>, Modes...> {};

}  // namespace detail

}  // namespace portico
