/// The loop of a device that works off the vCPU's thread, one turn at a time: wait for the doorbell,
/// read it, do the work, raise the interrupt.
///
///     #include <portico/device/serve.hpp>
///     /// `bell` is an eventfd that KVM signals for a write (KVM_IOEVENTFD), `interrupt` one that it
///     /// turns into an interrupt (KVM_IRQFD).
///     template <class Disk>
///     void work(Disk& disk, int bell, int interrupt, std::atomic<bool> const& over) {
///       constexpr std::uint64_t millisecond = 1'000'000;
///       while (!over)
///         portico::serve([&] { disk.read_sectors(); }, bell, interrupt, 10 * millisecond);
///     }
///
/// A machine does this by itself for an entry that is Offload<...>, with a lock, several doorbells,
/// and no time limit (device/offload.hpp). This is for a program that has a loop of its own.
#pragma once

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <type_traits>

namespace portico {

/// Waits at most `limit` nanoseconds until the eventfd `bell` is signalled; then calls `device()`,
/// and signals the eventfd `interrupt`, unless that is -1 or `device()` returned false. How many
/// signals that call was for: several that come before it are one piece of work; 0 if the time was
/// over, or a signal's handler ran. The descriptors stay the caller's. Throws std::system_error if
/// the host fails, and what `device()` throws.
template <class Device>
std::uint64_t serve(Device&& device, int bell, int interrupt, std::uint64_t limit) {
  auto const succeeded = [](char const* call, bool good) {
    if (!good && errno != EINTR && errno != EAGAIN)
      throw std::system_error{errno, std::system_category(), call};
    return good;
  };
  constexpr std::uint64_t second = 1'000'000'000;
  pollfd input{bell, POLLIN, 0};
  timespec const time{static_cast<time_t>(limit / second), static_cast<long>(limit % second)};
  int const ready = ::ppoll(&input, 1, &time, nullptr);
  if (!succeeded("ppoll", ready >= 0) || ready == 0) return 0;
  std::uint64_t rings = 0;
  if (!succeeded("read", ::read(bell, &rings, sizeof rings) == sizeof rings)) return 0;

  bool interrupts = interrupt >= 0;
  if constexpr (std::is_void_v<std::invoke_result_t<Device&>>)
    device();
  else
    interrupts = device() && interrupts;

  std::uint64_t const one = 1;
  if (interrupts) succeeded("write", ::write(interrupt, &one, sizeof one) == sizeof one);
  return rings;
}

}  // namespace portico
