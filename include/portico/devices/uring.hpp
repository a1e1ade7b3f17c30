/// The kernel's io_uring, by raw system calls: many calls of the host at the price of one.
///
///     #include <portico/devices/uring.hpp>
///     int flush(int file) {                                   // 0, or a negative errno
///       int refused = 0;
///       portico::Uring ring = portico::Uring::open(8, refused);
///       if (!ring) return -refused;                           // many hosts forbid it
///       io_uring_sqe* const entry = ring.next();
///       entry->opcode = IORING_OP_FSYNC, entry->fd = file;
///       int result = ring.submit(1) ? 0 : -EIO;               // and wait for one
///       ring.reap([&](std::uint64_t, std::int32_t given) { result = given; });
///       return result;
///     }
///
/// Entries are taken with `next`, filled, and handed over by `submit`; what came of them is given
/// by `reap`. There are never more under way than entries, if the caller counts, and then no result
/// is ever lost. `event()` can be read when there is something to reap, if it was wanted by
/// `notify(true)`. Limits: kernels from 5.8 on. Source: io_uring_setup(2), io_uring_enter(2).
#pragma once

#include <linux/io_uring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>

namespace portico {

static_assert(sizeof(io_uring_sqe) == 64 && sizeof(io_uring_cqe) == 16);

/// Both rings, or none of it. One thread at a time.
class Uring {
 public:
  /// No ring.
  Uring() = default;

  /// A ring with room for `entries` under way, rounded up to a power of two. If the host refuses it
  /// there is none, and `error` is the errno of that; else 0.
  [[nodiscard]] static Uring open(unsigned entries, int& error) noexcept {
    Uring made;
    error = made.set_up(entries);
    return error == 0 ? std::move(made) : Uring{};
  }

  Uring(Uring&&) noexcept = default;
  Uring& operator=(Uring&&) noexcept = default;
  Uring(Uring const&) = delete;
  Uring& operator=(Uring const&) = delete;
  ~Uring() = default;

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(ring_); }

  /// How many entries there are.
  [[nodiscard]] unsigned entries() const noexcept { return entries_; }

  /// The descriptor that can be read when there is something to reap; owned here.
  [[nodiscard]] int event() const noexcept { return event_.get(); }

  /// An empty entry, which the next `submit` hands over; null if all of them wait for that.
  [[nodiscard]] io_uring_sqe* next() noexcept {
    if (tail_ - load(submission_.head) >= entries_) return nullptr;
    io_uring_sqe* const entry = sqes_.as<io_uring_sqe>() + (tail_++ & (entries_ - 1));
    *entry = {};
    return entry;
  }

  /// Hands over what was filled, and waits until `wait` results or more can be reaped. False if the
  /// host does not take all of it, or does not wait; see take_back.
  bool submit(unsigned wait = 0) noexcept {
    store(submission_.tail, tail_);
    for (;;) {
      unsigned const waiting = tail_ - load(submission_.head);
      if (waiting == 0 && (wait == 0 || ready() >= wait)) return true;
      long const result = ::syscall(SYS_io_uring_enter, ring_.get(), waiting, wait,
                                    wait > 0 ? IORING_ENTER_GETEVENTS : 0U, nullptr, 0UL);
      if (result < 0 && errno != EINTR) return false;
      if (result == 0 && waiting > 0) return false;
    }
  }

  /// Whether there are entries that the next `submit` hands over.
  [[nodiscard]] bool pending() const noexcept { return tail_ != load(submission_.head); }

  /// After a `submit` that failed: calls `give(user_data)` for each entry that the host did not
  /// take, and forgets it.
  template <class Give>
  void take_back(Give give) {
    unsigned const taken = load(submission_.head);
    unsigned const end = std::exchange(tail_, taken);
    store(submission_.tail, taken);
    for (unsigned at = taken; at != end; ++at)
      give(std::uint64_t{sqes_.as<io_uring_sqe>()[at & (entries_ - 1)].user_data});
  }

  /// Calls `use(user_data, result)` for each result that is there, which is what the call gives or
  /// a negative errno. `use` may take new entries.
  template <class Use>
  void reap(Use use) {
    unsigned head = load(completion_.head);
    while (head != load(completion_.tail)) {
      io_uring_cqe const result = cqe(head);
      store(completion_.head, ++head);
      use(std::uint64_t{result.user_data}, std::int32_t{result.res});
    }
  }

  /// Results that can be reaped.
  [[nodiscard]] unsigned ready() const noexcept {
    return load(completion_.tail) - load(completion_.head);
  }

  /// Whether new results make `event()` readable. Not at first.
  void notify(bool wanted) noexcept {
    std::atomic_ref{*completion_flags_}.store(wanted ? 0U : unsigned{IORING_CQ_EVENTFD_DISABLED},
                                              std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // then the caller looks at ready()
  }

  /// Takes the readability of `event()` back.
  void acknowledge() noexcept {
    std::uint64_t count = 0;
    [[maybe_unused]] auto const ignored = ::read(event_.get(), &count, sizeof count);
  }

 private:
  /// What mmap gave.
  class Mapping {
   public:
    Mapping() = default;

    Mapping(int file, std::size_t bytes, std::uint64_t offset) noexcept : bytes_{bytes} {
      void* const given = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                                 file, static_cast<off_t>(offset));
      if (given != MAP_FAILED) base_ = static_cast<std::byte*>(given);
    }

    Mapping(Mapping&& other) noexcept
        : base_{std::exchange(other.base_, nullptr)}, bytes_{other.bytes_} {}

    Mapping& operator=(Mapping&& other) noexcept {
      std::swap(base_, other.base_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }

    Mapping(Mapping const&) = delete;
    Mapping& operator=(Mapping const&) = delete;

    ~Mapping() {
      if (base_ != nullptr) ::munmap(base_, bytes_);
    }

    [[nodiscard]] explicit operator bool() const noexcept { return base_ != nullptr; }

    template <class Type>
    [[nodiscard]] Type* as(std::size_t offset = 0) const noexcept {
      return reinterpret_cast<Type*>(base_ + offset);
    }

   private:
    std::byte* base_ = nullptr;
    std::size_t bytes_ = 0;
  };

  struct Ends {
    unsigned* head = nullptr;
    unsigned* tail = nullptr;
  };

  static unsigned load(unsigned* shared) noexcept {
    return std::atomic_ref{*shared}.load(std::memory_order_acquire);
  }

  static void store(unsigned* shared, unsigned value) noexcept {
    std::atomic_ref{*shared}.store(value, std::memory_order_release);
  }

  [[nodiscard]] io_uring_cqe cqe(unsigned at) const noexcept {
    io_uring_cqe const& shared = cqes_[at & (completion_entries_ - 1)];
    io_uring_cqe copy{};
    copy.user_data = shared.user_data;
    copy.res = shared.res;
    return copy;
  }

  [[nodiscard]] int register_with(unsigned what, void const* argument, unsigned count) noexcept {
    return ::syscall(SYS_io_uring_register, ring_.get(), what, argument, count) < 0 ? errno : 0;
  }

  [[nodiscard]] int set_up(unsigned entries) noexcept {
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_CLAMP;
    ring_ = Fd{static_cast<int>(::syscall(SYS_io_uring_setup, entries, &parameters))};
    if (!ring_) return errno;
    if ((parameters.features & IORING_FEAT_SINGLE_MMAP) == 0) return ENOSYS;
    if (int const error = map(parameters); error != 0) return error;
    if (int const error = require_operations(); error != 0) return error;
    event_ = Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!event_) return errno;
    notify(false);
    int const event = event_.get();
    return register_with(IORING_REGISTER_EVENTFD, &event, 1);
  }

  [[nodiscard]] int map(io_uring_params const& parameters) noexcept {
    auto const& sq = parameters.sq_off;
    auto const& cq = parameters.cq_off;
    if (cq.flags == 0) return ENOSYS;  // before Linux 5.8
    std::size_t const bytes = std::max(sq.array + parameters.sq_entries * sizeof(unsigned),
                                       cq.cqes + parameters.cq_entries * sizeof(io_uring_cqe));
    rings_ = Mapping{ring_.get(), bytes, IORING_OFF_SQ_RING};
    if (!rings_) return errno;
    sqes_ = Mapping{ring_.get(), parameters.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES};
    if (!sqes_) return errno;
    entries_ = parameters.sq_entries;
    completion_entries_ = parameters.cq_entries;
    submission_ = {rings_.as<unsigned>(sq.head), rings_.as<unsigned>(sq.tail)};
    completion_ = {rings_.as<unsigned>(cq.head), rings_.as<unsigned>(cq.tail)};
    completion_flags_ = rings_.as<unsigned>(cq.flags);
    cqes_ = rings_.as<io_uring_cqe>(cq.cqes);
    auto* const order = rings_.as<unsigned>(sq.array);
    for (unsigned at = 0; at < entries_; ++at) order[at] = at;
    return 0;
  }

  /// ENOSYS if the kernel is too old for what the library asks of rings.
  [[nodiscard]] int require_operations() noexcept {
    struct Probe {
      std::array<std::uint32_t, 4> head{};  // the last operation and how many follow, in its bytes
      std::array<io_uring_probe_op, 64> operations{};
    } probe;
    static_assert(sizeof probe.head == sizeof(io_uring_probe));
    if (int const error = register_with(IORING_REGISTER_PROBE, &probe, 64); error != 0)
      return error == EINVAL ? ENOSYS : error;
    for (unsigned const wanted : {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_READ,
                                  IORING_OP_WRITE, IORING_OP_FSYNC, IORING_OP_FALLOCATE})
      if ((probe.operations[wanted].flags & IO_URING_OP_SUPPORTED) == 0) return ENOSYS;
    return 0;
  }

  // The ring goes before what is mapped, and before the event that it signals.
  Mapping rings_{};
  Mapping sqes_{};
  Fd event_{};
  Fd ring_{};
  Ends submission_{};
  Ends completion_{};
  unsigned* completion_flags_ = nullptr;
  io_uring_cqe* cqes_ = nullptr;
  unsigned entries_ = 0;
  unsigned completion_entries_ = 0;
  unsigned tail_ = 0;  ///< of the entries, as far as they were filled
};

}  // namespace portico
