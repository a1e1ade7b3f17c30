/// Where a device map keeps its devices, and how one is found by type or by name.
///
///     #include <portico/device/slots.hpp>
///     struct Serial { void write(std::uint8_t byte); };
///     using Console = portico::Port<0xE9, Serial>;
///     portico::detail::Slots<std::index_sequence_for<Console>, Console> slots;
///     Serial& serial = slots.held<0>();
///
/// Internal to the library: DeviceMap is made of it.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <portico/base/made_by.hpp>
#include <portico/base/text.hpp>
#include <portico/device/entry_traits.hpp>

namespace portico::detail {

/// An argument that makes the device by being called; its result is elided in place.
template <class Held, class Argument>
concept Makes =
    !std::is_same_v<Held, std::remove_cvref_t<Argument>> && std::is_invocable_r_v<Held, Argument>;

/// Default constructible; the standard's own question costs a compiler eight classes for each type.
template <class Held>
concept HasDefault = requires { Held{}; };

template <std::size_t Index, class Held>
struct Slot {
  Held held{};
  constexpr Slot() = default;

  template <class Argument>
  constexpr Slot(std::in_place_t, Argument&& argument) : held(std::forward<Argument>(argument)) {}

  template <class Argument>
    requires Makes<Held, Argument>
  constexpr Slot(std::in_place_t, Argument&& argument)
      : held(made_by(std::forward<Argument>(argument))) {}
};

template <class Indices, class... Entries>
class Slots;

template <std::size_t... Index, class... Entries>
class Slots<std::index_sequence<Index...>, Entries...>
    : public Slot<Index, typename EntryTraits<Entries>::Held>... {
 public:
  constexpr Slots() = default;

  template <class... Arguments>
  constexpr explicit Slots(std::in_place_t, Arguments&&... arguments)
      : Slot<Index, typename EntryTraits<Entries>::Held>(std::in_place,
                                                         std::forward<Arguments>(arguments))... {}

  /// What entry `Wanted` holds: the device, or the lock with the device in it.
  template <std::size_t Wanted>
  [[nodiscard, gnu::always_inline]] constexpr auto& held() noexcept {
    return static_cast<Slot<Wanted, typename EntryTraits<TypeAt<Wanted, Entries...>>::Held>&>(*this)
        .held;
  }

  template <std::size_t Wanted>
  [[nodiscard]] constexpr auto const& held() const noexcept {
    return static_cast<Slot<Wanted, typename EntryTraits<TypeAt<Wanted, Entries...>>::Held> const&>(
               *this)
        .held;
  }
};

/// How many entries have a device of this type.
template <class Device, class... Entries>
inline constexpr std::size_t count_of_device =
    (std::size_t{std::is_same_v<typename EntryTraits<Entries>::Device, Device>} + ... + 0);

/// The first entry whose device is `Device`.
template <class Device, class... Entries>
consteval std::size_t index_of_device() {
  std::size_t index = 0;
  (void)((std::is_same_v<typename EntryTraits<Entries>::Device, Device> ? true
                                                                        : (++index, false)) ||
         ...);
  return index;
}

/// The entry with this name; the number of entries if there is none.
template <FixedText Name, class... Entries>
consteval std::size_t index_of_name() {
  std::size_t index = 0;
  (void)((EntryTraits<Entries>::options.name == Name.view() ? true : (++index, false)) || ...);
  return index;
}

}  // namespace portico::detail
