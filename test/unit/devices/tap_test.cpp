// Against the host's own network stack: a packet socket is the other end of the interface.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <portico/devices/tap.hpp>
#include <portico/devices/wait.hpp>

#include "packets.hpp"
#include "pipe.hpp"
#include "support/requires.hpp"

namespace {

using portico::Fd;
using portico::PacketHeader;
using portico::Tap;

/// What the error says that `make` throws.
template <class Make>
std::string error_of(Make make) {
  try {
    make();
  } catch (std::system_error const& error) {
    return error.what();
  }
  return "none";
}

bool contains(std::string const& text, char const* part) {
  return text.find(part) != std::string::npos;
}

/// The host's end of an interface: it is up, and its packets of one type come here.
class HostEnd {
 public:
  explicit HostEnd(std::string const& name, std::uint16_t type = experimental)
      : socket_{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(type))} {
    ifreq request{};
    std::strncpy(request.ifr_name, name.c_str(), sizeof request.ifr_name - 1);
    if (::ioctl(socket_.get(), SIOCGIFINDEX, &request) != 0) throw_errno("SIOCGIFINDEX");
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(type);
    address.sll_ifindex = request.ifr_ifindex;
    request.ifr_flags = IFF_UP;
    if (::ioctl(socket_.get(), SIOCSIFFLAGS, &request) != 0) throw_errno("SIOCSIFFLAGS");
    if (::bind(socket_.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0)
      throw_errno("bind");
  }

  void put(std::vector<std::byte> const& packet) const {
    ASSERT_EQ(::send(socket_.get(), packet.data(), packet.size(), 0),
              static_cast<ssize_t>(packet.size()));
  }

  [[nodiscard]] std::vector<std::byte> take() const {
    std::vector<std::byte> packet(portico::largest_packet);
    if (portico::wait_for(socket_.get(), POLLIN, {{}, 5000}) != portico::Wait::ready) return {};
    ssize_t const count = ::recv(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
    packet.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return packet;
  }

 private:
  [[noreturn]] static void throw_errno(char const* call) {
    throw std::system_error{errno, std::system_category(), call};
  }

  Fd socket_;
};

/// The next packet of the experimental type: the host has some of its own (IPv6).
Received receive_ours(Tap& tap) {
  while (portico::wait_for(tap.descriptor(), POLLIN, {{}, 5000}) == portico::Wait::ready) {
    Received got = receive(tap);
    if (got.result.error != 0 || got.packet[12] == std::byte{experimental >> 8}) return got;
  }
  return {};
}

TEST(Tap, PacketsPassUnchangedInBothDirections) {
  PORTICO_REQUIRES(tap_device);
  Tap tap{"portico%d"};
  EXPECT_TRUE(contains(tap.name(), "portico"));
  EXPECT_FALSE(contains(tap.name(), "%"));
  HostEnd const host{tap.name()};
  for (unsigned number = 0; number < 10; ++number) {
    auto const packet = a_packet(60 + 140 * number, number);
    auto const sent = send(tap, packet);
    ASSERT_EQ(sent.error, 0) << std::strerror(sent.error);
    EXPECT_EQ(sent.bytes, packet.size());
    EXPECT_EQ(host.take(), packet);
    host.put(packet);
    auto const got = receive_ours(tap);
    EXPECT_EQ(got.packet, packet);
    EXPECT_EQ(got.header.gso_type, PacketHeader::whole);
    EXPECT_EQ(got.header.flags & PacketHeader::needs_checksum, 0);
  }
}

TEST(Tap, WithoutAPacketNobodyWaits) {
  PORTICO_REQUIRES(tap_device);
  Tap tap{"portico%d"};
  EXPECT_EQ(receive(tap).result.error, EAGAIN);
}

TEST(Tap, AnInterfaceThatIsDownLosesWhatIsSent) {
  PORTICO_REQUIRES(tap_device);
  Tap tap{"portico%d"};
  EXPECT_EQ(send(tap, a_packet(60)).error, EIO);
}

TEST(Tap, AHeaderThatTheHostDoesNotUnderstandIsAnErrorOfThatPacket) {
  PORTICO_REQUIRES(tap_device);
  Tap tap{"portico%d"};
  HostEnd const host{tap.name()};
  EXPECT_NE(send(tap, a_packet(60), {.gso_type = 0x42, .segment_size = 10}).error, 0);
  EXPECT_NE(send(tap, a_packet(13)).error, 0);
  ASSERT_EQ(send(tap, a_packet(60, 3)).error, 0);
  EXPECT_EQ(host.take(), a_packet(60, 3));
}

TEST(Tap, TheHostFillsInAChecksum) {
  PORTICO_REQUIRES(tap_device);
  Tap tap{"portico%d"};
  ASSERT_TRUE(tap.offloads().checksum);
  HostEnd const host{tap.name()};
  // The guest sends it incomplete; the socket, which is a reader like any other, says so itself
  // in its own headers, or has it completed. Either way the rest is as it was.
  auto const packet = a_packet(100, 5);
  ASSERT_EQ(
      send(tap, packet,
           {.flags = PacketHeader::needs_checksum, .checksum_start = 34, .checksum_offset = 16})
          .error,
      0);
  auto seen = host.take();
  ASSERT_EQ(seen.size(), packet.size());
  seen[50] = packet[50];
  seen[51] = packet[51];
  EXPECT_EQ(seen, packet);
}

/// IPv4 and TCP, without options, from 192.0.2.1 to 192.0.2.2; the TCP checksum is left to others.
std::vector<std::byte> a_segment(std::size_t size) {
  auto packet = a_packet(size);
  auto const put = [&](std::size_t at, std::initializer_list<unsigned> bytes) {
    for (unsigned const byte : bytes) packet[at++] = static_cast<std::byte>(byte);
  };
  auto const length = static_cast<unsigned>(size - 14);
  put(12, {0x08, 0x00});
  put(14, {0x45, 0, length >> 8, length & 0xFF, 0, 1, 0x40, 0, 64, 6, 0, 0});
  put(26, {192, 0, 2, 1, 192, 0, 2, 2});
  put(34, {0x30, 0x39, 0x30, 0x3A, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xFF, 0xFF, 0, 0, 0, 0});
  unsigned sum = 0;
  for (std::size_t at = 14; at < 34; at += 2)
    sum += std::to_integer<unsigned>(packet[at]) << 8 | std::to_integer<unsigned>(packet[at + 1]);
  sum = (sum & 0xFFFF) + (sum >> 16);
  put(24, {~sum >> 8 & 0xFF, ~sum & 0xFF});
  return packet;
}

TEST(Tap, ALargeSegmentIsTakenInOnePiece) {
  PORTICO_REQUIRES(tap_device);
  Tap tap{"portico%d"};
  ASSERT_TRUE(tap.offloads().tcp4);
  HostEnd const host{tap.name(), 0x0800};
  auto const packet = a_segment(60'000);
  auto const sent = send(tap, packet,
                         {.flags = PacketHeader::needs_checksum,
                          .gso_type = PacketHeader::tcp4,
                          .header_length = 54,
                          .segment_size = 1448,
                          .checksum_start = 34,
                          .checksum_offset = 16});
  ASSERT_EQ(sent.error, 0) << std::strerror(sent.error);
  auto seen = host.take();
  ASSERT_EQ(seen.size(), packet.size()) << "the host cuts it only where it leaves";
  seen[50] = packet[50];
  seen[51] = packet[51];
  EXPECT_EQ(seen, packet);
}

TEST(Tap, OffloadsAreTakenBackAndForth) {
  PORTICO_REQUIRES(tap_device);
  Tap tap{"portico%d"};
  auto const all = tap.offloads();
  EXPECT_TRUE(all.checksum && all.tcp4 && all.tcp6 && all.congestion);
  EXPECT_TRUE(tap.accept(all));
  EXPECT_TRUE(tap.accept({.checksum = true}));
  EXPECT_TRUE(tap.accept({}));
}

TEST(Tap, TruncationFillsTheRoom) {
  PORTICO_REQUIRES(tap_device);
  Tap tap{"portico%d"};
  HostEnd const host{tap.name()};
  host.put(a_packet(1000));
  ASSERT_EQ(portico::wait_for(tap.descriptor(), POLLIN, {{}, 5000}), portico::Wait::ready);
  for (;;) {
    auto const got = receive(tap, 501);
    ASSERT_EQ(got.result.error, 0);
    if (got.packet[12] != std::byte{experimental >> 8}) continue;
    EXPECT_EQ(got.result.bytes, 501U);
    break;
  }
}

TEST(Tap, AnOpenDescriptorIsAdopted) {
  PORTICO_REQUIRES(tap_device);
  Tap first{"portico%d"};
  Tap tap{Fd{::dup(first.descriptor())}};
  EXPECT_EQ(tap.name(), first.name());
  EXPECT_EQ(tap.offloads(), first.offloads());
  HostEnd const host{tap.name()};
  ASSERT_EQ(send(tap, a_packet(60, 4)).error, 0);
  EXPECT_EQ(host.take(), a_packet(60, 4));
}

TEST(Tap, ErrorsNameTheInterfaceAndTheCall) {
  std::string const text = error_of([] { Tap tap{"a_name_that_is_too_long"}; });
  EXPECT_TRUE(contains(text, "a_name_that_is_too_long")) << text;
  EXPECT_TRUE(contains(text, "/dev/net/tun") || contains(text, "TUNSETIFF")) << text;
  Pipe pipe;
  std::string const adopted = error_of([&] { Tap tap{std::move(pipe.out)}; });
  EXPECT_TRUE(contains(adopted, "TUNGETIFF")) << adopted;
}

TEST(Tap, AnInterfaceInUseOrWithoutHeadersIsRefused) {
  PORTICO_REQUIRES(tap_device);
  Tap first{"portico%d"};
  std::string const text = error_of([&] { Tap second{first.name()}; });
  EXPECT_TRUE(contains(text, first.name().c_str()) && contains(text, "TUNSETIFF")) << text;
  Fd plain{::open("/dev/net/tun", O_RDWR | O_CLOEXEC)};
  ifreq request{};
  std::strcpy(request.ifr_name, "portico%d");
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  ASSERT_EQ(::ioctl(plain.get(), TUNSETIFF, &request), 0);
  std::string const headers = error_of([&] { Tap tap{std::move(plain)}; });
  EXPECT_TRUE(contains(headers, "IFF_VNET_HDR")) << headers;
}

}  // namespace
