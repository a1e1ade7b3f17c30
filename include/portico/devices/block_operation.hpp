/// One thing that a disk is asked for, from the question to its answer.
///
///     #include <portico/devices/block_operation.hpp>
///     #include <portico/devices/disk_backend.hpp>
///     portico::MemoryDisk disk{std::vector<std::byte>(64 * 1024)};
///     int load(gsl::span<iovec const> memory, std::uint64_t bytes) {      // 0, or an errno
///       portico::BlockOperation first{.length = bytes, .memory = memory};
///       return disk.carry_out(first);
///     }
///
/// Two kinds of disks take operations. One that works at once has `carry_out`; the backends of
/// disk_backend.hpp do. One that works while others go on is a BlockStore: it takes operations with
/// `start`, and `collect` hands them to the host and gives them back in any order; it is due after
/// some were started, and when `descriptor()` can be read. Either moves bytes straight between the
/// host's file and the memory that the operation names, without a copy in between.
#pragma once

#include <sys/uio.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <portico/base/contracts.hpp>

namespace portico {

/// What is asked for. Its owner keeps it in its place, and what it points to, until it is back; the
/// part behind `error` is the disk's meanwhile.
struct BlockOperation {
  enum class Kind : std::uint8_t {
    read,         ///< from the disk to `memory`
    write,        ///< from `memory` to the disk
    flush,        ///< what was written by operations that are complete survives a loss of power
    discard,      ///< nobody needs the content of these sectors any more
    write_zeroes  ///< these sectors read as zeros
  };

  Kind kind = Kind::read;
  bool durable = false;             ///< a flush of what was changed belongs to it
  bool may_unmap = false;           ///< write_zeroes: the host may give up the space
  std::uint64_t offset = 0;         ///< in bytes; a multiple of 512, inside the disk with `length`
  std::uint64_t length = 0;         ///< in bytes; a multiple of 512, not 0 but for a flush
  gsl::span<iovec const> memory{};  ///< read, write: `length` bytes, none of the pieces empty

  int error = 0;  ///< the answer: 0, or an errno of the host

  /// How far it is.
  struct Progress {
    enum class Step : std::uint8_t { move, allocate, sync };
    Step step = Step::move;
    std::uint8_t attempts = 0;
    std::uint64_t done = 0;          ///< bytes
    std::size_t segment = 0;         ///< of `memory`: the first that is not all moved
    std::size_t skipped = 0;         ///< bytes of that one that were
    iovec partial{};                 ///< the rest of it
    BlockOperation* next = nullptr;  ///< in a BlockList
  } progress{};
};

/// Operations in the order in which they came; they are their owners'.
class BlockList {
 public:
  BlockList() = default;

  BlockList(BlockList&& other) noexcept
      : first_{std::exchange(other.first_, nullptr)},
        last_{std::exchange(other.last_, nullptr)},
        size_{std::exchange(other.size_, 0)} {}

  BlockList& operator=(BlockList&& other) noexcept {
    first_ = std::exchange(other.first_, nullptr);
    last_ = std::exchange(other.last_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  BlockList(BlockList const&) = delete;
  BlockList& operator=(BlockList const&) = delete;
  ~BlockList() = default;

  void push(BlockOperation& operation) noexcept {
    operation.progress.next = nullptr;
    (last_ != nullptr ? last_->progress.next : first_) = &operation;
    last_ = &operation;
    ++size_;
  }

  /// The first, which is not in the list any more; null if there is none.
  [[nodiscard]] BlockOperation* pop() noexcept {
    BlockOperation* const taken = first_;
    if (taken == nullptr) return nullptr;
    first_ = taken->progress.next;
    if (first_ == nullptr) last_ = nullptr;
    --size_;
    return taken;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  BlockOperation* first_ = nullptr;
  BlockOperation* last_ = nullptr;
  std::size_t size_ = 0;
};

/// A disk that answers at once. `discards` tells whether it takes discard and write_zeroes.
template <class Disk>
concept SynchronousBlockStore =
    requires(Disk& disk, Disk const& constant, BlockOperation& operation) {
      { constant.size() } -> std::same_as<std::uint64_t>;
      { constant.writable() } -> std::same_as<bool>;
      { constant.discards() } -> std::same_as<bool>;
      { disk.carry_out(operation) } -> std::same_as<int>;
    };

namespace detail {
struct SomeAnswer {
  void operator()(BlockOperation&) const noexcept {}
};
}  // namespace detail

/// A disk that answers later. One thread at a time.
///
/// `start` takes an operation; true means that it is complete already. `collect(answer)` tells the
/// host of what was started, all at once, has those carried on of which it did only a part, and
/// calls `answer(operation)` for each that is complete; `answer` may start others.
/// `in_flight` is how many are not back yet, and while it is not 0 `descriptor` can be read when
/// there may be something to collect; `collect` takes that back. `abandon` returns when nobody
/// touches any operation or its memory any more, and forgets them all.
template <class Store>
concept BlockStore = requires(Store& store, Store const& constant, BlockOperation& operation,
                              detail::SomeAnswer answer) {
  { constant.size() } -> std::same_as<std::uint64_t>;
  { constant.writable() } -> std::same_as<bool>;
  { constant.discards() } -> std::same_as<bool>;
  { store.start(operation) } -> std::same_as<bool>;
  { store.collect(answer) } -> std::same_as<void>;
  { constant.in_flight() } -> std::same_as<std::size_t>;
  { constant.descriptor() } -> std::same_as<int>;
  { store.abandon() } -> std::same_as<void>;
};

}  // namespace portico
