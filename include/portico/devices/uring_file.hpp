/// A disk file by way of io_uring: many operations under way, and one system call for a batch.
///
///     #include <portico/devices/disk_backend.hpp>
///     #include <portico/devices/uring_file.hpp>
///     portico::create_disk("disk.img", 1024 * 1024);
///     portico::UringFile disk{"disk.img"};
///     portico::UringFile media{"cd.iso", portico::DiskAccess::read_only};
///     int const why_not = disk.refused();       // 0, or why there is no io_uring
///
/// A BlockStore (block_operation.hpp). Where the host refuses io_uring (an old kernel, seccomp,
/// kernel.io_uring_disabled) each operation is carried out at once, by preadv and the like, in the
/// thread that starts it; the guest sees no difference but the time.
///
/// A write to the host's page cache is no more than a copy, but many file systems (ext4, say) would
/// have a thread of the kernel make it, each time. So writes are made in the thread that starts
/// them, at twice the speed and more. Should one be slow, because the host's storage has fallen
/// behind, the next ones take the detour. With UseUring::always all do, and no thread ever waits.
///
/// **What a completed operation is worth.** A write is in the host's page cache: it survives the end
/// of this process, a kill included. A flush that is complete has made all writes survive the
/// machine's crash that were complete before it began (fdatasync); a durable write has done that
/// for itself. Nothing is kept here, and nothing is reordered but by the kernel.
///
/// **A file that changes.** The size is that of the beginning: what a file grows by later the guest
/// does not see; where a file has become shorter reads fail, and writes make it longer again. Nobody
/// else should write it meanwhile. Regular files only.
#pragma once

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <portico/devices/block_operation.hpp>
#include <portico/devices/disk_backend.hpp>
#include <portico/devices/file_operation.hpp>
#include <portico/devices/uring.hpp>

namespace portico {

/// What a program wants to do with a disk.
enum class DiskAccess : std::uint8_t { read_write, read_only };

/// What is to go through io_uring, if the host allows it.
enum class UseUring : std::uint8_t {
  where_it_pays,  ///< not writes, as long as they are quick
  always,
  never
};

/// One thread at a time. The kernel works for the threads that start operations; one of those that
/// ends takes them back, and then they are started again by whoever collects.
class UringFile : public detail::DiskFile {
 public:
  /// Calls that the kernel is given at once; further operations wait their turn.
  static constexpr unsigned most_calls = 256;

  /// Throws std::system_error, with what is wrong with the file.
  explicit UringFile(std::string const& path, DiskAccess access = DiskAccess::read_write,
                     UseUring use = UseUring::where_it_pays)
      : DiskFile{path, access == DiskAccess::read_write ? O_RDWR : O_RDONLY},
        writable_{access == DiskAccess::read_write},
        writes_at_once_{use == UseUring::where_it_pays} {
    if (use != UseUring::never) ring_ = Uring::open(most_calls, refused_);
  }

  UringFile(UringFile&& other) noexcept
      : DiskFile{static_cast<DiskFile&&>(other)},  // the rest of it follows
        ring_{std::move(other.ring_)},
        waiting_{std::move(other.waiting_)},
        complete_{std::move(other.complete_)},
        calls_{std::exchange(other.calls_, 0)},
        writable_{other.writable_},
        refused_{other.refused_},
        writes_at_once_{other.writes_at_once_},
        detours_{other.detours_} {}

  UringFile& operator=(UringFile&& other) noexcept {
    if (this == &other) return *this;
    abandon();
    DiskFile::operator=(static_cast<DiskFile&&>(other));
    ring_ = std::move(other.ring_);
    waiting_ = std::move(other.waiting_);
    complete_ = std::move(other.complete_);
    calls_ = std::exchange(other.calls_, 0);
    writable_ = other.writable_;
    refused_ = other.refused_;
    writes_at_once_ = other.writes_at_once_;
    detours_ = other.detours_;
    return *this;
  }

  UringFile(UringFile const&) = delete;
  UringFile& operator=(UringFile const&) = delete;

  /// Waits for what the kernel has begun.
  ~UringFile() { abandon(); }

  /// 0 with io_uring; else the errno with which the host refused it, or ECANCELED for
  /// UseUring::never.
  [[nodiscard]] int refused() const noexcept { return refused_; }

  [[nodiscard]] bool writable() const noexcept { return writable_; }

  [[nodiscard]] bool discards() const noexcept { return writable_; }

  /// Takes an operation over; true if it is complete already.
  [[nodiscard]] bool start(BlockOperation& operation) {
    if (!ring_) {
      (void)carry_out(operation);
      return true;
    }
    detail::begin(operation);
    if (write_at_once(operation)) return true;
    call(operation);
    return false;
  }

  /// Has the kernel begin with what was started, and calls `answer(operation)` for each that is
  /// complete.
  template <class Answer>
  void collect(Answer answer) {
    if (!ring_) return;
    ring_.notify(false);
    for (;;) {
      submit();
      reap();
      while (BlockOperation* const done = complete_.pop()) answer(*done);
      fill();
      if (ring_.pending() || ring_.ready() != 0 || complete_.size() != 0) continue;
      if (in_flight() == 0) return;
      ring_.acknowledge();
      ring_.notify(true);
      if (ring_.ready() == 0) return;  // what comes from now on makes the descriptor readable
      ring_.notify(false);
    }
  }

  [[nodiscard]] std::size_t in_flight() const noexcept {
    return calls_ + waiting_.size() + complete_.size();
  }

  /// Can be read when there is something to collect; -1 without io_uring, where nothing ever is.
  [[nodiscard]] int descriptor() const noexcept { return ring_ ? ring_.event() : -1; }

  /// Waits for the calls that the kernel has begun, and begins no other.
  void abandon() noexcept {
    if (!ring_) return;
    if (!ring_.submit()) ring_.take_back([this](std::uint64_t) { --calls_; });
    waiting_ = {};
    while (calls_ > 0) {
      ring_.reap([this](std::uint64_t, std::int32_t) { --calls_; });
      if (calls_ > 0 && !ring_.submit(1)) (void)::poll(nullptr, 0, 1);
    }
    complete_ = {};
  }

 private:
  void submit() {
    if (!ring_.submit()) do_without();
  }

  /// After a slow write so many are left to the kernel.
  static constexpr unsigned detours_after_slowness = 256;

  /// Whether the operation is complete; a flush may still belong to it.
  [[nodiscard]] bool write_at_once(BlockOperation& operation) {
    if (operation.kind != BlockOperation::Kind::write || !writes_at_once_) return false;
    if (detours_ > 0) return --detours_, false;
    std::int64_t const began = now();
    while (operation.progress.step == BlockOperation::Progress::Step::move)
      if (detail::conclude(operation, detail::make(fd(), detail::next_call(operation)))) {
        // The time of a memory that is not in a hurry, and a millisecond.
        if (now() - began > 1'000'000 + static_cast<std::int64_t>(operation.length))
          detours_ = detours_after_slowness;
        return true;
      }
    return false;
  }

  /// In nanoseconds.
  static std::int64_t now() noexcept {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  }

  /// The operation's next call is for the kernel, now or when there is room.
  void call(BlockOperation& operation) {
    if (calls_ == ring_.entries() || waiting_.size() > 0) return waiting_.push(operation);
    enter(operation);
  }

  void enter(BlockOperation& operation) {
    io_uring_sqe* entry = ring_.next();
    if (entry == nullptr) {
      submit();
      entry = ring_.next();
    }
    if (entry == nullptr) return finish_here(operation);  // not while it has room for calls_
    detail::FileCall const next = detail::next_call(operation);
    entry->fd = fd();
    entry->off = next.offset;
    entry->user_data = reinterpret_cast<std::uintptr_t>(&operation);
    describe(next, *entry);
    ++calls_;
  }

  static void describe(detail::FileCall const& call, io_uring_sqe& entry) noexcept {
    using Kind = detail::FileCall::Kind;
    if (call.kind == Kind::sync) {
      entry.opcode = IORING_OP_FSYNC;
      entry.off = 0;
      entry.fsync_flags = IORING_FSYNC_DATASYNC;
    } else if (call.kind == Kind::allocate) {
      entry.opcode = IORING_OP_FALLOCATE;
      entry.addr = call.length;  // fallocate(2)'s arguments, as io_uring has them
      entry.len = static_cast<std::uint32_t>(call.mode);
    } else if (call.vectors.size() == 1) {
      // Spares the kernel a copy of the vector. More than it takes at once it cuts itself.
      iovec const& piece = call.vectors.front();
      entry.opcode = call.kind == Kind::read ? IORING_OP_READ : IORING_OP_WRITE;
      entry.addr = reinterpret_cast<std::uintptr_t>(piece.iov_base);
      entry.len = static_cast<std::uint32_t>(std::min<std::size_t>(piece.iov_len, 1U << 30));
    } else {
      entry.opcode = call.kind == Kind::read ? IORING_OP_READV : IORING_OP_WRITEV;
      entry.addr = reinterpret_cast<std::uintptr_t>(call.vectors.data());
      entry.len = static_cast<std::uint32_t>(call.vectors.size());
    }
  }

  void reap() {
    ring_.reap([this](std::uint64_t data, std::int32_t result) {
      auto& operation = *reinterpret_cast<BlockOperation*>(static_cast<std::uintptr_t>(data));
      --calls_;
      if (detail::conclude(operation, result))
        complete_.push(operation);
      else
        call(operation);
    });
  }

  void fill() {
    while (waiting_.size() > 0 && calls_ < ring_.entries()) enter(*waiting_.pop());
  }

  /// The host has no memory for calls, say: they are made here.
  void do_without() {
    ring_.take_back([this](std::uint64_t data) {
      --calls_;
      finish_here(*reinterpret_cast<BlockOperation*>(static_cast<std::uintptr_t>(data)));
    });
  }

  void finish_here(BlockOperation& operation) {
    detail::finish(fd(), operation);
    complete_.push(operation);
  }

  Uring ring_{};
  BlockList waiting_{};   ///< for room in the ring
  BlockList complete_{};  ///< to be collected
  unsigned calls_ = 0;    ///< that the kernel has, or is about to get
  bool writable_;
  int refused_ = ECANCELED;
  bool writes_at_once_;
  unsigned detours_ = 0;  ///< writes that are left to the kernel, still
};

static_assert(BlockStore<UringFile> && SynchronousBlockStore<UringFile>);

}  // namespace portico
