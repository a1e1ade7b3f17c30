/// Packets for tests of what moves them, and the two ends of a backend.
///
///     std::vector<std::byte> const packet = a_packet(60, 7);   // its bytes tell that it is number 7
///     EXPECT_EQ(send(backend, packet).error, 0);
///     EXPECT_EQ(receive(backend).packet, packet);
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <portico/devices/packet_backend.hpp>

/// An EtherType for experiments, so that a test knows its own.
inline constexpr std::uint16_t experimental = 0x88B5;

/// To everybody, from a local address, and bytes that no other number has.
inline std::vector<std::byte> a_packet(std::size_t size, unsigned number = 0) {
  std::vector<std::byte> packet(size);
  for (std::size_t at = 0; at < size; ++at) {
    unsigned value =
        (static_cast<unsigned>(at) * 7 + number * 13 + static_cast<unsigned>(at >> 8)) & 0xFF;
    if (at < 6) value = 0xFF;
    if (at >= 6 && at < 12) value = at == 6 ? 0x02 : 0x00;
    if (at == 12) value = experimental >> 8;
    if (at == 13) value = experimental & 0xFF;
    packet[at] = static_cast<std::byte>(value);
  }
  return packet;
}

template <class Backend>
portico::PacketResult send(Backend& backend, std::vector<std::byte> packet,
                           portico::PacketHeader header = {}) {
  // In two pieces, as a guest may have cut it.
  std::size_t const cut = packet.size() / 2;
  std::array<iovec, 3> const parts{
      {{&header, sizeof header}, {packet.data(), cut}, {packet.data() + cut, packet.size() - cut}}};
  return backend.send(parts);
}

struct Received {
  portico::PacketResult result{};
  portico::PacketHeader header{};
  std::vector<std::byte> packet{};
};

template <class Backend>
Received receive(Backend& backend, std::size_t room = portico::largest_packet) {
  Received got;
  got.header.flags = 0xEE;  // overwritten, if there is a packet
  got.packet.resize(room);
  std::size_t const cut = room / 3;
  std::array<iovec, 3> const parts{{{&got.header, sizeof got.header},
                                    {got.packet.data(), cut},
                                    {got.packet.data() + cut, room - cut}}};
  got.result = backend.receive(parts);
  got.packet.resize(got.result.bytes);
  return got;
}
