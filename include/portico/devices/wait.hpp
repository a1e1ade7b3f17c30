/// Waiting for a descriptor, and for the end of the run at the same time.
///
///     #include <portico/devices/wait.hpp>
///     portico::RunControl control;
///     switch (portico::wait_for(STDIN_FILENO, POLLIN, {control.token(), 1000})) {
///       case portico::Wait::ready: break;                   // reading does not block now
///       case portico::Wait::hung_up: break;                 // nobody is at the other end
///       case portico::Wait::stopped: break;                 // the machine wants its thread back
///       case portico::Wait::timed_out: break;
///     }
///
/// What the backends of devices block in, and nothing else: no device calls a blocking `read`.
#pragma once

#include <poll.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include <portico/device/run_control.hpp>

namespace portico {

/// How long to wait at most.
struct WaitLimit {
  StopToken stop{};       ///< the run whose end ends the waiting
  int milliseconds = -1;  ///< -1: without end; 0: not at all
};

/// How a wait ended.
enum class Wait : std::uint8_t { ready, hung_up, stopped, timed_out };

/// Waits until `descriptor` is ready for `events` (POLLIN, POLLOUT) or `limit` is reached. A
/// descriptor in error counts as ready: the call that follows tells which. -1 is a descriptor that
/// is never ready.
[[nodiscard]] inline Wait wait_for(int descriptor, short events, WaitLimit const& limit) noexcept {
  auto const milliseconds_now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
  };
  std::int64_t const end = limit.milliseconds > 0 ? milliseconds_now() + limit.milliseconds : 0;
  int left = limit.milliseconds;
  for (;;) {
    std::array<pollfd, 2> watched{
        {{descriptor, events, 0}, {limit.stop.fd(), short{POLLIN}, short{0}}}};
    int const count = ::poll(watched.data(), watched.size(), left);
    if (count > 0) {
      if (watched[1].revents != 0) return Wait::stopped;
      short const seen = watched[0].revents;
      if ((seen & (events | POLLERR | POLLNVAL)) != 0 && (seen & POLLHUP) == 0) return Wait::ready;
      return (seen & POLLIN & events) != 0 ? Wait::ready : Wait::hung_up;
    }
    if (count == 0) return Wait::timed_out;
    // A signal may have been the kick of a stop: the next poll sees it. Any other error shows again
    // in the call that follows.
    if (errno != EINTR) return Wait::ready;
    if (limit.milliseconds > 0) {
      std::int64_t const rest = end - milliseconds_now();
      left = rest > 0 ? static_cast<int>(rest) : 0;
    }
  }
}

}  // namespace portico
