// mini_vmm as a user has it: what it prints, and how fast, and how it ends.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
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

/// One exit in the old layout.
std::string exit_text(unsigned port, std::string const& direction, unsigned data, unsigned size) {
  return "VMM enter guest...\n\nHandle PIO\nHardware decode:\n-- port: " + std::to_string(port) +
         "\n-- direction: " + direction + "\n-- data: " + std::to_string(data) +
         "\n-- size: " + std::to_string(size) + "\nVMM simulate\n\n";
}

class MiniVmm : public testing::Test {
 protected:
  Result run(Words const& arguments) { return abi::run(folder_, arguments, surroundings_); }

  /// Runs machine code at 0x10000, without a limit of speed.
  Result run_code(std::string const& code, Words const& more = {}) {
    folder_.write("code.img", code);
    Words arguments{"--image", "code.img", "--rate", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  Folder folder_;
  abi::Surroundings surroundings_{.program = "mini_vmm"};
};

TEST_F(MiniVmm, PrintsTheCounterInTheOldLayout) {
  PORTICO_REQUIRES(kvm);
  std::string expected = "VM Starting...\n";
  for (unsigned count = 0; count < 300; ++count) expected += exit_text(255, "out", count, 2);
  Result const result = run({"--rate", "0", "--count", "300"});
  EXPECT_EQ(result.out, expected);
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.status, 0);
  folder_.take("counter.img");
  EXPECT_EQ(run({"--image", "counter.img", "--rate", "0", "--count", "300"}).out, expected);
}

TEST_F(MiniVmm, CountsBeyond16Bits) {
  PORTICO_REQUIRES(kvm);
  // mov $0xFFFE, %ax; 1: out %ax, $0xFF; inc %ax; jmp 1b
  Result const result = run_code("\xB8\xFE\xFF\xE7\xFF\x40\xEB\xFB", {"--count", "3"});
  EXPECT_EQ(result.out, "VM Starting...\n" + exit_text(255, "out", 65534, 2) +
                            exit_text(255, "out", 65535, 2) + exit_text(255, "out", 0, 2));
}

TEST_F(MiniVmm, TellsPortsDirectionsAndSizesApart) {
  PORTICO_REQUIRES(kvm);
  // in $0x42, %al; out %al, $0x80; mov $0x3F8, %dx; mov $0x12345678, %eax; out %eax, %dx;
  // in (%dx), %ax
  Result const result = run_code(
      {"\xE4\x42\xE6\x80\xBA\xF8\x03\x66\xB8\x78\x56\x34\x12\x66\xEF\xED", 16}, {"--count", "4"});
  EXPECT_EQ(result.out,
            "VM Starting...\n" + exit_text(0x42, "in", 255, 1) + exit_text(0x80, "out", 255, 1) +
                exit_text(0x3F8, "out", 0x12345678, 4) + exit_text(0x3F8, "in", 65535, 2));
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST_F(MiniVmm, StartsAsDescribed) {
  PORTICO_REQUIRES(kvm);
  // Each segment reaches the image's byte 0 at its offset 0, its selector is 0, sp is 0 and ip
  // was 0: call 1f; 1: pop %ax; out %ax, $1; mov %sp, %ax; out %ax, $2; then mov %seg, %ax;
  // out %ax, $3 and
  // mov %seg:0, %ax; out %ax, $4 for cs, ds, es, fs, gs, ss.
  std::string code{"\xE8\x00\x00\x58\xE7\x01\x89\xE0\xE7\x02", 10};
  std::string expected = "VM Starting...\n" + exit_text(1, "out", 3, 2) + exit_text(2, "out", 0, 2);
  struct Segment {
    char number;
    char prefix;
  };
  for (Segment const segment :
       {Segment{1, '\x2E'}, {3, '\x3E'}, {0, '\x26'}, {4, '\x64'}, {5, '\x65'}, {2, '\x36'}}) {
    code += std::string{"\x8C", 1} + static_cast<char>(0xC0 | segment.number << 3) + "\xE7\x03";
    code += segment.prefix;
    code += std::string{"\xA1\x00\x00\xE7\x04", 5};
    expected += exit_text(3, "out", 0, 2) + exit_text(4, "out", 0x00E8, 2);
  }
  EXPECT_EQ(run_code(code, {"--count", "14"}).out, expected);
}

TEST_F(MiniVmm, AnExitThatItDoesNotKnowEndsTheRunWithItsName) {
  PORTICO_REQUIRES(kvm);
  Result const halted = run_code("\xF4");
  EXPECT_EQ(halted.out, "VM Starting...\nVMM enter guest...\nKVM PANIC: KVM_EXIT_HLT\n");
  EXPECT_EQ(halted.status, 1);
  EXPECT_NE(halted.error.find("mini_vmm: code.img: halted"), std::string::npos) << halted.error;
}

TEST_F(MiniVmm, ATripleFaultEndsTheRun) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  // lidt of an empty table at 0x10009; ud2: no handler, no double fault handler.
  Result const shut =
      run_code({"\x0F\x01\x1E\x09\x00\x0F\x0B\x90\x90\x00\x00\x00\x00\x00\x00", 15});
  EXPECT_EQ(shut.out, "VM Starting...\nVMM enter guest...\nKVM_EXIT_SHUTDOWN\n");
  EXPECT_EQ(shut.status, 1);
  EXPECT_NE(shut.error.find("triple fault"), std::string::npos) << shut.error;
}

TEST_F(MiniVmm, KeepsToTheRate) {
  PORTICO_REQUIRES(kvm);
  using Clock = std::chrono::steady_clock;
  using namespace std::chrono_literals;
  auto const start = Clock::now();
  Result const result = run({"--rate", "20", "--count", "11"});
  EXPECT_GE(Clock::now() - start, 500ms) << "ten pauses of 50 ms";
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST_F(MiniVmm, ShowsAnExitOnceASecondByDefault) {
  PORTICO_REQUIRES(kvm);
  using Clock = std::chrono::steady_clock;
  using namespace std::chrono_literals;
  Program program{folder_, {}, surroundings_};
  ASSERT_TRUE(program.wait_for_output("-- data: 0\n"));
  auto const first = Clock::now();
  ASSERT_TRUE(program.wait_for_output("-- data: 2\n"));
  auto const passed = Clock::now() - first;
  EXPECT_GE(passed, 1500ms);
  EXPECT_LE(passed, 1000s);
  program.signal(SIGTERM);
  EXPECT_EQ(program.finish().status, 1000 + SIGTERM);
}

TEST_F(MiniVmm, RefusesWhatIsWrong) {
  for (Words const& wrong :
       {Words{"--rate", "x"}, Words{"--rate", "-1"}, Words{"--rate", "1e-11", "--count", "2"},
        Words{"--rate", "0.0009", "--count", "1"}, Words{"--rate", "nan"}, Words{"--count", "0"},
        Words{"--count", "x"}, Words{"--image", "none.img"}, Words{"more"}}) {
    Result const result = run(wrong);
    EXPECT_EQ(result.status, 2) << wrong[0];
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(result.error.starts_with("mini_vmm: ")) << result.error;
  }
}

TEST_F(MiniVmm, TakesTheSlowestRateThereIs) {
  PORTICO_REQUIRES(kvm);
  EXPECT_EQ(run({"--rate", "0.001", "--count", "1"}).status, 0);
}

}  // namespace
}  // namespace portico::test
