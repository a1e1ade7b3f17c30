/// Runs a function for each vCPU, the first on the caller's thread, until all have ended.
///
/// Internal to the library; Machine uses it when it may have several vCPUs. The first to end
/// decides what the run gives; an exception ends it too, and is thrown again once all threads are
/// joined.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <vector>

namespace portico::detail {

/// `body(index)` runs vCPU `index` and returns why it stopped; `end_all()` makes the other bodies
/// return soon. Throws std::system_error if the host has no thread left; then no vCPU goes on.
template <class Body, class EndAll>
auto run_on_threads(unsigned count, Body body, EndAll end_all) {
  // Not named Stop, so that a machine with one vCPU compiles nothing of this.
  using Result = decltype(body(0U));

  struct Shared {
    std::mutex mutex;
    std::optional<Result> first;
    std::exception_ptr thrown;
    Body& body;
    EndAll& end_all;

    void run(unsigned index) noexcept {
      std::optional<Result> stop;
      std::exception_ptr exception;
      try {
        stop = body(index);
      } catch (...) {
        exception = std::current_exception();
      }
      std::lock_guard const guard{mutex};
      if (first || thrown) return;
      first = stop;
      thrown = exception;
      end_all();
    }
  } shared{{}, {}, {}, body, end_all};

  struct Start {
    Shared* shared;
    unsigned index;
    pthread_t thread;
  };

  std::vector<Start> starts;
  for (unsigned index = 1; index < count; ++index) starts.push_back({&shared, index, {}});
  std::size_t started = 0;
  int error = 0;
  for (Start& start : starts) {
    error = ::pthread_create(
        &start.thread, nullptr,
        [](void* argument) -> void* {
          auto* const given = static_cast<Start*>(argument);
          given->shared->run(given->index);
          return nullptr;
        },
        &start);
    if (error != 0) break;
    ++started;
  }
  if (error == 0)
    shared.run(0);
  else
    end_all();
  for (std::size_t thread = 0; thread < started; ++thread)
    ::pthread_join(starts[thread].thread, nullptr);
  if (error != 0) throw std::system_error{error, std::system_category(), "pthread_create"};
  if (shared.thrown) std::rethrow_exception(shared.thrown);
  return *shared.first;
}

}  // namespace portico::detail
