/// What the author of a virtio device writes, and what the transport gives to it.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/virtio/mmio.hpp>
///     struct Echo {                                            // gives every buffer its own bytes
///       static constexpr std::uint32_t virtio_id = 63;         // VIRTIO 1.2, chapter 5
///       static constexpr std::array<std::uint16_t, 1> queue_sizes{64};      // maximum of each
///       void notified(std::size_t index, portico::VirtioQueues& queues) {
///         while (auto chain = queues[index].take())
///           if (auto const value = chain->read<std::uint32_t>()) (void)chain->write(*value);
///       }
///     };
///     using Board = portico::DeviceMap<
///         portico::Mmio<0xD000'0000, portico::VirtioMmio<Echo>, portico::Irq<5>>>;
///
/// Beside these three a device may have:
///
/// * `std::uint64_t features() const`: the bits of its own that it offers, 0 to 23 and 50 to 63
/// * `bool accepts(std::uint64_t features)`: whether it can work with what the driver chose
/// * `Config config() const`: its configuration, trivially copyable, 256 bytes at most
/// * `void write_config(std::uint64_t offset, gsl::span<std::byte const>)`: the driver writes there
/// * `void activate(VirtioQueues&)`: the driver is ready (DRIVER_OK)
/// * `void event(VirtioQueues&)`: what `queues.watch().arm(descriptor)` waited for has come
/// * `void reset()`: drops or waits for what is under way; when it returns nobody touches guest
///   memory for this device any more
/// * `void reset_queue(std::size_t index)`: the same for one queue; VIRTIO_F_RING_RESET is offered
/// * `State`, `State save() const`, `void load(State const&)`: what the guest can see besides
///
/// All are called one at a time, under the lock of the map's entry. Nobody raises interrupts: the
/// transport does after each call, if the driver wants one. `notified` is called only between
/// DRIVER_OK and the next reset, for queues that are ready; it may come without a new buffer.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/watch.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/virtio/queue.hpp>

namespace portico {

/// The device status register's bits (2.1).
struct VirtioStatus {
  static constexpr std::uint32_t acknowledge = 1;
  static constexpr std::uint32_t driver = 2;
  static constexpr std::uint32_t driver_ok = 4;
  static constexpr std::uint32_t features_ok = 8;
  static constexpr std::uint32_t needs_reset = 64;
  static constexpr std::uint32_t failed = 128;
};

/// Numbers of feature bits that belong to no device (chapter 6).
struct VirtioFeature {
  static constexpr unsigned indirect_descriptors = 28;
  static constexpr unsigned event_index = 29;
  static constexpr unsigned version_1 = 32;
  static constexpr unsigned ring_reset = 40;

  /// The bits 0 to 23 and 50 to 63, which belong to the device (2.2).
  static constexpr std::uint64_t of_the_device = 0xFFFC'0000'00FF'FFFF;
};

/// What a device sees of its transport, for the length of a call.
class VirtioQueues {
 public:
  /// For transports. `watch` is nothing for a device without `event`.
  VirtioQueues(gsl::span<VirtioQueue> queues, std::uint64_t features, GuestMemory const& memory,
               Watch* watch) noexcept
      : queues_{queues}, features_{features}, memory_{&memory}, watch_{watch} {}

  /// Queue `index`, below `size()`.
  [[nodiscard]] VirtioQueue& operator[](std::size_t index) const noexcept { return queues_[index]; }

  /// As many as the device has `queue_sizes`.
  [[nodiscard]] std::size_t size() const noexcept { return queues_.size(); }

  /// Whether feature bit number `bit` was negotiated.
  [[nodiscard]] bool has(unsigned bit) const noexcept { return (features_ >> bit & 1) != 0; }

  /// Waits for descriptors of the host. Only for a device that has `event`.
  [[nodiscard]] Watch& watch() const noexcept {
    Expects(watch_ != nullptr);
    return *watch_;
  }

  /// `config()` gives something else from now on: the driver is told.
  void config_changed() noexcept { config_changed_ = true; }

  /// The guest's RAM. Buffers are reached by their chains; this is for addresses inside of them.
  [[nodiscard]] GuestMemory const& memory() const noexcept { return *memory_; }

  /// For transports.
  [[nodiscard]] bool take_config_changed() noexcept {
    return std::exchange(config_changed_, false);
  }

 private:
  gsl::span<VirtioQueue> queues_;
  std::uint64_t features_;
  GuestMemory const* memory_;
  Watch* watch_;
  bool config_changed_ = false;
};

/// What a transport asks of a device at least.
template <class Device>
concept VirtioDevice = requires(Device& device, VirtioQueues& queues) {
  { Device::virtio_id } -> std::convertible_to<std::uint32_t>;
  { Device::queue_sizes.size() } -> std::convertible_to<std::size_t>;
  device.notified(std::size_t{0}, queues);
};

}  // namespace portico
