// Debian's kernel with a script, on boot_kernel: what the tests of the laboratory have in common.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "abi/program.hpp"
#include "support/requires.hpp"

namespace portico::test {

/// A file of the laboratory's guest.
inline std::string guest_file(std::string const& name) {
  char const* const folder = std::getenv("PORTICO_LABORATORY");
  return std::string{folder == nullptr ? "build/lab" : folder} + "/guest/" + name;
}

/// As `crc32` adds up: IEEE 802.3's, in eight hexadecimal digits.
inline std::string crc32(std::string_view bytes) {
  std::uint32_t sum = ~0U;
  for (char const byte : bytes) {
    sum ^= static_cast<std::uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ ((sum & 1) != 0 ? 0xEDB8'8320U : 0U);
  }
  char text[16];
  std::snprintf(text, sizeof text, "%08x", ~sum);
  return text;
}

/// What a boot is to be like.
struct Wanted {
  std::string kernel = "vmlinux";
  std::string irqchip = "kernel";
  unsigned cpus = 1;
  std::string script{};  ///< for the guest's shell, without double quotes
  std::string end = "poweroff";
  std::vector<std::string> options{};  ///< of boot_kernel, beside these
};

/// boot_kernel's arguments for it.
inline std::vector<std::string> arguments(Wanted const& wanted) {
  std::vector<std::string> words{"--kernel",
                                 guest_file(wanted.kernel),
                                 "--initrd",
                                 guest_file("initrd"),
                                 "--irqchip",
                                 wanted.irqchip,
                                 "--cpus",
                                 std::to_string(wanted.cpus),
                                 "--timeout",
                                 std::to_string(80 * time_scale()),
                                 "--append",
                                 "console=ttyS0 quiet panic=-1 pci=off portico.end=" + wanted.end +
                                     " portico.script=\"" + wanted.script + "\""};
  words.insert(words.end(), wanted.options.begin(), wanted.options.end());
  return words;
}

/// Tests that need a complete KVM and that kernel.
class LinuxGuest : public testing::Test {
 protected:
  void SetUp() override {
    PORTICO_REQUIRES(kvm, complete_vendor);
    for (char const* const file : {"vmlinux", "vmlinuz", "initrd", "ext4.tar"})
      if (::access(guest_file(file).c_str(), R_OK) != 0)
        GTEST_SKIP() << "requires the guest kernel of ./dev lab prepare";
  }

  /// Boots without a terminal, and runs the script to its end.
  abi::Result boot(Wanted const& wanted, abi::Surroundings surroundings = {}) {
    surroundings.program = "boot_kernel";
    abi::Result const result = abi::run(folder_, arguments(wanted), surroundings);
    EXPECT_NE(result.out.find("PORTICO-GUEST-UP "), std::string::npos)
        << result.out << result.error;
    return result;
  }

  abi::Folder folder_;
};

}  // namespace portico::test
