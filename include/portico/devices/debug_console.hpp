/// The debug console at port 0xE9: a byte out, a byte in.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/debug_console.hpp>
///     using Board = portico::DeviceMap<portico::Port<0xE9, portico::DebugConsole<>>>;
///     portico::SharedInput input{STDIN_FILENO};
///     portico::OutputSink output{STDOUT_FILENO};
///     Board board{[&] {      // in place: a console is neither copied nor moved
///       return portico::DebugConsole<>{portico::StandardStreams{input, output, 0, "guest0: "}};
///     }};
///
/// *Emulated*: the port 0xE9 of Bochs as course hypervisors have it: `out` writes a byte to the
/// terminal, `in` waits for one and gives 0xFF at the end of input, or when the run is stopped.
///
/// *Not emulated*: Bochs answers `in` with 0xE9 to say that the port is there; here it reads. There
/// is no status, no interrupt, no line discipline: that is the terminal's.
///
/// *What a hostile guest can do*: write any bytes, escape sequences included, to the terminal or
/// file it was given; take input from the guests that share it; wait for ever, until it is stopped.
/// It cannot delay another guest by more than the time of one write that the host takes at once
/// (with labels, and a reader that takes a line in parts, OutputSink::together_milliseconds), nor
/// use memory beyond a fixed buffer.
///
/// Output is gathered. It goes out when the buffer is full, at a newline if the backend says that
/// lines should be seen, before an `in` that would wait, at the latest 50 ms after it was written
/// (where the machine services deadlines), in `flush`, and when the console is destroyed. Every byte
/// goes out or is counted in `lost`.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/backend.hpp>
#include <portico/devices/console_backend.hpp>

namespace portico {

/// One guest's console. `write` and `read` belong to one thread, the vCPU's; `deadline`, `flush`
/// and `lost` may be called from any other at the same time.
template <class Backend = ConsoleBackend>
class DebugConsole {
 public:
  /// Bytes gathered at most.
  static constexpr std::uint32_t capacity = 4096;
  /// Nanoseconds from the first byte of an empty buffer to its deadline; the rest of the 50 ms is
  /// for the thread that services it.
  static constexpr std::uint64_t flush_after = 40'000'000;
  /// `deadline` may come while the vCPU is in a handler.
  static constexpr auto deadline_threads = Threads::any;
  /// How long the destructor, and `flush` if nothing else is said, wait for a reader.
  static constexpr int patience_milliseconds = 1000;

  /// Nothing that the guest can see outlives an access: what it wrote is the host's.
  struct State {
    friend bool operator==(State const&, State const&) = default;
  };

  explicit DebugConsole(Backend backend) : backend_{std::move(backend)} {
    flushes_lines_ =
        detail::with_backend(backend_, [](auto const& chosen) { return chosen.flushes_lines(); });
  }

  DebugConsole(DebugConsole const&) = delete;
  DebugConsole& operator=(DebugConsole const&) = delete;

  /// As `flush`, without anybody left to ask for `lost`: a program that wants to know flushes first.
  // NOLINTNEXTLINE(bugprone-exception-escape): writing to a backend does not throw
  ~DebugConsole() { flush(); }

  /// -w  A byte for the terminal.
  [[gnu::always_inline]] void write(std::uint8_t byte, Clock& clock, RunControl& control) {
    std::uint32_t const next = head_.load(std::memory_order_relaxed) + 1;
    buffer_[(next - 1) % capacity] = byte;
    // Sequentially consistent, both: either this sees that no deadline is armed, or the deadline
    // sees the byte.
    head_.store(next, std::memory_order_seq_cst);
    if (armed_.load(std::memory_order_seq_cst) && next != full_at_ && byte != '\n') [[likely]]
      return;
    after_byte(byte, clock, control);
  }

  /// r-  The next byte of input, waited for; 0xFF when there is none to come.
  std::uint8_t read(RunControl& control) {
    return detail::with_backend(backend_, [&](auto& chosen) {
      Input got = chosen.try_read();
      if (got.status == InputStatus::would_wait) {
        drain({control.token(), -1});
        waits_.store(true, std::memory_order_relaxed);
        got = chosen.read(control.token());
        waits_.store(false, std::memory_order_relaxed);
      }
      return got.value;
    });
  }

  /// Writes out what is older than its time. Never waits: what the host does not take now is tried
  /// again.
  void deadline(Clock& clock) {
    armed_.store(false, std::memory_order_seq_cst);
    if (try_drain()) return;
    armed_.store(true, std::memory_order_seq_cst);
    clock.arm(clock.now() + flush_after);
  }

  /// Writes out everything that was written before the call. Waits for a vCPU that is writing, and
  /// for the reader as `limit` says; what he has not taken then is lost, and counted. From any
  /// thread. After a run, a program that loses nothing to a slow reader gives -1 ms and the token
  /// of a RunControl of its own, which lives as long as the program wants to wait.
  void flush(WaitLimit const& limit = {{}, patience_milliseconds}) { make_room(limit); }

  /// What was lost so far: what the host refused, or did not take in time. From any thread; waits for a write in progress.
  [[nodiscard]] OutputLoss lost() const {
    std::lock_guard const lock{mutex_};
    return lost_;
  }

  /// Whether the guest waits in a read at this moment. From any thread.
  [[nodiscard]] bool waits_for_input() const noexcept {
    return waits_.load(std::memory_order_relaxed);
  }

  /// For the program, when the guest does not run: a pseudo-terminal's name, a test's output.
  [[nodiscard]] Backend& backend() noexcept { return backend_; }

  [[nodiscard]] State save() const { return {}; }

  void load(State const&) {}

 private:
  /// What few bytes need: a full buffer, a finished line, a deadline.
  [[gnu::noinline]] void after_byte(std::uint8_t byte, Clock& clock, RunControl& control) {
    std::uint32_t const head = head_.load(std::memory_order_relaxed);
    if (byte == '\n' && flushes_lines_) drain({control.token(), -1});
    if (head == full_at_) {
      // Somebody else may have made room since we looked last.
      full_at_ = tail_.load(std::memory_order_acquire) + capacity;
      if (head == full_at_) make_room({control.token(), -1});
    }
    std::uint32_t const tail = tail_.load(std::memory_order_acquire);
    full_at_ = tail + capacity;
    if (tail == head || armed_.load(std::memory_order_seq_cst)) return;
    armed_.store(true, std::memory_order_seq_cst);
    clock.arm(clock.now() + flush_after);
  }

  /// Whatever a backend does, the buffer is empty afterwards, but for what the guest writes
  /// meanwhile.
  void make_room(WaitLimit const& limit) {
    std::lock_guard const lock{mutex_};
    std::uint32_t const head = head_.load(std::memory_order_seq_cst);
    if (write_out(limit)) return;
    // A guest that runs may have written more since, for which nobody has waited yet.
    auto const left = static_cast<std::int32_t>(head - tail_.load(std::memory_order_relaxed));
    if (left <= 0) return;
    lost_ += Written{0, static_cast<std::size_t>(left), ETIMEDOUT};
    tail_.store(head, std::memory_order_release);
  }

  void drain(WaitLimit const& limit) {
    std::lock_guard const lock{mutex_};
    write_out(limit);
  }

  /// False if bytes are left that the host, or another thread that is writing, keeps waiting.
  bool try_drain() {
    std::unique_lock const lock{mutex_, std::try_to_lock};
    return lock.owns_lock() && write_out({{}, 0});
  }

  /// Writes the bytes published so far, in one piece. Called with the lock held.
  bool write_out(WaitLimit const& limit) {
    std::uint32_t const tail = tail_.load(std::memory_order_relaxed);
    std::uint32_t const count = head_.load(std::memory_order_seq_cst) - tail;
    if (count == 0) return true;
    std::uint32_t const start = tail % capacity;
    std::uint32_t const straight = count < capacity - start ? count : capacity - start;
    std::memcpy(straightened_.data(), buffer_.data() + start, straight);
    std::memcpy(straightened_.data() + straight, buffer_.data(), count - straight);
    Written const result = detail::with_backend(backend_, [&](auto& chosen) {
      return chosen.write(gsl::span<std::uint8_t const>{straightened_.data(), count}, limit);
    });
    lost_ += result;
    tail_.store(tail + static_cast<std::uint32_t>(result.taken), std::memory_order_release);
    return result.taken == count;
  }

  // The vCPU's, read by others: bytes [tail_, head_) of a ring are published.
  std::atomic<std::uint32_t> head_{0};
  std::atomic<bool> armed_{false};  // a deadline will look at every byte published until then
  std::atomic<bool> waits_{false};
  bool flushes_lines_ = false;
  std::uint32_t full_at_ = capacity;  // the vCPU's alone: head_ must not pass it unexamined
  std::atomic<std::uint32_t> tail_{0};
  std::array<std::uint8_t, capacity> buffer_{};

  mutable std::mutex mutex_;  // for whoever moves tail_
  std::array<std::uint8_t, capacity> straightened_{};
  OutputLoss lost_;
  Backend backend_;
};

}  // namespace portico
