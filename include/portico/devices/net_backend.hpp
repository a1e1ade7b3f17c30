/// The networks that a program chooses from on its command line.
///
///     #include <portico/devices/net_backend.hpp>
///     char const* const name = ::getenv("TAP");
///     portico::NetBackend network = portico::NoNetwork{};
///     if (name != nullptr) network = portico::Tap{name};
///
/// A tap of the host, a socket to a switch or to another guest, or a cable that is plugged in
/// nowhere.
#pragma once

#include <variant>

#include <portico/devices/packet_backend.hpp>
#include <portico/devices/packet_socket.hpp>
#include <portico/devices/tap.hpp>

namespace portico {

/// Takes every packet, and has none.
struct NoNetwork {
  [[nodiscard]] PacketOffloads offloads() const noexcept { return {}; }

  bool accept(PacketOffloads const& wanted) noexcept { return wanted == PacketOffloads{}; }

  PacketResult send(gsl::span<iovec const> parts) noexcept {
    PacketResult result;
    for (iovec const& part : parts.subspan(1)) result.bytes += part.iov_len;
    return result;
  }

  PacketResult receive(gsl::span<iovec const>) noexcept { return {0, EAGAIN}; }

  [[nodiscard]] int descriptor() const noexcept { return -1; }
};

static_assert(PacketBackend<NoNetwork>);

/// The choice that a program makes at run time.
using NetBackend = std::variant<NoNetwork, Tap, PacketSocket>;

}  // namespace portico
