/// What a network card stands on: something that takes and gives Ethernet packets, one at a time.
///
///     #include <portico/devices/packet_backend.hpp>
///     template <portico::PacketBackend Backend>
///     bool hello(Backend& backend) {                      // to everybody, from 02:00:00:00:00:01
///       portico::PacketHeader header;                     // no offload is asked for
///       std::array<std::uint8_t, 60> packet{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1};
///       std::array<iovec, 2> const parts{
///           {{&header, sizeof header}, {packet.data(), packet.size()}}};
///       return backend.send(parts).error == 0;
///     }
///
/// Packets move between the host and the spans that they belong into, without a copy. Each has a
/// header before it, which says what is left to do: fill in a checksum, cut a large packet into
/// segments. It is virtio's (VIRTIO 1.2, section 5.1.6), which Linux's taps have too.
///
/// A backend throws std::system_error when it is made; later the host's errors are return values,
/// and the packet is gone, as on a wire.
#pragma once

#include <sys/uio.h>

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <portico/base/contracts.hpp>

namespace portico {

/// struct virtio_net_hdr, 12 bytes, before every packet (5.1.6).
struct PacketHeader {
  // flags
  static constexpr std::uint8_t needs_checksum = 1;
  static constexpr std::uint8_t data_valid = 2;

  // gso_type: what kind of segments a large packet is to be cut into
  static constexpr std::uint8_t whole = 0;
  static constexpr std::uint8_t tcp4 = 1;
  static constexpr std::uint8_t udp_fragments = 3;
  static constexpr std::uint8_t tcp6 = 4;
  static constexpr std::uint8_t udp_segments = 5;
  static constexpr std::uint8_t congestion = 0x80;  ///< beside a TCP one: ECN's CWR bit is set

  std::uint8_t flags = 0;
  std::uint8_t gso_type = whole;
  std::uint16_t header_length = 0;  ///< of all protocols; a hint
  std::uint16_t segment_size = 0;   ///< payload of each segment
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;  ///< from `checksum_start` on, where it belongs
  std::uint16_t buffers = 0;          ///< for the guest's driver; not a backend's concern

  friend bool operator==(PacketHeader const&, PacketHeader const&) = default;
};

static_assert(sizeof(PacketHeader) == 12);

/// What somebody can take beyond plain packets of the network's MTU with complete checksums.
struct PacketOffloads {
  bool checksum = false;  ///< incomplete checksums; all others ask for this one
  bool tcp4 = false;
  bool tcp6 = false;
  bool congestion = false;  ///< TCP segments with CWR; with one of those two
  bool udp_fragments = false;
  bool udp_segments = false;

  friend bool operator==(PacketOffloads const&, PacketOffloads const&) = default;
};

/// What became of one packet.
struct PacketResult {
  std::size_t bytes = 0;  ///< of the packet, without its header
  int error = 0;  ///< errno: nothing was moved. EAGAIN: nothing there, or no room, at the moment
};

/// The largest packet there is: 64 KiB of IP behind an Ethernet header with a VLAN tag.
inline constexpr std::size_t largest_packet = 65535 + 18;

/// The smallest: an Ethernet header.
inline constexpr std::size_t smallest_packet = 14;

/// What a network device needs from the host. In both directions `parts[0]` is a PacketHeader, and
/// the rest is the packet, or room for one; `receive` fills what it needs, and what does not fit is
/// lost (so give it a byte more than may be used, to see that). Neither waits. `accept` says what
/// the guest takes, from the next packet on; false if that is more than `offloads` and the host
/// refuses it. `descriptor` can be waited for until there is a packet; -1: there never will be.
template <class Backend>
concept PacketBackend = requires(Backend& backend, Backend const& constant,
                                 gsl::span<iovec const> parts, PacketOffloads offloads) {
  { constant.offloads() } -> std::same_as<PacketOffloads>;
  { backend.accept(offloads) } -> std::same_as<bool>;
  { backend.send(parts) } -> std::same_as<PacketResult>;
  { backend.receive(parts) } -> std::same_as<PacketResult>;
  { constant.descriptor() } -> std::same_as<int>;
};

}  // namespace portico
