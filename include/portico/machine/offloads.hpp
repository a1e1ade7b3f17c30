/// The threads of a board's offloaded entries, and what KVM signals for them.
///
///     #include <portico/machine/offloads.hpp>
///     template <class Loop>
///     void run(portico::detail::Offloads<typename Loop::Devices>& offloads, Loop& loop) {
///       portico::detail::OffloadThreads<Loop> threads{offloads, loop};
///       threads.finish();                       // throws what a handler threw
///     }
///
/// Internal to the library; Machine uses it. A board without such entries has none of this.
#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>

#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>
#include <portico/base/first_exception.hpp>
#include <portico/device/access.hpp>
#include <portico/device/entry_traits.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/machine/irqfds.hpp>
#include <portico/machine/watches.hpp>
#include <portico/machine/work_thread.hpp>

namespace portico::detail {

/// What an offloaded entry's thread waits for. The events of its epoll descriptor are numbered:
/// bells from 0, then these.
struct OffloadStation {
  static constexpr std::uint64_t watch = ~std::uint64_t{0};
  static constexpr std::uint64_t resample = ~std::uint64_t{1};
  static constexpr std::uint64_t end = ~std::uint64_t{2};

  OffloadStation() { add(ending.get(), end); }

  /// Throws std::system_error.
  void add(int descriptor, std::uint64_t number, std::uint32_t how = EPOLLIN) const {
    epoll_event wanted{};
    wanted.events = how;
    wanted.data.u64 = number;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, descriptor, &wanted) != 0)
      throw std::system_error{errno, std::system_category(), "epoll_ctl"};
  }

  Fd epoll = make_epoll();
  Fd ending = make_event();
};

/// One station for each offloaded entry.
template <class Board>
class Offloads {
 public:
  /// How many entries are offloaded.
  static constexpr std::size_t count = [] {
    std::size_t offloaded = 0;
    for (auto const& entry : Board::entries) offloaded += entry.offloaded ? 1U : 0U;
    return offloaded;
  }();
  /// Which.
  static constexpr std::array<std::size_t, count> entries = [] {
    std::array<std::size_t, count> found{};
    std::size_t next = 0;
    for (std::size_t entry = 0; entry < Board::size; ++entry)
      if (Board::entries[entry].offloaded) found[next++] = entry;
    return found;
  }();

  /// How many eventfds the entry has.
  template <std::size_t Index>
  static constexpr std::size_t bells_of = Board::template HeldAt<entries[Index]>::Bells::count;

  /// Tells KVM of the doorbells. Throws std::system_error if it refuses one, or has no descriptor
  /// left.
  template <class Vm, class Watches, class Interrupts>
  void connect(Vm& vm, Board& board, Watches& watches, Interrupts& interrupts) {
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      (connect_one<Index>(vm, board, watches, interrupts), ...);
    }(std::make_index_sequence<count>{});
  }

  /// Takes everything back, before the devices go.
  template <class Vm>
  void disconnect(Vm& vm) noexcept {
    for (std::size_t index = 0; index < bells_; ++index) {
      registered_[index].flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
      try {
        vm.ioeventfd(registered_[index]);
      } catch (std::system_error const&) {
        // It goes with the VM then.
      }
    }
    bells_ = 0;
  }

  [[nodiscard]] OffloadStation& station(std::size_t index) noexcept { return stations_[index]; }

 private:
  template <std::size_t Entry>
  using BellsAt = typename Board::template HeldAt<Entry>::Bells;

  /// How many ioeventfds there will be.
  static constexpr std::size_t total = []<std::size_t... Index>(std::index_sequence<Index...>) {
    return ((BellsAt<entries[Index]>::count * Board::entries[entries[Index]].range_count) + ... +
            std::size_t{0});
  }(std::make_index_sequence<count>{});

  template <std::size_t Index, class Vm, class Watches, class Interrupts>
  void connect_one(Vm& vm, Board& board, Watches& watches,
                   [[maybe_unused]] Interrupts& interrupts) {
    constexpr std::size_t entry = entries[Index];
    constexpr auto info = Board::entries[entry];
    auto& held = board.template held<entry>();
    OffloadStation const& station = stations_[Index];
    held.open();
    for (std::size_t bell = 0; bell < BellsAt<entry>::count; ++bell) {
      // Nobody reads the count where a ring is taken up in any order: each one is an event then.
      station.add(held.event(bell), bell, held.in_order ? EPOLLIN : EPOLLIN | EPOLLET);
      for (std::uint32_t range = 0; range < info.range_count; ++range) {
        kvm_ioeventfd const request = request_for<entry>(
            Board::ranges[info.first_range + range], BellsAt<entry>::bells[bell], held.event(bell));
        vm.ioeventfd(request);
        registered_[bells_++] = request;
      }
    }
    if constexpr (Board::has_events)
      watches.hand_over(entry, station.epoll.get(), OffloadStation::watch);
    if constexpr (Interrupts::has_irqfds && info.has_irq)
      if (int const resample = interrupts.irqfds.take_resample(info.irq); resample >= 0)
        station.add(resample, OffloadStation::resample);
  }

  template <std::size_t Entry, class Bell>
  static kvm_ioeventfd request_for(RangeValues const& range, Bell const& bell, int event) {
    kvm_ioeventfd request{};
    request.addr = range.base + bell.offset * Board::template TraitsAt<Entry>::options.stride;
    request.len = Board::template TraitsAt<Entry>::any_width ? 0 : bell.width;
    request.fd = event;
    request.datamatch = bell.value;
    request.flags = (range.space == Space::port ? KVM_IOEVENTFD_FLAG_PIO : 0U) |
                    (bell.any_value ? 0U : KVM_IOEVENTFD_FLAG_DATAMATCH);
    return request;
  }

  std::array<OffloadStation, count> stations_{};
  std::array<kvm_ioeventfd, total> registered_{};
  std::size_t bells_ = 0;
};

/// The threads of one run. `Loop` is the machine: it has what the handlers ask for.
template <class Loop>
class OffloadThreads {
  using All = Offloads<typename Loop::Devices>;

 public:
  /// Throws std::system_error if the host has no thread left; then none goes on.
  OffloadThreads(All& offloads, Loop& loop) {
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      (bodies_[Index].emplace(loop, offloads.station(Index), All::entries[Index],
                              All::template bells_of<Index>),
       ...);
    }(std::make_index_sequence<All::count>{});
    for (std::size_t index = 0; index < All::count; ++index)
      threads_[index].emplace(*bodies_[index]);
  }

  /// Carries out what waits, ends the threads, and throws the first of what they threw.
  void finish() {
    FirstException first;
    for (auto& thread : threads_) first.keep_of([&] { thread->finish(); });
    first.rethrow();
  }

 private:
  struct Body {
    Body(Loop& owner, OffloadStation& its_station, std::size_t its_entry, std::size_t its_bells)
        : loop{owner}, station{its_station}, entry{its_entry}, bells{its_bells} {}

    void run() {
      [[maybe_unused]] auto const attending = loop.attending();
      auto services = loop.services();
      while (!ending.load(std::memory_order_acquire)) serve(services, -1);
      // What rang before the end came is carried out. Each bell is reported once, for nobody rings
      // any more; a watch may be ready for ever.
      for (std::size_t seen = 0; seen < bells + at_once; seen += at_once) serve(services, 0);
    }

    void end() noexcept {
      ending.store(true, std::memory_order_release);
      std::uint64_t const one = 1;
      [[maybe_unused]] auto const written = ::write(station.ending.get(), &one, sizeof one);
    }

    void failed() noexcept { loop.end_all(); }

    static constexpr std::size_t at_once = 16;

    /// Waits, at most `limit` milliseconds or for ever if that is negative, and does what is to be
    /// done.
    template <class Services>
    void serve(Services& services, int limit) {
      std::array<epoll_event, at_once> events;
      int const count =
          ::epoll_wait(station.epoll.get(), events.data(), static_cast<int>(events.size()), limit);
      // What is reported is not reported again: an exception ends the run when all had their turn.
      FirstException first;
      for (int index = 0; index < count; ++index)
        first.keep_of([&] { take(events[static_cast<std::size_t>(index)].data.u64, services); });
      if (count > 0) loop.called_devices();
      first.rethrow();
    }

    template <class Services>
    void take(std::uint64_t number, Services& services) {
      if (number == OffloadStation::watch) {
        loop.event(entry, services);
      } else if (number == OffloadStation::resample) {
        loop.resample(entry);
      } else if (number == OffloadStation::end) {
        std::uint64_t count = 0;
        [[maybe_unused]] auto const drained = ::read(station.ending.get(), &count, sizeof count);
      } else {
        rang(static_cast<std::size_t>(number), services);
      }
    }

    template <class Services>
    void rang(std::size_t bell, Services& services) {
      [&]<std::size_t... Index>(std::index_sequence<Index...>) {
        ((All::entries[Index] == entry ? loop.devices()
                                             .template held<All::entries[Index]>()
                                             .template rang<All::entries[Index]>(bell, services)
                                       : void()),
         ...);
      }(std::make_index_sequence<All::count>{});
    }

    Loop& loop;
    OffloadStation& station;
    std::size_t entry;
    std::size_t bells;
    std::atomic<bool> ending{false};
  };

  std::array<std::optional<Body>, All::count> bodies_{};
  std::array<std::optional<WorkThread<Body>>, All::count> threads_{};
};

}  // namespace portico::detail
