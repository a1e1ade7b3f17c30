/// A source of random numbers for the guest: virtio-rng.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/virtio/entropy.hpp>
///     #include <portico/virtio/mmio.hpp>
///     using Board = portico::DeviceMap<
///         portico::Mmio<0xD000'0000, portico::VirtioMmio<portico::Entropy>, portico::Irq<5>>>;
///
/// *Emulated*: VIRTIO 1.2, section 5.4. A buffer is filled up to 64 KiB of it; what a driver needs
/// more it asks for again.
///
/// *Not emulated*: nothing; the device has no features and no configuration.
///
/// *What a hostile guest can do*: let the host compute 64 KiB of random numbers for each buffer. If
/// the host has none, the device keeps the buffer and tries again at the next notification: one
/// that comes back empty would not do (5.4.6.2).
#pragma once

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/virtio/device.hpp>

namespace portico {

/// The host's random numbers: getrandom(2).
struct HostEntropy {
  /// False if the host has none.
  bool fill(gsl::span<std::byte> to) {
    while (!to.empty()) {
      ssize_t const got = ::getrandom(to.data(), to.size(), GRND_NONBLOCK);
      if (got < 0 && errno == EINTR) continue;  // kicked out of a guest that is to stop, say
      if (got <= 0) return false;
      to = to.subspan(static_cast<std::size_t>(got));
    }
    return true;
  }
};

/// The device over a source with `bool fill(gsl::span<std::byte>)`. For one thread at a time.
template <class Source = HostEntropy>
class BasicEntropy {
 public:
  static constexpr std::uint32_t virtio_id = 4;
  static constexpr std::array<std::uint16_t, 1> queue_sizes{64};
  static constexpr std::uint64_t most = 64 * 1024;  ///< bytes for each buffer

  BasicEntropy() = default;

  explicit BasicEntropy(Source source) : source_{std::move(source)} {}

  void notified(std::size_t, VirtioQueues& queues) {
    while (auto chain = queues[0].take()) {
      fill(*chain);
      if (chain->written() > 0 || chain->writable_bytes() == 0) continue;
      queues[0].put_back(std::move(*chain));
      return queues[0].ask_for_notification();
    }
  }

  /// Where the numbers come from; under the lock of the map's entry.
  [[nodiscard]] Source& source() noexcept { return source_; }

  /// How often the source has failed.
  [[nodiscard]] std::uint64_t failed() const noexcept { return failed_; }

 private:
  void fill(VirtioChain& chain) {
    for (iovec const& piece : chain.writable_vectors(most)) {
      if (!source_.fill({static_cast<std::byte*>(piece.iov_base), piece.iov_len})) {
        ++failed_;
        return;
      }
      chain.wrote(piece.iov_len);
    }
  }

  Source source_{};
  std::uint64_t failed_ = 0;
};

using Entropy = BasicEntropy<>;

}  // namespace portico
