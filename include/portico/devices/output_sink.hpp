/// Where the output of one or several consoles goes: one descriptor, whole buffers, whole lines.
///
///     #include <portico/devices/output_sink.hpp>
///     portico::RunControl control;
///     portico::OutputSink terminal{STDOUT_FILENO};        // shared by all guests of the program
///     std::array<std::uint8_t, 3> const bytes{'h', 'i', 10};
///     portico::Written const result = terminal.write("guest0: ", bytes, {control.token()});
///     if (result.lost > 0) std::fputs(std::strerror(result.error), stderr);
///
/// A writer with a label gets it in front of every line, and lines of several writers never mix:
/// who writes while another's line is unfinished begins a new one. Whoever waits for a slow reader
/// does so without the lock, so that nobody else waits behind it. A program that writes to pipes
/// ignores SIGPIPE, one that writes to files SIGXFSZ: then both are errors of the sink, which are
/// counted.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/wait.hpp>

namespace portico {

/// What became of a buffer. Bytes are the guest's, labels not counted.
struct Written {
  std::size_t taken = 0;  ///< no longer the caller's concern: written, or lost
  std::size_t lost = 0;   ///< of those: what the host did not take
  int error = 0;          ///< why, as errno; ETIMEDOUT: nobody read in time
};

/// Output that the host did not take.
struct OutputLoss {
  std::uint64_t bytes = 0;
  int error = 0;  ///< the first reason, as errno

  OutputLoss& operator+=(Written const& written) noexcept {
    bytes += written.lost;
    if (error == 0) error = written.error;
    return *this;
  }

  friend bool operator==(OutputLoss const&, OutputLoss const&) = default;
};

/// A descriptor that several consoles write to. Safe from any thread.
class OutputSink {
 public:
  /// Bytes that go out in one piece, labels included. Linux takes as many into a pipe that polls as
  /// writable without blocking.
  static constexpr std::size_t piece_bytes = 4096;
  static constexpr std::size_t max_label = 256;
  /// How long a reader that has stopped reading is waited for once the run is to end.
  static constexpr int grace_milliseconds = 1000;

  /// Writes to `descriptor`, which stays the caller's and outlives the sink.
  explicit OutputSink(int descriptor) noexcept
      : descriptor_{descriptor}, terminal_{::isatty(descriptor) == 1} {}

  /// Writes to `file` and closes it at the end.
  explicit OutputSink(Fd file) noexcept : OutputSink{file.get()} { owned_ = std::move(file); }

  OutputSink(OutputSink const&) = delete;
  OutputSink& operator=(OutputSink const&) = delete;
  ~OutputSink() = default;

  /// Whether a person may be watching, so that a finished line should be seen at once.
  [[nodiscard]] bool terminal() const noexcept { return terminal_; }

  [[nodiscard]] int fd() const noexcept { return descriptor_; }

  /// Writes `bytes` for the writer known by `label` (empty: lines are not labelled; at most
  /// `max_label` bytes). Waits for the reader as `limit` says; when the run is stopped, another
  /// `grace_milliseconds`, and what is left then is lost. Bytes that a limit of time alone kept
  /// back are not taken and may be tried again.
  Written write(std::string_view label, gsl::span<std::uint8_t const> bytes,
                WaitLimit const& limit) noexcept {
    Expects(label.size() <= max_label);
    Written total;
    while (total.taken < bytes.size()) {
      Wait const wait = wait_for(descriptor_, POLLOUT, limit);
      if (wait == Wait::timed_out) return total;
      if (wait == Wait::stopped && !wait_out_grace()) {
        give_up(bytes.size() - total.taken, ETIMEDOUT, total);
        return total;
      }
      std::lock_guard const lock{mutex_};
      // The writer before us may have filled the pipe since.
      Wait const still = wait_for(descriptor_, POLLOUT, {{}, 0});
      if (still == Wait::timed_out) continue;
      Piece const piece = compose(label, bytes.subspan(total.taken));
      put(piece, limit, total);
    }
    return total;
  }

  /// Ends a line that a writer left unfinished, before the program writes lines of its own.
  void end_line() noexcept {
    std::lock_guard const lock{mutex_};
    if (!mid_line_ || !wait_out_grace()) return;
    mid_line_ = false;
    stage_[0] = '\n';
    Written ignored;
    put({1, 0}, {{}, grace_milliseconds}, ignored);
  }

 private:
  struct Piece {
    std::size_t staged = 0;  ///< bytes of stage_
    std::size_t taken = 0;   ///< bytes of the guest among them
  };

  /// Fills the stage with labelled lines, in whole lines where they fit.
  Piece compose(std::string_view label, gsl::span<std::uint8_t const> bytes) noexcept {
    Piece piece;
    auto const stage = [&](void const* from, std::size_t count) {
      if (count > 0) std::memcpy(stage_.data() + piece.staged, from, count);
      piece.staged += count;
    };
    if (mid_line_ && last_label() != label) {
      stage("\n", 1);
      mid_line_ = false;
    }
    last_label_size_ = label.copy(last_label_.data(), last_label_.size());
    if (label.empty()) {
      piece.taken = std::min(bytes.size(), stage_.size() - piece.staged);
      stage(bytes.data(), piece.taken);
      mid_line_ = bytes[piece.taken - 1] != '\n';
      return piece;
    }
    while (piece.taken < bytes.size()) {
      auto const rest = bytes.subspan(piece.taken);
      auto const newline = std::find(rest.begin(), rest.end(), std::uint8_t{'\n'});
      bool const ends = newline != rest.end();
      auto const line = static_cast<std::size_t>(newline - rest.begin()) + (ends ? 1 : 0);
      std::size_t const head = mid_line_ ? 0 : label.size();
      std::size_t const room = stage_.size() - piece.staged;
      bool const fits = head + line <= room;
      if (!fits && piece.taken > 0) break;
      std::size_t const part = fits ? line : room - head;
      stage(label.data(), head);
      stage(rest.data(), part);
      piece.taken += part;
      mid_line_ = !(ends && part == line);
    }
    return piece;
  }

  /// Writes a piece to its end or to an error. Called with the lock held.
  void put(Piece const& piece, WaitLimit const& limit, Written& total) noexcept {
    total.taken += piece.taken;
    for (std::size_t done = 0;;) {
      ssize_t const count = ::write(descriptor_, stage_.data() + done, piece.staged - done);
      int const error = count < 0 ? errno : 0;
      if (count > 0) {
        done += static_cast<std::size_t>(count);
        stalled_.store(false, std::memory_order_relaxed);
        if (done == piece.staged) return;
      }
      std::size_t const left = std::min(piece.staged - done, piece.taken);
      if (error != 0 && error != EINTR && error != EAGAIN) return lose(left, error, total);
      // A piece that has begun is not left half written for a short limit's sake.
      Wait wait =
          wait_for(descriptor_, POLLOUT,
                   {limit.stop, limit.milliseconds < 0 ? limit.milliseconds : grace_milliseconds});
      if (wait == Wait::stopped) wait = wait_out_grace() ? Wait::ready : Wait::timed_out;
      if (wait == Wait::hung_up && error == EAGAIN) return lose(left, EIO, total);
      if (wait == Wait::timed_out) {
        stalled_.store(true, std::memory_order_relaxed);
        return lose(left, ETIMEDOUT, total);
      }
      if (error == EAGAIN) breathe();
    }
  }

  /// A descriptor that says ready and then takes nothing must not make a thread spin.
  static void breathe() noexcept { (void)wait_for(-1, 0, {{}, 1}); }

  /// Gives the reader its last chance after a stop. False if it was not used: then nobody is given
  /// another one until something could be written.
  bool wait_out_grace() noexcept {
    int const patience = stalled_.load(std::memory_order_relaxed) ? 0 : grace_milliseconds;
    if (wait_for(descriptor_, POLLOUT, {{}, patience}) != Wait::timed_out) return true;
    stalled_.store(true, std::memory_order_relaxed);
    return false;
  }

  static void lose(std::size_t bytes, int error, Written& total) noexcept {
    total.lost += bytes;
    if (total.error == 0) total.error = error;
  }

  static void give_up(std::size_t bytes, int error, Written& total) noexcept {
    total.taken += bytes;
    lose(bytes, error, total);
  }

  [[nodiscard]] std::string_view last_label() const noexcept {
    return {last_label_.data(), last_label_size_};
  }

  int descriptor_;
  bool terminal_;
  std::atomic<bool> stalled_{false};
  std::mutex mutex_;  // guards what follows, and the order of pieces
  bool mid_line_ = false;
  std::size_t last_label_size_ = 0;
  std::array<char, max_label> last_label_{};
  std::array<char, piece_bytes> stage_{};
  Fd owned_;
};

}  // namespace portico
