/// Who does a device's long work: the vCPU's thread, here, or another (devices/worker_thread.hpp).
///
///     #include <portico/devices/worker.hpp>
///     template <portico::Worker Worker = portico::InlineWorker>
///     struct Squares {
///       void write(std::uint32_t value) {
///         worker.start([this, value] { result = std::uint64_t{value} * value; });
///       }
///       std::atomic<std::uint64_t> result = 0;
///       Worker worker{};      // last: it is destroyed first, when its work is done
///     };
///
/// A worker is a type parameter of the device, so that the same device works in either way, and a
/// test can take the work out by hand. What runs on a worker may touch only what is safe from any
/// thread.
#pragma once

#include <concepts>
#include <utility>

#include <portico/devices/backend.hpp>

namespace portico {

namespace detail {
struct SomeWork {
  void operator()() const noexcept {}
};
}  // namespace detail

/// `start` does the work, now or soon; a device starts one at a time, and a second one only when
/// the first has nothing more to do but to return. `wait` returns when nothing is under way. The
/// destructor waits too.
template <class Type>
concept Worker = requires(Type& worker, detail::SomeWork work) {
  { worker.start(work) } -> std::same_as<void>;
  { worker.wait() } -> std::same_as<void>;
};

/// At once, in the caller's thread.
struct InlineWorker {
  template <class Work>
  void start(Work work) {
    work();
  }

  void wait() const noexcept {}
};

static_assert(Worker<InlineWorker>);

namespace detail {

/// `start` of a worker, or of the one that a variant of workers holds.
template <class Chosen, class Work>
void start_work(Chosen& worker, Work work) {
  with_backend(worker, [&](auto& chosen) { chosen.start(work); });
}

/// `wait` likewise.
template <class Chosen>
void wait_for(Chosen& worker) {
  with_backend(worker, [](auto& chosen) { chosen.wait(); });
}

}  // namespace detail

}  // namespace portico
