/// The watches of a board's devices, and the epoll descriptor behind them.
///
///     #include <portico/machine/watches.hpp>
///     /// Calls what is ready; one whose descriptor was taken back meanwhile is left out.
///     template <class Board, class Context>
///     void serve(portico::detail::Watches<Board>& watches, Board& board, Context& context) {
///       watches.take_ready([&](std::size_t entry) { board.call_event(entry, context); });
///     }
///
/// Internal to the library; Machine uses it. A board whose devices have no `event` has no descriptor
/// here, and no room is taken.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include <portico/base/fd.hpp>
#include <portico/base/first_exception.hpp>
#include <portico/device/watch.hpp>

namespace portico::detail {

/// An owned epoll descriptor. Throws std::system_error if the host has none left.
inline Fd make_epoll() {
  Fd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  if (!epoll) throw std::system_error{errno, std::system_category(), "epoll_create1"};
  return epoll;
}

/// One watch for each entry.
template <class Board, bool HasEvents = Board::has_events>
class Watches {
 public:
  Watches() {
    for (std::size_t entry = 0; entry < watches_.size(); ++entry)
      watches_[entry].keep(epoll_.get(), entry);
  }

  [[nodiscard]] Watch& operator[](std::size_t entry) noexcept { return watches_[entry]; }

  /// Another epoll descriptor keeps an entry's watch, and reports it as `number` on the device's own
  /// thread.
  void hand_over(std::size_t entry, int epoll, std::uint64_t number) noexcept {
    watches_[entry].keep(epoll, number, true);
  }

  /// Can be read as soon as a watched descriptor can.
  [[nodiscard]] int descriptor() const noexcept { return epoll_.get(); }

  /// Calls `ready(entry)` for those whose event has come. One thread at a time.
  template <class Ready>
  void take_ready(Ready ready) {
    std::array<epoll_event, 16> events;
    int const count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    // What is reported is not reported again: an exception comes out when all had their turn.
    FirstException first;
    for (int index = 0; index < count; ++index) {
      std::size_t const entry = events[static_cast<std::size_t>(index)].data.u64;
      if (watches_[entry].take()) first.keep_of([&] { ready(entry); });
    }
    first.rethrow();
  }

 private:
  Fd epoll_ = make_epoll();
  std::array<Watch, Board::size> watches_;
};

template <class Board>
class Watches<Board, false> {
 public:
  /// Nothing to wait for.
  [[nodiscard]] static constexpr int descriptor() noexcept { return -1; }
};

}  // namespace portico::detail
