// A virtio driver for tests, without a guest: it fills rings in guest memory and drives registers through a device map.
//
//   portico::test::VirtioRig<portico::Entropy> rig;
//   rig.start();                                            // all that is offered, all queues
//   auto const bytes = rig.request(0, {}, 32);              // one buffer there and back: what the device wrote
//
//   auto& queue = rig.queue(0);                             // or step by step
//   queue.add({{0x8000, 16, queue.readable}, {0x9000, 512, queue.writable}});
//   rig.kick(0);
//   auto const used = queue.use();                          // nothing, or head and length
//
// What is legal it does as VIRTIO 1.2 says; the raw calls are for what is not.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/locked.hpp>
#include <portico/device/watch.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/virtio/mmio.hpp>

namespace portico::test {

/// A piece of a buffer, in guest memory.
struct VirtioSegment {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  bool writable = false;
};

/// The driver's side of a split queue.
class VirtioRing {
 public:
  static constexpr bool readable = false;
  static constexpr bool writable = true;

  struct Used {
    std::uint16_t head = 0;
    std::uint32_t length = 0;
  };

  /// The queue's place is zeroed.
  VirtioRing(GuestMemory const& ram, detail::VirtioQueuePlace const& place, bool event_index)
      : ram_{&ram}, place_{place}, event_index_{event_index} {
    descriptors_ = clean(place.descriptors, 16ULL * place.size);
    available_ = clean(place.available, 6 + 2ULL * place.size);
    used_ = clean(place.used, 6 + 8ULL * place.size);
    for (std::uint32_t index = place.size; index-- > 0;)
      free_.push_back(static_cast<std::uint16_t>(index));
  }

  [[nodiscard]] std::uint32_t size() const { return place_.size; }

  [[nodiscard]] detail::VirtioQueuePlace const& place() const { return place_; }

  [[nodiscard]] std::size_t free_descriptors() const { return free_.size(); }

  [[nodiscard]] std::size_t outstanding() const { return chains_.size(); }

  /// Adds a buffer, visible from the next publish() on; its head, or nothing if the table is full. With a `table` all but the
  /// first `direct` segments stand in an indirect table at that address, 16 bytes each.
  std::optional<std::uint16_t> add(std::vector<VirtioSegment> const& segments,
                                   std::optional<std::uint64_t> table = {},
                                   std::size_t direct = 0) {
    std::size_t const in_ring = table ? direct + 1 : segments.size();
    if (free_.size() < in_ring) return std::nullopt;
    std::vector<std::uint16_t> chain;
    for (std::size_t at = 0; at < in_ring; ++at) {
      chain.push_back(free_.back());
      free_.pop_back();
    }
    for (std::size_t at = 0; at < in_ring; ++at) {
      bool const last = at + 1 == in_ring;
      auto descriptor = table && last
                            ? detail::VirtioDescriptor{*table,
                                                       static_cast<std::uint32_t>(
                                                           16 * (segments.size() - direct)),
                                                       detail::VirtioDescriptor::indirect, 0}
                            : plain(segments[at]);
      if (!last) link(descriptor, chain[at + 1]);
      set_descriptor(chain[at], descriptor);
    }
    if (table) fill_table(*table, segments, direct);
    offer(chain.front());
    std::uint16_t const head = chain.front();
    chains_[head] = std::move(chain);
    return head;
  }

  /// What was added becomes visible to the device.
  void publish() {
    published_ = added_;
    word(available_ + 2).store(added_, std::memory_order_seq_cst);
  }

  /// Whether a notification is due for what was published since the last call.
  [[nodiscard]] bool wants_notification() {
    std::uint16_t const before = std::exchange(asked_, published_);
    if (before == published_) return false;
    if (!event_index_) return (word(used_).load(std::memory_order_seq_cst) & 1) == 0;
    std::uint16_t const event =
        word(used_ + 4 + 8 * std::size_t{place_.size}).load(std::memory_order_seq_cst);
    return static_cast<std::uint16_t>(published_ - event - 1) <
           static_cast<std::uint16_t>(published_ - before);
  }

  /// The next buffer that came back. Throws if it is none of those that are out.
  std::optional<Used> use() {
    if (word(used_ + 2).load(std::memory_order_acquire) == seen_) return std::nullopt;
    std::byte const* const entry = used_ + 4 + 8 * std::size_t{seen_ & (place_.size - 1)};
    auto const head = load<std::uint32_t>(entry);
    auto const length = load<std::uint32_t>(entry + 4);
    auto const found =
        head < place_.size ? chains_.find(static_cast<std::uint16_t>(head)) : chains_.end();
    if (found == chains_.end())
      throw std::logic_error{"a buffer came back that was not out: " + std::to_string(head)};
    for (std::uint16_t const index : found->second) free_.push_back(index);
    chains_.erase(found);
    ++seen_;
    if (wants_interrupts_) want_interrupts(true);
    return Used{static_cast<std::uint16_t>(head), length};
  }

  /// Asks for an interrupt when the next buffer is used, or for none.
  void want_interrupts(bool wanted) {
    wants_interrupts_ = wanted;
    if (!event_index_)
      word(available_).store(wanted ? 0 : 1, std::memory_order_seq_cst);
    else if (wanted)
      set_used_event(seen_);
    else
      set_used_event(static_cast<std::uint16_t>(seen_ - 1));
  }

  /// Asks for an interrupt when entry number `at` is used (EVENT_IDX).
  void set_used_event(std::uint16_t at) {
    word(available_ + 4 + 2 * std::size_t{place_.size}).store(at, std::memory_order_seq_cst);
  }

  /// Whether an interrupt is due for the entries from `before` up to `after`, by the words of the specification.
  [[nodiscard]] bool is_interrupt_due(std::uint16_t before, std::uint16_t after) const {
    if (!event_index_)
      return before != after && (word(available_).load(std::memory_order_seq_cst) & 1) == 0;
    std::uint16_t const event =
        word(available_ + 4 + 2 * std::size_t{place_.size}).load(std::memory_order_seq_cst);
    for (std::uint16_t at = before; at != after; ++at)
      if (at == event) return true;
    return false;
  }

  [[nodiscard]] std::uint16_t used_index() const {
    return word(used_ + 2).load(std::memory_order_seq_cst);
  }

  [[nodiscard]] std::uint16_t used_flags() const {
    return word(used_).load(std::memory_order_seq_cst);
  }

  [[nodiscard]] std::uint16_t available_event() const {
    return word(used_ + 4 + 8 * std::size_t{place_.size}).load(std::memory_order_seq_cst);
  }

  // --- Raw: nothing is kept in mind, so use() does not know of it

  void set_descriptor(std::uint16_t index, detail::VirtioDescriptor const& descriptor) {
    store(descriptors_ + 16 * std::size_t{index}, descriptor);
  }

  [[nodiscard]] detail::VirtioDescriptor descriptor(std::uint16_t index) const {
    return load<detail::VirtioDescriptor>(descriptors_ + 16 * std::size_t{index});
  }

  /// The next entry of the available ring, visible from the next publish() on.
  void offer(std::uint16_t head) {
    word(available_ + 4 + 2 * std::size_t{added_ & (place_.size - 1)})
        .store(head, std::memory_order_relaxed);
    ++added_;
  }

  void set_available_index(std::uint16_t index) {
    word(available_ + 2).store(index, std::memory_order_seq_cst);
  }

  [[nodiscard]] std::uint16_t available_index() const {
    return word(available_ + 2).load(std::memory_order_seq_cst);
  }

 private:
  [[nodiscard]] std::byte* clean(std::uint64_t address, std::uint64_t length) const {
    auto const bytes = ram_->span(address, length);
    if (!bytes) throw std::logic_error{"a legal ring is in RAM"};
    std::memset(bytes->data(), 0, bytes->size());
    return bytes->data();
  }

  [[nodiscard]] static std::atomic_ref<std::uint16_t> word(std::byte* at) {
    return std::atomic_ref<std::uint16_t>{*reinterpret_cast<std::uint16_t*>(at)};
  }

  static detail::VirtioDescriptor plain(VirtioSegment const& segment) {
    return {segment.address, segment.length,
            segment.writable ? detail::VirtioDescriptor::writable : std::uint16_t{0}, 0};
  }

  static void link(detail::VirtioDescriptor& descriptor, std::uint16_t next) {
    descriptor.flags =
        static_cast<std::uint16_t>(descriptor.flags | detail::VirtioDescriptor::has_next);
    descriptor.next = next;
  }

  /// In reverse order, the first at index 0: `next` is not always the one behind.
  void fill_table(std::uint64_t table, std::vector<VirtioSegment> const& segments,
                  std::size_t first) const {
    std::size_t const count = segments.size() - first;
    auto const place = [&](std::size_t at) {
      return static_cast<std::uint16_t>(at == 0 ? 0 : count - at);
    };
    for (std::size_t at = 0; at < count; ++at) {
      auto descriptor = plain(segments[first + at]);
      if (at + 1 < count) link(descriptor, place(at + 1));
      if (!ram_->write(table + std::uint64_t{16} * place(at), descriptor))
        throw std::logic_error{"a legal table is in RAM"};
    }
  }

  GuestMemory const* ram_;
  detail::VirtioQueuePlace place_;
  bool event_index_;
  bool wants_interrupts_ = true;
  std::byte* descriptors_ = nullptr;
  std::byte* available_ = nullptr;
  std::byte* used_ = nullptr;
  std::vector<std::uint16_t> free_{};
  std::map<std::uint16_t, std::vector<std::uint16_t>> chains_{};
  std::uint16_t added_ = 0;
  std::uint16_t published_ = 0;
  std::uint16_t asked_ = 0;
  std::uint16_t seen_ = 0;
};

/// A device on the transport in a map, and its driver. `Held` is what the entry holds: VirtioMmio, or Locked of it.
template <class Device, class Held = VirtioMmio<Device>>
class VirtioRig {
 public:
  static constexpr std::uint64_t base = 0xD000'0000;
  static constexpr std::size_t queue_count = VirtioMmio<Device>::queue_count;
  using Board = DeviceMap<Mmio<base, Held, Irq<5, Level>>>;

  VirtioRig() : VirtioRig{[] { return Device{}; }} {}

  /// From a device, or a callable that returns one.
  template <class Argument>
    requires(!std::same_as<std::remove_cvref_t<Argument>, VirtioRig>)
  explicit VirtioRig(Argument&& argument, std::uint64_t ram_bytes = 1 * MiB)
      : ram{ram_bytes}, board{[&] { return Held(std::forward<Argument>(argument)); }} {}

  std::uint32_t read(std::uint64_t offset) {
    return board.template load<std::uint32_t>(base + offset, context);
  }

  void write(std::uint64_t offset, std::uint32_t value) {
    if (!board.store(base + offset, value, context)) throw std::logic_error{"no such register"};
  }

  template <class Value>
  Value config(std::uint64_t offset) {
    return board.template load<Value>(base + 0x100 + offset, context);
  }

  template <class Value>
  void set_config(std::uint64_t offset, Value value) {
    if (!board.store(base + 0x100 + offset, value, context))
      throw std::logic_error{"no such register"};
  }

  [[nodiscard]] std::uint64_t offered() {
    write(0x014, 1);
    std::uint64_t const high = read(0x010);
    write(0x014, 0);
    return high << 32 | read(0x010);
  }

  /// Reset, ACKNOWLEDGE, DRIVER, the features, FEATURES_OK; whether the device agrees.
  bool negotiate(std::uint64_t features) {
    write(0x070, 0);
    queues_.clear();
    next_free_ = first_free;
    write(0x070, 1);
    write(0x070, 3);
    write(0x024, 0);
    write(0x020, static_cast<std::uint32_t>(features));
    write(0x024, 1);
    write(0x020, static_cast<std::uint32_t>(features >> 32));
    write(0x070, 11);
    features_ = features;
    return (read(0x070) & VirtioStatus::features_ok) != 0;
  }

  [[nodiscard]] bool has(unsigned bit) const { return (features_ >> bit & 1) != 0; }

  /// Gives a queue its place; `size` 0 is the largest.
  VirtioRing& set_up_queue(std::uint32_t index, std::uint32_t size = 0) {
    write(0x030, index);
    detail::VirtioQueuePlace place{.size = size == 0 ? read(0x034) : size};
    place.descriptors = allocate(16ULL * place.size, 16);
    place.available = allocate(6 + 2ULL * place.size, 2);
    place.used = allocate(6 + 8ULL * place.size, 4);
    queues_.erase(index);
    auto& queue =
        queues_.try_emplace(index, ram, place, has(VirtioFeature::event_index)).first->second;
    place_queue(index, place);
    write(0x044, 1);
    return queue;
  }

  /// The registers of a queue's place, whatever it is.
  void place_queue(std::uint32_t index, detail::VirtioQueuePlace const& place) {
    write(0x030, index);
    write(0x038, place.size);
    write(0x080, static_cast<std::uint32_t>(place.descriptors));
    write(0x084, static_cast<std::uint32_t>(place.descriptors >> 32));
    write(0x090, static_cast<std::uint32_t>(place.available));
    write(0x094, static_cast<std::uint32_t>(place.available >> 32));
    write(0x0A0, static_cast<std::uint32_t>(place.used));
    write(0x0A4, static_cast<std::uint32_t>(place.used >> 32));
  }

  /// The whole of it, up to DRIVER_OK. Throws if the device does not take the features.
  void start(std::uint64_t features, std::uint32_t size = 0) {
    if (!negotiate(features)) throw std::logic_error{"the device refuses the features"};
    for (std::uint32_t index = 0; index < queue_count; ++index) set_up_queue(index, size);
    write(0x070, 15);
  }

  void start() { start(offered()); }

  /// Queues that set_up_queue has placed.
  [[nodiscard]] VirtioRing& queue(std::uint32_t index) { return queues_.at(index); }

  /// Publishes, and notifies if the device wants to know; whether it did.
  bool kick(std::uint32_t index) {
    queue(index).publish();
    if (!queue(index).wants_notification()) return false;
    write(0x050, index);
    return true;
  }

  /// InterruptStatus, acknowledged.
  std::uint32_t take_interrupts() {
    std::uint32_t const status = read(0x060);
    write(0x064, status);
    return status;
  }

  [[nodiscard]] bool needs_reset() { return (read(0x070) & VirtioStatus::needs_reset) != 0; }

  /// Guest memory that nobody uses until the next negotiation.
  std::uint64_t allocate(std::uint64_t bytes, std::uint64_t alignment = 16) {
    std::uint64_t const at = align_up(next_free_, alignment);
    if (!ram.contains(at, bytes)) throw std::logic_error{"the guest is out of memory"};
    next_free_ = at + bytes;
    return at;
  }

  /// One buffer there and back, at a device that answers at once: what was written, as long as the device says. The memory
  /// for it is free again afterwards.
  std::vector<std::byte> request(std::uint32_t index, std::vector<std::byte> const& readable,
                                 std::uint32_t writable) {
    std::uint64_t const before = next_free_;
    std::vector<VirtioSegment> segments;
    if (!readable.empty()) {
      segments.push_back(
          {allocate(readable.size()), static_cast<std::uint32_t>(readable.size()), false});
      if (!ram.copy_out(segments.back().address, readable)) throw std::logic_error{"allocated"};
    }
    std::uint64_t const answer = writable == 0 ? 0 : allocate(writable);
    if (writable != 0) segments.push_back({answer, writable, true});
    auto const head = queue(index).add(segments);
    kick(index);
    auto const used = queue(index).use();
    if (!head || !used || used->head != *head)
      throw std::logic_error{"the buffer did not come back at once"};
    std::vector<std::byte> written(used->length);
    if (!ram.copy_in(answer, written))
      throw std::logic_error{"the device says that it wrote more than there was room"};
    next_free_ = before;
    return written;
  }

  [[nodiscard]] VirtioMmio<Device>& transport() {
    if constexpr (std::is_same_v<Held, VirtioMmio<Device>>)
      return board.template get<Held>();
    else
      return board.template get<VirtioMmio<Device>>();
  }

  [[nodiscard]] Device& device() { return transport().device(); }

  /// What the I/O thread does when the armed descriptor can be read; false if none is armed.
  bool event() {
    if (watch.armed() == Watch::nothing) return false;
    watch.disarm();
    transport().event(ram, line, watch);
    return true;
  }

  GuestMemory ram;
  IrqWire wire{};
  IrqLine line{wire};
  Watch watch{};
  Context<GuestMemory, IrqLine, Watch> context{ram, line, watch};
  Board board;

 private:
  static constexpr std::uint64_t first_free = 0x1000;

  std::map<std::uint32_t, VirtioRing> queues_{};
  std::uint64_t features_ = 0;
  std::uint64_t next_free_ = first_free;
};

}  // namespace portico::test
