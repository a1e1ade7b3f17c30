// Linux's own network driver on boot_kernel's card: TCP both ways over a tap of the host.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <portico/base/fd.hpp>

#include "linux_guest.hpp"

namespace portico::test {
namespace {

using abi::Result;

/// A tap with an address, for as long as this lives. The monitor takes it by its name.
class HostTap {
 public:
  HostTap(char const* name, char const* address) : name_{name} {
    tun_ = Fd{::open("/dev/net/tun", O_RDWR | O_CLOEXEC)};
    ifreq request = named();
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    good_ = tun_ && ::ioctl(tun_.get(), TUNSETIFF, &request) == 0 &&
            ::ioctl(tun_.get(), TUNSETPERSIST, 1) == 0;
    tun_.reset();  // so that another may have it
    Fd const socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sockaddr_in place = at(address, 0);
    request = named();
    std::memcpy(&request.ifr_addr, &place, sizeof place);
    good_ = good_ && ::ioctl(socket.get(), SIOCSIFADDR, &request) == 0;
    place = at("255.255.255.0", 0);
    std::memcpy(&request.ifr_netmask, &place, sizeof place);
    good_ = good_ && ::ioctl(socket.get(), SIOCSIFNETMASK, &request) == 0;
    request = named();
    request.ifr_flags = IFF_UP;
    good_ = good_ && ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
  }

  HostTap(HostTap const&) = delete;
  HostTap& operator=(HostTap const&) = delete;

  ~HostTap() {
    Fd const tun{::open("/dev/net/tun", O_RDWR | O_CLOEXEC)};
    ifreq request = named();
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (tun && ::ioctl(tun.get(), TUNSETIFF, &request) == 0) ::ioctl(tun.get(), TUNSETPERSIST, 0);
  }

  [[nodiscard]] bool good() const { return good_; }

  static sockaddr_in at(char const* address, std::uint16_t port) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &place.sin_addr);
    return place;
  }

 private:
  [[nodiscard]] ifreq named() const {
    ifreq request{};
    std::strncpy(request.ifr_name, name_, sizeof request.ifr_name - 1);
    return request;
  }

  char const* name_;
  Fd tun_;
  bool good_ = false;
};

/// A server that takes one connection, on a thread: `serve(connection)`.
template <class Serve>
class Server {
 public:
  Server(sockaddr_in place, Serve serve)
      : listening_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    int const yes = 1;
    ::setsockopt(listening_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    good_ = ::bind(listening_.get(), reinterpret_cast<sockaddr*>(&place), sizeof place) == 0 &&
            ::listen(listening_.get(), 1) == 0;
    if (!good_) return;
    thread_ = std::thread{[this, serve] {
      Fd const connection{::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
      // A guest that dies in between sends no end.
      timeval const limit{120, 0};
      ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      ::setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
      if (connection) serve(connection.get());
    }};
  }

  Server(Server const&) = delete;
  Server& operator=(Server const&) = delete;

  ~Server() { finish(); }

  /// Waits for it, or sends it away if nobody has come.
  void finish() {
    if (!thread_.joinable()) return;
    ::shutdown(listening_.get(), SHUT_RDWR);
    thread_.join();
  }

  [[nodiscard]] bool good() const { return good_; }

 private:
  Fd listening_;
  bool good_ = false;
  std::thread thread_;
};

std::string without_order(std::size_t bytes) {
  std::string text;
  for (std::uint32_t value = 7; text.size() < bytes; value = value * 1'664'525 + 1'013'904'223)
    text += static_cast<char>(value >> 24);
  return text;
}

class VirtioNetLinux : public LinuxGuest {
 protected:
  /// `bytes` there and `bytes` back, with the sums compared.
  void expect_transfer(Wanted wanted, std::size_t bytes) {
    HostTap const tap{"portico0", "10.83.7.1"};
    ASSERT_TRUE(tap.good()) << "no tap could be made";
    std::string const there = without_order(bytes);
    std::string back;
    Server giver{HostTap::at("10.83.7.1", 4001), [&](int to) {
                   for (std::size_t done = 0; done < there.size();) {
                     ssize_t const some =
                         ::send(to, there.data() + done, there.size() - done, MSG_NOSIGNAL);
                     if (some <= 0) return;
                     done += static_cast<std::size_t>(some);
                   }
                 }};
    Server taker{HostTap::at("10.83.7.1", 4002), [&](int from) {
                   std::array<char, 65536> piece{};
                   for (ssize_t some = 0; (some = ::read(from, piece.data(), piece.size())) > 0;)
                     back.append(piece.data(), static_cast<std::size_t>(some));
                 }};
    ASSERT_TRUE(giver.good() && taker.good());
    wanted.script =
        "ip link set lo up; ip addr add 10.83.7.2/24 dev eth0; ip link set eth0 up; "
        "nc 10.83.7.1 4001 </dev/null >/tmp/there; echo there=$(crc32 /tmp/there); "
        "head -c " +
        std::to_string(bytes) +
        " /dev/urandom >/tmp/back; nc 10.83.7.1 4002 </tmp/back; echo back=$(crc32 /tmp/back); "
        "ping -c 3 -s 1400 10.83.7.1 | grep -c ttl=; cat /sys/class/net/eth0/address; "
        "d=$(basename $(readlink /sys/class/net/eth0/device)); "
        "b=/sys/bus/virtio/drivers/virtio_net; echo $d >$b/unbind; "
        "[ -e /sys/class/net/eth0 ] || echo unbound; echo $d >$b/bind; "
        "ip addr add 10.83.7.2/24 dev eth0; ip link set eth0 up; "
        "ping -c 2 10.83.7.1 | grep -q ttl= && echo bound again";
    wanted.options = {"--net", "portico0"};
    Result const result = boot(wanted);
    giver.finish();
    taker.finish();
    EXPECT_EQ(result.status, 0) << result.error;
    EXPECT_EQ(back.size(), bytes);
    for (std::string const& text :
         {"there=" + crc32(there) + " ", "back=" + crc32(back) + " ", std::string{"\n3\r\n"},
          std::string{"unbound\r\n"}, std::string{"bound again\r\n"}})
      EXPECT_NE(result.out.find(text), std::string::npos) << text << " in\n"
                                                          << result.out << result.error;
  }
};

TEST_F(VirtioNetLinux, CarriesTcpBothWaysAndBindsItsDriverAgain) { expect_transfer({}, 2'000'000); }

class LongVirtioNetLinux : public VirtioNetLinux {};

TEST_F(LongVirtioNetLinux, CarriesTcpWithSeveralProcessors) {
  expect_transfer({.irqchip = "split", .cpus = 4}, 8'000'000);
}

TEST_F(LongVirtioNetLinux, CarriesTcpWithAllControllersOutside) {
  expect_transfer({.irqchip = "user"}, 1'000'000);
}

}  // namespace
}  // namespace portico::test
