/// A device's `deadline()` and `event()`, which the machine calls by itself, and the lock that they
/// share with the handlers.
///
///     #include <portico/device/callbacks.hpp>
///     #include <portico/device/locked.hpp>
///     struct Timer { void write(std::uint8_t); void deadline(); };
///     static_assert(!portico::detail::deadline_is_safe<Timer>());      // on another thread
///     static_assert(portico::detail::deadline_is_safe<portico::Locked<Timer>>());
///
/// Internal to the library; DeviceMap and DynamicMap share it.
#pragma once

#include <cstddef>
#include <type_traits>

#include <portico/device/entry_traits.hpp>

namespace portico::detail {

template <class Held>
[[gnu::always_inline]] constexpr auto& device_in(Held& held) noexcept {
  if constexpr (DeviceOf<std::remove_const_t<Held>>::locked)
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
consteval auto check_threads() {
  if constexpr (!safe_for_threads<Held>()) {
    [[maybe_unused]] rules::device_is_for_one_thread<Held> const error{};
  }
  return std::true_type{};
}

/// Whether the device's `deadline()` may be called on another thread than its handlers.
template <class Held>
consteval bool deadline_is_safe() {
  using Device = typename DeviceOf<Held>::type;
  if constexpr (requires { Device::deadline_threads; })
    return Device::deadline_threads == Threads::any;
  else
    return !HasDeadline<Device> || safe_for_threads<Held>();
}

template <class Held>
consteval auto check_deadline() {
  if constexpr (!deadline_is_safe<Held>()) {
    [[maybe_unused]] rules::deadline_needs_a_lock<Held> const error{};
  }
  return std::true_type{};
}

/// Whether the device's `event()` may be called on another thread than its handlers.
template <class Held>
consteval auto check_event() {
  if constexpr (HasEvent<typename DeviceOf<Held>::type> && !safe_for_threads<Held>()) {
    [[maybe_unused]] rules::event_needs_a_lock<Held> const error{};
  }
  return std::true_type{};
}

/// Holds the lock of a Locked device.
template <class Held>
class Guard {
 public:
  explicit Guard(Held& held) : held_{held} { held_.mutex().lock(); }

  ~Guard() { held_.mutex().unlock(); }

  Guard(Guard const&) = delete;
  Guard& operator=(Guard const&) = delete;

 private:
  Held& held_;
};

/// Whether `deadline()` is called under the device's lock. Not where the device says that it needs
/// none: the lock may be held by a handler that waits, and one thread services every deadline.
template <class Held>
consteval bool deadline_takes_lock() {
  using Device = typename DeviceOf<Held>::type;
  if constexpr (requires { Device::deadline_threads; })
    return DeviceOf<Held>::locked && Device::deadline_threads != Threads::any;
  else
    return DeviceOf<Held>::locked;
}

template <std::size_t Entry, class Held, class Context>
void call_deadline(Held& held, Context& context) {
  using Device = typename DeviceOf<Held>::type;
  using Wanted = typename HandlerTraits<&Device::deadline>::Write::Services;
  if constexpr (deadline_takes_lock<Held>()) {
    Guard<Held> const guard{held};
    call_handler<&Device::deadline, Entry>(held.device(), context, Wanted{});
  } else {
    call_handler<&Device::deadline, Entry>(device_in(held), context, Wanted{});
  }
}

/// Calls `event()`, under the device's lock if it has one.
template <std::size_t Entry, class Held, class Context>
void call_event(Held& held, Context& context) {
  using Device = typename DeviceOf<Held>::type;
  using Wanted = typename HandlerTraits<&Device::event>::Write::Services;
  if constexpr (DeviceOf<Held>::locked) {
    Guard<Held> const guard{held};
    call_handler<&Device::event, Entry>(held.device(), context, Wanted{});
  } else {
    call_handler<&Device::event, Entry>(held, context, Wanted{});
  }
}

}  // namespace portico::detail
