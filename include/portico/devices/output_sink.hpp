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
/// does so without the lock, so that nobody else waits behind it; only labelled lines that have
/// begun to go out are given a moment to be completed. A program that writes to pipes ignores
/// SIGPIPE, one that writes to files SIGXFSZ: then both are errors of the sink, which are counted.
///
/// A terminal says that it can be written to when it takes a single byte, and then keeps a blocking
/// writer until somebody reads the rest. So the sink opens a terminal once more, for itself and
/// without blocking. Where the host does not allow that (another user's terminal), it writes to the
/// given descriptor, and a terminal that nobody reads holds the writer. A pipe blocks only if
/// another process fills it between the sink's look and its write.
#pragma once

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
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
  /// How long labelled lines that have begun to go out are kept together for a slow reader.
  static constexpr int together_milliseconds = 50;

  /// Writes to `descriptor`, which stays the caller's and outlives the sink.
  explicit OutputSink(int descriptor) noexcept
      : given_{descriptor},
        // NOLINTNEXTLINE(clang-analyzer-unix.StdCLibraryFunctions): -1 is no terminal
        terminal_{::isatty(descriptor) == 1},
        private_{terminal_ ? reopen(descriptor) : Fd{}},
        descriptor_{private_ ? private_.get() : descriptor} {}

  /// Writes to `file` and closes it at the end.
  explicit OutputSink(Fd file) noexcept : OutputSink{file.get()} { owned_ = std::move(file); }

  OutputSink(OutputSink const&) = delete;
  OutputSink& operator=(OutputSink const&) = delete;
  ~OutputSink() = default;

  /// Whether a person may be watching, so that a finished line should be seen at once.
  [[nodiscard]] bool terminal() const noexcept { return terminal_; }

  /// The descriptor that the sink was given.
  [[nodiscard]] int fd() const noexcept { return given_; }

  /// Writes `bytes` for the writer known by `label` (empty: lines are not labelled; at most
  /// `max_label` bytes). Waits for the reader as `limit` says; when the run is stopped, another
  /// `grace_milliseconds` from then or from the last byte taken, and what is left then is lost.
  /// Bytes that a limit of time alone kept back are not taken and may be tried again. A limit of
  /// 0 ms waits for no other writer either.
  Written write(std::string_view label, gsl::span<std::uint8_t const> bytes,
                WaitLimit const& limit) noexcept {
    Expects(label.size() <= max_label);
    Written total;
    bool stopped = false;
    std::int64_t end = limit.milliseconds > 0 ? milliseconds_now() + limit.milliseconds : 0;
    while (total.taken < bytes.size()) {
      bool const ends = stopped || limit.milliseconds > 0;
      WaitLimit const now{stopped ? StopToken{} : limit.stop,
                          ends ? until(end) : limit.milliseconds};
      Wait const wait = wait_for(descriptor_, POLLOUT, now);
      if (wait == Wait::stopped) {
        stopped = true;
        end = milliseconds_now() + patience();
        continue;
      }
      bool late = wait == Wait::timed_out;
      if (!late) {
        if (attempt(label, bytes, now.milliseconds != 0 || stopped, total)) {
          if (stopped) end = milliseconds_now() + grace_milliseconds;
          continue;
        }
        // Ready, and took nothing: that must neither last beyond the limit nor make a thread spin.
        late = now.milliseconds == 0;
        if (!late) (void)wait_for(-1, 0, {{}, 1});
      }
      if (!late) continue;
      if (stopped) {
        stalled_.store(true, std::memory_order_relaxed);
        give_up(bytes.size() - total.taken, ETIMEDOUT, total);
      }
      return total;
    }
    return total;
  }

  /// Ends a line that a writer left unfinished, before the program writes lines of its own. Waits
  /// `grace_milliseconds` at most.
  void end_line() noexcept {
    std::lock_guard const lock{mutex_};
    if (!mid_line_ || wait_for(descriptor_, POLLOUT, {{}, patience()}) == Wait::timed_out) return;
    if (::write(descriptor_, "\n", 1) != 1) return;
    mid_line_ = false;
    label_left_ = 0;
  }

 private:
  struct Piece {
    std::size_t staged = 0;  ///< bytes of stage_
    std::size_t taken = 0;   ///< bytes of the guest among them
    bool newline = false;    ///< whether it begins by ending another's line
  };

  static std::int64_t milliseconds_now() noexcept {
    auto const now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  }

  static int until(std::int64_t end) noexcept {
    return static_cast<int>(std::max<std::int64_t>(end - milliseconds_now(), 0));
  }

  /// A description of the same terminal that does not block; the given one is shared with other
  /// programs, which must not find theirs changed. None if the given one does not block, if the
  /// host refuses, or for a master, which cannot be opened twice.
  static Fd reopen(int terminal) noexcept {
    unsigned number = 0;
    if ((::fcntl(terminal, F_GETFL) & O_NONBLOCK) != 0 || ::ioctl(terminal, TIOCGPTN, &number) == 0)
      return {};
    std::array<char, 32> path{};
    std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", terminal);
    return Fd{::open(path.data(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
  }

  /// What a reader is given after a stop: nothing, if he did not use it the last time.
  [[nodiscard]] int patience() const noexcept {
    return stalled_.load(std::memory_order_relaxed) ? 0 : grace_milliseconds;
  }

  /// Writes one piece of what is left of `bytes`. False if nothing became of it for now.
  bool attempt(std::string_view label, gsl::span<std::uint8_t const> bytes, bool may_wait,
               Written& total) noexcept {
    std::unique_lock lock{mutex_, std::defer_lock};
    if (may_wait)
      lock.lock();
    else if (!lock.try_lock())
      return false;
    // The writer before us may have filled the pipe since.
    Wait const still = wait_for(descriptor_, POLLOUT, {{}, 0});
    return still != Wait::timed_out &&
           put(label, bytes.subspan(total.taken), still == Wait::hung_up, total);
  }

  /// Fills the stage with labelled lines, in whole lines where they fit.
  Piece compose(std::string_view label, gsl::span<std::uint8_t const> bytes) noexcept {
    Piece piece;
    auto const stage = [&](void const* from, std::size_t count) {
      if (count > 0) std::memcpy(stage_.data() + piece.staged, from, count);
      piece.staged += count;
    };
    piece.newline = mid_line_ && last_label() != label;
    if (piece.newline) stage("\n", 1);
    if (label.empty()) {
      piece.taken = std::min(bytes.size(), stage_.size() - piece.staged);
      stage(bytes.data(), piece.taken);
      return piece;
    }
    std::size_t head = mid_line_ && !piece.newline ? label_left_ : label.size();
    while (piece.taken < bytes.size()) {
      auto const rest = bytes.subspan(piece.taken);
      std::size_t const line = line_length(rest);
      std::size_t const room = stage_.size() - piece.staged;
      bool const fits = head + line <= room;
      if (!fits && piece.taken > 0) break;
      std::size_t const part = fits ? line : room - head;
      stage(label.data() + (label.size() - head), head);
      stage(rest.data(), part);
      piece.taken += part;
      head = label.size();
      if (!fits) break;
    }
    return piece;
  }

  /// The bytes up to the first newline and with it, or all.
  static std::size_t line_length(gsl::span<std::uint8_t const> bytes) noexcept {
    auto const newline = std::find(bytes.begin(), bytes.end(), std::uint8_t{'\n'});
    return static_cast<std::size_t>(newline - bytes.begin()) + (newline != bytes.end() ? 1 : 0);
  }

  /// Remembers how the line stands after the first `done` bytes of a piece; how many of them are
  /// the guest's.
  std::size_t account(std::string_view label, gsl::span<std::uint8_t const> bytes,
                      Piece const& piece, std::size_t done) noexcept {
    if (done == 0) return 0;
    if (piece.newline) {
      mid_line_ = false;
      --done;
    }
    last_label_size_ = label.copy(last_label_.data(), last_label_.size());
    std::size_t taken = 0;
    while (done > 0) {
      std::size_t const head = mid_line_ ? label_left_ : label.size();
      std::size_t const labelled = std::min(head, done);
      label_left_ = head - labelled;
      mid_line_ = true;
      done -= labelled;
      if (done == 0) break;
      std::size_t const part = std::min(line_length(bytes.subspan(taken)), done);
      taken += part;
      done -= part;
      mid_line_ = bytes[taken - 1] != '\n';
    }
    return taken;
  }

  /// Writes a piece as far as the host takes it. False if it takes nothing now. Called with the
  /// lock held.
  bool put(std::string_view label, gsl::span<std::uint8_t const> bytes, bool hung_up,
           Written& total) noexcept {
    Piece const piece = compose(label, bytes);
    std::int64_t end = 0;
    for (std::size_t done = 0;;) {
      ssize_t const count = ::write(descriptor_, stage_.data() + done, piece.staged - done);
      int const error = count < 0 ? errno : 0;
      if (count > 0) {
        done += static_cast<std::size_t>(count);
        stalled_.store(false, std::memory_order_relaxed);
      } else if (error != 0 && error != EINTR && (error != EAGAIN || hung_up)) {
        std::size_t const written = account(label, bytes, piece, done);
        total.taken += written;
        give_up(piece.taken - written, error == EAGAIN ? EIO : error, total);
        return true;
      }
      if (done == 0) return false;
      bool cut = done == piece.staged || label.empty();
      if (!cut) {
        if (end == 0) end = milliseconds_now() + together_milliseconds;
        Wait const wait = wait_for(descriptor_, POLLOUT, {{}, until(end)});
        hung_up = wait == Wait::hung_up;
        if (count <= 0) (void)wait_for(-1, 0, {{}, 1});
        cut = wait == Wait::timed_out || until(end) == 0;
      }
      if (!cut) continue;
      total.taken += account(label, bytes, piece, done);
      return true;
    }
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

  int given_;
  bool terminal_;
  Fd private_;      // of a terminal
  int descriptor_;  // what is written to
  std::atomic<bool> stalled_{false};
  std::mutex mutex_;  // guards what follows, and the order of pieces
  bool mid_line_ = false;
  std::size_t label_left_ = 0;  // bytes at the label's end that the unfinished line lacks
  std::size_t last_label_size_ = 0;
  std::array<char, max_label> last_label_{};
  std::array<char, piece_bytes> stage_{};
  Fd owned_;
};

}  // namespace portico
