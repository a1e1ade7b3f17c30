/// A guest's network over a socket that keeps packets apart: to a switch in user space, or to
/// another guest.
///
///     #include <portico/devices/packet_socket.hpp>
///     auto [guest0, guest1] = portico::PacketSocket::pair();        // a wire between two guests
///     portico::PacketHeader header;
///     std::array<std::uint8_t, 60> packet{};
///     std::array<iovec, 2> const parts{
///         {{&header, sizeof header}, {packet.data(), packet.size()}}};
///     bool const arrived = guest0.send(parts).error == 0 && guest1.receive(parts).bytes == 60;
///
/// Each message is an Ethernet packet and nothing else, as switches have it. So checksums are
/// complete and no packet is larger than the guest's MTU: there are no offloads. A connected socket
/// of type SOCK_SEQPACKET or SOCK_DGRAM; when the other end is gone, packets go nowhere.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/packet_backend.hpp>

namespace portico {

/// One end of a wire. Movable; one thread at a time.
class PacketSocket {
 public:
  /// Takes a connected socket. Throws std::system_error if it is none that keeps packets apart.
  explicit PacketSocket(Fd socket) : socket_{std::move(socket)} {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0)
      throw std::system_error{errno, std::system_category(), "packet socket: SO_TYPE"};
    if (type != SOCK_SEQPACKET && type != SOCK_DGRAM)
      throw std::system_error{EPROTOTYPE, std::system_category(),
                              "packet socket: neither SOCK_SEQPACKET nor SOCK_DGRAM"};
    ends_ = type == SOCK_SEQPACKET;
  }

  /// Both ends. Throws std::system_error if the host has no descriptors left.
  [[nodiscard]] static std::pair<PacketSocket, PacketSocket> pair() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
      throw std::system_error{errno, std::system_category(), "packet socket: socketpair"};
    Fd first{ends[0]};
    Fd second{ends[1]};
    return {PacketSocket{std::move(first)}, PacketSocket{std::move(second)}};
  }

  /// None.
  [[nodiscard]] PacketOffloads offloads() const noexcept { return {}; }

  bool accept(PacketOffloads const& wanted) noexcept { return wanted == PacketOffloads{}; }

  PacketResult send(gsl::span<iovec const> parts) noexcept {
    msghdr message = message_of(parts.subspan(1));
    return result_of(::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL));
  }

  PacketResult receive(gsl::span<iovec const> parts) noexcept {
    PacketHeader const plain;
    std::memcpy(parts[0].iov_base, &plain, sizeof plain);
    msghdr message = message_of(parts.subspan(1));
    ssize_t const count = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    // No packet is empty: the other end is gone, and that is all it will ever say.
    if (count == 0 && ends_) return {0, ENOTCONN};
    return result_of(count);
  }

  [[nodiscard]] int descriptor() const noexcept { return socket_.get(); }

 private:
  static msghdr message_of(gsl::span<iovec const> parts) noexcept {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts.data());  // which sendmsg and recvmsg do not change
    message.msg_iovlen = parts.size();
    return message;
  }

  static PacketResult result_of(ssize_t moved) noexcept {
    if (moved < 0) return {0, errno};
    return {static_cast<std::size_t>(moved), 0};
  }

  Fd socket_;
  bool ends_ = false;
};

static_assert(PacketBackend<PacketSocket>);

}  // namespace portico
