// The virtio console under a guest's driver, over pipes: what it costs, and input while it halts.
#include <string>

#include <portico/virtio/console.hpp>

#include "guest.hpp"
#include "unit/devices/pipe.hpp"

namespace portico::test {
namespace {

TEST(VirtioConsoleOnKvm, PrintsCheaplyAndGivesInputBack) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  Pipe keys;
  Pipe screen;
  SharedInput input{keys.out.get()};
  OutputSink output{screen.in.get()};
  VirtioGuest<UnderALock<Console>> guest{
      "virtio_console",
      [&] { return Console{StandardStreams{input, output, 0}, ConsoleSize{132, 43}}; }};
  constexpr std::uint32_t printed = 4096;  // bytes of each part, and there are three
  std::thread typing{[&] {
    // Not before the guest has printed all, so that it has to wait.
    std::size_t seen = 0;
    while (seen < 3 * printed) {
      if (wait_for(screen.out.get(), POLLIN, {{}, 10'000 * time_scale()}) != Wait::ready) break;
      seen += screen.available().size();
    }
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
  RecordProperty("exits_per_byte", std::to_string(part.exits_per_request()));
}

}  // namespace
}  // namespace portico::test
