/// A virtqueue, as a device sees it: chains to take, which come back by themselves.
///
///     #include <portico/virtio/queue.hpp>
///     void serve(portico::VirtioQueue& queue) {
///       while (auto chain = queue.take())                    // until the driver has no more
///         (void)chain->write(std::uint32_t{42});             // given back here, 4 bytes long
///     }
///
/// Split queues, with indirect descriptors, EVENT_IDX and notification suppression (VIRTIO 1.2,
/// section 2.7). As long as `take` gives chains the driver need not notify; when it gives nothing
/// the driver will. A device that stops earlier takes on when it can, unasked.
///
/// *What a hostile guest can do*: everything that a driver must not. Each value of the guest's is
/// copied once and then checked; the first that is wrong breaks the queue, which then gives nothing
/// more, and the transport says so to the driver (DEVICE_NEEDS_RESET). A chain has at most as many
/// segments as the queue's maximum size and 2^32 bytes, and at most as many chains are out as the
/// queue has entries: so much memory, times 48 bytes, is kept at the most.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <portico/memory/guest_memory.hpp>
#include <portico/virtio/chain.hpp>
#include <portico/virtio/ring.hpp>

namespace portico {

/// What the guest has set of a queue, and how far it is.
struct VirtioQueueState {
  detail::VirtioQueuePlace place{};
  bool ready = false;
  bool broken = false;
  std::uint16_t next_available = 0;
  std::uint16_t next_used = 0;
  std::uint16_t signalled = 0;             ///< used entries that the driver was told of
  std::vector<std::uint16_t> in_flight{};  ///< heads of chains that are to be taken again

  friend bool operator==(VirtioQueueState const&, VirtioQueueState const&) = default;
};

/// One split virtqueue. One thread at a time: the transport's lock. Moved only while no chain is
/// out.
class VirtioQueue {
 public:
  /// Chains that are taken between two looks at the interrupts; the transport then asks the device
  /// again.
  static constexpr std::uint32_t batch = 256;

  /// `largest` is a power of two, up to 32768.
  explicit VirtioQueue(std::uint32_t largest) : home_{largest}, largest_{largest} {
    Expects(std::has_single_bit(largest) && largest <= detail::SplitRing::largest);
    state_.place.size = largest;
    put_back_.reserve(largest);
  }

  VirtioQueue(VirtioQueue&&) noexcept = default;
  VirtioQueue(VirtioQueue const&) = delete;
  VirtioQueue& operator=(VirtioQueue const&) = delete;
  VirtioQueue& operator=(VirtioQueue&&) = delete;

  ~VirtioQueue() { end(); }

  // --- For devices

  /// The next buffer of the driver; nothing if there is none, and then the driver notifies when
  /// there is.
  [[nodiscard]] std::optional<VirtioChain> take() {
    if (!is_ready()) return std::nullopt;
    if (taken_ == batch) {
      cut_short_ = true;
      return std::nullopt;
    }
    if (!put_back_.empty()) {
      auto parts = std::move(put_back_.back());
      put_back_.pop_back();
      ++taken_;
      return VirtioChain{home_, std::move(parts)};
    }
    if (!again_.empty()) {
      std::uint16_t const head = again_.back();
      again_.pop_back();
      return take_at(head);
    }
    if (!something_is_available()) return std::nullopt;
    suppress_notifications();
    std::uint16_t const head = ring_.head(state_.next_available++);
    return take_at(head);
  }

  /// `chain`, of this queue, was not needed after all: it is the next to be taken again, whole.
  void put_back(VirtioChain&& chain) noexcept {
    Expects(chain.home_ == &home_ && chain.parts_ != nullptr);
    if (!home_.is_current(*chain.parts_)) {
      chain.give_back();
      return;
    }
    chain.parts_->rewind();
    put_back_.push_back(std::move(chain.parts_));  // at most as many as the queue's size: reserved
    if (taken_ > 0) --taken_;
  }

  /// Gives `chains`, of this queue, back in one step: the driver sees all of them used, or none yet
  /// (a packet in several receive buffers, 5.1.6.4). They are empty afterwards.
  void complete(gsl::span<VirtioChain> chains) noexcept {
    for (VirtioChain& chain : chains) {
      Expects(chain.home_ == &home_ && chain.parts_ != nullptr);
      home_.fill(std::move(chain.parts_));
    }
    home_.publish();
  }

  /// The driver is to notify of its next buffer, although the last `take` gave one: for a device
  /// that cannot go on by itself.
  void ask_for_notification() noexcept {
    if (open_) request_notification();
  }

  /// Whether the driver has set it up and it may be used.
  [[nodiscard]] bool is_ready() const noexcept { return open_; }

  /// Whether the driver has made a mistake; only a reset helps.
  [[nodiscard]] bool is_broken() const noexcept { return state_.broken; }

  /// Chains that were taken, and neither completed nor put back.
  [[nodiscard]] std::uint32_t outstanding() const noexcept {
    return home_.outstanding() - static_cast<std::uint32_t>(put_back_.size());
  }

  /// Entries, as the driver has chosen.
  [[nodiscard]] std::uint32_t size() const noexcept { return state_.place.size; }

  // --- For transports

  /// The maximum size.
  [[nodiscard]] std::uint32_t largest() const noexcept { return largest_; }

  /// Size and places, as the driver has set them; changed only while the queue is not ready.
  [[nodiscard]] detail::VirtioQueuePlace& place() noexcept { return state_.place; }

  /// The driver has said that the queue is ready, true even if it is broken.
  [[nodiscard]] bool was_made_ready() const noexcept { return state_.ready; }

  /// The driver says that the queue is ready. It is broken at once if its rings are no good.
  void make_ready(GuestMemory const& memory) noexcept {
    end();
    again_.clear();
    state_ = {.place = state_.place, .ready = true};
    detail::SplitRing probe;
    state_.broken = state_.place.size > largest_ || !probe.place(memory, state_.place);
  }

  /// May be used from now on: the device has started.
  void start(GuestMemory const& memory, bool indirect, bool event_index) noexcept {
    if (!state_.ready || state_.broken || open_) return;
    if (state_.place.size > largest_ || !ring_.place(memory, state_.place)) {
      state_.broken = true;
      return;
    }
    memory_ = &memory;
    indirect_ = indirect;
    event_index_ = event_index;
    seen_available_ = state_.next_available;
    notifications_ = false;  // whatever was left in the ring
    again_ = state_.in_flight;
    home_.open(ring_, state_.next_used);
    open_ = true;
  }

  /// The driver says that it is not; chains that are out will do nothing.
  void make_unready() noexcept {
    end();
    again_.clear();
    state_.ready = false;
  }

  /// Is not used any more, until the device is reset: chains that are out will do nothing.
  void halt() noexcept { end(); }

  /// As after power-on.
  void reset() noexcept {
    end();
    again_.clear();
    state_ = {};
    state_.place.size = largest_;
  }

  /// Before each call of the device.
  void begin_batch() noexcept {
    taken_ = 0;
    cut_short_ = false;
  }

  /// Whether `take` has given nothing only because the batch was full.
  [[nodiscard]] bool was_cut_short() const noexcept { return cut_short_; }

  /// Whether the driver is to be notified of what was used since the last call.
  [[nodiscard]] bool wants_interrupt() noexcept {
    if (!open_ || home_.next_used() == state_.signalled) return false;
    std::uint16_t const now = home_.next_used();
    std::uint16_t const before = std::exchange(state_.signalled, now);
    ring_.publish_used_before_reading(now);
    if (!event_index_) return !ring_.interrupts_unwanted();
    // Whether the driver's entry is one of [before, now), of which there are less than 65536.
    auto const distance = static_cast<std::uint16_t>(now - ring_.used_event() - 1);
    return distance < static_cast<std::uint16_t>(now - before);
  }

  /// Chains that are out are in it as to be taken again.
  [[nodiscard]] VirtioQueueState save() const {
    VirtioQueueState state = state_;
    if (open_) {
      state.next_used = home_.next_used();
      state.in_flight = again_;
      for (std::uint16_t const head : home_.heads()) state.in_flight.push_back(head);
    }
    return state;
  }

  /// The transport starts it again.
  void load(VirtioQueueState const& state) {
    end();
    state_ = state;
  }

 private:
  void end() noexcept {
    home_.close();
    for (auto& parts : put_back_) home_.take_back(std::move(parts));
    put_back_.clear();
    open_ = false;
    cut_short_ = false;
  }

  void break_off() noexcept {
    state_.broken = true;
    end();
  }

  [[nodiscard]] bool something_is_available() noexcept {
    if (seen_available_ == state_.next_available) {
      seen_available_ = ring_.available_index();
      if (seen_available_ == state_.next_available) {
        request_notification();
        // What came in before the driver could see that.
        seen_available_ = ring_.available_index();
        if (seen_available_ == state_.next_available) return false;
      }
    }
    if (static_cast<std::uint16_t>(seen_available_ - state_.next_available) <= ring_.size())
      return true;
    break_off();
    return false;
  }

  void suppress_notifications() noexcept {
    if (!notifications_) return;
    notifications_ = false;
    // With EVENT_IDX the event is behind the driver, and that is all it takes.
    if (!event_index_) ring_.set_notifications(false);
  }

  void request_notification() noexcept {
    if (event_index_)
      ring_.set_available_event(state_.next_available);
    else if (!notifications_)
      ring_.set_notifications(true);
    notifications_ = true;
  }

  [[nodiscard]] std::optional<VirtioChain> take_at(std::uint16_t head) {
    if (head < ring_.size()) {
      if (auto parts = home_.lend(head)) {
        VirtioChain chain{home_, std::move(parts)};
        if (collect(*chain.parts_)) {
          ++taken_;
          return chain;
        }
        break_off();  // and nobody is told of the chain
        return std::nullopt;
      }
    }
    break_off();
    return std::nullopt;
  }

  /// Goes through the descriptors of a chain. False if there is anything wrong with it.
  [[nodiscard]] bool collect(detail::ChainParts& parts) const {
    std::optional<std::uint64_t> table;  // guest address, once it is an indirect one
    std::uint64_t entries = ring_.size();
    std::uint64_t index = parts.head;
    for (std::uint32_t count = 0; count < largest_;) {
      if (index >= entries) return false;
      auto const descriptor = table ? indirect_descriptor(*table + 16 * index)
                                    : ring_.descriptor(static_cast<std::uint16_t>(index));
      if (descriptor.has(detail::VirtioDescriptor::indirect)) {
        if (table || !is_good_table(descriptor)) return false;
        table = descriptor.address;
        entries = descriptor.length / 16;
        index = 0;
        continue;
      }
      if (!add(descriptor, parts)) return false;
      if (!descriptor.has(detail::VirtioDescriptor::has_next)) return true;
      index = descriptor.next;
      ++count;
    }
    return false;  // a loop, or longer than any chain may be
  }

  [[nodiscard]] detail::VirtioDescriptor indirect_descriptor(std::uint64_t address) const noexcept {
    // It is in RAM: the whole table is.
    auto const copy = memory_->read<detail::VirtioDescriptor>(address);
    detail::copied();
    return copy.value_or(detail::VirtioDescriptor{});
  }

  [[nodiscard]] bool is_good_table(detail::VirtioDescriptor const& descriptor) const noexcept {
    return indirect_ && !descriptor.has(detail::VirtioDescriptor::has_next) &&
           descriptor.length != 0 && descriptor.length % 16 == 0 &&
           memory_->contains(descriptor.address, descriptor.length);
  }

  /// A segment more, or several if it lies in several regions of RAM that adjoin.
  [[nodiscard]] bool add(detail::VirtioDescriptor const& descriptor,
                         detail::ChainParts& parts) const {
    bool const writable = descriptor.has(detail::VirtioDescriptor::writable);
    if (descriptor.length == 0 || (!writable && parts.writable_bytes != 0)) return false;
    if (parts.readable_bytes + parts.writable_bytes + descriptor.length > 1ULL << 32) return false;
    if (auto const whole = memory_->span(descriptor.address, descriptor.length)) {
      parts.segments.push_back({whole->data(), whole->size()});
    } else if (!add_pieces(descriptor, parts)) {
      return false;
    }
    (writable ? parts.writable_bytes : parts.readable_bytes) += descriptor.length;
    if (!writable) parts.readable = parts.segments.size();
    return true;
  }

  [[nodiscard]] bool add_pieces(detail::VirtioDescriptor const& descriptor,
                                detail::ChainParts& parts) const {
    std::uint64_t at = descriptor.address;
    std::uint64_t left = descriptor.length;
    for (Region const& region : memory_->regions()) {
      if (left == 0) break;
      if (at - region.base >= region.size) continue;
      std::uint64_t const rest = region.size - (at - region.base);
      std::uint64_t const step = rest < left ? rest : left;
      parts.segments.push_back({region.host + (at - region.base), static_cast<std::size_t>(step)});
      at += step;
      left -= step;
    }
    return left == 0;
  }

  detail::ChainHome home_;
  detail::SplitRing ring_{};
  GuestMemory const* memory_ = nullptr;
  std::vector<std::unique_ptr<detail::ChainParts>> put_back_{};
  std::vector<std::uint16_t> again_{};  ///< heads, after a load
  VirtioQueueState state_{};
  std::uint32_t largest_;
  std::uint32_t taken_ = 0;
  std::uint16_t seen_available_ = 0;
  bool open_ = false;
  bool notifications_ = true;  ///< the driver was asked for them
  bool cut_short_ = false;
  bool indirect_ = false;
  bool event_index_ = false;
};

}  // namespace portico
