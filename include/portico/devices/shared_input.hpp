/// One input for all guests of a program: first come, first served.
///
///     #include <portico/devices/shared_input.hpp>
///     portico::RunControl control;
///     portico::SharedInput input{STDIN_FILENO};        // {STDIN_FILENO, 2}: for guest 2 alone
///     portico::SharedInput::Reader reader{input, 0};   // guest 0's place in the queue
///     portico::Input const got = reader.read(control.token());
///     if (got.status == portico::InputStatus::byte) std::putchar(got.value);
///
/// Guests that wait stand in a queue, so that each byte goes to the one that has waited longest;
/// one that is stopped leaves it. What the host gives at once is kept for the next reads, so that
/// piped input costs few system calls. The end of input is final.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include <portico/base/fd.hpp>
#include <portico/devices/wait.hpp>

namespace portico {

/// What a backend has for a guest that reads.
enum class InputStatus : std::uint8_t {
  byte,        ///< a byte
  end,         ///< the end of input: from now on always
  cancelled,   ///< the run is to end
  would_wait,  ///< nothing yet; only from `try_read`
};

/// The answer to a read. `value` is 0xFF unless there is a byte: what the guest gets then.
struct Input {
  InputStatus status = InputStatus::end;
  std::uint8_t value = 0xFF;

  friend bool operator==(Input const&, Input const&) = default;
};

/// A descriptor that several guests read. Safe from any thread.
class SharedInput {
 public:
  class Reader;

  /// Reads `descriptor`, which stays the caller's and outlives the object. With `only`, that guest
  /// gets everything and the others find the end of input.
  explicit SharedInput(int descriptor, std::optional<unsigned> only = std::nullopt) noexcept
      : descriptor_{descriptor}, only_{only} {}

  SharedInput(SharedInput const&) = delete;
  SharedInput& operator=(SharedInput const&) = delete;
  ~SharedInput() = default;

  /// The descriptor that the input comes from.
  [[nodiscard]] int fd() const noexcept { return descriptor_; }

  /// How many guests wait at this moment.
  [[nodiscard]] std::size_t waiting() const {
    std::lock_guard const lock{mutex_};
    return queue_.size();
  }

 private:
  struct Waiter {
    int turn;  ///< an eventfd that tells its owner to look again; -1: it looks now and then
  };

  [[nodiscard]] bool serves(unsigned guest) const noexcept { return !only_ || *only_ == guest; }

  Input try_read(unsigned guest) {
    if (!serves(guest)) return {};
    std::lock_guard const lock{mutex_};
    if (!queue_.empty()) return {InputStatus::would_wait};
    if (auto const got = take()) return *got;
    Wait const wait = wait_for(descriptor_, POLLIN, {{}, 0});
    if (wait == Wait::timed_out) return {InputStatus::would_wait};
    refill();
    if (auto const got = take()) return *got;
    return {InputStatus::would_wait};
  }

  Input read(unsigned guest, Fd& turn, StopToken stop) {
    if (!serves(guest)) return {};
    std::unique_lock lock{mutex_};
    if (!queue_.empty() && !turn) turn = Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    Waiter self{turn.get()};
    queue_.push_back(&self);
    for (;;) {
      bool const first = queue_.front() == &self;
      if (stop.stopping()) return leave(self, {InputStatus::cancelled});
      if (first)
        if (auto const got = take()) return leave(self, *got);
      // Only the first in the queue touches the buffer, so it may do so without the lock.
      lock.unlock();
      if (first) {
        Wait const wait = wait_for(descriptor_, POLLIN, {stop, -1});
        if (wait == Wait::ready || wait == Wait::hung_up) refill();
      } else {
        (void)wait_for(turn.get(), POLLIN, {stop, turn ? -1 : without_turn_milliseconds});
        std::uint64_t count = 0;
        if (turn) [[maybe_unused]]
          auto const drained = ::read(turn.get(), &count, sizeof count);
      }
      lock.lock();
    }
  }

  /// Leaves the queue and tells whoever is first now. Called with the lock held.
  Input leave(Waiter const& self, Input got) {
    bool const was_first = queue_.front() == &self;
    queue_.erase(std::find(queue_.begin(), queue_.end(), &self));
    if (was_first && !queue_.empty() && queue_.front()->turn >= 0) {
      std::uint64_t const one = 1;
      [[maybe_unused]] auto const written = ::write(queue_.front()->turn, &one, sizeof one);
    }
    return got;
  }

  /// A byte that is there already, or the end.
  std::optional<Input> take() noexcept {
    if (next_ < filled_) return Input{InputStatus::byte, buffer_[next_++]};
    if (ended_) return Input{};
    return std::nullopt;
  }

  /// One call to the host, which has something to say. Only with the buffer empty.
  void refill() noexcept {
    ssize_t const count = ::read(descriptor_, buffer_.data(), buffer_.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
    // An input that fails has no more to give (a terminal that hung up, a background job's).
    ended_ = count <= 0;
    next_ = 0;
    filled_ = count > 0 ? static_cast<std::size_t>(count) : 0;
  }

  // If the host has no descriptor left for a waiter's turn, it looks by itself.
  static constexpr int without_turn_milliseconds = 10;

  int descriptor_;
  std::optional<unsigned> only_;
  mutable std::mutex mutex_;
  std::deque<Waiter*> queue_;
  std::array<std::uint8_t, 4096> buffer_{};
  std::size_t next_ = 0;
  std::size_t filled_ = 0;
  bool ended_ = false;
};

/// A guest's access to the input. Movable while nobody reads; used by one thread.
class SharedInput::Reader {
 public:
  /// For guest number `guest`. `input` outlives the reader.
  Reader(SharedInput& input, unsigned guest) noexcept : input_{&input}, guest_{guest} {}

  /// Does not wait: a byte, the end, or `would_wait`, also while others stand in the queue.
  [[nodiscard]] Input try_read() { return input_->try_read(guest_); }

  /// Waits for this guest's turn and for a byte: a byte, the end, or `cancelled` when `stop` says
  /// so.
  [[nodiscard]] Input read(StopToken stop) { return input_->read(guest_, turn_, stop); }

  /// The descriptor that the input comes from; -1 if this guest gets none of it.
  [[nodiscard]] int fd() const noexcept { return input_->serves(guest_) ? input_->fd() : -1; }

 private:
  SharedInput* input_;
  unsigned guest_;
  Fd turn_;
};

}  // namespace portico
