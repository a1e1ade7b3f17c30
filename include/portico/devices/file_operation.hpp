/// The calls of the host that an operation on a disk file takes, one after the other.
///
///     #include <portico/devices/file_operation.hpp>
///     int load(int file, gsl::span<iovec const> memory, std::uint64_t bytes) {
///       portico::BlockOperation first{.length = bytes, .memory = memory};
///       return portico::detail::carry_out(file, first);         // 0, or an errno
///     }
///
/// Who makes the calls is another matter: `carry_out` does, here and now, and UringFile has the
/// kernel do it. Calls that are interrupted or do a part only are followed by one for the rest.
///
/// | operation | calls |
/// | --- | --- |
/// | read | preadv; a file that ends before is an error |
/// | write | pwritev |
/// | flush, and behind whatever is durable | fdatasync |
/// | discard | fallocate, a hole; a file system without holes keeps the bytes |
/// | write_zeroes | fallocate, a hole or a range of zeros; where that is not known, pwritev |
///
/// Internal to the disk backends. Sources: preadv(2), fallocate(2), fdatasync(2).
#pragma once

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <portico/base/contracts.hpp>
#include <portico/devices/block_operation.hpp>

namespace portico::detail {

/// One call.
struct FileCall {
  enum class Kind : std::uint8_t { read, write, sync, allocate };
  Kind kind = Kind::sync;
  int mode = 0;                      ///< allocate
  std::uint64_t offset = 0;          ///< in bytes
  std::uint64_t length = 0;          ///< allocate: in bytes
  gsl::span<iovec const> vectors{};  ///< read, write: good until the operation's next call
};

/// The most that preadv takes (UIO_MAXIOV).
inline constexpr std::size_t most_vectors = 1024;

/// After so many fruitless attempts in a row the host's last word is the answer.
inline constexpr std::uint8_t most_attempts = 100;

/// Zeros to be written: the same page over and over.
inline gsl::span<iovec const> zero_vectors(BlockOperation& operation) {
  static constexpr std::size_t page = 4096;
  static std::array<std::byte, page> zeros{};
  static std::array<iovec, 256> const all = [] {
    std::array<iovec, 256> made{};
    for (iovec& each : made) each = {zeros.data(), zeros.size()};
    return made;
  }();
  std::uint64_t const left = operation.length - operation.progress.done;
  if (left < page) {
    operation.progress.partial = {zeros.data(), static_cast<std::size_t>(left)};
    return {&operation.progress.partial, 1};
  }
  return gsl::span{all}.first(std::min<std::size_t>(left / page, all.size()));
}

/// What is left of the operation's memory, or a part of that.
inline gsl::span<iovec const> remaining_vectors(BlockOperation& operation) {
  auto& [step, attempts, done, segment, skipped, partial, next] = operation.progress;
  if (operation.kind == BlockOperation::Kind::write_zeroes) return zero_vectors(operation);
  if (skipped != 0) {
    iovec const& cut = operation.memory[segment];
    partial = {static_cast<std::byte*>(cut.iov_base) + skipped, cut.iov_len - skipped};
    return {&partial, 1};
  }
  auto const rest = operation.memory.subspan(segment);
  return rest.first(std::min(rest.size(), most_vectors));
}

/// To be called once, before the first call.
inline void begin(BlockOperation& operation) noexcept {
  using Kind = BlockOperation::Kind;
  using Step = BlockOperation::Progress::Step;
  operation.error = 0;
  operation.progress = {};
  if (operation.kind == Kind::flush) operation.progress.step = Step::sync;
  if (operation.kind == Kind::discard || operation.kind == Kind::write_zeroes)
    operation.progress.step = Step::allocate;
}

/// The operation's next call.
inline FileCall next_call(BlockOperation& operation) {
  using Kind = BlockOperation::Kind;
  using Step = BlockOperation::Progress::Step;
  if (operation.progress.step == Step::sync) return {};
  if (operation.progress.step == Step::allocate) {
    bool const hole = operation.kind == Kind::discard || operation.may_unmap;
    return {.kind = FileCall::Kind::allocate,
            .mode = FALLOC_FL_KEEP_SIZE | (hole ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE),
            .offset = operation.offset,
            .length = operation.length};
  }
  return {.kind = operation.kind == Kind::read ? FileCall::Kind::read : FileCall::Kind::write,
          .offset = operation.offset + operation.progress.done,
          .vectors = remaining_vectors(operation)};
}

/// `bytes` more were moved.
inline void advance(BlockOperation& operation, std::uint64_t bytes) {
  auto& progress = operation.progress;
  progress.done += bytes;
  if (operation.kind == BlockOperation::Kind::write_zeroes) return;
  while (bytes > 0) {
    std::size_t const left = operation.memory[progress.segment].iov_len - progress.skipped;
    if (bytes < left) {
      progress.skipped += static_cast<std::size_t>(bytes);
      return;
    }
    bytes -= left;
    progress.skipped = 0;
    ++progress.segment;
  }
}

/// The call has given `result`, or a negative errno. Whether the operation is complete; `error`
/// tells how.
inline bool conclude(BlockOperation& operation, std::int64_t result) {
  using Kind = BlockOperation::Kind;
  using Step = BlockOperation::Progress::Step;
  auto& progress = operation.progress;
  bool const again = result == -EINTR || result == -EAGAIN || result == -ECANCELED;
  if (again && ++progress.attempts < most_attempts) return false;
  if (progress.step == Step::allocate && (result == -EOPNOTSUPP || result == -ENOSYS)) {
    if (operation.kind == Kind::discard) return true;
    progress.step = Step::move;
    return false;
  }
  if (progress.step == Step::move && result == 0)
    result = operation.kind == Kind::read ? -EIO : -ENOSPC;  // the file became shorter
  if (result < 0) {
    operation.error = static_cast<int>(-result);
    return true;
  }
  progress.attempts = 0;
  if (progress.step == Step::move) {
    advance(operation, static_cast<std::uint64_t>(result));
    if (progress.done < operation.length) return false;
  }
  if (progress.step == Step::sync || !operation.durable || operation.kind == Kind::read)
    return true;
  progress.step = Step::sync;
  return false;
}

/// Makes one call: what it gives, or a negative errno.
inline std::int64_t make(int file, FileCall const& call) noexcept {
  auto const offset = static_cast<off_t>(call.offset);
  auto const count = static_cast<int>(call.vectors.size());
  std::int64_t result = 0;
  if (call.kind == FileCall::Kind::read)
    result = ::preadv(file, call.vectors.data(), count, offset);
  else if (call.kind == FileCall::Kind::write)
    result = ::pwritev(file, call.vectors.data(), count, offset);
  else if (call.kind == FileCall::Kind::sync)
    result = ::fdatasync(file);
  else
    result = ::fallocate(file, call.mode, offset, static_cast<off_t>(call.length));
  return result < 0 ? -std::int64_t{errno} : result;
}

/// Goes on with a begun operation until it is complete.
inline void finish(int file, BlockOperation& operation) {
  while (!conclude(operation, make(file, next_call(operation)))) {
  }
}

/// All of an operation, here and now: 0, or an errno.
inline int carry_out(int file, BlockOperation& operation) {
  begin(operation);
  finish(file, operation);
  return operation.error;
}

}  // namespace portico::detail
