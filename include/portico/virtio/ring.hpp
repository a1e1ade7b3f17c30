/// A split virtqueue as it stands in guest memory: descriptor table, available ring, used ring.
///
///     #include <portico/virtio/ring.hpp>
///     bool serve(portico::GuestMemory const& ram, portico::detail::SplitRing& ring) {
///       if (!ring.place(ram, {.size = 256, .descriptors = 0x1000, .available = 0x2000,
///                             .used = 0x3000}))
///         return false;                                     // misaligned, or not in RAM
///       if (ring.available_index() == 0) return false;
///       ring.put_used(0, ring.head(0), 0);
///       ring.publish_used(1);
///       return true;
///     }
///
/// What the driver writes is read once, into a copy, and may be anything. Indices run freely and
/// wrap at 65536. Source: VIRTIO 1.2, section 2.7. Internal to the library.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <portico/base/bytes.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico::detail {

/// struct virtq_desc (2.7.5).
struct VirtioDescriptor {
  static constexpr std::uint16_t has_next = 1;
  static constexpr std::uint16_t writable = 2;  ///< by the device
  static constexpr std::uint16_t indirect = 4;

  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;
  std::uint16_t next = 0;

  [[nodiscard]] bool has(std::uint16_t flag) const noexcept { return (flags & flag) != 0; }
};

static_assert(sizeof(VirtioDescriptor) == 16);

/// What the driver tells of a queue: its size, and the guest addresses of its three parts.
struct VirtioQueuePlace {
  std::uint32_t size = 0;
  std::uint64_t descriptors = 0;
  std::uint64_t available = 0;
  std::uint64_t used = 0;

  friend bool operator==(VirtioQueuePlace const&, VirtioQueuePlace const&) = default;
};

/// Keeps a compiler from reading guest memory again where the copy that was made is meant.
inline void copied() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

/// Views of the three parts. Nothing but `place` may be called before it has succeeded.
class SplitRing {
 public:
  static constexpr std::uint32_t largest = 32768;  ///< queue size (2.7)

  /// False, and nothing is changed, if the size is no power of two up to 32768, or a part is
  /// misaligned or does not lie in one region of RAM.
  [[nodiscard]] bool place(GuestMemory const& memory, VirtioQueuePlace const& where) noexcept {
    if (!std::has_single_bit(where.size) || where.size > largest) return false;
    if (where.descriptors % 16 != 0 || where.available % 2 != 0 || where.used % 4 != 0)
      return false;
    auto const descriptors = memory.span(where.descriptors, 16ULL * where.size);
    auto const available = memory.span(where.available, 6 + 2ULL * where.size);
    auto const used = memory.span(where.used, 6 + 8ULL * where.size);
    if (!descriptors || !available || !used) return false;
    descriptors_ = descriptors->data();
    available_ = available->data();
    used_ = used->data();
    size_ = where.size;
    return true;
  }

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

  /// A copy of a descriptor; `index` is below the size.
  [[nodiscard]] VirtioDescriptor descriptor(std::uint16_t index) const noexcept {
    auto const copy = load<VirtioDescriptor>(descriptors_ + 16 * std::size_t{index});
    copied();
    return copy;
  }

  /// How many buffers the driver has made available, modulo 65536; what it wrote before is visible.
  [[nodiscard]] std::uint16_t available_index() const noexcept {
    return word(available_ + 2).load(std::memory_order_seq_cst);
  }

  /// The head of the buffer that was made available as number `at`.
  [[nodiscard]] std::uint16_t head(std::uint16_t at) const noexcept {
    return word(available_ + 4 + 2 * slot(at)).load(std::memory_order_relaxed);
  }

  /// The driver wants no used buffer notifications (without EVENT_IDX; VIRTQ_AVAIL_F_NO_INTERRUPT).
  [[nodiscard]] bool interrupts_unwanted() const noexcept {
    return (word(available_).load(std::memory_order_seq_cst) & 1) != 0;
  }

  /// The driver wants one when entry number `used_event` is used (with EVENT_IDX).
  [[nodiscard]] std::uint16_t used_event() const noexcept {
    return word(available_ + 4 + 2 * std::size_t{size_}).load(std::memory_order_seq_cst);
  }

  /// Fills entry number `at` of the used ring; the driver does not look at it before it is
  /// published.
  void put_used(std::uint16_t at, std::uint16_t head, std::uint32_t length) const noexcept {
    std::byte* const entry = used_ + 4 + 8 * slot(at);
    store(entry, std::uint32_t{head});
    store(entry + 4, length);
  }

  /// Entries up to number `end` are used, and all that was written before is visible.
  void publish_used(std::uint16_t end) const noexcept {
    word(used_ + 2).store(end, std::memory_order_release);
  }

  /// The same, and whatever is read after it is not older than it (2.7.7: flags and event are
  /// read after the index is written).
  void publish_used_before_reading(std::uint16_t end) const noexcept {
    word(used_ + 2).store(end, std::memory_order_seq_cst);
  }

  /// Whether the driver is to notify (without EVENT_IDX; VIRTQ_USED_F_NO_NOTIFY).
  void set_notifications(bool wanted) const noexcept {
    word(used_).store(wanted ? 0 : 1, std::memory_order_seq_cst);
  }

  /// The driver is to notify when it makes buffer number `at` available (with EVENT_IDX).
  void set_available_event(std::uint16_t at) const noexcept {
    word(used_ + 4 + 8 * std::size_t{size_}).store(at, std::memory_order_seq_cst);
  }

 private:
  /// Aligned, as `place` has checked.
  [[nodiscard]] static std::atomic_ref<std::uint16_t> word(std::byte* at) noexcept {
    return std::atomic_ref<std::uint16_t>{*reinterpret_cast<std::uint16_t*>(at)};
  }

  [[nodiscard]] std::size_t slot(std::uint16_t at) const noexcept { return at & (size_ - 1); }

  std::byte* descriptors_ = nullptr;
  std::byte* available_ = nullptr;
  std::byte* used_ = nullptr;
  std::uint32_t size_ = 0;
};

}  // namespace portico::detail
