/// A network card for the guest: virtio-net.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/device/locked.hpp>
///     #include <portico/virtio/mmio.hpp>
///     #include <portico/virtio/net.hpp>
///     using Board = portico::DeviceMap<
///         portico::Mmio<0xD000'0000, portico::Locked<portico::VirtioMmio<portico::Net>>,
///                       portico::Irq<5>, portico::Named<"net">>>;
///     Board board{portico::Net{portico::Tap{"tap0"}, {.mac = {{2, 0, 0, 0, 0, 1}}}}};
///
/// *Emulated*: VIRTIO 1.2, section 5.1, with one pair of queues. CSUM, GUEST_CSUM, HOST_ and
/// GUEST_TSO4, TSO6, ECN, UFO, and HOST_USO, as far as the backend has them; MAC and MTU if given;
/// MRG_RXBUF; STATUS; RING_RESET. The link is down while the backend fails again and again (the
/// other end of a socket is gone, an interface was removed) and up when it gives a packet again; it
/// is tried anew when the driver starts the device. What the guest sends goes out, or is dropped,
/// before its buffer is used. Packets are taken from the backend only while the driver has a
/// receive buffer; until then they wait in the host, which drops what is too much. What is answered
/// as soon as it is sent, as by a tap's own host, is received in the same turn, unless nothing was
/// for some time.
///
/// *Not emulated*: the control queue, and so filtering by address (the guest sees all that the
/// backend has), several pairs of queues, announcements; hashes, speed, coalescing.
///
/// *What a hostile guest can do*: send any Ethernet packet, with any source, as fast as the host
/// takes them: restricting that is the network's business (a bridge's filter, a switch). A header
/// that asks for what was not negotiated, or that cannot be, costs its packet. A guest that takes
/// no packets, or gives too few buffers for one, loses packets; one waits here, in a fixed buffer.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/device/watch.hpp>
#include <portico/devices/backend.hpp>
#include <portico/devices/net_backend.hpp>
#include <portico/devices/packet_backend.hpp>
#include <portico/virtio/device.hpp>
#include <portico/virtio/net_offloads.hpp>
#include <portico/virtio/net_receiver.hpp>

namespace portico {

/// An Ethernet address, in the order of the wire.
using MacAddress = std::array<std::uint8_t, 6>;

/// What a card tells its driver.
struct NetSettings {
  std::optional<MacAddress> mac{};     ///< without one, the driver makes one up
  std::optional<std::uint16_t> mtu{};  ///< the network's, from 68 on; without one, 1500
};

/// What became of packets so far.
struct NetCounters {
  std::uint64_t sent = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t not_sent = 0;   ///< the host refused them, or had no room
  std::uint64_t malformed = 0;  ///< from the guest: no packet, or not what was negotiated
  int send_error = 0;           ///< of the last that was not sent, as errno
  detail::NetReceiver::Counters received{};
};

/// The device over a PacketBackend, or a variant of such. For one thread at a time.
template <class Backend>
class BasicNet {
 public:
  static constexpr std::uint32_t virtio_id = 1;
  static constexpr std::array<std::uint16_t, 2> queue_sizes{256, 256};
  static constexpr std::size_t receiveq = 0;
  static constexpr std::size_t transmitq = 1;
  /// How many failures in a row bring the link down.
  static constexpr unsigned most_failures = 8;

  /// struct virtio_net_config, up to what exists here (5.1.4).
  struct [[gnu::packed]] Config {
    MacAddress mac{};
    std::uint16_t status = 0;
    std::uint16_t queue_pairs = 0;  ///< without MQ there is no such field
    std::uint16_t mtu = 0;
  };

  /// What the guest sees beside queues; address and MTU are the program's.
  struct State {
    bool link_up = true;

    friend bool operator==(State const&, State const&) = default;
  };

  /// An MTU is 68 or more.
  explicit BasicNet(Backend backend, NetSettings const& settings = {})
      : backend_{std::move(backend)}, settings_{settings} {
    Expects(!settings.mtu || *settings.mtu >= 68);
    offloads_ =
        detail::with_backend(backend_, [](auto const& chosen) { return chosen.offloads(); });
  }

  [[nodiscard]] std::uint64_t features() const noexcept {
    using Feature = detail::NetFeature;
    return Feature::of(offloads_) | Feature::bit_if(settings_.mac.has_value(), Feature::mac) |
           Feature::bit_if(settings_.mtu.has_value(), Feature::mtu) |
           Feature::bit_if(true, Feature::merged_buffers) | Feature::bit_if(true, Feature::status);
  }

  /// Not what needs something else that the driver does not take (5.1.3.1).
  [[nodiscard]] bool accepts(std::uint64_t features) const noexcept {
    return detail::NetFeature::is_consistent(features);
  }

  [[nodiscard]] Config config() const noexcept {
    return {.mac = settings_.mac.value_or(MacAddress{}),
            .status = static_cast<std::uint16_t>(state_.link_up ? 1 : 0),
            .mtu = settings_.mtu.value_or(0)};
  }

  void activate(VirtioQueues& queues) {
    using Feature = detail::NetFeature;
    std::uint64_t features = 0;
    for (unsigned bit = 0; bit < 64; ++bit) features |= Feature::bit_if(queues.has(bit), bit);
    from_guest_ = Feature::from_guest(features);
    auto const to_guest = Feature::to_guest(features);
    (void)accept(to_guest);  // refused: packets come plain, which is as good
    receiver_.begin(to_guest, queues.has(Feature::merged_buffers),
                    queues.has(Feature::mtu) ? settings_.mtu : std::nullopt);
    failures_ = 0;
    turns_for_a_look_ = 1;
    set_link(true, queues);
  }

  void notified(std::size_t index, VirtioQueues& queues) {
    if (index == transmitq)
      transmit(queues);
    else if (!waits_)
      receive(queues);
  }

  /// There is a packet.
  void event(VirtioQueues& queues) {
    waits_ = false;
    if (queues[receiveq].is_ready()) receive(queues);
  }

  void reset_queue(std::size_t index) {
    if (index == receiveq) receiver_.end();
  }

  void reset() {
    receiver_.end();
    waits_ = false;
    (void)accept({});
  }

  /// For the program, under the lock of the map's entry while vCPUs run.
  [[nodiscard]] NetCounters counters() const noexcept {
    NetCounters counters = counters_;
    counters.received = receiver_.counters();
    return counters;
  }

  /// Likewise: a tap's name.
  [[nodiscard]] Backend& backend() noexcept { return backend_; }

  [[nodiscard]] State save() const noexcept { return state_; }

  /// A packet that waited for buffers is lost, as on a wire.
  void load(State const& state) noexcept {
    receiver_.end();
    waits_ = false;
    state_ = state;
  }

 private:
  static constexpr std::size_t most_vectors = 1024;  // of a system call
  static constexpr unsigned most_turns_without_a_look = 64;

  // NOLINTNEXTLINE(bugprone-exception-escape): no backend's throws, and the variant always holds one
  bool accept(PacketOffloads const& offloads) noexcept {
    return detail::with_backend(backend_, [&](auto& chosen) { return chosen.accept(offloads); });
  }

  void set_link(bool up, VirtioQueues& queues) noexcept {
    if (std::exchange(state_.link_up, up) != up) queues.config_changed();
  }

  /// Whether an error of the host's tells of more than one packet: that nobody was there to take
  /// what was sent, or that memory was short, does not.
  static bool lasts(int error) noexcept {
    return error != ECONNREFUSED && error != ENOMEM && error != ENOBUFS;
  }

  /// What is on this host often has answered before a send returns. Who looks then has the answer in
  /// the guest before that goes on; a driver that looks before it waits needs no interrupt for it.
  /// Looks that find nothing become rare.
  void transmit(VirtioQueues& queues) {
    bool const looks = waits_ && ++turns_ >= turns_for_a_look_;
    bool const muted = looks && queues.watch().mute();
    while (auto chain = queues[transmitq].take()) send(*chain);
    if (!looks || queues[transmitq].is_broken()) return;
    turns_ = 0;
    std::uint64_t const before = receiver_.counters().packets;
    if (muted) {
      waits_ = false;
      receive(queues);
    } else if (queues[receiveq].is_ready()) {
      (void)receiver_.receive(backend_, queues[receiveq]);  // the watch tells of what that leaves
    }
    bool const found = receiver_.counters().packets != before;
    if (found) failures_ = 0;
    turns_for_a_look_ = found ? 1 : std::min(2 * turns_for_a_look_, most_turns_without_a_look);
  }

  /// Receives, and waits for more if there may be more.
  void receive(VirtioQueues& queues) {
    using Outcome = detail::NetReceiver::Outcome;
    std::uint64_t const before = receiver_.counters().packets;
    Outcome const outcome = receiver_.receive(backend_, queues[receiveq]);
    if (receiver_.counters().packets != before) {
      failures_ = 0;
      set_link(true, queues);
    }
    if (outcome == Outcome::no_buffers) return;
    if (outcome == Outcome::failed && lasts(receiver_.counters().error) &&
        ++failures_ >= most_failures)
      return set_link(false, queues);  // and waits for nothing, which might come again and again
    int const descriptor =
        detail::with_backend(backend_, [](auto const& chosen) { return chosen.descriptor(); });
    waits_ = descriptor >= 0 && queues.watch().arm(descriptor);
  }

  void send(VirtioChain& chain) {
    auto header = chain.read<PacketHeader>();
    auto const bytes = static_cast<std::size_t>(chain.readable_left());
    if (!header || !detail::prepare_to_send(*header, from_guest_, bytes)) {
      ++counters_.malformed;
      return;
    }
    auto const packet = chain.readable_vectors();
    vectors_.clear();
    vectors_.push_back({&*header, sizeof *header});
    vectors_.insert(vectors_.end(), packet.begin(), packet.end());
    PacketResult result{0, EMSGSIZE};
    if (vectors_.size() <= most_vectors)
      result = detail::with_backend(backend_, [&](auto& chosen) { return chosen.send(vectors_); });
    if (result.error == 0) {
      ++counters_.sent;
      counters_.sent_bytes += bytes;
    } else {
      ++counters_.not_sent;
      counters_.send_error = result.error;
    }
  }

  Backend backend_;
  NetSettings settings_;
  PacketOffloads offloads_{};    // that the backend has
  PacketOffloads from_guest_{};  // that were negotiated
  State state_{};
  detail::NetReceiver receiver_{};
  std::vector<iovec> vectors_{};
  NetCounters counters_{};
  unsigned failures_ = 0;
  unsigned turns_ = 0;             // of sending, since the last look for answers
  unsigned turns_for_a_look_ = 1;  // until the next
  bool waits_ = false;             // the watch is armed, and has not told yet
};

/// With the network chosen at run time.
using Net = BasicNet<NetBackend>;

}  // namespace portico
