// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// QEMU's clock in the test's hands: a library that is loaded into QEMU (LD_PRELOAD) and answers
// clock_gettime(CLOCK_MONOTONIC), from which QEMU makes the virtual machine's time, with a number
// that the test moves. (QEMU's own way, its accelerator "qtest", is not in Debian's packages.)
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

/// Nanoseconds, in a page that the test shares through the descriptor PORTICO_CLOCK_FD.
std::atomic<std::uint64_t> const* shared_time() {
  static std::atomic<std::uint64_t> const* const time = []() -> std::atomic<std::uint64_t> const* {
    char const* const descriptor = std::getenv("PORTICO_CLOCK_FD");
    if (descriptor == nullptr) return nullptr;
    void* const page = ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ, MAP_SHARED,
                              static_cast<int>(std::strtol(descriptor, nullptr, 10)), 0);
    return page == MAP_FAILED ? nullptr : static_cast<std::atomic<std::uint64_t> const*>(page);
  }();
  return time;
}

}  // namespace

extern "C" [[gnu::visibility("default")]] int clock_gettime(clockid_t clock_id,
                                                            timespec* tp) noexcept {
  auto const* const shared = clock_id == CLOCK_MONOTONIC ? shared_time() : nullptr;
  if (shared == nullptr) return static_cast<int>(::syscall(SYS_clock_gettime, clock_id, tp));
  std::uint64_t const now = shared->load(std::memory_order_acquire);
  tp->tv_sec = static_cast<time_t>(now / 1'000'000'000);
  tp->tv_nsec = static_cast<long>(now % 1'000'000'000);
  return 0;
}
