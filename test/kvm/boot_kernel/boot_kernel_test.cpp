// boot_kernel as a user has it: what it refuses, what a kernel is given, how it ends.
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "abi/program.hpp"
#include "support/requires.hpp"

namespace portico::test {
namespace {

using abi::Folder;
using abi::Result;
using Words = std::vector<std::string>;

class BootKernel : public testing::Test {
 protected:
  BootKernel() {
    folder_.take("pc.kernel");
    folder_.take("elf64.kernel");
    folder_.take("multiboot.kernel");
  }

  Result run(Words const& arguments) { return abi::run(folder_, arguments, surroundings_); }

  /// Boots our kernel for a PC, which ends as `how` says.
  Result boot(std::string const& how, Words const& more = {}) {
    Words arguments{"--kernel", "pc.kernel", "--append", how, "--memory", "8M"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  /// It is refused, and no guest was started; `why` is in the first line.
  void expect_refused(Words const& arguments, std::string_view why) {
    Result const result = run(arguments);
    std::string const first = result.error.substr(0, result.error.find('\n'));
    EXPECT_EQ(result.status, 2) << result.error;
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(first.starts_with("boot_kernel: ")) << first;
    EXPECT_NE(first.find(why), std::string::npos) << first;
  }

  Folder folder_;
  abi::Surroundings surroundings_{.program = "boot_kernel"};
};

TEST_F(BootKernel, RefusesAWrongCommandLine) {
  expect_refused({}, "--kernel is missing");
  expect_refused({"--kernel"}, "--kernel has no value");
  Words const good{"--kernel", "pc.kernel"};
  auto const with = [&](Words const& more) {
    Words all = good;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  for (char const* const size : {"0", "1M", "4097K", "129G", "17179869184G", "many", "2.5G"})
    expect_refused(with({"--memory", size}), "a multiple of 4K from 2M to 128G is expected");
  for (char const* const cpus : {"0", "9", "two"})
    expect_refused(with({"--cpus", cpus}), "a number from 1 to 8 is expected");
  expect_refused(with({"--irqchip", "apic"}), "kernel, split or user is expected");
  expect_refused(with({"--irqchip", "user", "--cpus", "2"}), "1 is the most");
  expect_refused(with({"--timeout", "0"}), "more than 0");
  expect_refused(with({"--disk", ",readonly"}), "--disk ,readonly: a file is expected");
  expect_refused(with({"--disk", "a", "--disk", "b", "--disk", "c"}),
                 "--disk c: 2 disks are the most");
  expect_refused(with({"--net"}), "--net has no value");
}

TEST_F(BootKernel, RefusesAFileThatIsNoDiskAndATapThatItMayNotHave) {
  PORTICO_REQUIRES(kvm);
  Words const good{"--kernel", "pc.kernel", "--memory", "8M"};
  auto const with = [&](Words const& more) {
    Words all = good;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  folder_.write("disk.img", std::string(4096, 'x'));
  folder_.write("odd.img", "x");
  expect_refused(with({"--disk", "none"}), "disk none: No such file or directory");
  expect_refused(with({"--disk", "."}), "disk .: Is a directory");
  expect_refused(with({"--disk", ".,readonly"}), "disk .: is not a regular file");
  expect_refused(with({"--disk", "odd.img"}), "a disk's is a multiple of 512");
  expect_refused(with({"--disk", "disk.img,what"}), "disk disk.img,what: No such file");
  expect_refused(with({"--disk", "pc.kernel"}), "pc.kernel: is also the kernel");
  expect_refused(with({"--disk", "disk.img", "--disk", "./disk.img,readonly"}),
                 "disk.img: is also the other disk");
  expect_refused(with({"--net", "a-name-with-more-than-15-letters"}), "File name too long");
  expect_refused(with({"--disk", "disk.img,readonly", "--virtio-console", "disk.img"}),
                 "console file disk.img: is an image or a shared file");
  expect_refused(with({"--virtio-console", "."}), "console file .: Is a directory");
  EXPECT_EQ(folder_.read("disk.img"), std::string(4096, 'x'));
  Result const result = boot("poweroff", {"--disk", "disk.img,readonly", "--disk",
                                          "disk.img,readonly", "--irqchip", "user"});
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(result.error, "");
}

TEST_F(BootKernel, RefusesAFileThatIsNoKernelAndWhatIsNotForIt) {
  PORTICO_REQUIRES(kvm);
  folder_.write("notes.txt", "not a kernel");
  folder_.write("empty", "");
  expect_refused({"--kernel", "none"}, "none: cannot be opened: No such file or directory");
  expect_refused({"--kernel", "empty"}, "empty: is empty");
  expect_refused({"--kernel", "."}, ".: is a directory");
  expect_refused({"--kernel", "notes.txt"}, "notes.txt: is no kernel: one of these is expected");
  folder_.write("short.kernel", abi::image_bytes("elf64.kernel").substr(0, 80));
  expect_refused({"--kernel", "short.kernel"}, "short.kernel: is truncated: e_phoff");
  expect_refused({"--kernel", "elf64.kernel", "--append", "x"},
                 "is a plain ELF file; --append is for Linux and Multiboot kernels");
  expect_refused({"--kernel", "elf64.kernel", "--module", "notes.txt"},
                 "is a plain ELF file; --module is for Multiboot kernels");
  expect_refused({"--kernel", "pc.kernel", "--initrd", "notes.txt"},
                 "a Multiboot kernel gets files by --module");
  expect_refused({"--kernel", "pc.kernel", "--module", "none for it"}, "none: cannot be opened");
  folder_.write("large", std::string(4 << 20, 'x'));
  expect_refused({"--kernel", "pc.kernel", "--module", "large", "--memory", "4M"},
                 "large: there is no room for this module");
}

TEST_F(BootKernel, GivesAMultibootKernelItsTextModulesAndMemoryOnEachController) {
  PORTICO_REQUIRES(kvm);
  folder_.write("first.txt", "one");
  folder_.write("second.txt", "two");
  for (auto const& [irqchip, cpus] :
       {std::tuple{"kernel", "1"}, std::tuple{"kernel", "3"}, std::tuple{"split", "1"},
        std::tuple{"split", "8"}, std::tuple{"user", "1"}}) {
    SCOPED_TRACE(std::string{irqchip} + " " + cpus);
    Result const result =
        boot("a=1 \"b c\" poweroff", {"--module", "first.txt", "--module", "second.txt its words",
                                      "--irqchip", irqchip, "--cpus", cpus});
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.status, 0);
    EXPECT_TRUE(result.out.starts_with("multiboot\nimage is whole\n")) << result.out;
    for (char const* const line : {"command line: a=1 \"b c\" poweroff\n",
                                   "module first.txt: one\n", "module second.txt its words: two\n",
                                   "map 0x0 0x9fc00 0x1\n", "map 0x100000 0x700000 0x1\n"})
      EXPECT_NE(result.out.find(line), std::string::npos) << line << "in\n" << result.out;
  }
}

TEST_F(BootKernel, TheStatusTellsHowItEnded) {
  PORTICO_REQUIRES(kvm);
  struct End {
    char const* how;
    int status;
    char const* line;  ///< of standard error, after the kernel's name
  };
  for (End const& end : {End{"poweroff", 0, nullptr}, End{"exit7", 15, nullptr},
                         End{"reset", 4, "reset by the guest"}, End{"panic", 6, "kernel panic"},
                         End{"fault", 8, "triple fault"}}) {
    SCOPED_TRACE(end.how);
    Result const result = boot(end.how);
    EXPECT_EQ(result.status, end.status);
    std::string const expected =
        end.line == nullptr ? "" : std::string{"boot_kernel: pc.kernel: "} + end.line;
    EXPECT_EQ(result.error.substr(0, expected.size()), expected);
    EXPECT_EQ(result.error.empty(), end.line == nullptr) << result.error;
  }
  Result const late = boot("spin", {"--timeout", "0.5", "--cpus", "2"});
  EXPECT_EQ(late.status, 10);
  EXPECT_EQ(late.error, "boot_kernel: pc.kernel: stopped, did not end within 0.5 s\n");
  Result const halted = boot("halt", {"--irqchip", "user"});
  EXPECT_EQ(halted.status, 14);
  EXPECT_TRUE(halted.error.starts_with("boot_kernel: pc.kernel: halted")) << halted.error;
}

TEST_F(BootKernel, AnElf64FileStartsInLongMode) {
  PORTICO_REQUIRES(kvm);
  // It prints on a port that this machine does not have.
  Result const result =
      run({"--kernel", "elf64.kernel", "--irqchip", "user", "--memory", "8M", "--stats"});
  EXPECT_EQ(result.status, 14) << result.error;
  EXPECT_NE(result.error.find("unclaimed port 0xe9"), std::string::npos) << result.error;
}

TEST_F(BootKernel, ShowsWhatItDoes) {
  PORTICO_REQUIRES(kvm);
  for (char const* const cpus : {"1", "2"}) {
    Result const result =
        boot("poweroff", {"--irqchip", "split", "--cpus", cpus, "--map", "--trace", "--stats"});
    EXPECT_EQ(result.status, 0);
    for (char const* const text :
         {"port  0x03f8-0x03ff          com1 ", "mmio  0x00fec00000-0x00fec00043 ioapic ",
          "ram   0x0000000000-0x00007fffff 8192 KiB\n",
          "pc.kernel: out port 0x03f8 1 byte 0x6d com1.write_thr\n",
          "pc.kernel: out port 0x0604 2 bytes 0x3400 acpi.write_control\n",
          "acpi                        0            1              2            1\n"})
      EXPECT_NE(result.error.find(text), std::string::npos) << text << " in\n" << result.error;
  }
}

TEST_F(BootKernel, OutputThatNobodyTakesIsToldAndNoSuccess) {
  PORTICO_REQUIRES(kvm);
  surroundings_.outputs_closed = true;
  EXPECT_EQ(boot("poweroff").status, 1);
  EXPECT_EQ(boot("reset").status, 4);
}

}  // namespace
}  // namespace portico::test
