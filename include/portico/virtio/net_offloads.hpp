/// What a network device and its driver have agreed upon, and what that means for a header.
///
///     #include <portico/virtio/net_offloads.hpp>
///     bool may_go_out(portico::PacketHeader header, std::uint64_t features, std::size_t bytes) {
///       auto const taken = portico::detail::NetFeature::from_guest(features);
///       return portico::detail::prepare_to_send(header, taken, bytes);   // and it is put right
///     }
///
/// Source: VIRTIO 1.2, sections 5.1.3 and 5.1.6. Internal to the library.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <portico/devices/packet_backend.hpp>

namespace portico::detail {

/// Numbers of feature bits (5.1.3).
struct NetFeature {
  static constexpr unsigned checksum = 0;
  static constexpr unsigned guest_checksum = 1;
  static constexpr unsigned mtu = 3;
  static constexpr unsigned mac = 5;
  static constexpr unsigned guest_tso4 = 7;
  static constexpr unsigned guest_tso6 = 8;
  static constexpr unsigned guest_ecn = 9;
  static constexpr unsigned guest_ufo = 10;
  static constexpr unsigned host_tso4 = 11;
  static constexpr unsigned host_tso6 = 12;
  static constexpr unsigned host_ecn = 13;
  static constexpr unsigned host_ufo = 14;
  static constexpr unsigned merged_buffers = 15;
  static constexpr unsigned status = 16;
  static constexpr unsigned host_uso = 56;

  [[nodiscard]] static constexpr bool has(std::uint64_t features, unsigned bit) noexcept {
    return (features >> bit & 1) != 0;
  }

  [[nodiscard]] static constexpr std::uint64_t bit_if(bool set, unsigned bit) noexcept {
    return std::uint64_t{set} << bit;
  }

  /// What a guest may leave to a host that takes `host`, and what it may take itself.
  [[nodiscard]] static constexpr std::uint64_t of(PacketOffloads const& host) noexcept {
    if (!host.checksum) return 0;
    bool const congestion = host.congestion && (host.tcp4 || host.tcp6);
    return bit_if(true, checksum) | bit_if(true, guest_checksum) | bit_if(host.tcp4, guest_tso4) |
           bit_if(host.tcp4, host_tso4) | bit_if(host.tcp6, guest_tso6) |
           bit_if(host.tcp6, host_tso6) | bit_if(congestion, guest_ecn) |
           bit_if(congestion, host_ecn) | bit_if(host.udp_fragments, guest_ufo) |
           bit_if(host.udp_fragments, host_ufo) | bit_if(host.udp_segments, host_uso);
  }

  /// What the guest may leave to the device.
  [[nodiscard]] static constexpr PacketOffloads from_guest(std::uint64_t features) noexcept {
    return {.checksum = has(features, checksum),
            .tcp4 = has(features, host_tso4),
            .tcp6 = has(features, host_tso6),
            .congestion = has(features, host_ecn),
            .udp_fragments = has(features, host_ufo),
            .udp_segments = has(features, host_uso)};
  }

  /// What the device may leave to the guest.
  [[nodiscard]] static constexpr PacketOffloads to_guest(std::uint64_t features) noexcept {
    return {.checksum = has(features, guest_checksum),
            .tcp4 = has(features, guest_tso4),
            .tcp6 = has(features, guest_tso6),
            .congestion = has(features, guest_ecn),
            .udp_fragments = has(features, guest_ufo),
            .udp_segments = false};
  }

  /// Whether everything is there that something else needs (5.1.3.1).
  [[nodiscard]] static constexpr bool is_consistent(std::uint64_t features) noexcept {
    return is_consistent(from_guest(features)) && is_consistent(to_guest(features));
  }

  [[nodiscard]] static constexpr bool is_consistent(PacketOffloads const& offloads) noexcept {
    bool const segments =
        offloads.tcp4 || offloads.tcp6 || offloads.udp_fragments || offloads.udp_segments;
    return (offloads.checksum || !segments) &&
           (!offloads.congestion || offloads.tcp4 || offloads.tcp6);
  }
};

/// Whether `gso_type` is one that was agreed upon.
[[nodiscard]] inline bool is_agreed(std::uint8_t gso_type, PacketOffloads const& agreed) noexcept {
  bool const congestion = (gso_type & PacketHeader::congestion) != 0;
  switch (gso_type & ~PacketHeader::congestion) {
    case PacketHeader::whole:
      return !congestion;
    case PacketHeader::tcp4:
      return agreed.tcp4 && (!congestion || agreed.congestion);
    case PacketHeader::tcp6:
      return agreed.tcp6 && (!congestion || agreed.congestion);
    case PacketHeader::udp_fragments:
      return agreed.udp_fragments && !congestion;
    case PacketHeader::udp_segments:
      return agreed.udp_segments && !congestion;
    default:
      return false;
  }
}

/// Clears what means nothing in this header, so that nobody uses it. Whether the rest is possible
/// for a packet of `bytes`.
[[nodiscard]] inline bool tidy(PacketHeader& header, std::size_t bytes) noexcept {
  header.header_length =
      static_cast<std::uint16_t>(std::min<std::size_t>({header.header_length, bytes, 0xFFFF}));
  if (header.gso_type == PacketHeader::whole)
    header.segment_size = 0;
  else if (header.segment_size == 0 || (header.flags & PacketHeader::needs_checksum) == 0)
    return false;
  if ((header.flags & PacketHeader::needs_checksum) != 0)
    return std::size_t{header.checksum_start} + header.checksum_offset + 2 <= bytes;
  header.checksum_start = header.checksum_offset = 0;
  return true;
}

/// Makes of the header that the guest gave the one for the host. False if the packet asks for
/// what was not agreed upon, or cannot be.
[[nodiscard]] inline bool prepare_to_send(PacketHeader& header, PacketOffloads const& agreed,
                                          std::size_t bytes) noexcept {
  if (bytes < smallest_packet || bytes > largest_packet) return false;
  if (!is_agreed(header.gso_type, agreed)) return false;
  header.flags &= agreed.checksum ? PacketHeader::needs_checksum : std::uint8_t{0};
  header.buffers = 0;
  return tidy(header, bytes);
}

/// The same for what the host gave.
[[nodiscard]] inline bool prepare_to_receive(PacketHeader& header, PacketOffloads const& agreed,
                                             std::size_t bytes) noexcept {
  if (bytes < smallest_packet || bytes > largest_packet) return false;
  if (!is_agreed(header.gso_type, agreed)) return false;
  if ((header.flags & PacketHeader::needs_checksum) != 0 && !agreed.checksum) return false;
  constexpr std::uint8_t known = PacketHeader::needs_checksum | PacketHeader::data_valid;
  header.flags &= agreed.checksum ? known : std::uint8_t{0};
  return tidy(header, bytes);
}

}  // namespace portico::detail
