/// An eventfd: a count that the kernel keeps, and that can be waited for.
///
///     #include <cstdint>
///     #include <portico/base/event_fd.hpp>
///     void signal(portico::Fd const& event) {
///       std::uint64_t const one = 1;
///       (void)!::write(event.get(), &one, sizeof one);      // readable from now on
///     }
///     portico::Fd const event = portico::detail::make_event();
///
/// Internal to the library. Source: eventfd(2).
#pragma once

#include <sys/eventfd.h>

#include <cerrno>
#include <system_error>

#include <portico/base/fd.hpp>

namespace portico::detail {

/// An owned eventfd of 0 that is read without waiting. Throws std::system_error if the host has no
/// descriptor left.
inline Fd make_event() {
  Fd event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!event) throw std::system_error{errno, std::system_category(), "eventfd"};
  return event;
}

}  // namespace portico::detail
