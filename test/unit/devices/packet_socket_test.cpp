#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include <portico/devices/net_backend.hpp>
#include <portico/devices/packet_socket.hpp>

#include "packets.hpp"
#include "pipe.hpp"

namespace {

using portico::Fd;
using portico::PacketHeader;
using portico::PacketOffloads;
using portico::PacketSocket;

TEST(PacketSocket, PacketsStayApartAndInOrderInBothDirections) {
  auto [left, right] = PacketSocket::pair();
  for (unsigned number = 0; number < 20; ++number) {
    ASSERT_EQ(send(left, a_packet(60 + number, number)).error, 0);
    ASSERT_EQ(send(right, a_packet(1500 - number, number)).bytes, 1500 - number);
  }
  for (unsigned number = 0; number < 20; ++number) {
    EXPECT_EQ(receive(right).packet, a_packet(60 + number, number));
    auto const got = receive(left);
    EXPECT_EQ(got.packet, a_packet(1500 - number, number));
    EXPECT_EQ(got.header, PacketHeader{}) << "nothing is left to do";
  }
}

TEST(PacketSocket, NeitherEndWaits) {
  auto [left, right] = PacketSocket::pair();
  EXPECT_EQ(receive(left).result.error, EAGAIN);
  unsigned sent = 0;
  while (send(left, a_packet(1000)).error == 0 && sent < 1'000'000) ++sent;
  EXPECT_GT(sent, 10U);
  EXPECT_EQ(send(left, a_packet(1000)).error, EAGAIN);
  EXPECT_EQ(receive(right).result.bytes, 1000U);
}

TEST(PacketSocket, WhatHasNoRoomIsLostAndFillsTheRoom) {
  auto [left, right] = PacketSocket::pair();
  ASSERT_EQ(send(left, a_packet(1000, 1)).error, 0);
  ASSERT_EQ(send(left, a_packet(100, 2)).error, 0);
  EXPECT_EQ(receive(right, 501).result.bytes, 501U);
  EXPECT_EQ(receive(right).packet, a_packet(100, 2));
}

TEST(PacketSocket, ThereAreNoOffloads) {
  auto [left, right] = PacketSocket::pair();
  EXPECT_EQ(left.offloads(), PacketOffloads{});
  EXPECT_TRUE(left.accept({}));
  EXPECT_FALSE(right.accept({.checksum = true}));
}

TEST(PacketSocket, TheOtherEndGoingIsAnErrorAndNoSignal) {
  auto [left, right] = PacketSocket::pair();
  {
    PacketSocket const gone = std::move(right);
  }
  EXPECT_EQ(send(left, a_packet(60)).error, EPIPE);
  EXPECT_EQ(receive(left).result.error, ENOTCONN);
}

TEST(PacketSocket, DatagramsDoAsWell) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  PacketSocket left{Fd{ends[0]}};
  PacketSocket right{Fd{ends[1]}};
  ASSERT_EQ(send(left, a_packet(60, 9)).error, 0);
  EXPECT_EQ(receive(right).packet, a_packet(60, 9));
}

TEST(PacketSocket, WhatKeepsNoPacketsApartIsRefused) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  Fd const other{ends[1]};
  EXPECT_THROW(PacketSocket{Fd{ends[0]}}, std::system_error);
  Pipe pipe;
  try {
    PacketSocket const socket{std::move(pipe.out)};
    FAIL() << "a pipe is no socket";
  } catch (std::system_error const& error) {
    EXPECT_EQ(error.code().value(), ENOTSOCK);
    EXPECT_NE(std::string{error.what()}.find("SO_TYPE"), std::string::npos);
  }
}

TEST(NoNetwork, TakesEverythingAndGivesNothing) {
  portico::NoNetwork nowhere;
  EXPECT_EQ(send(nowhere, a_packet(1500)).bytes, 1500U);
  EXPECT_EQ(receive(nowhere).result.error, EAGAIN);
  EXPECT_EQ(nowhere.descriptor(), -1);
}

}  // namespace
