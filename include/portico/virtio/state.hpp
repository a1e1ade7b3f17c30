/// What a guest can see of a virtio device, as values.
///
///     #include <portico/virtio/state.hpp>
///     using State = portico::VirtioState<2, int>;         // two queues, and an int of the device
///     State const before{.registers = {.status = 11}, .device = 7};
///
/// VirtioMmio's save() and load() take it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <portico/virtio/device.hpp>
#include <portico/virtio/queue.hpp>

namespace portico {

/// The registers that are not a queue's.
struct VirtioRegisters {
  std::uint32_t status = 0;
  std::uint32_t device_features_select = 0;
  std::uint32_t driver_features_select = 0;
  std::uint64_t driver_features = 0;
  bool unknown_features = false;  ///< the driver has accepted bits from 64 on
  std::uint32_t queue_select = 0;
  std::uint32_t interrupt_status = 0;
  std::uint32_t config_generation = 0;

  friend bool operator==(VirtioRegisters const&, VirtioRegisters const&) = default;
};

/// All that a guest can see of a virtio device.
template <std::size_t Queues, class DeviceState>
struct VirtioState {
  VirtioRegisters registers{};
  std::array<VirtioQueueState, Queues> queues{};
  DeviceState device{};

  friend bool operator==(VirtioState const&, VirtioState const&) = default;
};

namespace detail {

template <class Device>
inline constexpr bool has_virtio_event =
    requires(Device& device, VirtioQueues& queues) { device.event(queues); };

template <class Device>
inline constexpr bool has_queue_reset = requires(Device& device) { device.reset_queue(0); };

template <class Device>
inline constexpr bool has_virtio_config = requires(Device const& device) { device.config(); };

/// What a device saves of its own.
template <class Device>
struct VirtioDeviceState {
  struct type {
    friend bool operator==(type const&, type const&) = default;
  };
};

template <class Device>
  requires requires { typename Device::State; }
struct VirtioDeviceState<Device> {
  using type = typename Device::State;
};

}  // namespace detail

}  // namespace portico
