/// A disk that the program can hold: for a copy of its file, a snapshot, a move to other storage.
///
///     #include <portico/devices/block_store.hpp>
///     #include <portico/devices/pausable_store.hpp>
///     using Disk = portico::PausableStore<portico::BlockBackend>;
///     void copy_consistently(Disk& disk) {         // on any thread, while the guest runs
///       disk.pause();                              // nothing is under way from here on
///       std::puts("copy the file now");
///       disk.resume();                             // and what the guest has asked for goes on
///     }
///
/// A BlockStore around a BlockStore, a disk that works at once, or a variant of such. While it is
/// paused operations are taken and wait; the guest's requests take longer, that is all. The pause
/// is on the program's side of the guest's caches: what the guest has not written yet is not there.
/// What waits when the device is reset or goes is forgotten, and never begun. (A device that the host
/// gives no watch waits in its own thread, a pause included.)
#pragma once

#include <poll.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/block_operation.hpp>
#include <portico/devices/block_store.hpp>

namespace portico {

/// `pause` and `resume` are for any thread, one at a time; the rest is for the device. Moved only
/// while nothing is under way.
template <class Disk>
class PausableStore {
 public:
  /// Throws std::system_error if the host has no descriptor for it.
  explicit PausableStore(Disk disk) : disk_{std::move(disk)} {
    if (detail::operations_descriptor(disk_) < 0) shared_->event = detail::make_event();
  }

  /// Returns when no operation is under way at the host, and begins none until `resume`.
  void pause() {
    for (;;) {
      {
        std::scoped_lock const lock{shared_->mutex};
        shared_->paused = true;
        collect_complete();
        if (detail::operations_in_flight(disk_) == 0) break;
      }
      // The device may be quicker to collect, and then nobody tells.
      pollfd waiting{descriptor(), POLLIN, 0};
      (void)::poll(&waiting, 1, 1);
    }
    wake();  // for what was collected here
  }

  /// Lets the operations that have waited begin.
  void resume() {
    {
      std::scoped_lock const lock{shared_->mutex};
      shared_->paused = false;
    }
    wake();
  }

  [[nodiscard]] std::uint64_t size() const { return detail::disk_size(disk_); }

  [[nodiscard]] bool writable() const { return detail::disk_is_writable(disk_); }

  [[nodiscard]] bool discards() const { return detail::disk_discards(disk_); }

  [[nodiscard]] bool start(BlockOperation& operation) {
    std::scoped_lock const lock{shared_->mutex};
    if (!shared_->paused) return detail::start_operation(disk_, operation);
    shared_->held.push(operation);
    return false;
  }

  template <class Answer>
  void collect(Answer answer) {
    for (;;) {
      BlockList complete;
      {
        std::scoped_lock const lock{shared_->mutex};
        release();
        collect_complete();
        complete = std::move(shared_->complete);
      }
      if (complete.size() == 0) return;
      while (BlockOperation* const done = complete.pop()) answer(*done);
    }
  }

  [[nodiscard]] std::size_t in_flight() const {
    std::scoped_lock const lock{shared_->mutex};
    return detail::operations_in_flight(disk_) + shared_->held.size() + shared_->complete.size();
  }

  // NOLINTNEXTLINE(bugprone-exception-escape): no store's throws, and the variant always holds one
  [[nodiscard]] int descriptor() const noexcept {
    return shared_->event ? shared_->event.get() : detail::operations_descriptor(disk_);
  }

  void abandon() {
    std::scoped_lock const lock{shared_->mutex};
    detail::abandon_operations(disk_);
    shared_->held = {};
    shared_->complete = {};
  }

  /// The disk itself, while nothing is under way.
  [[nodiscard]] Disk& disk() noexcept { return disk_; }

 private:
  struct Shared {
    std::mutex mutex{};
    Fd event{};  ///< if the disk has none
    BlockList held{};
    BlockList complete{};
    bool paused = false;
  };

  void collect_complete() {
    // The disk takes it back itself while it has something under way, and otherwise only a device
    // whose operations are held waits for it.
    if (shared_->paused) {
      std::uint64_t count = 0;
      [[maybe_unused]] auto const ignored = ::read(descriptor(), &count, sizeof count);
    }
    detail::collect_operations(
        disk_, [this](BlockOperation& operation) { shared_->complete.push(operation); });
  }

  void release() {
    if (shared_->paused) return;
    while (BlockOperation* const held = shared_->held.pop())
      if (detail::start_operation(disk_, *held)) shared_->complete.push(*held);
  }

  void wake() const noexcept {
    std::uint64_t const one = 1;
    [[maybe_unused]] auto const ignored = ::write(descriptor(), &one, sizeof one);
  }

  Disk disk_;
  std::unique_ptr<Shared> shared_ = std::make_unique<Shared>();
};

static_assert(BlockStore<PausableStore<BlockBackend>>);

}  // namespace portico
