/// A console for the guest that takes whole buffers: virtio-console.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/device/locked.hpp>
///     #include <portico/virtio/console.hpp>
///     #include <portico/virtio/mmio.hpp>
///     using Board = portico::DeviceMap<
///         portico::Mmio<0xD000'0000, portico::Locked<portico::VirtioMmio<portico::Console>>,
///                       portico::Irq<5>, portico::Named<"hvc0">>>;
///     portico::SharedInput input{STDIN_FILENO};
///     portico::OutputSink output{STDOUT_FILENO};
///     Board board{[&] {      // in place: a console is neither copied nor moved
///       return portico::Console{portico::StandardStreams{input, output, 0},
///                               portico::terminal_size(STDOUT_FILENO)};
///     }};
///
/// *Emulated*: VIRTIO 1.2, section 5.3: one port. SIZE, if the console has a size, which the
/// program may change at any time (`resize`, at a SIGWINCH); EMERG_WRITE; RING_RESET. What the
/// driver sends is written out before the notification returns, as far as the host takes it at
/// once; what it does not take keeps the driver's buffers waiting, and nobody else. Input comes in
/// as large pieces as there are, and only while the driver has a buffer for it; the rest waits in
/// the host.
///
/// *Not emulated*: further ports (MULTIPORT), and with them names and hot-plug.
///
/// *What a hostile guest can do*: write any bytes, escape sequences included, to the terminal or
/// file it was given, as fast as that takes them; not read its input, which then waits. One
/// notification does at most 1 MiB before others have their turn. Memory is fixed. With labels,
/// OutputSink::together_milliseconds may pass in a write.
#pragma once

#include <sys/ioctl.h>
#include <termios.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/watch.hpp>
#include <portico/devices/backend.hpp>
#include <portico/devices/console_backend.hpp>
#include <portico/devices/descriptor_set.hpp>
#include <portico/devices/output_sink.hpp>
#include <portico/devices/wait.hpp>
#include <portico/virtio/device.hpp>

namespace portico {

/// In characters.
struct ConsoleSize {
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;

  friend bool operator==(ConsoleSize const&, ConsoleSize const&) = default;
};

/// Of the terminal `descriptor`; nothing if it is none.
[[nodiscard]] inline std::optional<ConsoleSize> terminal_size(int descriptor) noexcept {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0) return std::nullopt;
  return ConsoleSize{size.ws_col, size.ws_row};
}

/// The device over a backend as ConsoleBackend describes, or a variant of such. For one thread at a
/// time, but for `resize`.
template <class Backend>
class BasicConsole {
 public:
  static constexpr std::uint32_t virtio_id = 3;
  static constexpr std::array<std::uint16_t, 2> queue_sizes{128, 128};
  static constexpr std::size_t receiveq = 0;
  static constexpr std::size_t transmitq = 1;
  static constexpr unsigned size_feature = 0;
  static constexpr unsigned emergency_feature = 2;

  /// Bytes that are written, or read, at once.
  static constexpr std::size_t piece_bytes = 4096;
  /// Bytes of output for one call.
  static constexpr std::size_t most_bytes = 1 << 20;
  /// Buffers of each direction for one call: fewer than a queue gives at once, so that it ends.
  static constexpr std::size_t most_buffers = 100;
  /// After which output that nobody takes is tried again, at the latest.
  static constexpr unsigned retry_milliseconds = 5;
  /// How long the destructor, and `flush` if nothing else is said, wait for a reader.
  static constexpr int patience_milliseconds = 1000;

  /// struct virtio_console_config (5.3.4).
  struct Config {
    std::uint16_t columns = 0;
    std::uint16_t rows = 0;
    std::uint32_t ports = 0;            ///< without MULTIPORT there is no such field
    std::uint32_t emergency_write = 0;  ///< -w
  };

  /// What the guest sees beside queues.
  struct State {
    ConsoleSize size{};

    friend bool operator==(State const&, State const&) = default;
  };

  /// Without a size, the guest is told none. Throws std::system_error if the host has no
  /// descriptors left.
  explicit BasicConsole(Backend backend, std::optional<ConsoleSize> size = std::nullopt)
      : backend_{std::move(backend)},
        has_size_{size.has_value()},
        wanted_{size.value_or(ConsoleSize{})} {
    state_.size = size.value_or(ConsoleSize{});
  }

  BasicConsole(BasicConsole const&) = delete;
  BasicConsole& operator=(BasicConsole const&) = delete;

  /// As `flush`, without anybody left to ask for `lost`.
  // NOLINTNEXTLINE(bugprone-exception-escape): writing to a backend does not throw
  ~BasicConsole() {
    outgoing_.reset();  // its guest may be gone
    flush();
  }

  [[nodiscard]] std::uint64_t features() const noexcept {
    return std::uint64_t{has_size_} << size_feature | 1ULL << emergency_feature;
  }

  [[nodiscard]] Config config() const noexcept {
    return {.columns = state_.size.columns, .rows = state_.size.rows};
  }

  /// emerg_wr: a character, even from a driver that has set up nothing (5.3.5.1).
  void write_config(std::uint64_t offset, gsl::span<std::byte const> from) {
    if (offset != offsetof(Config, emergency_write) || from.empty()) return;
    if (pending_ == pieces_.size() && !write_out({{}, 0})) {
      lost_ += Written{0, 1, ETIMEDOUT};
      return;
    }
    pieces_[pending_++] = std::to_integer<std::uint8_t>(from[0]);
    if (!write_out({{}, 0})) set_.tell_in(retry_milliseconds);
  }

  void activate(VirtioQueues& queues) {
    take_size(queues);
    (void)queues.watch().arm(set_.descriptor());
  }

  void notified(std::size_t index, VirtioQueues& queues) {
    if (index == transmitq)
      transmit(queues);
    else
      receive(queues);
  }

  /// Input, room for output, another try, or another size.
  void event(VirtioQueues& queues) {
    set_.drain();
    take_size(queues);
    if (queues[transmitq].is_ready()) transmit(queues);
    if (queues[receiveq].is_ready()) receive(queues);
    (void)queues.watch().arm(set_.descriptor());
  }

  void reset_queue(std::size_t index) {
    if (index == transmitq) outgoing_.reset();
  }

  void reset() { outgoing_.reset(); }

  /// The console has another size now: the guest is told, if it had one. From any thread.
  void resize(ConsoleSize size) noexcept {
    wanted_.store(size, std::memory_order_release);
    set_.wake();
  }

  /// Writes out what was taken from the driver. Waits for the reader as `limit` says; what he has
  /// not taken then is lost, and counted. For the program, when no vCPU runs.
  void flush(WaitLimit const& limit = {{}, patience_milliseconds}) {
    do {
      if (write_out(limit)) continue;
      std::uint64_t const rest = outgoing_ ? outgoing_->readable_left() : 0;
      lost_ += Written{0, std::exchange(pending_, 0) + static_cast<std::size_t>(rest), ETIMEDOUT};
      outgoing_.reset();
    } while (fill());
  }

  /// Output that was lost so far. Under the lock of the map's entry while vCPUs run.
  [[nodiscard]] OutputLoss const& lost() const noexcept { return lost_; }

  /// Likewise: a pseudo-terminal's name, a test's output.
  [[nodiscard]] Backend& backend() noexcept { return backend_; }

  /// A buffer that is going out is sent again from its beginning.
  [[nodiscard]] State save() const noexcept { return state_; }

  /// Then the guest is told if the console's size is another one here.
  void load(State const& state) noexcept {
    outgoing_.reset();
    state_ = state;
  }

 private:
  /// The descriptor that one of the two functions gives; -1 if the backend does not have it.
  [[nodiscard]] int input_descriptor() const {
    return detail::with_backend(backend_, [](auto const& chosen) {
      if constexpr (requires { chosen.input_descriptor(); })
        return chosen.input_descriptor();
      else
        return -1;
    });
  }

  [[nodiscard]] int output_descriptor() const {
    return detail::with_backend(backend_, [](auto const& chosen) {
      if constexpr (requires { chosen.output_descriptor(); })
        return chosen.output_descriptor();
      else
        return -1;
    });
  }

  void take_size(VirtioQueues& queues) noexcept {
    ConsoleSize const size = wanted_.load(std::memory_order_acquire);
    if (!has_size_ || size == state_.size) return;
    state_.size = size;
    queues.config_changed();
  }

  /// Writes what the driver has made available, as far as the host takes it and the turn lasts.
  void transmit(VirtioQueues& queues) {
    std::size_t done = 0;
    std::size_t buffers = 0;
    for (;;) {
      if (!write_out({{}, 0})) {
        (void)set_.add_output(output_descriptor());
        set_.tell_in(retry_milliseconds);
        return;
      }
      if (done >= most_bytes || buffers >= most_buffers) return set_.wake();
      while (pending_ < pieces_.size() && buffers < most_buffers) {
        if (!outgoing_) {
          outgoing_ = queues[transmitq].take();
          ++buffers;
        }
        if (!outgoing_) break;
        (void)fill();
      }
      if (pending_ == 0) return set_.remove_output();
      done += pending_;
    }
  }

  /// Copies from the buffer that is going out, for the guest may change it; gives it back at its
  /// end. False if there is nothing to write then.
  bool fill() {
    if (!outgoing_) return pending_ > 0;
    gsl::span<std::uint8_t> const room{pieces_.data() + pending_, pieces_.size() - pending_};
    pending_ += outgoing_->read(gsl::as_writable_bytes(room));
    if (outgoing_->readable_left() == 0) outgoing_.reset();
    return pending_ > 0;
  }

  /// False if the host keeps bytes waiting that `limit` does not wait for.
  bool write_out(WaitLimit const& limit) {
    if (pending_ == 0) return true;
    Written const result = detail::with_backend(backend_, [&](auto& chosen) {
      return chosen.write(gsl::span<std::uint8_t const>{pieces_.data(), pending_}, limit);
    });
    lost_ += result;
    pending_ -= result.taken;
    std::memmove(pieces_.data(), pieces_.data() + result.taken, pending_);
    return pending_ == 0;
  }

  /// Gives the driver what there is to read, as far as it has buffers.
  void receive(VirtioQueues& queues) {
    for (std::size_t buffers = 0; buffers < most_buffers; ++buffers) {
      auto buffer = queues[receiveq].take();
      if (!buffer) return;
      if (buffer->writable_bytes() == 0) continue;  // the driver's mistake; it comes back empty
      std::array<std::uint8_t, piece_bytes> bytes;
      std::size_t const count = read(gsl::span<std::uint8_t>{bytes}.first(static_cast<std::size_t>(
          std::min<std::uint64_t>(bytes.size(), buffer->writable_bytes()))));
      if (count == 0) {
        queues[receiveq].put_back(std::move(*buffer));
        (void)set_.add_input(input_descriptor());
        return;
      }
      buffer->write(gsl::as_bytes(gsl::span<std::uint8_t const>{bytes.data(), count}));
    }
    set_.wake();
  }

  /// What is there, without waiting; how many bytes.
  std::size_t read(gsl::span<std::uint8_t> to) {
    return detail::with_backend(backend_, [&](auto& chosen) {
      std::size_t count = 0;
      while (count < to.size()) {
        Input const got = chosen.try_read();
        if (got.status != InputStatus::byte) break;
        to[count++] = got.value;
      }
      return count;
    });
  }

  Backend backend_;
  bool has_size_;
  std::atomic<ConsoleSize> wanted_;
  State state_{};
  DescriptorSet set_{};
  std::optional<VirtioChain> outgoing_{};  // not all of it is copied yet
  std::size_t pending_ = 0;                // bytes of pieces_ that are to be written
  std::array<std::uint8_t, piece_bytes> pieces_{};
  OutputLoss lost_{};
};

/// With the backend chosen at run time.
using Console = BasicConsole<ConsoleBackend>;

}  // namespace portico
