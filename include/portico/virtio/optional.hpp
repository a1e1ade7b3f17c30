/// A virtio device that a machine has or has not, as its user wishes: a disk that is given on the
/// command line.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/virtio/entropy.hpp>
///     #include <portico/virtio/mmio.hpp>
///     #include <portico/virtio/optional.hpp>
///     using Random = portico::OptionalVirtio<portico::Entropy>;
///     using Board = portico::DeviceMap<
///         portico::Mmio<0xD000'0000, portico::VirtioMmio<Random>, portico::Irq<5>>>;
///     Board make(bool wanted) {
///       return Board{[&] { return wanted ? Random{std::in_place} : Random{}; }};
///     }
///
/// Where it is not, its registers stay: DeviceID is 0, which is how VIRTIO 1.2 (4.2.2) has a board
/// say that nothing is in this place, and which drivers pass over. The tables for the guest do not
/// mention the entry, its interrupt line included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <portico/virtio/device.hpp>
#include <portico/virtio/transport.hpp>

namespace portico {

/// `Device`, or nothing; for VirtioMmio. It does not change while a machine runs.
template <VirtioDevice Device>
class OptionalVirtio {
 public:
  static constexpr std::uint32_t virtio_id = Device::virtio_id;
  static constexpr auto queue_sizes = Device::queue_sizes;

  using State = typename detail::VirtioDeviceState<Device>::type;

  /// Nothing.
  OptionalVirtio() = default;

  /// A device, made from these arguments.
  template <class... Arguments>
  explicit OptionalVirtio(std::in_place_t, Arguments&&... arguments)
      : device_{std::in_place, std::forward<Arguments>(arguments)...} {}

  [[nodiscard]] bool is_present() const noexcept { return device_.has_value(); }

  /// The device, or null; under the lock of the map's entry while vCPUs run.
  [[nodiscard]] Device* get() noexcept { return device_ ? &*device_ : nullptr; }

  // --- For the transport: all that the device has.

  [[nodiscard]] std::uint64_t features() const {
    if constexpr (requires { device_->features(); })
      if (device_) return device_->features();
    return 0;
  }

  [[nodiscard]] bool accepts(std::uint64_t features) {
    if constexpr (requires { device_->accepts(features); })
      if (device_) return device_->accepts(features);
    return true;
  }

  [[nodiscard]] auto config() const
    requires requires(Device const& device) { device.config(); }
  {
    return device_ ? device_->config() : decltype(device_->config()){};
  }

  void write_config(std::uint64_t offset, gsl::span<std::byte const> from)
    requires requires(Device& device) { device.write_config(offset, from); }
  {
    if (device_) device_->write_config(offset, from);
  }

  void activate(VirtioQueues& queues) {
    if constexpr (requires { device_->activate(queues); })
      if (device_) device_->activate(queues);
  }

  void notified(std::size_t index, VirtioQueues& queues) {
    if (device_) device_->notified(index, queues);
  }

  void event(VirtioQueues& queues)
    requires detail::has_virtio_event<Device>
  {
    if (device_) device_->event(queues);
  }

  void reset() {
    if constexpr (requires { device_->reset(); })
      if (device_) device_->reset();
  }

  void reset_queue(std::size_t index)
    requires detail::has_queue_reset<Device>
  {
    if (device_) device_->reset_queue(index);
  }

  [[nodiscard]] State save() const {
    if constexpr (requires { device_->save(); })
      if (device_) return device_->save();
    return {};
  }

  void load(State const& state) {
    if constexpr (requires { device_->load(state); })
      if (device_) device_->load(state);
  }

 private:
  std::optional<Device> device_{};
};

}  // namespace portico
