/// A virtio device on memory-mapped registers.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/device/locked.hpp>
///     #include <portico/virtio/entropy.hpp>
///     #include <portico/virtio/mmio.hpp>
///     using Random = portico::VirtioMmio<portico::Entropy>;
///     using Board = portico::DeviceMap<                        // Locked: for several vCPUs
///         portico::Mmio<0xD000'0000, portico::Locked<Random>, portico::Irq<5>>>;
///     Board board{portico::Entropy{}};
///
/// *Emulated*: VIRTIO 1.2, section 4.2, register layout version 2, over split virtqueues with
/// indirect descriptors and EVENT_IDX. The guest finds it by ACPI ("LNRO0005").
///
/// | register | offset | access | | register | offset | access |
/// | --- | --- | --- | --- | --- | --- | --- |
/// | MagicValue | 0x000 | r- | | QueueDescLow, High | 0x080, 0x084 | -w |
/// | Version | 0x004 | r- | | QueueDriverLow, High | 0x090, 0x094 | -w |
/// | DeviceID | 0x008 | r- | | QueueDeviceLow, High | 0x0A0, 0x0A4 | -w |
/// | VendorID | 0x00C | r- | | SHMSel | 0x0AC | -w |
/// | DeviceFeatures | 0x010 | r- | | SHMLenLow, High | 0x0B0, 0x0B4 | r- |
/// | DeviceFeaturesSel | 0x014 | -w | | SHMBaseLow, High | 0x0B8, 0x0BC | r- |
/// | DriverFeatures | 0x020 | -w | | QueueReset | 0x0C0 | rw |
/// | DriverFeaturesSel | 0x024 | -w | | ConfigGeneration | 0x0FC | r- |
/// | QueueSel | 0x030 | -w | | Config | 0x100 to 0x1FF | rw |
/// | QueueNumMax | 0x034 | r- | | InterruptStatus | 0x060 | r- |
/// | QueueNum | 0x038 | -w | | InterruptACK | 0x064 | -w |
/// | QueueReady | 0x044 | rw | | Status | 0x070 | rw |
/// | QueueNotify | 0x050 | -w | | | | |
///
/// All but Config are 32 bits wide. The line is high as long as InterruptStatus is not 0, and falls
/// and rises where an edge is needed, so that Irq<n> and Irq<n, Level> both do. After a driver's
/// mistake the device sets DEVICE_NEEDS_RESET and does nothing until it is reset.
///
/// *Not emulated*: the legacy layout, packed queues, IN_ORDER, NOTIFICATION_DATA, shared memory
/// regions (their length is -1), resetting one queue (unless the device has `reset_queue`).
///
/// *What a hostile guest can do*: break its own device until it resets it. See queue.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <portico/device/doorbell.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/registers.hpp>
#include <portico/virtio/device.hpp>
#include <portico/virtio/transport.hpp>

namespace portico {

namespace detail {

template <auto Notify, class Values>
struct QueueDoorbells;

template <auto Notify, std::uint64_t... Index>
struct QueueDoorbells<Notify, std::integer_sequence<std::uint64_t, Index...>> {
  using type = Doorbells<Doorbell<0x50, Notify, Index...>>;
};

}  // namespace detail

/// The transport around a device. For one thread at a time: place it in Locked for several vCPUs.
/// Moved only before the guest uses it.
template <VirtioDevice Device>
class VirtioMmio {
  using Transport = detail::VirtioTransport<Device>;
  using Place = detail::VirtioQueuePlace;

 public:
  static constexpr std::string_view acpi_hid = "LNRO0005";
  static constexpr std::size_t queue_count = Transport::queue_count;
  static constexpr std::uint64_t config_bytes = 0x100;

  /// The device's watch, if it has events.
  using Waits = typename Transport::Waits;

  /// What the guest can see.
  using State = typename Transport::State;

  VirtioMmio()
    requires std::is_default_constructible_v<Device>
  = default;

  /// From what the device is constructed from, or a callable that returns the device, which is
  /// built in place then.
  template <class Argument>
    requires(!std::is_same_v<std::remove_cvref_t<Argument>, VirtioMmio> &&
             std::is_constructible_v<Transport, Argument>)
  explicit VirtioMmio(Argument&& argument) : transport_(std::forward<Argument>(argument)) {}

  /// r-  "virt".
  std::uint32_t magic_value() { return 0x7472'6976; }

  /// r-  2: not the legacy layout.
  std::uint32_t version() { return 2; }

  /// r-  What the device is (chapter 5); 0 where there is none.
  std::uint32_t device_id() { return is_present() ? Device::virtio_id : 0; }

  /// r-  "PRTO".
  std::uint32_t vendor_id() { return 0x4F54'5250; }

  /// r-  32 of the features that are offered.
  std::uint32_t device_features() {
    std::uint32_t const word = transport_.registers().device_features_select;
    return word < 2 ? static_cast<std::uint32_t>(transport_.offered() >> 32 * word) : 0;
  }

  /// -w  Which.
  void select_device_features(std::uint32_t word) {
    transport_.registers().device_features_select = word;
  }

  /// -w  32 of the features that the driver accepts; not after FEATURES_OK.
  void set_driver_features(std::uint32_t bits) { transport_.set_driver_features(bits); }

  /// -w  Which.
  void select_driver_features(std::uint32_t word) {
    transport_.registers().driver_features_select = word;
  }

  /// -w  Which queue the queue registers are for.
  void select_queue(std::uint32_t index) { transport_.registers().queue_select = index; }

  /// r-  Its maximum size; 0 if there is no such queue.
  std::uint32_t queue_num_max() {
    VirtioQueue const* const queue = transport_.queue();
    return queue != nullptr ? queue->largest() : 0;
  }

  /// -w  Its size; this and its places are not changed while it is ready.
  void set_queue_num(std::uint32_t size) {
    if (Place* const place = transport_.place()) place->size = size;
  }

  /// r-  Whether it is ready.
  std::uint32_t queue_ready() {
    VirtioQueue const* const queue = transport_.queue();
    return queue != nullptr && queue->was_made_ready() ? 1 : 0;
  }

  /// -w  It is ready, or not to be used any more.
  void set_queue_ready(std::uint32_t value, GuestMemory& memory, IrqLine& line) {
    transport_.set_queue_ready((value & 1) != 0, memory, line);
  }

  /// -w  There may be buffers in queue `index`.
  void notify(std::uint32_t index, GuestMemory& memory, IrqLine& line, Waits& waits) {
    transport_.notify(index, memory, line, waits);
  }

  /// r-  Bit 0: buffers were used; bit 1: the configuration, or Status, has changed.
  std::uint32_t interrupt_status() { return transport_.registers().interrupt_status; }

  /// -w  Takes those bits back.
  void acknowledge(std::uint32_t bits, IrqLine& line) { transport_.acknowledge(bits, line); }

  /// r-  VirtioStatus.
  std::uint32_t status() { return transport_.registers().status; }

  /// -w  Sets bits; 0 resets the device.
  void set_status(std::uint32_t value, GuestMemory& memory, IrqLine& line, Waits& waits) {
    transport_.set_status(value, memory, line, waits);
  }

  /// -w  Where the selected queue's parts stand: each a guest address, in two halves.
  void set_queue_desc_low(std::uint32_t half) { set_low(&Place::descriptors, half); }

  void set_queue_desc_high(std::uint32_t half) { set_high(&Place::descriptors, half); }

  void set_queue_driver_low(std::uint32_t half) { set_low(&Place::available, half); }

  void set_queue_driver_high(std::uint32_t half) { set_high(&Place::available, half); }

  void set_queue_device_low(std::uint32_t half) { set_low(&Place::used, half); }

  void set_queue_device_high(std::uint32_t half) { set_high(&Place::used, half); }

  /// -w  Of the shared memory regions there are none.
  void select_shared_memory(std::uint32_t) {}

  /// r-  Length and base of one that does not exist.
  std::uint32_t shared_memory() { return 0xFFFF'FFFF; }

  /// r-  A reset is complete when its write is.
  std::uint32_t queue_reset() { return 0; }

  /// -w  1 resets the selected queue, if that was negotiated.
  void set_queue_reset(std::uint32_t value) {
    if (value == 1) transport_.reset_queue();
  }

  /// r-  Another number after each change of the configuration by the device.
  std::uint32_t config_generation() { return transport_.registers().config_generation; }

  /// r-  The device's configuration, then zeros.
  void read_config(std::uint64_t offset, gsl::span<std::byte> to) {
    transport_.read_config(offset, to);
  }

  /// -w  The same; what reaches past it is dropped.
  void write_config(std::uint64_t offset, gsl::span<std::byte const> from) {
    transport_.write_config(offset, from);
  }

  /// What the device's watch has waited for.
  void event(GuestMemory& memory, IrqLine& line, Watch& watch)
    requires Transport::has_event
  {
    transport_.event(memory, line, watch);
  }

  using registers = Registers<
      ReadOnly<0x000, &VirtioMmio::magic_value>, ReadOnly<0x004, &VirtioMmio::version>,
      ReadOnly<0x008, &VirtioMmio::device_id>, ReadOnly<0x00C, &VirtioMmio::vendor_id>,
      ReadOnly<0x010, &VirtioMmio::device_features>,
      WriteOnly<0x014, &VirtioMmio::select_device_features>,
      WriteOnly<0x020, &VirtioMmio::set_driver_features>,
      WriteOnly<0x024, &VirtioMmio::select_driver_features>,
      WriteOnly<0x030, &VirtioMmio::select_queue>, ReadOnly<0x034, &VirtioMmio::queue_num_max>,
      WriteOnly<0x038, &VirtioMmio::set_queue_num>,
      ReadWrite<0x044, &VirtioMmio::queue_ready, &VirtioMmio::set_queue_ready>,
      WriteOnly<0x050, &VirtioMmio::notify>, ReadOnly<0x060, &VirtioMmio::interrupt_status>,
      WriteOnly<0x064, &VirtioMmio::acknowledge>,
      ReadWrite<0x070, &VirtioMmio::status, &VirtioMmio::set_status>,
      WriteOnly<0x080, &VirtioMmio::set_queue_desc_low>,
      WriteOnly<0x084, &VirtioMmio::set_queue_desc_high>,
      WriteOnly<0x090, &VirtioMmio::set_queue_driver_low>,
      WriteOnly<0x094, &VirtioMmio::set_queue_driver_high>,
      WriteOnly<0x0A0, &VirtioMmio::set_queue_device_low>,
      WriteOnly<0x0A4, &VirtioMmio::set_queue_device_high>,
      WriteOnly<0x0AC, &VirtioMmio::select_shared_memory>,
      ReadOnly<0x0B0, &VirtioMmio::shared_memory>, ReadOnly<0x0B4, &VirtioMmio::shared_memory>,
      ReadOnly<0x0B8, &VirtioMmio::shared_memory>, ReadOnly<0x0BC, &VirtioMmio::shared_memory>,
      ReadWrite<0x0C0, &VirtioMmio::queue_reset, &VirtioMmio::set_queue_reset>,
      ReadOnly<0x0FC, &VirtioMmio::config_generation>,
      Bytes<0x100, config_bytes, &VirtioMmio::read_config, &VirtioMmio::write_config>>;

  /// QueueNotify, for each queue; which of several buffers is seen first does not matter.
  using doorbells =
      typename detail::QueueDoorbells<&VirtioMmio::notify,
                                      std::make_integer_sequence<std::uint64_t, queue_count>>::type;
  static constexpr bool doorbells_in_order = false;

  /// The device itself; under the lock of the map's entry while vCPUs run.
  [[nodiscard]] Device& device() noexcept { return transport_.device(); }

  /// False for an OptionalVirtio without its device: no table tells a guest of it.
  [[nodiscard]] bool is_present() const noexcept {
    if constexpr (requires(Device const& device) { device.is_present(); })
      return transport_.device().is_present();
    else
      return true;
  }

  /// Buffers that the device holds are saved as to be taken again.
  [[nodiscard]] State save() const { return transport_.save(); }

  /// What is under way is given up first. The device goes on, and drives its line, when the guest
  /// next writes QueueNotify, of whichever queue: a guest may wait without, so the program writes it
  /// once before it runs the machine.
  void load(State const& state) { transport_.load(state); }

 private:
  void set_low(std::uint64_t Place::* part, std::uint32_t half) noexcept {
    if (Place* const place = transport_.place())
      place->*part = (place->*part & 0xFFFF'FFFF'0000'0000) | half;
  }

  void set_high(std::uint64_t Place::* part, std::uint32_t half) noexcept {
    if (Place* const place = transport_.place())
      place->*part = (place->*part & 0xFFFF'FFFF) | std::uint64_t{half} << 32;
  }

  Transport transport_{};
};

}  // namespace portico
