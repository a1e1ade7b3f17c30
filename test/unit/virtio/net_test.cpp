// The network device, over a network in memory.
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <functional>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>
#include <portico/virtio/net.hpp>

#include "support/virtio_driver.hpp"
#include "unit/devices/packets.hpp"

namespace portico {
namespace {

using Packet = std::vector<std::byte>;
using Feature = detail::NetFeature;

struct Wire {
  PacketHeader header{};
  Packet packet{};
};

/// A network that a test fills and empties, and that fails when it is told to.
struct FakeNetwork {
  PacketOffloads has{};
  std::deque<Wire> to_guest{};
  std::deque<Wire> from_guest{};
  std::optional<PacketOffloads> accepted{};
  int send_error = 0;
  int receive_error = 0;
  std::size_t most_vectors = 0;  // that a packet was received into
  bool echoes = false;           // what is sent is there at once
  unsigned reads = 0;
  std::function<void()> sends{};  // called by each send

  [[nodiscard]] PacketOffloads offloads() const { return has; }

  bool accept(PacketOffloads const& wanted) {
    accepted = wanted;
    return true;
  }

  PacketResult send(gsl::span<iovec const> parts) {
    if (send_error != 0) return {0, send_error};
    Wire sent;
    std::memcpy(&sent.header, parts[0].iov_base, sizeof sent.header);
    for (iovec const& part : parts.subspan(1)) {
      auto const* const bytes = static_cast<std::byte const*>(part.iov_base);
      sent.packet.insert(sent.packet.end(), bytes, bytes + part.iov_len);
    }
    if (sends) sends();
    if (echoes) to_guest.push_back(sent);
    from_guest.push_back(std::move(sent));
    return {from_guest.back().packet.size(), 0};
  }

  PacketResult receive(gsl::span<iovec const> parts) {
    ++reads;
    if (receive_error != 0) return {0, receive_error};
    if (to_guest.empty()) return {0, EAGAIN};
    Wire const next = std::move(to_guest.front());
    to_guest.pop_front();
    most_vectors = std::max(most_vectors, parts.size());
    std::memcpy(parts[0].iov_base, &next.header, sizeof next.header);
    std::size_t done = 0;
    for (iovec const& part : parts.subspan(1)) {
      std::size_t const step = std::min(part.iov_len, next.packet.size() - done);
      if (step > 0) std::memcpy(part.iov_base, next.packet.data() + done, step);
      done += step;
    }
    return {done, 0};
  }

  int number = 42;

  [[nodiscard]] int descriptor() const { return number; }
};

static_assert(PacketBackend<FakeNetwork>);

constexpr PacketOffloads everything{true, true, true, true, true, true};
constexpr std::uint64_t base_features =
    1ULL << VirtioFeature::version_1 | 1ULL << Feature::mac | 1ULL << Feature::status;
constexpr std::uint64_t merged = 1ULL << Feature::merged_buffers;
constexpr std::uint64_t guest_checksum = 1ULL << Feature::guest_checksum;
constexpr std::uint64_t guest_tso4 = guest_checksum | 1ULL << Feature::guest_tso4;
constexpr std::uint64_t mtu_feature = 1ULL << Feature::mtu;

class NetRig : public test::VirtioRig<BasicNet<FakeNetwork>> {
 public:
  explicit NetRig(NetSettings settings = {.mac = MacAddress{2, 0, 0, 0, 0, 1}},
                  PacketOffloads offloads = everything)
      : VirtioRig{[&] { return BasicNet<FakeNetwork>{FakeNetwork{.has = offloads}, settings}; },
                  4 * MiB} {}

  FakeNetwork& network() { return device().backend(); }

  NetCounters counters() { return device().counters(); }

  void put(Packet packet, PacketHeader header = {}) {
    network().to_guest.push_back({header, std::move(packet)});
  }

  /// A receive buffer of these pieces, not published.
  void give(std::vector<std::uint32_t> const& pieces) {
    std::vector<test::VirtioSegment> segments;
    for (std::uint32_t const bytes : pieces) segments.push_back({allocate(bytes), bytes, true});
    auto const head = queue(0).add(segments);
    if (!head) throw std::logic_error{"no free descriptor"};
    given_[*head] = segments;
  }

  void give_all(std::size_t count, std::uint32_t bytes) {
    for (std::size_t index = 0; index < count; ++index) give({bytes});
    kick(0);
  }

  /// The next receive buffer that was used: as many bytes as the device says.
  std::optional<Packet> used() {
    auto const used = queue(0).use();
    if (!used) return std::nullopt;
    Packet bytes;
    for (auto const& segment : given_.at(used->head)) {
      Packet piece(segment.length);
      EXPECT_TRUE(ram.copy_in(segment.address, piece));
      bytes.insert(bytes.end(), piece.begin(), piece.end());
    }
    EXPECT_LE(used->length, bytes.size());
    bytes.resize(used->length);
    return bytes;
  }

  /// The next packet, from as many buffers as its header says.
  std::optional<Wire> received() {
    auto bytes = used();
    if (!bytes) return std::nullopt;
    Wire got;
    if (bytes->size() < sizeof got.header) return got;
    std::memcpy(&got.header, bytes->data(), sizeof got.header);
    got.packet.assign(bytes->begin() + sizeof got.header, bytes->end());
    for (unsigned count = 1; count < got.header.buffers; ++count) {
      auto const more = used();
      if (!more) return std::nullopt;
      got.packet.insert(got.packet.end(), more->begin(), more->end());
    }
    return got;
  }

  /// Sends a packet behind `header`, cut at `cuts`.
  void transmit(Packet const& packet, PacketHeader header = {},
                std::vector<std::uint32_t> const& cuts = {}) {
    Packet bytes(sizeof header);
    std::memcpy(bytes.data(), &header, sizeof header);
    bytes.insert(bytes.end(), packet.begin(), packet.end());
    std::vector<test::VirtioSegment> segments;
    std::size_t done = 0;
    auto const piece = [&](std::size_t size) {
      std::uint64_t const at = allocate(size);
      ASSERT_TRUE(ram.copy_out(at, gsl::span<std::byte const>{bytes}.subspan(done, size)));
      segments.push_back({at, static_cast<std::uint32_t>(size), false});
      done += size;
    };
    for (std::uint32_t const cut : cuts) piece(cut);
    if (done < bytes.size()) piece(bytes.size() - done);
    ASSERT_TRUE(queue(1).add(segments));
  }

  /// The one packet that went out.
  std::optional<Wire> sent() {
    if (network().from_guest.empty()) return std::nullopt;
    Wire first = std::move(network().from_guest.front());
    network().from_guest.pop_front();
    return first;
  }

 private:
  std::map<std::uint16_t, std::vector<test::VirtioSegment>> given_{};
};

// --- Features and configuration (5.1.3, 5.1.4)

TEST(VirtioNet, offers_what_its_backend_has) {
  NetRig full;
  EXPECT_EQ(full.read(0x008), 1U);
  EXPECT_EQ(full.offered() & VirtioFeature::of_the_device, 1ULL << 0 | 1ULL << 1 | 1ULL << 5 |
                                                               0xFFULL << 7 | 1ULL << 15 |
                                                               1ULL << 16 | 1ULL << 56);
  NetRig plain{{}, {}};
  EXPECT_EQ(plain.offered() & VirtioFeature::of_the_device, 1ULL << 15 | 1ULL << 16);
  NetRig odd{{}, {.tcp4 = true, .congestion = true}};
  EXPECT_EQ(odd.offered() & VirtioFeature::of_the_device, 1ULL << 15 | 1ULL << 16)
      << "segments need checksums";
}

TEST(VirtioNet, shows_its_address_its_link_and_its_mtu) {
  NetRig rig{{.mac = MacAddress{2, 1, 2, 3, 4, 5}, .mtu = 9000}};
  EXPECT_NE(rig.offered() & mtu_feature, 0U);
  EXPECT_EQ(rig.config<std::uint32_t>(0), 0x03020102U);
  EXPECT_EQ(rig.config<std::uint16_t>(4), 0x0504U);
  EXPECT_EQ(rig.config<std::uint16_t>(6), 1U);
  EXPECT_EQ(rig.config<std::uint16_t>(10), 9000U);
  rig.set_config<std::uint16_t>(6, 0);
  rig.set_config<std::uint16_t>(10, 68);
  EXPECT_EQ(rig.config<std::uint16_t>(6), 1U) << "read-only";
  EXPECT_EQ(rig.config<std::uint16_t>(10), 9000U);
}

TEST(VirtioNet, refuses_features_that_lack_what_they_need) {
  for (unsigned bit : {7U, 8U, 10U, 11U, 12U, 14U, 56U}) {
    NetRig rig;
    EXPECT_FALSE(rig.negotiate(base_features | 1ULL << bit)) << bit;
    bool const guest = bit < 11;
    EXPECT_TRUE(rig.negotiate(base_features | 1ULL << bit | 1ULL << (guest ? 1 : 0))) << bit;
  }
  NetRig rig;
  EXPECT_FALSE(rig.negotiate(base_features | 3 | 1ULL << 9));
  EXPECT_FALSE(rig.negotiate(base_features | 3 | 1ULL << 13));
  EXPECT_TRUE(rig.negotiate(base_features | 3 | 1ULL << 9 | 1ULL << 7));
  EXPECT_TRUE(rig.negotiate(base_features | 3 | 1ULL << 13 | 1ULL << 12));
}

TEST(VirtioNet, tells_the_backend_what_the_driver_takes) {
  NetRig rig;
  rig.start(base_features | guest_tso4 | 1ULL << Feature::checksum);
  EXPECT_EQ(rig.network().accepted, (PacketOffloads{.checksum = true, .tcp4 = true}));
  rig.write(0x070, 0);
  EXPECT_EQ(rig.network().accepted, PacketOffloads{});
}

// --- Sending (5.1.6.2)

TEST(VirtioNet, sends_a_packet_however_it_is_cut) {
  NetRig rig;
  rig.start();
  std::vector<std::vector<std::uint32_t>> const ways{{},  {12},           {1, 11},
                                                     {5}, {12, 1, 13, 7}, {4, 4, 4, 4, 4, 4, 4}};
  for (unsigned number = 0; number < ways.size(); ++number) {
    rig.transmit(a_packet(100, number), {}, ways[number]);
    rig.kick(1);
    auto const sent = rig.sent();
    ASSERT_TRUE(sent) << number;
    EXPECT_EQ(sent->packet, a_packet(100, number));
    EXPECT_EQ(sent->header, PacketHeader{});
    auto const used = rig.queue(1).use();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->length, 0U);
  }
  EXPECT_EQ(rig.counters().sent, ways.size());
  EXPECT_EQ(rig.counters().sent_bytes, 100 * ways.size());
}

TEST(VirtioNet, sends_bursts_in_order) {
  NetRig rig;
  rig.start();
  unsigned number = 0;
  for (unsigned round = 0; round < 5; ++round) {
    for (unsigned count = 0; count < 256; ++count) rig.transmit(a_packet(60, number++), {}, {});
    rig.kick(1);
    EXPECT_EQ(rig.take_interrupts(), 1U);
    for (unsigned count = 0; count < 256; ++count) ASSERT_TRUE(rig.queue(1).use());
  }
  ASSERT_EQ(rig.network().from_guest.size(), number);
  for (unsigned at = 0; at < number; ++at) EXPECT_EQ(rig.sent()->packet, a_packet(60, at));
}

TEST(VirtioNet, passes_on_what_was_negotiated_and_nothing_else) {
  NetRig rig;
  rig.start();
  PacketHeader const large{.flags = PacketHeader::needs_checksum,
                           .gso_type = PacketHeader::tcp4 | PacketHeader::congestion,
                           .header_length = 54,
                           .segment_size = 1448,
                           .checksum_start = 34,
                           .checksum_offset = 16};
  rig.transmit(a_packet(30'000), large);
  rig.kick(1);
  EXPECT_EQ(rig.sent()->header, large);

  rig.start(base_features);  // no offloads
  rig.transmit(a_packet(3000), large);
  rig.kick(1);
  EXPECT_FALSE(rig.sent());
  EXPECT_TRUE(rig.queue(1).use()) << "its buffer comes back all the same";
  EXPECT_EQ(rig.counters().malformed, 1U);
  // Flags that mean nothing now, and what belongs to them.
  rig.transmit(a_packet(100), {.flags = 0xFF, .checksum_start = 34, .checksum_offset = 16});
  rig.kick(1);
  EXPECT_EQ(rig.sent()->header, PacketHeader{});
}

TEST(VirtioNet, ignores_unknown_flags_and_fields_that_have_no_flag) {
  NetRig rig;
  rig.start();
  rig.transmit(a_packet(100), {.flags = 0xFE,
                               .header_length = 5000,
                               .segment_size = 9,
                               .checksum_start = 60'000,
                               .checksum_offset = 60'000,
                               .buffers = 7});
  rig.kick(1);
  EXPECT_EQ(rig.sent()->header, PacketHeader{.header_length = 100}) << "at most the packet's";
}

TEST(VirtioNet, drops_headers_that_cannot_be) {
  NetRig rig;
  rig.start();
  std::vector<std::pair<std::size_t, PacketHeader>> const wrong{
      {100, {.gso_type = 0x80}},
      {100, {.gso_type = 2}},
      {100, {.gso_type = PacketHeader::tcp4, .segment_size = 10}},
      {100, {.flags = 1, .gso_type = PacketHeader::tcp4}},
      {100, {.flags = 1, .gso_type = 0x83, .segment_size = 10}},
      {100, {.flags = 1, .checksum_start = 98, .checksum_offset = 1}},
      {100, {.flags = 1, .checksum_start = 0xFFFF, .checksum_offset = 0xFFFF}},
      {13, {}},
      {largest_packet + 1, {}}};
  for (auto const& [size, header] : wrong) rig.transmit(a_packet(size), header);
  rig.kick(1);
  EXPECT_FALSE(rig.sent());
  EXPECT_EQ(rig.counters().malformed, wrong.size());
  for (std::size_t count = 0; count < wrong.size(); ++count) EXPECT_TRUE(rig.queue(1).use());
  EXPECT_FALSE(rig.needs_reset());
  rig.transmit(a_packet(largest_packet, 8));
  rig.transmit(a_packet(100), {.flags = 1, .checksum_start = 98, .checksum_offset = 0});
  rig.kick(1);
  EXPECT_EQ(rig.sent()->packet, a_packet(largest_packet, 8));
  EXPECT_TRUE(rig.sent());
}

TEST(VirtioNet, drops_what_is_no_packet) {
  NetRig rig;
  rig.start();
  std::uint64_t const at = rig.allocate(64);
  for (std::uint32_t bytes : {1U, 11U, 12U, 25U}) ASSERT_TRUE(rig.queue(1).add({{at, bytes}}));
  ASSERT_TRUE(rig.queue(1).add({{at, 64, true}}));
  rig.kick(1);
  for (unsigned count = 0; count < 5; ++count) {
    auto const used = rig.queue(1).use();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->length, 0U);
  }
  EXPECT_EQ(rig.counters().malformed, 5U);
  EXPECT_EQ(rig.counters().sent, 0U);
}

TEST(VirtioNet, drops_and_counts_what_the_host_does_not_take) {
  NetRig rig;
  rig.start();
  for (int error : {EAGAIN, EIO, EINVAL, ENOBUFS}) {
    rig.network().send_error = error;
    rig.transmit(a_packet(100));
    rig.kick(1);
    EXPECT_TRUE(rig.queue(1).use());
    EXPECT_EQ(rig.counters().send_error, error);
  }
  EXPECT_EQ(rig.counters().not_sent, 4U);
  rig.network().send_error = 0;
  rig.transmit(a_packet(100, 3));
  rig.kick(1);
  EXPECT_EQ(rig.sent()->packet, a_packet(100, 3));
}

TEST(VirtioNet, forwards_packets_up_to_the_mtu_whole) {
  NetRig rig{{.mtu = 9000}};
  rig.start();
  rig.transmit(a_packet(9014, 4));
  rig.kick(1);
  EXPECT_EQ(rig.sent()->packet, a_packet(9014, 4));
}

// --- Receiving (5.1.6.3, 5.1.6.4)

TEST(VirtioNet, receives_into_one_buffer) {
  for (std::uint64_t features : {base_features, base_features | merged}) {
    NetRig rig;
    rig.start(features);
    rig.give({12, 1514});
    rig.give({1, 3, 8, 2, 1512});
    rig.give({1526});
    rig.kick(0);
    for (unsigned number = 0; number < 3; ++number) {
      rig.put(a_packet(1514 - number, number));
      ASSERT_TRUE(rig.event());
      EXPECT_EQ(rig.take_interrupts(), 1U);
      auto const got = rig.received();
      ASSERT_TRUE(got);
      EXPECT_EQ(got->packet, a_packet(1514 - number, number));
      EXPECT_EQ(got->header, PacketHeader{.buffers = 1});
    }
    EXPECT_EQ(rig.counters().received.packets, 3U);
  }
}

TEST(VirtioNet, waits_for_packets_only_while_there_are_buffers) {
  NetRig rig;
  rig.start(base_features);
  EXPECT_EQ(rig.watch.armed(), Watch::nothing);
  rig.give_all(2, 1526);
  EXPECT_EQ(rig.watch.armed(), 42);
  for (unsigned number = 0; number < 3; ++number) rig.put(a_packet(100, number));
  EXPECT_TRUE(rig.event());
  EXPECT_EQ(rig.watch.armed(), Watch::nothing);
  EXPECT_EQ(rig.network().to_guest.size(), 1U) << "it waits in the host";
  EXPECT_EQ(rig.received()->packet, a_packet(100, 0));
  EXPECT_EQ(rig.received()->packet, a_packet(100, 1));
  EXPECT_FALSE(rig.received());
  rig.give_all(1, 1526);
  EXPECT_EQ(rig.received()->packet, a_packet(100, 2));
  EXPECT_EQ(rig.watch.armed(), Watch::nothing);
  rig.give_all(1, 1526);
  EXPECT_EQ(rig.watch.armed(), 42);
}

TEST(VirtioNet, has_the_answer_in_the_guest_when_the_notification_is_over) {
  NetRig rig;
  rig.start();
  rig.give_all(20, 1526);
  rig.network().echoes = true;
  for (unsigned number = 0; number < 20; ++number) {
    rig.transmit(a_packet(60, number));
    rig.kick(1);
    auto const got = rig.received();
    ASSERT_TRUE(got) << number;
    EXPECT_EQ(got->packet, a_packet(60, number));
  }
  EXPECT_EQ(rig.watch.armed(), 42) << "and what comes later is not missed";
  EXPECT_FALSE(rig.received());
}

// As on a vCPU's thread, where the I/O thread would wake up: over a real epoll descriptor.
TEST(VirtioNet, wakes_nobody_for_the_answer_that_it_finds_itself) {
  NetRig rig;
  Fd const epoll{::epoll_create1(EPOLL_CLOEXEC)};
  Fd const input = detail::make_event();  // can be read when the network has a packet
  rig.network().number = input.get();
  rig.watch.keep(epoll.get(), 7);
  rig.start();
  auto const is_reported = [&] {
    epoll_event event{};
    return ::epoll_wait(epoll.get(), &event, 1, 0) == 1;
  };
  auto const set_input = [&](bool readable) {
    std::uint64_t value = 1;
    if (readable) {
      ASSERT_EQ(::write(input.get(), &value, sizeof value), static_cast<ssize_t>(sizeof value));
    } else {
      ASSERT_EQ(::read(input.get(), &value, sizeof value), static_cast<ssize_t>(sizeof value));
    }
  };
  rig.give_all(4, 1526);
  rig.network().echoes = true;
  rig.network().sends = [&] {
    set_input(true);
    EXPECT_FALSE(is_reported()) << "it looks for itself";
    set_input(false);
  };
  for (unsigned number = 0; number < 3; ++number) {
    rig.transmit(a_packet(60, number));
    rig.kick(1);
    EXPECT_EQ(rig.received()->packet, a_packet(60, number));
    EXPECT_FALSE(is_reported());
  }
  set_input(true);
  EXPECT_TRUE(is_reported()) << "what comes later is told";
  set_input(false);
  rig.put(a_packet(60, 7));
  EXPECT_TRUE(rig.event());
  EXPECT_EQ(rig.received()->packet, a_packet(60, 7));
  // No buffer is left: it is not armed, and takes up with the next.
  rig.transmit(a_packet(60, 8));
  rig.kick(1);
  EXPECT_EQ(rig.watch.armed(), Watch::nothing);
  rig.give_all(1, 1526);
  EXPECT_EQ(rig.received()->packet, a_packet(60, 8));
}

TEST(VirtioNet, looks_for_no_answer_where_it_has_no_buffer) {
  NetRig rig;
  rig.start();
  rig.network().echoes = true;
  rig.transmit(a_packet(60));
  rig.kick(1);
  EXPECT_EQ(rig.network().reads, 0U);
  EXPECT_EQ(rig.watch.armed(), Watch::nothing);
  rig.give_all(1, 1526);
  EXPECT_EQ(rig.received()->packet, a_packet(60));
}

TEST(VirtioNet, looks_rarely_where_no_answers_come_and_again_when_they_do) {
  NetRig rig;
  rig.start();
  rig.give_all(200, 1526);
  auto const send = [&](unsigned count) {
    for (unsigned number = 0; number < count; ++number) {
      rig.transmit(a_packet(60, number));
      rig.kick(1);
      ASSERT_TRUE(rig.queue(1).use());
    }
  };
  unsigned const before = rig.network().reads;
  send(1000);
  unsigned const looks = rig.network().reads - before;
  EXPECT_GE(looks, 1000U / 64);
  EXPECT_LE(looks, 1000U / 64 + 7) << "1, 2, 4 and so on up to 64 turns apart";
  rig.network().echoes = true;
  unsigned turns = 0;
  while (!rig.received()) {
    ASSERT_LE(++turns, 64U);
    send(1);
  }
  while (rig.received()) {
  }
  send(1);
  EXPECT_TRUE(rig.received()) << "each turn from then on";
}

TEST(VirtioNet, takes_bursts_in_bounded_steps) {
  NetRig rig;
  rig.start();
  rig.give_all(256, 1526);
  for (unsigned number = 0; number < 256; ++number) rig.put(a_packet(60, number));
  unsigned number = 0;
  unsigned events = 0;
  while (rig.watch.armed() != Watch::nothing && rig.event()) {
    ++events;
    unsigned const before = number;
    while (auto const got = rig.received()) EXPECT_EQ(got->packet, a_packet(60, number++));
    EXPECT_LE(number - before, detail::NetReceiver::most_packets);
  }
  EXPECT_EQ(number, 256U);
  EXPECT_GE(events, 4U);
}

TEST(VirtioNet, merges_buffers_and_fills_all_but_the_last) {
  NetRig rig;
  rig.start(base_features | merged | guest_tso4);
  for (unsigned round = 0; round < 3; ++round) {  // first by way of the device, then directly
    for (unsigned count = 0; count < 50; ++count) rig.give({500, 1000, 36});
    rig.kick(0);
    rig.put(a_packet(60'000, round), {.flags = PacketHeader::needs_checksum,
                                      .gso_type = PacketHeader::tcp4,
                                      .segment_size = 1448,
                                      .checksum_start = 34,
                                      .checksum_offset = 16});
    ASSERT_TRUE(rig.event());
    std::size_t const buffers = (60'000 + 12 + 1535) / 1536;
    Packet all;
    for (std::size_t count = 0; count < buffers; ++count) {
      auto const bytes = rig.used();
      ASSERT_TRUE(bytes);
      if (count + 1 < buffers) {
        EXPECT_EQ(bytes->size(), 1536U);
      }
      all.insert(all.end(), bytes->begin(), bytes->end());
    }
    EXPECT_FALSE(rig.used());
    PacketHeader header;
    std::memcpy(&header, all.data(), sizeof header);
    EXPECT_EQ(header.buffers, buffers);
    EXPECT_EQ(header.gso_type, PacketHeader::tcp4);
    EXPECT_EQ(header.segment_size, 1448);
    EXPECT_EQ(Packet(all.begin() + 12, all.end()), a_packet(60'000, round));
  }
}

TEST(VirtioNet, goes_directly_into_as_many_buffers_as_the_last_packet_took) {
  NetRig rig;
  rig.start(base_features | merged | guest_tso4);
  for (unsigned count = 0; count < 200; ++count) rig.give({1024});
  rig.kick(0);
  rig.put(a_packet(60));
  rig.put(a_packet(60));
  ASSERT_TRUE(rig.event());
  EXPECT_LE(rig.network().most_vectors, 3U);
  rig.put(a_packet(40'000));
  rig.put(a_packet(40'000));
  ASSERT_TRUE(rig.event());
  EXPECT_GE(rig.network().most_vectors, 40U);
  EXPECT_EQ(rig.counters().received.packets, 4U);
}

TEST(VirtioNet, uses_the_buffers_of_one_packet_in_one_step) {
  constexpr unsigned buffers = 64;
  NetRig rig;
  rig.start(base_features | merged | guest_tso4, buffers);
  std::uint64_t const at = rig.allocate(1000);  // all of them, for nobody looks into it
  auto& queue = rig.queue(0);
  std::atomic<bool> done{false};
  std::atomic<unsigned> looks{0};
  std::atomic<unsigned> partly{0};
  std::thread driver{[&] {
    while (!done.load(std::memory_order_relaxed)) {
      if (queue.used_index() % buffers != 0) partly.fetch_add(1, std::memory_order_relaxed);
      looks.fetch_add(1, std::memory_order_relaxed);
    }
  }};
  while (looks.load() < 100) std::this_thread::yield();
  for (unsigned round = 0; round < 300; ++round) {
    for (unsigned count = 0; count < buffers; ++count) ASSERT_TRUE(queue.add({{at, 1000, true}}));
    rig.put(a_packet(buffers * 1000 - 12, round));
    rig.kick(0);
    rig.event();
    for (unsigned count = 0; count < buffers; ++count) ASSERT_TRUE(queue.use());
  }
  done = true;
  driver.join();
  EXPECT_EQ(rig.counters().received.packets, 300U);
  EXPECT_EQ(partly.load(), 0U);
}

TEST(VirtioNet, does_not_merge_unless_that_was_negotiated) {
  NetRig rig;
  rig.start(base_features);
  rig.give_all(4, 1000);
  rig.put(a_packet(988, 1));
  rig.put(a_packet(989, 2));
  rig.put(a_packet(60, 3));
  rig.event();
  EXPECT_EQ(rig.received()->packet, a_packet(988, 1));
  auto const got = rig.received();
  EXPECT_EQ(got->packet, a_packet(60, 3));
  EXPECT_EQ(got->header.buffers, 1);
  EXPECT_EQ(rig.counters().received.no_room, 1U);
}

TEST(VirtioNet, a_packet_waits_for_the_buffers_that_it_needs) {
  NetRig rig;
  rig.start(base_features | merged | guest_tso4);
  rig.give_all(3, 1000);
  rig.put(a_packet(5000, 6));
  rig.put(a_packet(60, 7));
  rig.event();
  EXPECT_FALSE(rig.used());
  EXPECT_EQ(rig.watch.armed(), Watch::nothing);
  rig.give_all(2, 1000);
  EXPECT_FALSE(rig.used());
  rig.give_all(2, 1000);
  auto const got = rig.received();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->packet, a_packet(5000, 6));
  EXPECT_EQ(got->header.buffers, 6);
  EXPECT_EQ(rig.received()->packet, a_packet(60, 7));
  EXPECT_EQ(rig.counters().received.no_room, 0U);
}

TEST(VirtioNet, drops_a_packet_that_a_whole_queue_cannot_hold) {
  NetRig rig;
  rig.start(base_features | merged | guest_tso4, 8);
  rig.give_all(8, 1000);
  rig.put(a_packet(7989, 1));
  rig.put(a_packet(7988, 2));
  rig.event();
  auto const got = rig.received();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->packet, a_packet(7988, 2));
  EXPECT_EQ(rig.counters().received.no_room, 1U);
}

TEST(VirtioNet, gives_back_buffers_without_room_for_a_header) {
  NetRig rig;
  rig.start(base_features | merged);
  rig.give({11});
  rig.give({100});
  rig.give({5, 6});
  std::uint64_t const at = rig.allocate(64);
  ASSERT_TRUE(rig.queue(0).add({{at, 64, false}}));
  rig.give({100});
  rig.kick(0);
  rig.put(a_packet(150, 5));
  rig.event();
  Packet bytes;
  unsigned empty = 0;
  while (auto const used = rig.queue(0).use()) {
    if (used->length == 0) ++empty;
    bytes.resize(bytes.size() + used->length);
  }
  EXPECT_EQ(empty, 3U);
  EXPECT_EQ(bytes.size(), 162U);
  EXPECT_EQ(rig.counters().received.small_buffers, 3U);
  EXPECT_EQ(rig.counters().received.packets, 1U);
}

TEST(VirtioNet, buffers_may_be_of_any_size_and_cut) {
  std::mt19937 random{7};
  auto const up_to = [&](unsigned most) {
    return static_cast<std::uint32_t>(std::uniform_int_distribution<unsigned>{1, most}(random));
  };
  for (unsigned round = 0; round < 20; ++round) {
    NetRig rig;
    rig.start(base_features | merged | guest_tso4);
    std::vector<Packet> expected;
    for (unsigned number = 0; number < 30; ++number) {
      while (rig.queue(0).free_descriptors() > 5) {
        std::vector<std::uint32_t> pieces{11 + up_to(round < 10 ? 50 : 2000)};
        for (unsigned count = up_to(4); count > 0; --count) pieces.push_back(up_to(700));
        if (rig.ram.size() - rig.allocate(1) < 64 * KiB) break;
        rig.give(pieces);
      }
      rig.kick(0);
      auto const packet = a_packet(13 + up_to(up_to(2) == 1 ? 100 : 9000), number);
      rig.put(packet);
      rig.event();
      auto const got = rig.received();
      if (!got) break;  // out of memory for buffers: enough of this round
      ASSERT_EQ(got->packet, packet) << round << ' ' << number;
    }
    EXPECT_GT(rig.counters().received.packets, 3U);
    EXPECT_EQ(rig.counters().received.no_room, 0U);
    EXPECT_FALSE(rig.needs_reset());
  }
}

TEST(VirtioNet, gives_only_what_the_driver_has_agreed_to) {
  PacketHeader const incomplete{
      .flags = PacketHeader::needs_checksum, .checksum_start = 34, .checksum_offset = 16};
  PacketHeader segments = incomplete;
  segments.gso_type = PacketHeader::tcp4;
  segments.segment_size = 1448;
  PacketHeader congested = segments;
  congested.gso_type |= PacketHeader::congestion;
  PacketHeader fragments = segments;
  fragments.gso_type = PacketHeader::udp_fragments;
  PacketHeader six = segments;
  six.gso_type = PacketHeader::tcp6;
  PacketHeader unfinished = segments;
  unfinished.flags = 0;
  PacketHeader endless = segments;
  endless.segment_size = 0;
  struct Case {
    std::uint64_t features;
    std::vector<PacketHeader> taken;
    std::vector<PacketHeader> refused;
  };
  std::vector<Case> const cases{
      {0, {{}}, {incomplete, segments, six, fragments}},
      {guest_checksum, {incomplete}, {segments, six, fragments}},
      {guest_tso4, {incomplete, segments}, {congested, six, fragments, unfinished, endless}},
      {guest_tso4 | 1ULL << Feature::guest_ecn, {congested}, {six, fragments}},
      {guest_checksum | 1ULL << Feature::guest_tso6, {six}, {segments, fragments}},
      {guest_checksum | 1ULL << Feature::guest_ufo, {fragments}, {segments, six}}};
  for (Case const& each : cases) {
    NetRig rig;
    rig.start(base_features | each.features);
    rig.give_all(8, 4096);
    for (PacketHeader const& header : each.refused) rig.put(a_packet(3000), header);
    for (PacketHeader const& header : each.taken) rig.put(a_packet(3000), header);
    rig.event();
    for (PacketHeader header : each.taken) {
      auto const got = rig.received();
      ASSERT_TRUE(got);
      header.buffers = 1;
      EXPECT_EQ(got->header, header);
    }
    EXPECT_FALSE(rig.received());
    EXPECT_EQ(rig.counters().received.refused, each.refused.size());
  }
}

TEST(VirtioNet, flags_are_zero_without_guest_checksums) {
  NetRig rig;
  rig.start(base_features);
  rig.give_all(1, 4096);
  rig.put(a_packet(100), {.flags = 0xFE, .checksum_start = 5, .checksum_offset = 6, .buffers = 9});
  rig.event();
  EXPECT_EQ(rig.received()->header, PacketHeader{.buffers = 1});
  rig.start(base_features | guest_checksum);
  rig.give_all(1, 4096);
  rig.put(a_packet(100), {.flags = 0xFE, .checksum_start = 5, .checksum_offset = 6, .buffers = 9});
  rig.event();
  EXPECT_EQ(rig.received()->header, (PacketHeader{.flags = PacketHeader::data_valid, .buffers = 1}))
      << "RSC_INFO was not negotiated";
}

TEST(VirtioNet, keeps_to_the_mtu_if_that_was_negotiated) {
  NetRig rig{{.mtu = 1000}};
  rig.start(1ULL << VirtioFeature::version_1 | mtu_feature | guest_tso4);
  rig.give_all(8, 4096);
  auto tagged = a_packet(1018, 2);
  tagged[12] = std::byte{0x81};
  tagged[13] = std::byte{0x00};
  auto const large = a_packet(3000, 3);
  rig.put(a_packet(1015));
  rig.put(a_packet(1018));
  rig.put(a_packet(1014, 1));
  rig.put(tagged);
  tagged.push_back({});
  rig.put(tagged);
  rig.put(large, {.flags = 1, .gso_type = PacketHeader::tcp4, .segment_size = 900});
  rig.event();
  EXPECT_EQ(rig.received()->packet, a_packet(1014, 1));
  EXPECT_EQ(rig.received()->packet.size(), 1018U);
  EXPECT_EQ(rig.received()->packet, large);
  EXPECT_FALSE(rig.received());
  EXPECT_EQ(rig.counters().received.refused, 3U);
  rig.start(1ULL << VirtioFeature::version_1);
  rig.give_all(1, 4096);
  rig.put(a_packet(1015));
  rig.event();
  EXPECT_TRUE(rig.received()) << "it was not negotiated";
}

TEST(VirtioNet, refuses_what_the_host_cannot_mean) {
  NetRig rig;
  rig.start();
  rig.give_all(100, 1000);
  rig.put(a_packet(13));
  rig.put({});
  rig.put(a_packet(largest_packet + 1));
  rig.put(a_packet(100'000));
  rig.put(a_packet(largest_packet, 1));
  rig.event();
  EXPECT_EQ(rig.received()->packet, a_packet(largest_packet, 1));
  EXPECT_FALSE(rig.received());
  EXPECT_EQ(rig.counters().received.refused, 4U);
}

// --- A host that fails

TEST(VirtioNet, an_interrupted_or_single_failure_is_none) {
  NetRig rig;
  rig.start();
  rig.give_all(4, 1526);
  rig.network().receive_error = EINTR;
  rig.event();
  EXPECT_EQ(rig.watch.armed(), 42);
  rig.network().receive_error = ECONNREFUSED;
  rig.event();
  EXPECT_EQ(rig.watch.armed(), 42);
  rig.network().receive_error = 0;
  rig.put(a_packet(60, 1));
  rig.event();
  EXPECT_EQ(rig.received()->packet, a_packet(60, 1));
  EXPECT_EQ(rig.config<std::uint16_t>(6), 1U);
  EXPECT_EQ(rig.counters().received.errors, 1U);
  EXPECT_EQ(rig.counters().received.error, ECONNREFUSED);
}

TEST(VirtioNet, a_host_that_goes_on_failing_is_a_link_that_is_down) {
  NetRig rig;
  rig.start();
  rig.give_all(4, 1526);
  std::uint32_t const generation = rig.read(0x0FC);
  rig.network().receive_error = ENOTCONN;
  unsigned events = 0;
  while (rig.event()) ASSERT_LE(++events, 100U);
  EXPECT_EQ(events, BasicNet<FakeNetwork>::most_failures);
  EXPECT_EQ(rig.watch.armed(), Watch::nothing) << "or the I/O thread would spin";
  EXPECT_EQ(rig.take_interrupts(), 2U);
  EXPECT_EQ(rig.config<std::uint16_t>(6), 0U);
  EXPECT_NE(rig.read(0x0FC), generation);
  rig.network().receive_error = 0;
  rig.put(a_packet(60, 2));
  rig.give({1526});
  rig.queue(0).publish();
  rig.write(0x050, 0);
  EXPECT_EQ(rig.received()->packet, a_packet(60, 2));
  EXPECT_EQ(rig.config<std::uint16_t>(6), 1U);
  EXPECT_EQ(rig.watch.armed(), 42);
}

// --- Reset, save, load

TEST(VirtioNet, leaves_guest_memory_alone_after_a_reset) {
  NetRig rig;
  rig.start(base_features | merged | guest_tso4);
  rig.give_all(2, 1000);
  rig.put(a_packet(60));
  rig.put(a_packet(5000, 9));  // and it waits for buffers
  rig.event();
  EXPECT_TRUE(rig.received());
  rig.write(0x070, 0);
  EXPECT_EQ(rig.watch.armed(), Watch::nothing);
  EXPECT_EQ(rig.queue(0).used_index(), 1U);
  auto const ram = rig.ram.span(0, rig.ram.size());
  Packet const before{ram->begin(), ram->end()};
  rig.put(a_packet(60, 1));
  rig.transport().event(rig.ram, rig.line, rig.watch);
  rig.write(0x050, 0);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), ram->begin()));
  rig.start();
  rig.give_all(2, 1000);
  EXPECT_EQ(rig.received()->packet, a_packet(60, 1));
}

TEST(VirtioNet, a_reset_of_the_receive_queue_gives_its_buffers_up) {
  NetRig rig;
  ASSERT_NE(rig.offered() >> VirtioFeature::ring_reset & 1, 0U);
  rig.start();
  rig.give_all(4, 1000);
  rig.write(0x030, 0);
  rig.write(0x0C0, 1);
  EXPECT_EQ(rig.read(0x044), 0U);
  rig.put(a_packet(60, 1));
  rig.transport().event(rig.ram, rig.line, rig.watch);
  EXPECT_EQ(rig.network().to_guest.size(), 1U);
  EXPECT_FALSE(rig.needs_reset());
  rig.transmit(a_packet(60, 2));
  rig.kick(1);
  EXPECT_EQ(rig.sent()->packet, a_packet(60, 2)) << "the other queue goes on";
  rig.set_up_queue(0);
  rig.give_all(4, 1000);
  EXPECT_EQ(rig.received()->packet, a_packet(60, 1));
}

TEST(VirtioNet, a_malformed_buffer_needs_a_reset_and_nothing_else_happens) {
  NetRig rig;
  rig.start();
  rig.give_all(1, 1000);
  rig.put(a_packet(60, 1));
  rig.queue(1).add({{rig.ram.size() - 4, 100}});
  rig.kick(1);
  EXPECT_TRUE(rig.needs_reset());
  EXPECT_EQ(rig.take_interrupts(), 2U);
  rig.event();
  EXPECT_FALSE(rig.queue(0).use());
  EXPECT_FALSE(rig.sent());
  rig.start();
  rig.give_all(1, 1000);
  EXPECT_EQ(rig.received()->packet, a_packet(60, 1));
}

TEST(VirtioNet, goes_on_after_save_and_load) {
  NetRig rig;
  rig.start();
  rig.give_all(4, 1526);
  rig.put(a_packet(60, 1));
  rig.event();
  EXPECT_EQ(rig.received()->packet, a_packet(60, 1));
  auto const state = rig.transport().save();
  rig.transport().load(state);
  EXPECT_EQ(rig.transport().save(), state);
  rig.watch.disarm();
  rig.put(a_packet(60, 2));
  rig.transmit(a_packet(60, 3));
  rig.kick(1);  // the first access afterwards
  EXPECT_EQ(rig.sent()->packet, a_packet(60, 3));
  EXPECT_EQ(rig.received()->packet, a_packet(60, 2)) << "into a buffer that was out";
  for (unsigned number = 4; number < 6; ++number) {
    rig.put(a_packet(60, number));
    rig.event();
    EXPECT_EQ(rig.received()->packet, a_packet(60, number));
  }
}

// --- Over a real descriptor

TEST(VirtioNet, two_guests_on_one_wire) {
  auto ends = PacketSocket::pair();
  test::VirtioRig<Net> left{Net{std::move(ends.first)}};
  test::VirtioRig<Net> right{Net{std::move(ends.second)}};
  left.start();
  right.start();
  std::uint64_t const buffer = right.allocate(2048);
  ASSERT_TRUE(right.queue(0).add({{buffer, 2048, true}}));
  right.kick(0);
  ASSERT_NE(right.watch.armed(), Watch::nothing);
  Packet message(12);
  auto const packet = a_packet(1000, 1);
  message.insert(message.end(), packet.begin(), packet.end());
  EXPECT_TRUE(left.request(1, message, 0).empty());
  ASSERT_TRUE(right.event());
  auto const used = right.queue(0).use();
  ASSERT_TRUE(used);
  ASSERT_EQ(used->length, 1012U);
  Packet got(1000);
  ASSERT_TRUE(right.ram.copy_in(buffer + 12, got));
  EXPECT_EQ(got, packet);
}

TEST(VirtioNet, without_a_network_packets_go_nowhere) {
  test::VirtioRig<Net> rig{Net{NoNetwork{}}};
  rig.start();
  std::uint64_t const buffer = rig.allocate(2048);
  ASSERT_TRUE(rig.queue(0).add({{buffer, 2048, true}}));
  rig.kick(0);
  EXPECT_EQ(rig.watch.armed(), Watch::nothing);
  EXPECT_TRUE(rig.request(1, Packet(100), 0).empty());
  EXPECT_EQ(rig.device().counters().sent, 1U);
}

}  // namespace
}  // namespace portico
