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

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <system_error>
#include <utility>

#include <portico/device/alarm.hpp>
#include <portico/device/clock.hpp>

namespace portico::detail {

/// Runs from its construction to finish(), or its destruction.
template <class Work>
class IoThread {
 public:
  /// All outlive the thread. Throws std::system_error if the host has no thread or descriptor left.
  IoThread(Work& work, Alarm& alarm, TimeSource const& time)
      : work_{work}, alarm_{alarm}, time_{time} {
    alarm_.open();
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    int const error = ::pthread_create(
        &thread_, nullptr,
        [](void* self) -> void* {
          static_cast<IoThread*>(self)->run();
          return nullptr;
        },
        this);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) throw std::system_error{error, std::system_category(), "pthread_create"};
    joinable_ = true;
  }

  IoThread(IoThread const&) = delete;
  IoThread& operator=(IoThread const&) = delete;

  ~IoThread() { join(); }

  /// Ends the thread, and throws what its work threw.
  void finish() {
    join();
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }

 private:
  void join() noexcept {
    if (!std::exchange(joinable_, false)) return;
    ending_.store(true, std::memory_order_seq_cst);
    alarm_.ring();
    ::pthread_join(thread_, nullptr);
  }

  void run() noexcept {
    // Deadlines are meant to the microsecond; by default Linux is up to 50 late.
    ::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    try {
      while (!ending_.load(std::memory_order_seq_cst)) {
        std::uint64_t const next = work_.carry_out();
        alarm_.sleep(
            next, time_.now(),
            [&] { return ending_.load(std::memory_order_seq_cst) || work_.has_more(next); },
            work_.descriptor());
      }
    } catch (...) {
      thrown_ = std::current_exception();
      work_.failed();
    }
  }

  Work& work_;
  Alarm& alarm_;
  TimeSource const& time_;
  pthread_t thread_{};
  bool joinable_ = false;
  std::atomic<bool> ending_{false};
  std::exception_ptr thrown_{};
};

}  // namespace portico::detail
