/// The way of packets from the host into the guest's receive buffers.
///
///     #include <portico/devices/net_backend.hpp>
///     #include <portico/virtio/net_receiver.hpp>
///     using portico::detail::NetReceiver;
///     void poll(NetReceiver& receiver, portico::Tap& tap, portico::VirtioQueue& queue) {
///       if (receiver.receive(tap, queue) == NetReceiver::Outcome::no_packets)
///         std::puts("all that was there is in the guest");
///     }
///
/// A packet is read straight into as many buffers as the last one took, and what is larger than
/// those goes by way of one buffer here: a stream of large packets is not copied, and a small one
/// costs few vectors. A packet for which the driver has not enough buffers yet, but may have,
/// waits; one at the most. Source: VIRTIO 1.2, sections 5.1.6.3 and 5.1.6.4. Internal to the
/// library.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <portico/devices/backend.hpp>
#include <portico/devices/packet_backend.hpp>
#include <portico/virtio/net_offloads.hpp>
#include <portico/virtio/queue.hpp>

namespace portico::detail {

/// One receive queue. For the queue's thread.
class NetReceiver {
 public:
  /// Why `receive` returns.
  enum class Outcome : std::uint8_t { no_packets, no_buffers, enough_for_now, failed };

  /// Packets of one call at most; also, nearly, buffers.
  static constexpr unsigned most_packets = 64;
  static constexpr std::size_t most_buffers = 128;

  struct Counters {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t no_room = 0;        ///< packets that fit into no buffer of the guest's
    std::uint64_t refused = 0;        ///< packets that the guest has not agreed to take
    std::uint64_t small_buffers = 0;  ///< buffers of the guest's that have no room for a header
    std::uint64_t errors = 0;         ///< of the host
    int error = 0;                    ///< the last, as errno
  };

  /// What was negotiated. With `mtu`, whole packets that are larger are not passed on.
  void begin(PacketOffloads const& agreed, bool merges, std::optional<std::uint16_t> mtu) {
    agreed_ = agreed;
    merges_ = merges;
    mtu_ = mtu;
    if (overflow_.empty()) overflow_.resize(largest_packet + 1);
    wanted_ = 1;
  }

  /// Gives up all buffers, and a packet that waited.
  void end() noexcept {
    buffers_.clear();
    if (waiting_ != 0) ++counters_.no_room;
    waiting_ = 0;
  }

  /// Moves packets until one of the reasons to stop.
  template <class Backend>
  Outcome receive(Backend& backend, VirtioQueue& queue) {
    std::size_t used = 0;
    small_ = 0;
    for (unsigned count = 0; count < most_packets && used < most_buffers; ++count) {
      if (waiting_ == 0) {
        if (!have_buffers(queue)) return without_buffers();
        PacketResult const got = read(backend);
        if (got.error == EAGAIN) return Outcome::no_packets;
        if (got.error == EINTR) continue;
        if (got.error != 0) {
          ++counters_.errors;
          counters_.error = got.error;
          return Outcome::failed;
        }
        if (!is_acceptable(got.bytes)) {
          ++counters_.refused;
          continue;
        }
        waiting_ = got.bytes;
      }
      if (!has_room(queue)) return without_buffers();
      used += deliver(queue);
    }
    return Outcome::enough_for_now;
  }

  [[nodiscard]] Counters const& counters() const noexcept { return counters_; }

 private:
  static constexpr std::size_t most_vectors = 1024;  // of a system call

  /// The driver has none; or gave so many that are none that others have their turn.
  [[nodiscard]] Outcome without_buffers() const noexcept {
    return small_ < most_buffers ? Outcome::no_buffers : Outcome::enough_for_now;
  }

  /// Takes a buffer from the driver. One without room for a header goes back unused.
  bool take(VirtioQueue& queue) {
    while (small_ < most_buffers) {
      auto chain = queue.take();
      if (!chain) return false;
      if (chain->writable_bytes() >= sizeof(PacketHeader)) {
        buffers_.push_back(std::move(*chain));
        return true;
      }
      ++counters_.small_buffers;
      ++small_;
    }
    return false;
  }

  /// At least one, and as many as wanted if the driver has them.
  bool have_buffers(VirtioQueue& queue) {
    while (buffers_.size() < wanted_ && take(queue)) {
    }
    return !buffers_.empty();
  }

  template <class Backend>
  PacketResult read(Backend& backend) {
    vectors_.clear();
    vectors_.push_back({&header_, sizeof header_});
    direct_ = 0;
    std::size_t skipped = sizeof(PacketHeader);
    std::size_t const offered = std::min(wanted_, buffers_.size());
    for (std::size_t index = 0; index < offered && direct_ < largest_packet; ++index) {
      for (iovec piece : buffers_[index].writable_vectors(largest_packet + sizeof header_)) {
        if (vectors_.size() + 1 >= most_vectors) break;
        std::size_t const skip = std::min(skipped, piece.iov_len);
        skipped -= skip;
        piece.iov_base = static_cast<std::byte*>(piece.iov_base) + skip;
        piece.iov_len -= skip;
        direct_ += piece.iov_len;
        if (piece.iov_len != 0) vectors_.push_back(piece);
      }
      if (vectors_.size() + 1 >= most_vectors) break;
    }
    vectors_.push_back({overflow_.data(), overflow_.size()});
    return with_backend(backend, [&](auto& chosen) { return chosen.receive(vectors_); });
  }

  /// Puts the header of the packet that was read right.
  [[nodiscard]] bool is_acceptable(std::size_t bytes) noexcept {
    if (!prepare_to_receive(header_, agreed_, bytes)) return false;
    if (!mtu_ || header_.gso_type != PacketHeader::whole) return true;
    std::size_t const limit = std::size_t{*mtu_} + smallest_packet;
    if (bytes <= limit) return true;
    constexpr std::size_t tag = 4;
    return bytes <= limit + tag && has_tag();
  }

  /// Whether the Ethernet header has a VLAN tag, and so is longer.
  [[nodiscard]] bool has_tag() const noexcept {
    unsigned const type = byte_at(12) << 8 | byte_at(13);
    return type == 0x8100 || type == 0x88A8;
  }

  [[nodiscard]] unsigned byte_at(std::size_t offset) const noexcept {
    for (iovec const& piece : gsl::span<iovec const>{vectors_}.subspan(1)) {
      if (offset < piece.iov_len)
        return std::to_integer<unsigned>(static_cast<std::byte const*>(piece.iov_base)[offset]);
      offset -= piece.iov_len;
    }
    return 0;
  }

  /// Finds buffers for the packet that waits. If it cannot have any, it is dropped, and there is
  /// room. False if it has to wait for the driver.
  [[nodiscard]] bool has_room(VirtioQueue& queue) {
    std::uint64_t const needed = waiting_ + sizeof(PacketHeader);
    std::uint64_t room = 0;
    std::size_t count = 0;
    while (room < needed) {
      if (count == buffers_.size() && ((count > 0 && !merges_) || !take(queue))) {
        bool const may_come = (merges_ || count == 0) && count < queue.size();
        if (may_come) return false;
        ++counters_.no_room;
        waiting_ = 0;
        return true;
      }
      room += buffers_[count++].writable_bytes();
      if (!merges_) break;
    }
    if (room < needed) {
      ++counters_.no_room;
      waiting_ = 0;
    }
    return true;
  }

  /// Completes the first buffers with the packet, if it was not dropped; how many.
  std::size_t deliver(VirtioQueue& queue) {
    if (waiting_ == 0) return 0;
    std::size_t const count = count_for(waiting_ + sizeof(PacketHeader));
    header_.buffers = static_cast<std::uint16_t>(count);
    std::size_t direct = std::min(waiting_, direct_);
    gsl::span<std::byte const> rest{overflow_.data(), waiting_ - direct};
    buffers_[0].write(gsl::as_bytes(gsl::span<PacketHeader const, 1>{&header_, 1}));
    for (std::size_t index = 0; index < count; ++index) {
      VirtioChain& buffer = buffers_[index];
      std::size_t const there =
          static_cast<std::size_t>(std::min<std::uint64_t>(direct, buffer.writable_left()));
      buffer.wrote(there);
      direct -= there;
      if (direct == 0) rest = rest.subspan(buffer.write(rest));
    }
    queue.complete(gsl::span<VirtioChain>{buffers_.data(), count});
    buffers_.erase(buffers_.begin(), buffers_.begin() + static_cast<std::ptrdiff_t>(count));
    ++counters_.packets;
    counters_.bytes += std::exchange(waiting_, 0);
    wanted_ = count;
    return count;
  }

  [[nodiscard]] std::size_t count_for(std::uint64_t bytes) const noexcept {
    std::size_t count = 0;
    for (std::uint64_t room = 0; room < bytes; ++count) room += buffers_[count].writable_bytes();
    return count;
  }

  PacketOffloads agreed_{};
  bool merges_ = false;
  std::optional<std::uint16_t> mtu_{};
  std::vector<VirtioChain> buffers_{};  // the driver's, taken; the first are used first
  std::size_t wanted_ = 1;              // buffers for the next packet
  std::size_t small_ = 0;               // buffers without room for a header, in this turn
  std::vector<iovec> vectors_{};
  std::vector<std::byte> overflow_{};  // of the last packet, behind what went directly
  PacketHeader header_{};              // its header
  std::size_t direct_ = 0;             // bytes that had room in buffers, behind the header
  std::size_t waiting_ = 0;            // its size; 0: there is none
  Counters counters_{};
};

}  // namespace portico::detail
