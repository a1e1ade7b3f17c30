/// The thread that calls devices' deadlines and events while a machine runs.
///
///     #include <portico/machine/io_thread.hpp>
///     struct Work {
///       std::uint64_t carry_out() { return portico::Alarm::never; }   // when the next is due
///       bool has_more(std::uint64_t) { return false; }   // before then?
///       int descriptor() { return -1; }                  // what else to wake up for, or none
///       void failed() noexcept {}                        // carry_out() threw: end the run
///     };
///     void while_it_lives(Work& work, portico::Alarm& alarm, portico::TimeSource const& time) {
///       portico::detail::IoThread<Work> thread{work, alarm, time};
///       thread.finish();                                 // throws what carry_out() threw
///     }
///
/// Internal to the library; Machine uses it. It takes no signals.
#pragma once

#include <sys/prctl.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include <portico/device/alarm.hpp>
#include <portico/device/clock.hpp>
#include <portico/machine/work_thread.hpp>

namespace portico::detail {

/// Runs from its construction to finish(), or its destruction.
template <class Work>
class IoThread {
 public:
  /// All outlive the thread. Throws std::system_error if the host has no thread or descriptor left.
  IoThread(Work& work, Alarm& alarm, TimeSource const& time) : body_{work, alarm, time} {
    alarm.open();
    thread_.emplace(body_);
  }

  /// Ends the thread, and throws what its work threw.
  void finish() { thread_->finish(); }

 private:
  struct Body {
    void run() {
      // Deadlines are meant to the microsecond; by default Linux is up to 50 late.
      ::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
      while (!ending.load(std::memory_order_seq_cst)) {
        std::uint64_t const next = work.carry_out();
        auto const has_work = [&] {
          return ending.load(std::memory_order_seq_cst) || work.has_more(next);
        };
        alarm.sleep(next, time.now(), has_work, work.descriptor());
      }
    }

    void end() noexcept {
      ending.store(true, std::memory_order_seq_cst);
      alarm.ring();
    }

    void failed() noexcept { work.failed(); }

    Work& work;
    Alarm& alarm;
    TimeSource const& time;
    std::atomic<bool> ending{false};
  };

  Body body_;
  std::optional<WorkThread<Body>> thread_{};
};

}  // namespace portico::detail
