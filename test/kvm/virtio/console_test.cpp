// The virtio console under a guest's driver, in each place, over pipes: what it costs, and input while it halts.
#include <string>

#include <portico/virtio/console.hpp>

#include "guest.hpp"
#include "unit/devices/pipe.hpp"

namespace portico::test {
namespace {

/// What the guest prints: guest/virtio_console.c.
std::string expected(std::size_t bytes) {
  std::string line;
  for (int index = 0; index < 8; ++index) line += ".portico";
  line.back() = '\n';
  std::string all;
  while (all.size() < bytes) all += line;
  return all;
}

template <template <class> class Placed>
void expect_cheap_printing_and_an_echo() {
  Pipe keys;
  Pipe screen;
  SharedInput input{keys.out.get()};
  OutputSink output{screen.in.get()};
  VirtioGuest<Placed<Console>> guest{
      "virtio_console",
      [&] { return Console{StandardStreams{input, output, 0}, ConsoleSize{132, 43}}; }};
  constexpr std::uint32_t printed = 4096;  // bytes of each part, and there are three
  std::thread typing{[&] {
    // Not before the guest has printed all, so that it has to wait.
    std::string seen;
    while (seen.size() < 3 * printed) {
      if (wait_for(screen.out.get(), POLLIN, {{}, 10'000 * time_scale()}) != Wait::ready) break;
      seen += screen.available();
    }
    EXPECT_EQ(seen, expected(3 * printed));
    for (std::string const text : {"hello\n", "world\n", "end\n"}) {
      keys.put(text);
      std::string back;
      while (back.size() < text.size() &&
             wait_for(screen.out.get(), POLLIN, {{}, 10'000 * time_scale()}) == Wait::ready)
        back += screen.available();
      EXPECT_EQ(back, text);
    }
  }};
  guest.run();
  typing.join();
  EXPECT_NE(guest.text().find("132 columns, 43 rows"), std::string::npos) << guest.text();
  EXPECT_NE(guest.text().find("printed: yes"), std::string::npos) << guest.text();
  EXPECT_NE(guest.text().find("echoed: yes"), std::string::npos) << guest.text();
  auto const part = guest.part(printed);
  EXPECT_EQ(part.requests, 3 * printed);
  EXPECT_LT(part.exits_per_request(), 0.05) << "for a byte";
  testing::Test::RecordProperty("exits_per_byte", std::to_string(part.exits_per_request()));
}

TEST(VirtioConsoleOnKvm, PrintsCheaplyAndGivesInputBackUnderALock) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  expect_cheap_printing_and_an_echo<UnderALock>();
}

TEST(VirtioConsoleOnKvm, PrintsCheaplyAndGivesInputBackOnItsOwnThread) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  expect_cheap_printing_and_an_echo<OnItsOwnThread>();
}

}  // namespace
}  // namespace portico::test
