/// What every transport of a virtio device does: status, features, queues, interrupts.
///
///     #include <portico/device/irq_line.hpp>
///     #include <portico/virtio/entropy.hpp>
///     #include <portico/virtio/transport.hpp>
///     using Transport = portico::detail::VirtioTransport<portico::Entropy>;
///     void ring(Transport& transport, portico::GuestMemory& ram, portico::IrqLine& line) {
///       transport.notify(0, ram, line, ram);        // a device with events gets its Watch last
///     }
///
/// A transport by registers is a thin layer over it (mmio.hpp). Internal to the library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/made_by.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/watch.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/virtio/device.hpp>
#include <portico/virtio/queue.hpp>
#include <portico/virtio/state.hpp>

namespace portico::detail {

/// One device, its queues, and the state that the driver drives it through.
template <VirtioDevice Device>
class VirtioTransport {
 public:
  static constexpr std::size_t queue_count = Device::queue_sizes.size();
  static constexpr bool has_event = has_virtio_event<Device>;
  static constexpr std::uint32_t buffers_used = 1;  ///< of the interrupt status
  static constexpr std::uint32_t config_changed = 2;

  /// What the calls take last: a device without events has no watch, and gets once more what it
  /// has.
  using Waits = std::conditional_t<has_event, Watch, GuestMemory>;

  using State = VirtioState<queue_count, typename VirtioDeviceState<Device>::type>;

  VirtioTransport()
    requires std::is_default_constructible_v<Device>
  = default;

  /// From what the device is constructed from.
  template <class Argument>
    requires(!std::is_same_v<std::remove_cvref_t<Argument>, VirtioTransport> &&
             std::is_constructible_v<Device, Argument>)
  explicit VirtioTransport(Argument&& argument) : device_(std::forward<Argument>(argument)) {}

  /// From a callable that returns the device, which is built in place.
  template <class Argument>
    requires(!std::is_constructible_v<Device, Argument> && std::is_invocable_r_v<Device, Argument>)
  explicit VirtioTransport(Argument&& argument)
      : device_(made_by(std::forward<Argument>(argument))) {}

  VirtioTransport(VirtioTransport&&) = default;
  VirtioTransport(VirtioTransport const&) = delete;
  VirtioTransport& operator=(VirtioTransport const&) = delete;
  VirtioTransport& operator=(VirtioTransport&&) = delete;

  /// Chains that the device holds go without the guest being told: its memory may be gone.
  ~VirtioTransport() { halt(); }

  /// The device itself; under the lock of the map's entry while vCPUs run.
  [[nodiscard]] Device& device() noexcept { return device_; }

  [[nodiscard]] Device const& device() const noexcept { return device_; }

  /// What the driver has set.
  [[nodiscard]] VirtioRegisters& registers() noexcept { return registers_; }

  /// The selected queue; nothing if there is none.
  [[nodiscard]] VirtioQueue* queue() noexcept {
    return registers_.queue_select < queue_count ? &queues_[registers_.queue_select] : nullptr;
  }

  /// What the driver may set of the selected queue; nothing if there is none, or it is ready.
  [[nodiscard]] VirtioQueuePlace* place() noexcept {
    VirtioQueue* const selected = queue();
    return selected != nullptr && !selected->was_made_ready() ? &selected->place() : nullptr;
  }

  /// The features that are offered.
  [[nodiscard]] std::uint64_t offered() const {
    std::uint64_t features = 1ULL << VirtioFeature::version_1 |
                             1ULL << VirtioFeature::indirect_descriptors |
                             1ULL << VirtioFeature::event_index;
    if constexpr (has_queue_reset<Device>) features |= 1ULL << VirtioFeature::ring_reset;
    if constexpr (requires { device_.features(); })
      features |= device_.features() & VirtioFeature::of_the_device;
    return features;
  }

  /// 32 of the features that the driver accepts; not after FEATURES_OK.
  void set_driver_features(std::uint32_t bits) {
    if (has_status(VirtioStatus::features_ok)) return;
    std::uint32_t const word = registers_.driver_features_select;
    if (word < 2) {
      std::uint64_t const others = registers_.driver_features & ~(0xFFFF'FFFFULL << 32 * word);
      registers_.driver_features = others | std::uint64_t{bits} << 32 * word;
    } else if (bits != 0) {
      registers_.unknown_features = true;
    }
  }

  /// The selected queue is ready, or not to be used any more.
  void set_queue_ready(bool ready, GuestMemory& memory, IrqLine& line) {
    if (queue() == nullptr || ready == queue()->was_made_ready()) return;
    if (ready) {
      queue()->make_ready(memory);
      if (is_live()) start_queues(memory);
    } else {
      give_up_queue();
    }
    fail_if_broken();
    settle(line);
  }

  /// There may be buffers in queue `index`.
  void notify(std::uint32_t index, GuestMemory& memory, IrqLine& line, Waits& waits) {
    serve(memory, line, waits, [&](VirtioQueues& queues) {
      if (index < queue_count && queues_[index].is_ready()) device_.notified(index, queues);
    });
  }

  /// What the device's watch has waited for.
  void event(GuestMemory& memory, IrqLine& line, Watch& watch)
    requires has_event
  {
    serve(memory, line, watch, [&](VirtioQueues& queues) { device_.event(queues); });
  }

  /// Takes bits of the interrupt status back.
  void acknowledge(std::uint32_t bits, IrqLine& line) {
    std::uint32_t const before =
        std::exchange(registers_.interrupt_status, registers_.interrupt_status & ~bits);
    if (registers_.interrupt_status != before) drive(line, false);
    settle(line);
  }

  /// Sets bits of the status; 0 resets the device.
  void set_status(std::uint32_t value, GuestMemory& memory, IrqLine& line, Waits& waits) {
    if (value == 0) return reset(line, waits);
    std::uint32_t const before = registers_.status;
    registers_.status |=
        value & (VirtioStatus::acknowledge | VirtioStatus::driver | VirtioStatus::failed);
    // Once: the device hears of what was agreed upon, and its driver may write Status again.
    if ((value & ~before & VirtioStatus::features_ok) != 0 && is_acceptable())
      registers_.status |= VirtioStatus::features_ok;
    if ((value & VirtioStatus::driver_ok) != 0 && has_status(VirtioStatus::features_ok))
      registers_.status |= VirtioStatus::driver_ok;
    if ((registers_.status & ~before & VirtioStatus::driver_ok) == 0) return;
    if (has_status(VirtioStatus::needs_reset)) registers_.interrupt_status |= config_changed;
    start(memory, line, waits);
  }

  /// Resets the selected queue, if that was negotiated.
  void reset_queue() {
    if constexpr (has_queue_reset<Device>) {
      if (queue() == nullptr || !has_feature(VirtioFeature::ring_reset)) return;
      queue()->reset();
      device_.reset_queue(registers_.queue_select);
    }
  }

  /// The device's configuration, then zeros.
  void read_config(std::uint64_t offset, gsl::span<std::byte> to) {
    for (std::byte& byte : to) byte = std::byte{0};
    if constexpr (has_virtio_config<Device>) {
      auto const config = device_.config();
      static_assert(sizeof config <= 256, "a virtio device: config() is too large.");
      if (offset >= sizeof config) return;
      std::size_t const rest = sizeof config - static_cast<std::size_t>(offset);
      std::memcpy(to.data(), reinterpret_cast<std::byte const*>(&config) + offset,
                  rest < to.size() ? rest : to.size());
    }
  }

  /// The same; what reaches past it is dropped.
  void write_config(std::uint64_t offset, gsl::span<std::byte const> from) {
    if constexpr (has_virtio_config<Device> && requires { device_.write_config(offset, from); }) {
      if (offset + from.size() <= sizeof device_.config()) device_.write_config(offset, from);
    }
  }

  /// Buffers that the device holds are saved as to be taken again.
  [[nodiscard]] State save() const {
    State state{.registers = registers_};
    for (std::size_t index = 0; index < queue_count; ++index)
      state.queues[index] = queues_[index].save();
    if constexpr (requires { typename Device::State; }) state.device = device_.save();
    return state;
  }

  /// What is under way is given up first. The device goes on, and drives its line, when the guest
  /// or the program next writes QueueNotify, of whichever queue.
  void load(State const& state) {
    halt();
    reset_device();
    registers_ = state.registers;
    for (std::size_t index = 0; index < queue_count; ++index)
      queues_[index].load(state.queues[index]);
    if constexpr (requires { typename Device::State; }) device_.load(state.device);
    loaded_ = true;
    line_is_high_ = false;
  }

 private:
  static std::array<VirtioQueue, queue_count> make_queues() {
    return []<std::size_t... Index>(std::index_sequence<Index...>) {
      return std::array<VirtioQueue, queue_count>{VirtioQueue{Device::queue_sizes[Index]}...};
    }(std::make_index_sequence<queue_count>{});
  }

  [[nodiscard]] bool has_status(std::uint32_t bit) const noexcept {
    return (registers_.status & bit) != 0;
  }

  [[nodiscard]] bool has_feature(unsigned bit) const noexcept {
    return (registers_.driver_features >> bit & 1) != 0;
  }

  [[nodiscard]] bool is_live() const noexcept {
    return has_status(VirtioStatus::driver_ok) && !has_status(VirtioStatus::needs_reset);
  }

  [[nodiscard]] bool is_acceptable() {
    std::uint64_t const chosen = registers_.driver_features;
    if ((chosen & ~offered()) != 0 || registers_.unknown_features) return false;
    if (!has_feature(VirtioFeature::version_1)) return false;
    if constexpr (requires { device_.accepts(chosen); }) return device_.accepts(chosen);
    return true;
  }

  /// DRIVER_OK. The driver may have filled queues before, without a notification.
  void start(GuestMemory& memory, IrqLine& line, Waits& waits) {
    start_queues(memory);
    fail_if_broken();
    serve(memory, line, waits, [&](VirtioQueues& queues) { begin(queues); });
  }

  void start_queues(GuestMemory const& memory) noexcept {
    for (VirtioQueue& each : queues_)
      each.start(memory, has_feature(VirtioFeature::indirect_descriptors),
                 has_feature(VirtioFeature::event_index));
  }

  void begin(VirtioQueues& queues) {
    if constexpr (requires { device_.activate(queues); }) device_.activate(queues);
    for (std::size_t index = 0; index < queue_count; ++index)
      if (queues_[index].is_ready()) device_.notified(index, queues);
  }

  /// Lets the device work, if it may, and then does what it has caused.
  template <class Work>
  void serve(GuestMemory& memory, IrqLine& line, Waits& waits, Work work) {
    if (!is_live()) return settle(line);
    Watch* watch = nullptr;
    if constexpr (has_event) watch = &waits;
    VirtioQueues queues{queues_, registers_.driver_features, memory, watch};
    for (VirtioQueue& each : queues_) each.begin_batch();
    if (std::exchange(loaded_, false)) {
      start_queues(memory);
      begin(queues);
    }
    work(queues);
    conclude(queues, line);
    while (go_on(queues)) conclude(queues, line);
  }

  /// Whether there was a queue whose batch was full: the device got another.
  [[nodiscard]] bool go_on(VirtioQueues& queues) {
    bool went_on = false;
    for (std::size_t index = 0; index < queue_count; ++index) {
      if (!queues_[index].was_cut_short()) continue;
      queues_[index].begin_batch();
      device_.notified(index, queues);
      went_on = true;
    }
    return went_on;
  }

  void conclude(VirtioQueues& queues, IrqLine& line) {
    for (VirtioQueue& each : queues_)
      if (each.wants_interrupt()) registers_.interrupt_status |= buffers_used;
    if (queues.take_config_changed()) {
      ++registers_.config_generation;
      registers_.interrupt_status |= config_changed;
    }
    fail_if_broken();
    settle(line);
  }

  /// A queue that was broken takes the device with it, until it is reset.
  void fail_if_broken() noexcept {
    for (VirtioQueue const& each : queues_)
      if (each.is_broken()) return fail();
  }

  void fail() noexcept {
    if (has_status(VirtioStatus::needs_reset)) return;
    registers_.status |= VirtioStatus::needs_reset;
    if (has_status(VirtioStatus::driver_ok)) registers_.interrupt_status |= config_changed;
    halt();
  }

  void halt() noexcept {
    for (VirtioQueue& each : queues_) each.halt();
  }

  /// QueueReady 0. What the device holds of one queue it gives up if it can; else only all.
  void give_up_queue() {
    bool const holds = queue()->outstanding() > 0;
    queue()->make_unready();
    if constexpr (has_queue_reset<Device>) {
      device_.reset_queue(registers_.queue_select);
    } else if (holds) {
      fail();
      reset_device();
    }
  }

  void reset(IrqLine& line, [[maybe_unused]] Waits& waits) {
    for (VirtioQueue& each : queues_) each.reset();
    reset_device();
    if constexpr (has_event) waits.disarm();
    registers_ = {.config_generation = registers_.config_generation};
    loaded_ = false;
    settle(line);
  }

  void reset_device() {
    if constexpr (requires { device_.reset(); }) device_.reset();
  }

  void settle(IrqLine& line) noexcept { drive(line, registers_.interrupt_status != 0); }

  void drive(IrqLine& line, bool level) noexcept {
    if (level != std::exchange(line_is_high_, level)) line.set(level);
  }

  std::array<VirtioQueue, queue_count> queues_ = make_queues();
  VirtioRegisters registers_{};
  bool line_is_high_ = false;
  bool loaded_ = false;
  Device device_{};
};

}  // namespace portico::detail
