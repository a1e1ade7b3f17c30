// block_device as a user has it: the guest that goes through the device's description, on ports and
// in memory, with the disk's work in the vCPU's thread and on one of its own; the command line.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "abi/program.hpp"
#include "support/requires.hpp"

namespace portico::test {
namespace {

using abi::Folder;
using abi::Result;
using Words = std::vector<std::string>;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

class BlockDevice : public testing::TestWithParam<Words> {
 protected:
  Result run(Words const& more) {
    Words arguments = more;
    for (std::string const& word : GetParam()) arguments.push_back(word);
    return abi::run(folder_, arguments, {.program = "block_device"});
  }

  Folder folder_;
};

TEST_P(BlockDevice, KeepsToEveryRowOfTheDescription) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  bool const ports = contains(GetParam().front(), "ports");
  folder_.take(ports ? "block_device_ports.img" : "block_device_mmio.img", "rows.img");
  folder_.write("disk", std::string(20 * 512, '\0'));
  Result const result = run({"--image", "rows.img", "--disk", "disk", "--stats", "--map"});
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_FALSE(contains(result.out, "NO")) << result.out;
  // Each of 22 in both ways, and those beside them.
  std::string::size_type rows = 0;
  for (auto at = result.out.find(": yes\n"); at != std::string::npos;
       at = result.out.find(": yes\n", at + 1))
    ++rows;
  EXPECT_GE(rows, ports ? 40U : 41U) << result.out;
  EXPECT_TRUE(contains(result.out, "\n-- halting until the interrupt\none sector: yes\n"));
  EXPECT_TRUE(contains(result.out, "\n-- spinning until the interrupt\none sector: yes\n"));
  EXPECT_TRUE(contains(result.out, " interrupts, 0 failures\n")) << result.out;
  EXPECT_TRUE(contains(result.error, "irq 5 level")) << result.error;
  std::string const disk = folder_.read("disk").value_or("");
  ASSERT_EQ(disk.size(), 20U * 512);
  EXPECT_NE(disk.substr(19 * 512), std::string(512, '\0')) << "the last sector was written";
}

INSTANTIATE_TEST_SUITE_P(Machines, BlockDevice,
                         testing::Values(Words{"--sync"}, Words{"--thread"}, Words{"--ports"},
                                         Words{"--ports", "--thread"}));

class BlockDeviceProgram : public testing::Test {
 protected:
  Result run(Words const& arguments) {
    return abi::run(folder_, arguments, {.program = "block_device"});
  }

  Folder folder_;
};

TEST_F(BlockDeviceProgram, RunsTheBuiltGuestWithoutOptions) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  Result const result = run({});
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_TRUE(contains(result.out, ", 0 failures\n")) << result.out;
  EXPECT_EQ(folder_.names(), Words{}) << "the disk is beside the guest";
}

TEST_F(BlockDeviceProgram, ADiskThatIsNotWrittenIsAnErrorToTheGuest) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  folder_.take("block_device_mmio.img", "rows.img");
  folder_.write("disk", std::string(16 * 512, 'a'));
  Result const result =
      run({"--image", "rows.img", "--disk", "disk", "--read-only", "--thread", "--trace"});
  EXPECT_TRUE(contains(result.out, "one sector: NO\n")) << result.out;
  EXPECT_TRUE(contains(result.out, "errors move nothing: yes\n")) << result.out;
  EXPECT_GE(result.status, 5) << "as many as there are failures";
  EXPECT_TRUE(contains(result.error, "disk.command")) << result.error.substr(0, 2000);
  EXPECT_EQ(folder_.read("disk"), std::string(16 * 512, 'a'));
}

TEST_F(BlockDeviceProgram, OtherEndsAndWrongUseAreErrorsInOneLine) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  folder_.write("disk", std::string(512, 'a'));
  folder_.write("odd", std::string(513, 'a'));
  folder_.write("fault.img", std::string{"\x0F\x0B", 2});
  Result const fault = run({"--image", "fault.img", "--disk", "disk"});
  EXPECT_TRUE(contains(fault.error, "block_device: fault.img: triple fault")) << fault.error;
  EXPECT_EQ(fault.status, 1);
  for (Words const& wrong : {Words{"--image", "fault.img", "--disk", "odd"},
                             Words{"--image", "none.img", "--disk", "disk"}, Words{"--unknown"}}) {
    Result const result = run(wrong);
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(result.error.starts_with("block_device: ")) << result.error;
  }
}

}  // namespace
}  // namespace portico::test
