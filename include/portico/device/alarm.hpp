/// Wakes a thread that sleeps until something is due, and only if it sleeps.
///
///     #include <portico/device/alarm.hpp>
///     void sleep_for_a_second(portico::Alarm& alarm) {
///       alarm.open();                                     // once, before anybody may ring
///       alarm.sleep(1'000'000'000, 0, [] { return false; });  // until `due(5)`, `ring()`, or 1 s
///     }
///
/// A machine's I/O thread sleeps on it; clocks and interrupt lines ring it. As long as nobody
/// sleeps, ringing is two loads and no system call; a sleeper is rung once, however many ring.
#pragma once

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>

namespace portico {

/// One sleeper, any number of threads that ring.
class Alarm {
 public:
  static constexpr std::uint64_t never = ~std::uint64_t{0};

  Alarm() = default;
  Alarm(Alarm const&) = delete;
  Alarm& operator=(Alarm const&) = delete;
  ~Alarm() = default;

  /// Gets the descriptor that sleeping needs, if there is none yet. Throws std::system_error if the
  /// host has none left.
  void open() {
    if (!wake_) wake_ = detail::make_event();
  }

  /// Something is due at `time`: rings if the sleeper means to sleep longer. From any thread, after
  /// the sleeper could see what is due.
  void due(std::uint64_t time) noexcept {
    if (time < until_.load(std::memory_order_seq_cst)) ring();
  }

  /// Wakes the sleeper, if there is one. From any thread.
  void ring() noexcept {
    if (until_.load(std::memory_order_seq_cst) == awake) return;
    if (until_.exchange(awake, std::memory_order_seq_cst) == awake) return;  // somebody else did
    std::uint64_t const one = 1;
    [[maybe_unused]] auto const written = ::write(wake_.get(), &one, sizeof one);
  }

  /// Sleeps until the time `until`, which is `until - now` nanoseconds away, or until somebody
  /// rings, or until `also`, a descriptor of the caller's or -1 for none, can be read. `has_work()`
  /// is asked once ringing works: what came before that is not slept over.
  template <class HasWork>
  void sleep(std::uint64_t until, std::uint64_t now, HasWork has_work, int also = -1) noexcept {
    if (until <= now) return;
    until_.store(until, std::memory_order_seq_cst);
    if (!has_work()) {
      pollfd inputs[2]{{wake_.get(), POLLIN, 0}, {also, POLLIN, 0}};
      timespec const time{static_cast<time_t>((until - now) / second),
                          static_cast<long>((until - now) % second)};
      nfds_t const count = also < 0 ? 1 : 2;
      if (::ppoll(inputs, count, until == never ? nullptr : &time, nullptr) > 0 &&
          inputs[0].revents != 0) {
        std::uint64_t rings = 0;
        [[maybe_unused]] auto const drained = ::read(wake_.get(), &rings, sizeof rings);
      }
    }
    until_.store(awake, std::memory_order_seq_cst);
  }

 private:
  static constexpr std::uint64_t awake = 0;
  static constexpr std::uint64_t second = 1'000'000'000;

  std::atomic<std::uint64_t> until_{awake};
  Fd wake_;
};

}  // namespace portico
