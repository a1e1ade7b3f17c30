// simple_kvm_io as a user has it: every row of its guests' description, on ports and in
// memory, its disk, its command line.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "abi/program.hpp"
#include "support/requires.hpp"

namespace portico::test {
namespace {

using abi::Folder;
using abi::Program;
using abi::Result;
using Words = std::vector<std::string>;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// A disk whose sector N is filled with 'a' + N.
std::string lettered_disk(std::size_t sectors) {
  std::string disk;
  for (std::size_t sector = 0; sector < sectors; ++sector)
    disk += std::string(512, static_cast<char>('a' + sector));
  return disk;
}

class SimpleKvmIo : public testing::Test {
 protected:
  Result run(Words const& arguments) { return abi::run(folder_, arguments, surroundings_); }

  /// Runs a guest of guest/ in its form for `way`.
  Result run_guest(std::string const& guest, std::string const& way, Words const& more) {
    std::string const image = guest + "_" + way + ".img";
    folder_.take(image);
    Words arguments{"--image", image};
    if (way == "mmio") arguments.emplace_back("--mmio");
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  Folder folder_;
  abi::Surroundings surroundings_{.program = "simple_kvm_io"};
};

class SimpleKvmIoBothWays : public SimpleKvmIo, public testing::WithParamInterface<std::string> {
 protected:
  Result run_guest(std::string const& guest, Words const& more) {
    return SimpleKvmIo::run_guest(guest, GetParam(), more);
  }
};

INSTANTIATE_TEST_SUITE_P(Registers, SimpleKvmIoBothWays, testing::Values("ports", "mmio"),
                         [](auto const& instance) { return instance.param; });

TEST_P(SimpleKvmIoBothWays, KeepsToEveryRowOfTheDescription) {
  PORTICO_REQUIRES(kvm);
  std::string const disk = lettered_disk(5);
  folder_.write("disk", disk);
  Result const result = run_guest("simple_io_rows", {"--disk", "disk"});
  EXPECT_EQ(result.out,
            "RAM ends at 0x200000\n"
            "read before setup: -1\n"
            "it moved nothing: yes\n"
            "write before setup: -1\n"
            "no such command before setup: -1\n"
            "a status half outside RAM is not written: yes\n"
            "and does not count as setup: -1\n"
            "setup: 0\n"
            "size: 2560\n"
            "a second setup: 22\n"
            "a second setup elsewhere: 22\n"
            "it wrote nothing there: yes\n"
            "read: 0\n"
            "it is the right sector: yes\n"
            "write: 0\n"
            "read it back: 0\n"
            "it was written: yes\n"
            "the status has 12 bytes: yes\n"
            "the last sector: 0\n"
            "a sector too far: 22\n"
            "writing there: 22\n"
            "a sector whose offset overflows 32 bits: 22\n"
            "the very last sector number: 22\n"
            "no such command: 22\n"
            "another one: 22\n"
            "511 bytes left: 14\n"
            "511 bytes left to write: 14\n"
            "behind RAM: 14\n"
            "in the window: 14\n"
            "address + length wraps: 14\n"
            "address + length is 2^32: 14\n"
            "bad sector and bad address: 22\n"
            "512 bytes left: 0\n"
            "a command of the wrong width: -1\n"
            "after those: 0\n"
            "they changed nothing: yes\n"
            "reads give ff ffffffff ffffffff ff, ffff ff\n"
            "EAX: 1234abcd\n"
            "EDX: fedc4321\n");
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.status, 0);
  std::string const after = folder_.read("disk").value_or("");
  ASSERT_EQ(after.size(), disk.size());
  EXPECT_EQ(after.substr(0, 1536), disk.substr(0, 1536));
  EXPECT_EQ(after.substr(1536, 512), std::string(512, 'Z'));
}

TEST_P(SimpleKvmIoBothWays, AssemblyAndStringInstructions) {
  PORTICO_REQUIRES(kvm);
  std::string disk = "hello from sector 0\n";
  disk.resize(1024);
  folder_.write("disk", disk);
  Result const result = run_guest("simple_io_text", {"--disk", "disk"});
  EXPECT_EQ(result.out, "The disk says: hello from sector 0\nEAX: 0\nEDX: 400\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST_P(SimpleKvmIoBothWays, WritesReachTheFile) {
  PORTICO_REQUIRES(kvm);
  folder_.write("disk", std::string(1024, '\0'));
  Result const first = run_guest("simple_io", {"--disk", "disk"});
  EXPECT_EQ(first.out, "The disk has 2 sectors.\nThis is run 1.\nEAX: 0\nEDX: 1\n");
  Result const second = run_guest("simple_io", {"--disk", "disk", "--sync"});
  EXPECT_EQ(second.out, "The disk has 2 sectors.\nThis is run 2.\nEAX: 0\nEDX: 2\n");
  std::string expected{"runs\0\0\0\0\2\0\0\0", 12};
  expected.resize(1024);
  EXPECT_EQ(folder_.read("disk"), expected);
}

TEST_P(SimpleKvmIoBothWays, ADiskThatIsNotWritten) {
  PORTICO_REQUIRES(kvm);
  folder_.write("disk", std::string(1024, '\0'));
  Result const refused = run_guest("simple_io", {"--disk", "disk", "--read-only"});
  EXPECT_EQ(refused.out,
            "The disk has 2 sectors.\nThis is run 1.\nThe disk reports error 30.\n"
            "EAX: 1e\nEDX: 1\n");
  EXPECT_EQ(refused.status, 0) << refused.error;
  Result const copied = run_guest("simple_io", {"--disk", "disk", "--in-memory"});
  EXPECT_EQ(copied.out, "The disk has 2 sectors.\nThis is run 1.\nEAX: 0\nEDX: 1\n");
  EXPECT_EQ(folder_.read("disk"), std::string(1024, '\0'));
}

TEST_P(SimpleKvmIoBothWays, AFailingHostIsAnErrorOfTheDisk) {
  PORTICO_REQUIRES(kvm);
  folder_.write("disk", std::string(1024, '\0'));
  // A file size limit of 0 blocks lets no byte be written.
  surroundings_.file_bytes = 0;
  Result const result = run_guest("simple_io", {"--disk", "disk"});
  EXPECT_TRUE(contains(result.out, "This is run 1.\nThe disk reports error 5.\n")) << result.out;
  EXPECT_TRUE(contains(result.error, "disk disk: 1 commands failed")) << result.error;
  EXPECT_EQ(result.status, 1);
}

TEST_P(SimpleKvmIoBothWays, NothingAcknowledgedIsLostWhenTheProcessIsKilled) {
  PORTICO_REQUIRES(kvm);
  folder_.write("disk", std::string(std::size_t{64} * 512, '\0'));
  std::string const image = "simple_io_writer_" + GetParam() + ".img";
  folder_.take(image);
  Words arguments{"--image", image, "--disk", "disk"};
  if (GetParam() == "mmio") arguments.emplace_back("--mmio");
  // The guest writes N into sector N % 64, and then prints it, for ever.
  Program program{folder_, arguments, surroundings_};
  ASSERT_TRUE(program.wait_for_output("\n100\n"));
  program.signal(SIGKILL);
  Result const result = program.finish();
  std::string const disk = folder_.read("disk").value_or("");
  ASSERT_EQ(disk.size(), std::size_t{64} * 512);
  std::string said = result.out;
  said.erase(said.rfind('\n'));
  unsigned const last = static_cast<unsigned>(std::stoul(said.substr(said.rfind('\n') + 1)));
  for (unsigned value = last; value > last - 60; --value) {
    std::string const sector = disk.substr(std::size_t{value % 64} * 512, 512);
    EXPECT_TRUE(sector.starts_with(std::to_string(value) + "\n")) << value << " was acknowledged";
  }
}

TEST_P(SimpleKvmIoBothWays, ShowsWhatItDoes) {
  PORTICO_REQUIRES(kvm);
  bool const mmio = GetParam() == "mmio";
  folder_.write("disk", std::string(1024, '\0'));
  Result const plain = run_guest("simple_io", {"--disk", "disk", "--in-memory"});
  Result const result =
      run_guest("simple_io", {"--disk", "disk", "--in-memory", "--trace", "--stats", "--map"});
  EXPECT_EQ(result.out, plain.out);
  EXPECT_TRUE(contains(result.error, mmio ? "mmio  0x0000200100-0x0000200110 disk"
                                          : "port  0x0020-0x0022          disk"))
      << result.error;
  EXPECT_TRUE(contains(result.error, mmio ? "store address 0x200110 1 byte 0x02 disk.execute"
                                          : "out port 0x0022 1 byte 0x02 disk.execute"));
  EXPECT_TRUE(contains(result.error, "KVM_EXIT_HLT"));
  std::regex const serial{"\\nserial +0 +39 +39 +39\\n"};
  std::regex const disk{"\\ndisk +0 +9 +27 +9\\n"};
  EXPECT_TRUE(std::regex_search(result.error, serial)) << result.error;
  EXPECT_TRUE(std::regex_search(result.error, disk)) << result.error;
}

TEST_F(SimpleKvmIo, TheMemoryWindowIsMappedOnBothMachinesAndTheTablesAreNotInIt) {
  PORTICO_REQUIRES(kvm);
  folder_.write("disk", "");
  // mov 0x2FF000, %eax; mov %eax, 0x201000; mov 0x201000, %edx; hlt: all of it is nobody's memory.
  folder_.write(
      "window.img",
      std::string{"\x8B\x04\x25\x00\xF0\x2F\x00\xC7\x04\x25\x00\x10\x20\x00\x01\x00\x00\x00"
                  "\x8B\x14\x25\x00\x10\x20\x00\xF4",
                  26});
  for (Words const& way : {Words{}, Words{"--mmio"}}) {
    Words arguments{"--image", "window.img", "--disk", "disk"};
    arguments.insert(arguments.end(), way.begin(), way.end());
    Result const result = run(arguments);
    EXPECT_EQ(result.out, "EAX: ffffffff\nEDX: ffffffff\n");
    EXPECT_EQ(result.status, 0) << result.error;
  }
}

TEST_F(SimpleKvmIo, OtherEndsAreErrors) {
  PORTICO_REQUIRES(kvm);
  folder_.write("disk", "");
  folder_.write("fault.img", std::string{"\x0F\x0B", 2});
  Result const result = run({"--image", "fault.img", "--disk", "disk"});
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(contains(result.error, "simple_kvm_io: fault.img: triple fault")) << result.error;
  EXPECT_EQ(result.status, 1);
}

TEST_F(SimpleKvmIo, CreatesADiskAndOverwritesNone) {
  Result const made = run({"--create-disk", "--disk", "new"});
  EXPECT_EQ(made.status, 0) << made.error;
  EXPECT_EQ(made.out, "");
  EXPECT_EQ(folder_.read("new"), std::string(8192, '\0'));
  folder_.write("new", "mine");
  Result const refused = run({"--create-disk", "8192", "--disk", "new"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_TRUE(contains(refused.error, "new")) << refused.error;
  EXPECT_EQ(folder_.read("new"), "mine");
  EXPECT_EQ(run({"--create-disk", "4K", "--disk", "small"}).status, 0);
  EXPECT_EQ(folder_.read("small"), std::string(4096, '\0'));
  for (std::string const size : {"100", "513", "-512", "x", "8k", "99999999999999999999", "3T",
                                 "4096G", "99999999999999999G"}) {
    Result const wrong = run({"--create-disk=" + size, "--disk", "none"});
    EXPECT_EQ(wrong.status, 2) << size;
    EXPECT_TRUE(contains(wrong.error, "simple_kvm_io: --create-disk")) << wrong.error;
  }
  EXPECT_EQ(folder_.read("none"), std::nullopt);
}

TEST_F(SimpleKvmIo, MakesADiskBesideAnImage) {
  PORTICO_REQUIRES(kvm);
  folder_.take("simple_io_ports.img", "mine.img");
  Result const result = run({"--image", "mine.img"});
  EXPECT_EQ(result.out, "The disk has 16 sectors.\nThis is run 1.\nEAX: 0\nEDX: 1\n");
  EXPECT_EQ(run({"--image", "mine.img"}).out,
            "The disk has 16 sectors.\nThis is run 2.\nEAX: 0\nEDX: 2\n");
  EXPECT_EQ(folder_.names(), (Words{"mine.disk", "mine.img"}));
  Result const both = run({"--image", "mine.img", "--disk", "other", "--create-disk", "1024"});
  EXPECT_EQ(both.out, "The disk has 2 sectors.\nThis is run 1.\nEAX: 0\nEDX: 1\n");
}

TEST_F(SimpleKvmIo, RunsTheBuiltGuestWithoutOptions) {
  PORTICO_REQUIRES(kvm);
  Result const result = run({});
  EXPECT_TRUE(result.out.starts_with("The disk has 16 sectors.\nThis is run ")) << result.out;
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(folder_.names(), Words{}) << "the disk is beside the guest";
}

TEST_F(SimpleKvmIo, RefusesWhatIsWrongInOneLine) {
  folder_.write("odd", std::string(513, 'a'));
  folder_.write("disk", std::string(512, 'a'));
  folder_.write("halt.img", "\xF4");
  std::filesystem::create_hard_link(folder_ / "disk", folder_ / "hard");
  std::filesystem::create_symlink("disk", folder_ / "soft");
  struct Case {
    Words arguments;
    std::string_view says;
  };
  for (Case const& wrong :
       {Case{{"--image", "halt.img", "--disk", "odd"}, "multiple of 512"},
        Case{{"--image", "halt.img", "--disk", "none"}, "disk none"},
        Case{{"--image", "none.img", "--disk", "disk"}, "none.img"},
        Case{{"--image", "disk", "--disk", "disk"}, "is the image"},
        Case{{"--image", "disk", "--disk", "./disk"}, "is the image"},
        Case{{"--image", "disk", "--disk", "hard"}, "is the image"},
        Case{{"--image", "soft", "--disk", "disk"}, "is the image"},
        Case{{"--read-only", "--sync"}, "--sync"},
        Case{{"--read-only", "--in-memory"}, "--in-memory"}, Case{{"--unknown"}, "--unknown"}}) {
    Result const result = run(wrong.arguments);
    EXPECT_EQ(result.status, 2) << wrong.says;
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(contains(result.error, wrong.says)) << result.error;
    EXPECT_TRUE(result.error.starts_with("simple_kvm_io: ")) << result.error;
  }
  EXPECT_EQ(folder_.read("disk"), std::string(512, 'a'));
}

}  // namespace
}  // namespace portico::test
