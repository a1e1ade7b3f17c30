/// A lock around a device's handlers, so that several vCPUs may reach it.
///
///     #include <portico/portico.hpp>
///     struct Serial { void write(std::uint8_t byte) { std::putchar(byte); } };
///     using Board = portico::DeviceMap<portico::Port<0xE9, portico::Locked<Serial>>>;
///     void run(portico::Machine<Board, portico::Vcpus<4>>& machine);   // Serial stays as it is
///
/// The lock is held for the length of a handler, never longer: a handler that waits (for input,
/// say) makes every vCPU wait that comes after it. A `deadline()` is called under it too, unless the
/// device says `deadline_threads = portico::Threads::any`: then it may come during a handler, and a
/// handler that waits does not hold up the thread that services every deadline. A device that locks
/// more finely says `static constexpr auto threads = portico::Threads::any;`.
#pragma once

#include <mutex>
#include <type_traits>
#include <utility>

#include <portico/base/made_by.hpp>
#include <portico/device/entries.hpp>

namespace portico {

/// Holds the device and its lock. Not movable: give the map a callable, or the device itself.
template <class Device>
class Locked {
 public:
  static constexpr auto threads = Threads::any;

  /// From what the device is constructed from.
  template <class Argument>
    requires(!std::is_same_v<std::remove_cvref_t<Argument>, Locked> &&
             std::is_constructible_v<Device, Argument>)
  explicit Locked(Argument&& argument) : device_(std::forward<Argument>(argument)) {}

  /// From a callable that returns the device, which is built in place.
  template <class Argument>
    requires(!std::is_constructible_v<Device, Argument> && std::is_invocable_r_v<Device, Argument>)
  explicit Locked(Argument&& argument) : device_(made_by(std::forward<Argument>(argument))) {}

  Locked()
    requires std::is_default_constructible_v<Device>
  = default;

  /// The device itself; take `mutex()` while vCPUs run.
  [[nodiscard]] Device& device() noexcept { return device_; }

  [[nodiscard]] Device const& device() const noexcept { return device_; }

  [[nodiscard]] std::mutex& mutex() noexcept { return mutex_; }

 private:
  Device device_{};
  std::mutex mutex_{};
};

}  // namespace portico
