/// A thread that works from its construction to its end, takes no signals, and keeps what it threw.
///
///     #include <portico/machine/work_thread.hpp>
///     struct Work {
///       void run() { while (!ending) ::poll(nullptr, 0, 1); }
///       void end() noexcept { ending = true; }       // makes run() return; on another thread
///       void failed() noexcept {}                    // run() threw; on the thread itself
///       std::atomic<bool> ending = false;
///     };
///     void while_it_lives(Work& work) {
///       portico::detail::WorkThread<Work> thread{work};
///       thread.finish();                             // throws what run() threw
///     }
///
/// Internal to the library; a machine's I/O threads are made of it.
#pragma once

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <exception>
#include <system_error>
#include <utility>

namespace portico::detail {

template <class Work>
class WorkThread {
 public:
  /// `work` outlives the thread. Throws std::system_error if the host has no thread left.
  explicit WorkThread(Work& work) : work_{work} {
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    int const error = ::pthread_create(
        &thread_, nullptr,
        [](void* self) -> void* {
          static_cast<WorkThread*>(self)->run();
          return nullptr;
        },
        this);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) throw std::system_error{error, std::system_category(), "pthread_create"};
    joinable_ = true;
  }

  WorkThread(WorkThread const&) = delete;
  WorkThread& operator=(WorkThread const&) = delete;

  ~WorkThread() { join(); }

  /// Ends the thread, and throws what its work threw.
  void finish() {
    join();
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }

 private:
  void join() noexcept {
    if (!std::exchange(joinable_, false)) return;
    work_.end();
    ::pthread_join(thread_, nullptr);
  }

  void run() noexcept {
    try {
      work_.run();
    } catch (...) {
      thrown_ = std::current_exception();
      work_.failed();
    }
  }

  Work& work_;
  pthread_t thread_{};
  bool joinable_ = false;
  std::exception_ptr thrown_{};
};

}  // namespace portico::detail
