// boot_kernel with Debian's kernel, unmodified: to its first process on each place of the interrupt
// controllers, at its console, to each of its ends. *Long* ones are in the suite `long`.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "linux_guest.hpp"

namespace portico::test {
namespace {

using abi::Program;
using abi::Result;
using abi::Surroundings;

class BootKernelLinux : public LinuxGuest {
 protected:
  /// Boots, and looks at processors and controllers from inside.
  void expect_boot(Wanted wanted) {
    wanted.script =
        "echo sum=$((40 + 2)); echo cpus=$(grep -c ^processor /proc/cpuinfo); "
        "echo apics=$(grep -wc apic /proc/cpuinfo); grep ttyS0 /proc/interrupts; exit 3";
    Result const result = boot(wanted);
    EXPECT_EQ(result.status, wanted.end == "reboot" ? 4 : 0) << result.error;
    bool const has_apics = wanted.irqchip != "user";
    std::string const cpus = std::to_string(wanted.cpus);
    for (std::string const& text : {std::string{"sum=42\r\n"}, "cpus=" + cpus + "\r\n",
                                    "apics=" + (has_apics ? cpus : "0") + "\r\n",
                                    std::string{has_apics ? "IO-APIC   4-edge" : "XT-PIC"},
                                    std::string{"PORTICO-GUEST-EXIT 3\r\n"}})
      EXPECT_NE(result.out.find(text), std::string::npos) << text << " in\n" << result.out;
  }

  Program at_terminal(Wanted const& wanted) {
    Surroundings surroundings;
    surroundings.input = Surroundings::Input::terminal;
    surroundings.program = "boot_kernel";
    return Program{folder_, arguments(wanted), surroundings};
  }
};

// --- In minutes

TEST_F(BootKernelLinux, CommandsAreTypedAtItsConsole) {
  Program program = at_terminal({.script = "setsid cttyhack sh"});
  ASSERT_TRUE(program.wait_for_output("# "));
  program.send("echo sum=$((40 + 2))\r");
  ASSERT_TRUE(program.wait_for_output("sum=42"));
  program.send("echo wait$((1)); sleep 100000\r");
  ASSERT_TRUE(program.wait_for_output("wait1"));
  program.send("\x03");  // is for what runs in the guest
  program.send("echo over$((2))\r");
  ASSERT_TRUE(program.wait_for_output("over2"));
  program.send(
      "\x01"
      "bh");  // a break and a key are for the kernel
  ASSERT_TRUE(program.wait_for_output("sysrq: HELP"));
  program.send("\rexit 5\r");
  Result const result = program.finish();
  EXPECT_NE(result.out.find("PORTICO-GUEST-EXIT 5"), std::string::npos) << result.out;
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST_F(BootKernelLinux, BootsFromItsBzImageWithTwoProcessorsOnSplitControllersAndReboots) {
  expect_boot({.kernel = "vmlinuz", .irqchip = "split", .cpus = 2, .end = "reboot"});
}

TEST_F(BootKernelLinux, BootsWithAllControllersOutside) { expect_boot({.irqchip = "user"}); }

// --- Longer

class LongBootKernelLinux : public BootKernelLinux {};

TEST_F(LongBootKernelLinux, BootsOnEachController) {
  for (char const* const irqchip : {"kernel", "split"}) {
    for (unsigned const cpus : {1U, 2U, 4U}) {
      SCOPED_TRACE(std::string{irqchip} + " " + std::to_string(cpus));
      expect_boot({.irqchip = irqchip, .cpus = cpus});
    }
  }
}

TEST_F(LongBootKernelLinux, RebootsWithAllControllersOutside) {
  expect_boot({.kernel = "vmlinuz", .irqchip = "user", .cpus = 1, .end = "reboot"});
}

TEST_F(LongBootKernelLinux, APanicIsToldFromAReset) {
  Result const result = boot({.cpus = 2, .script = "echo c > /proc/sysrq-trigger"});
  EXPECT_EQ(result.status, 6) << result.error;
  EXPECT_NE(result.out.find("Kernel panic - not syncing"), std::string::npos) << result.out;
}

TEST_F(LongBootKernelLinux, ItsUsualCommandLineMakesTheConsoleUsable) {
  Surroundings surroundings;
  surroundings.program = "boot_kernel";
  Result const result = abi::run(
      folder_, {"--kernel", guest_file("vmlinuz"), "--initrd", guest_file("initrd")}, surroundings);
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_NE(result.out.find("Command line: console=ttyS0 panic=-1 pci=off\r\n"), std::string::npos)
      << result.out;
  EXPECT_NE(result.out.find("PORTICO-GUEST-UP "), std::string::npos) << result.out;
}

TEST_F(LongBootKernelLinux, A64KiBPasteArrivesWhole) {
  for (char const* const irqchip : {"kernel", "user"}) {
    SCOPED_TRACE(irqchip);
    std::string pasted;
    for (std::uint32_t value = 1; pasted.size() < 65'536; value = value * 1'664'525 + 1'013'904'223)
      if (char const byte = static_cast<char>(value >> 24); byte != '\x01') pasted += byte;
    Program program =
        at_terminal({.irqchip = irqchip,
                     .script = "stty raw -echo; echo READY; head -c 65536 | crc32; exit 0"});
    ASSERT_TRUE(program.wait_for_output("READY"));
    program.send(pasted);
    Result const result = program.finish();
    std::string const expected = crc32(pasted);
    EXPECT_NE(result.out.find(expected), std::string::npos) << expected << " in\n" << result.out;
    EXPECT_EQ(result.status, 0) << result.error;
  }
}

}  // namespace
}  // namespace portico::test
