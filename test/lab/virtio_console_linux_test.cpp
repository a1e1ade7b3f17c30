// Linux's own driver on boot_kernel's virtio console: every byte arrives, and few exits carry them.
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "linux_guest.hpp"

namespace portico::test {
namespace {

using abi::Result;

class LongVirtioConsoleLinux : public LinuxGuest {};

/// Exits of the entry `name` in the table of --stats.
double exits_of(std::string const& table, std::string const& name) {
  std::istringstream lines{table};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words{line};
    std::string first;
    double reads = 0;
    double writes = 0;
    double bytes = 0;
    double exits = 0;
    if (words >> first >> reads >> writes >> bytes >> exits && first == name) return exits;
  }
  return -1;
}

TEST_F(LongVirtioConsoleLinux, PrintsAtFullSpeed) {
  constexpr std::size_t bytes = 200'000;
  Result const result =
      boot({.script = "exec 3<>/dev/hvc0; stty raw -echo <&3; head -c " + std::to_string(bytes) +
                      " /dev/urandom >/tmp/all; cat /tmp/all >&3; "
                      "echo all=$(crc32 /tmp/all); sleep 1",
            .options = {"--virtio-console", "printed", "--stats"}});
  EXPECT_EQ(result.status, 0) << result.error;
  std::string const printed = folder_.read("printed").value();
  EXPECT_EQ(printed.size(), bytes);
  EXPECT_NE(result.out.find("all=" + crc32(printed) + " "), std::string::npos) << result.out;
  double const exits = exits_of(result.error, "console");
  EXPECT_GT(exits, 0) << result.error;
  EXPECT_LE(exits, 0.05 * bytes) << result.error;
}

}  // namespace
}  // namespace portico::test
