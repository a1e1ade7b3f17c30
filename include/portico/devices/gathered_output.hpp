/// A guest's output on its way to a backend: gathered, so that the host is called for many bytes at
/// once.
///
///     #include <portico/devices/console_backend.hpp>
///     #include <portico/devices/gathered_output.hpp>
///     portico::GatheredOutput<portico::MemoryStreams> output{portico::MemoryStreams{}};
///     std::array<std::uint8_t, 3> const bytes{'h', 'i', 10};
///     if (!output.gather(bytes).complete()) output.write(bytes, {});   // may wait for the reader
///     output.flush();
///
/// For devices that several threads call: a device gathers under its own lock, which never waits,
/// and writes without it. It goes out when the buffer is full, at a newline if the backend says
/// that lines should be seen, when the device's deadline says so, in `flush`, and at the end. Every
/// byte goes out or is counted in `lost`.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/backend.hpp>
#include <portico/devices/output_sink.hpp>

namespace portico {

/// Output with a buffer of `capacity` bytes before its backend. Safe from any thread.
template <class Backend>
class GatheredOutput {
 public:
  /// Bytes gathered at most.
  static constexpr std::size_t capacity = 4096;
  /// Nanoseconds for which a device may keep output if its backend says nothing else in
  /// `keep_nanoseconds()`: the rest of 50 ms is for the thread that services its deadline.
  static constexpr std::uint64_t keep_nanoseconds = 40'000'000;
  /// How long the destructor, and `flush` if nothing else is said, wait for a reader.
  static constexpr int patience_milliseconds = 1000;

  /// What `gather` did.
  struct Gathered {
    std::size_t taken = 0;  ///< bytes from the front that are in the buffer
    bool full = false;      ///< not all of them had room
    bool line = false;      ///< a line is finished that should be seen

    /// Whether there is nothing to `write` now.
    [[nodiscard]] bool complete() const noexcept { return !full && !line; }
  };

  explicit GatheredOutput(Backend backend) : backend_{std::move(backend)} {
    flushes_lines_ =
        detail::with_backend(backend_, [](auto const& chosen) { return chosen.flushes_lines(); });
    keep_ = detail::with_backend(backend_, [](auto const& chosen) {
      if constexpr (requires { chosen.keep_nanoseconds(); })
        return std::uint64_t{chosen.keep_nanoseconds()};
      else
        return keep_nanoseconds;
    });
  }

  GatheredOutput(GatheredOutput const&) = delete;
  GatheredOutput& operator=(GatheredOutput const&) = delete;

  ~GatheredOutput() { flush(); }

  /// Nanoseconds for which a device may keep output.
  [[nodiscard]] std::uint64_t keep() const noexcept { return keep_; }

  /// Takes what has room. Never waits.
  Gathered gather(gsl::span<std::uint8_t const> bytes) noexcept {
    std::lock_guard const lock{mutex_};
    Gathered result;
    result.taken = std::min(bytes.size(), capacity - count_);
    if (result.taken > 0) std::memcpy(gathered_.data() + count_, bytes.data(), result.taken);
    count_ += result.taken;
    result.full = result.taken < bytes.size();
    result.line = flushes_lines_ && std::find(bytes.begin(), bytes.end(), '\n') != bytes.end();
    return result;
  }

  /// Writes out what is gathered, and then `rest`, which `gather` had no room for. Waits for the
  /// reader until `stop` says that the run is to end; what he has not taken then is lost, and
  /// counted.
  void write(gsl::span<std::uint8_t const> rest, StopToken stop) {
    for (;;) {
      flush({stop, -1});
      if (rest.empty()) return;
      rest = rest.subspan(gather(rest).taken);
    }
  }

  /// Writes out what the host takes at once. False if bytes are left.
  bool try_flush() {
    std::unique_lock const writer{writer_, std::try_to_lock};
    return writer.owns_lock() && write_out({{}, 0});
  }

  /// Writes out everything that was gathered before the call. Waits for the reader as `limit` says;
  /// what he has not taken then is lost, and counted.
  void flush(WaitLimit const& limit = {{}, patience_milliseconds}) {
    std::lock_guard const writer{writer_};
    if (write_out(limit)) return;
    lost_ += Written{0, left_, ETIMEDOUT};
    left_ = 0;
  }

  /// Whether nothing is gathered: then no deadline is needed.
  [[nodiscard]] bool empty() const noexcept {
    std::lock_guard const lock{mutex_};
    return count_ == 0;
  }

  /// What was lost so far. Waits for a write in progress.
  [[nodiscard]] OutputLoss lost() const {
    std::lock_guard const writer{writer_};
    return lost_;
  }

  /// For whoever reads the backend's input, which may go on beside the output.
  [[nodiscard]] Backend& backend() noexcept { return backend_; }

 private:
  /// Writes until nothing is gathered. False if the host keeps bytes waiting that `limit` does not
  /// wait for; they stay first. Called with the writer's lock held.
  bool write_out(WaitLimit const& limit) {
    for (;;) {
      if (left_ == 0) {
        std::lock_guard const lock{mutex_};
        if (count_ == 0) return true;
        std::memcpy(going_.data(), gathered_.data(), count_);
        left_ = std::exchange(count_, 0);
      }
      Written const result = detail::with_backend(backend_, [&](auto& chosen) {
        return chosen.write(gsl::span<std::uint8_t const>{going_.data(), left_}, limit);
      });
      lost_ += result;
      left_ -= result.taken;
      if (left_ == 0) continue;
      std::memmove(going_.data(), going_.data() + result.taken, left_);
      return false;
    }
  }

  mutable std::mutex mutex_;  // for what is gathered: held for moments
  std::size_t count_ = 0;
  std::array<std::uint8_t, capacity> gathered_{};
  bool flushes_lines_ = false;
  std::uint64_t keep_ = keep_nanoseconds;

  mutable std::mutex writer_;  // for what goes out: held while the host is waited for
  std::size_t left_ = 0;
  std::array<std::uint8_t, capacity> going_{};
  OutputLoss lost_;
  Backend backend_;
};

}  // namespace portico
