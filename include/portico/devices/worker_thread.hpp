/// A thread for a device's long work, while the vCPU goes on.
///
///     #include <portico/devices/block_device.hpp>
///     #include <portico/devices/worker_thread.hpp>
///     using Disk = portico::BlockDevice<portico::DiskBackend, portico::WorkerThread>;
///     // or chosen when the program runs:
///     using Chosen = portico::BlockDevice<portico::DiskBackend,
///         std::variant<portico::InlineWorker, portico::WorkerThread>>;
///     Chosen disk{portico::ReadOnlyFile{"disk.img"}, std::in_place_type<portico::WorkerThread>};
///
/// The thread is there from the constructor on, and joined by the destructor. It takes work in the
/// order of `start`. Limits: one piece of work waits while another is done; work is a trivially
/// copyable callable of at most 64 bytes.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <new>
#include <thread>
#include <type_traits>

#include <portico/base/contracts.hpp>
#include <portico/devices/worker.hpp>

namespace portico {

/// `start` and `wait` belong to one thread at a time.
class WorkerThread {
 public:
  /// Starts the thread; throws std::system_error if the host has none.
  WorkerThread() : thread_{[this] { serve(); }} {}

  WorkerThread(WorkerThread const&) = delete;
  WorkerThread& operator=(WorkerThread const&) = delete;

  /// Work that was started is done first.
  ~WorkerThread() {
    {
      std::lock_guard const guard{mutex_};
      ends_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// Hands work to the thread.
  template <class Work>
  void start(Work work) {
    static_assert(std::is_trivially_copyable_v<Work> && sizeof(Work) <= sizeof(Task::bytes) &&
                      alignof(Work) <= alignof(Task),
                  "portico::WorkerThread: work is a callable that is trivially copyable and has at "
                  "most 64 bytes: capture references and plain values.");
    {
      std::lock_guard const guard{mutex_};
      Expects(waiting_.call == nullptr);
      new (waiting_.bytes.data()) Work{work};
      waiting_.call = [](void* bytes) { (*std::launder(static_cast<Work*>(bytes)))(); };
    }
    changed_.notify_all();
  }

  /// Returns when all work is done.
  void wait() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return waiting_.call == nullptr && !works_; });
  }

 private:
  struct alignas(std::max_align_t) Task {
    std::array<std::byte, 64> bytes;
    void (*call)(void*) = nullptr;
  };

  void serve() {
    std::unique_lock lock{mutex_};
    for (;;) {
      changed_.wait(lock, [&] { return waiting_.call != nullptr || ends_; });
      if (waiting_.call == nullptr) return;
      Task task = waiting_;
      waiting_.call = nullptr;
      works_ = true;
      lock.unlock();
      task.call(task.bytes.data());
      lock.lock();
      works_ = false;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Task waiting_{};
  bool works_ = false;
  bool ends_ = false;
  std::thread thread_;  // last: it uses all the others
};

static_assert(Worker<WorkerThread>);

}  // namespace portico
