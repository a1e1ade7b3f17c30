// The virtio network device under a guest's driver, in each place; the other end of its wire is this test.
#include <atomic>
#include <utility>
#include <vector>

#include <portico/devices/wait.hpp>
#include <portico/virtio/net.hpp>

#include "guest.hpp"
#include "unit/devices/packets.hpp"

namespace portico::test {
namespace {

constexpr unsigned frames = 32;
constexpr std::size_t ethernet = 14;

/// The next packet; none after ten seconds.
std::vector<std::byte> next(PacketSocket& wire, int milliseconds = 10'000) {
  if (wait_for(wire.descriptor(), POLLIN, {{}, milliseconds * time_scale()}) != Wait::ready)
    return {};
  return receive(wire).packet;
}

/// Sends back what comes, and then asks the guest to do the same; how many came back from it.
unsigned other_end(PacketSocket& wire) {
  for (unsigned count = 0; count < frames; ++count) {
    auto packet = next(wire);
    if (packet.empty() || send(wire, std::move(packet)).error != 0) return 0;
  }
  unsigned returned = 0;
  for (unsigned number = 0; number <= frames; ++number) {
    auto packet = a_packet(number % 2 == 0 ? 60 : 1514, number);
    packet[ethernet] = number < frames ? std::byte{0} : std::byte{0xFF};
    if (send(wire, packet).error == 0 && next(wire) == packet) ++returned;
  }
  return returned;
}

template <template <class> class Placed>
void expect_frames_both_ways() {
  auto ends = PacketSocket::pair();
  VirtioGuest<Placed<Net>> guest{
      "virtio_net",
      [&] { return Net{std::move(ends.first), {.mac = MacAddress{2, 0, 0, 0, 0, 1}}}; }};
  std::atomic<unsigned> returned{0};
  std::thread there{[&] { returned = other_end(ends.second); }};
  guest.run();
  there.join();
  EXPECT_EQ(returned.load(), frames + 1);
  EXPECT_NE(guest.text().find("32 frames there and back"), std::string::npos) << guest.text();
  EXPECT_NE(guest.text().find("0 failures"), std::string::npos) << guest.text();
}

TEST(VirtioNetOnKvm, FramesPassInBothDirectionsUnderALock) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  expect_frames_both_ways<UnderALock>();
}

TEST(VirtioNetOnKvm, FramesPassInBothDirectionsOnItsOwnThread) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  expect_frames_both_ways<OnItsOwnThread>();
}

}  // namespace
}  // namespace portico::test
