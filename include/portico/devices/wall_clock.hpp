/// What time it is in the world, for a device that shows it.
///
///     #include <portico/devices/wall_clock.hpp>
///     /// The host's time, an hour ahead: for a guest that takes its clock for local time.
///     struct LocalTime {
///       std::int64_t now() const { return portico::HostWallClock{}.now() + 3'600'000'000'000; }
///     };
///
/// Nanoseconds since 1970-01-01 00:00 UTC. Time that passes is the matter of device/clock.hpp.
#pragma once

#include <time.h>

#include <cstdint>

namespace portico {

/// The host's CLOCK_REALTIME.
struct HostWallClock {
  [[nodiscard]] std::int64_t now() const noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + std::int64_t{time.tv_nsec};
  }
};

/// A time that stands still: for tests, and for guests that must not know.
struct FixedWallClock {
  std::int64_t nanoseconds = 0;

  [[nodiscard]] std::int64_t now() const noexcept { return nanoseconds; }
};

}  // namespace portico
