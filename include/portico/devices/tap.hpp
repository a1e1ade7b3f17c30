/// A network interface of the host whose other end is a guest: a tap.
///
///     #include <portico/devices/tap.hpp>
///     portico::Tap tap{"tap0"};                     // an existing one, or it is made
///     std::printf("guest is at %s\n", tap.name().c_str());
///     portico::PacketOffloads const offloads = tap.offloads();
///     std::puts(offloads.tcp4 ? "64 KiB at once" : "1500 bytes at once");
///
/// To make an interface takes CAP_NET_ADMIN; one that the administrator has made for a user
/// (`ip tuntap add tap0 mode tap user NAME`) takes none. Addresses, bridges, and that it is up, are
/// the administrator's; while it is down, what the guest sends is lost. An interface that was made
/// here is gone with the object. One that several processes share (`multi_queue`) is not taken by
/// name; open it, and hand the descriptor over.
///
/// Source: Linux, Documentation/networking/tuntap.rst, and drivers/net/tun.c.
#pragma once

#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <linux/if_tun.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/packet_backend.hpp>

namespace portico {

/// One queue of a tap. Movable; one thread at a time.
class Tap {
 public:
  /// Takes the interface `name`, of at most 15 bytes, or makes it; with "%d" in it the host chooses
  /// a number. Throws std::system_error that names interface and call.
  explicit Tap(std::string const& name) : name_{name} {
    file_ = Fd{::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)};
    if (!file_) fail("open /dev/net/tun");
    ifreq request{};
    if (name.size() >= sizeof request.ifr_name) {
      errno = ENAMETOOLONG;
      fail("TUNSETIFF");
    }
    std::memcpy(request.ifr_name, name.data(), name.size());
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (::ioctl(file_.get(), TUNSETIFF, &request) != 0) fail("TUNSETIFF");
    begin();
  }

  /// Takes the open descriptor of a tap, with IFF_VNET_HDR and IFF_NO_PI. It does not block from
  /// then on. Throws std::system_error if it is none.
  explicit Tap(Fd file) : file_{std::move(file)} {
    int const flags = ::fcntl(file_.get(), F_GETFL);
    if (flags < 0 || ::fcntl(file_.get(), F_SETFL, flags | O_NONBLOCK) != 0) fail("fcntl");
    begin();
  }

  /// As the host calls it.
  [[nodiscard]] std::string const& name() const noexcept { return name_; }

  /// What the host can take from a guest, and give to it.
  [[nodiscard]] PacketOffloads offloads() const noexcept { return offloads_; }

  /// Says what the host may give; until then, plain packets.
  bool accept(PacketOffloads const& wanted) noexcept {
    return ::ioctl(file_.get(), TUNSETOFFLOAD, flags_of(wanted)) == 0;
  }

  PacketResult send(gsl::span<iovec const> parts) noexcept {
    return result_of(::writev(file_.get(), parts.data(), static_cast<int>(parts.size())));
  }

  PacketResult receive(gsl::span<iovec const> parts) noexcept {
    return result_of(::readv(file_.get(), parts.data(), static_cast<int>(parts.size())));
  }

  [[nodiscard]] int descriptor() const noexcept { return file_.get(); }

 private:
  // Linux 6.2; older headers lack them.
  static constexpr unsigned long segments4 = 0x20;
  static constexpr unsigned long segments6 = 0x40;

  [[noreturn, gnu::cold]] void fail(char const* call) const {
    throw std::system_error{errno, std::system_category(), "tap " + name_ + ": " + call};
  }

  void begin() {
    ifreq request{};
    if (::ioctl(file_.get(), TUNGETIFF, &request) != 0) fail("TUNGETIFF");
    name_ = request.ifr_name;
    constexpr int wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if ((request.ifr_flags & wanted) != wanted) {
      errno = EINVAL;
      fail("it lacks one of IFF_TAP, IFF_NO_PI, IFF_VNET_HDR");
    }
    int const header_bytes = sizeof(PacketHeader);
    if (::ioctl(file_.get(), TUNSETVNETHDRSZ, &header_bytes) != 0) fail("TUNSETVNETHDRSZ");
    // What the kernel lets a reader ask for, it takes from a writer too.
    auto const has = [&](unsigned long flags) {
      return ::ioctl(file_.get(), TUNSETOFFLOAD, TUN_F_CSUM | flags) == 0;
    };
    offloads_ = {.checksum = has(0),
                 .tcp4 = has(TUN_F_TSO4),
                 .tcp6 = has(TUN_F_TSO6),
                 .congestion = has(TUN_F_TSO4 | TUN_F_TSO_ECN),
                 .udp_fragments = has(TUN_F_UFO),
                 .udp_segments = has(segments4 | segments6)};
    if (!accept({})) fail("TUNSETOFFLOAD");
  }

  static unsigned long flags_of(PacketOffloads const& offloads) noexcept {
    if (!offloads.checksum) return 0;
    unsigned long flags = TUN_F_CSUM;
    if (offloads.tcp4) flags |= TUN_F_TSO4;
    if (offloads.tcp6) flags |= TUN_F_TSO6;
    if (offloads.congestion && (offloads.tcp4 || offloads.tcp6)) flags |= TUN_F_TSO_ECN;
    if (offloads.udp_fragments) flags |= TUN_F_UFO;
    if (offloads.udp_segments) flags |= segments4 | segments6;
    return flags;
  }

  static PacketResult result_of(ssize_t moved) noexcept {
    if (moved < 0) return {0, errno};
    auto const bytes = static_cast<std::size_t>(moved);
    if (bytes < sizeof(PacketHeader)) return {0, EIO};
    return {bytes - sizeof(PacketHeader), 0};
  }

  std::string name_{"(adopted)"};
  Fd file_;
  PacketOffloads offloads_{};
};

static_assert(PacketBackend<Tap>);

}  // namespace portico
