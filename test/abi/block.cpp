// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Block requests: a four-byte out to port 0x278 with the address of a request in guest memory.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "probe.hpp"
#include "program.hpp"
#include "support/requires.hpp"

namespace portico::abi {
namespace {

constexpr std::uint64_t kMemory = 2 << 20;
constexpr std::uint64_t kLast = std::numeric_limits<std::uint64_t>::max();

// NOLINTBEGIN(readability-identifier-naming): a script's variables
constexpr unsigned A = 0;
constexpr unsigned B = 1;
constexpr unsigned C = 2;
// NOLINTEND(readability-identifier-naming)

constexpr unsigned kOpenRead = 1;
constexpr unsigned kOpenWrite = 2;
constexpr unsigned kClose = 3;
constexpr unsigned kRead = 4;
constexpr unsigned kWrite = 5;

class Block : public testing::Test {
 protected:
  void SetUp() override { folder_.write("shared.txt", "shared text"); }

  Result run_shared(Script const& script) {
    return run_script(folder_, script, {"-f", "shared.txt"});
  }

  std::string content(std::string const& name) const {
    return folder_.read(name).value_or("(no such file)");
  }

  Folder folder_;
};

TEST_F(Block, DoesAllFiveOperations) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.block_open(kOpenRead, "shared.txt", A).block(kRead, A, kBuffer, 6, "6");
  script.peek(kBuffer, "shared").block(kRead, A, kBuffer, 100, "5").peek(kBuffer, " textd");
  script.block(kRead, A, kBuffer, 100, "0").block(kClose, A, 0, 0, "0");
  script.block_open(kOpenWrite, "new", B).poke(kBuffer, "some data");
  script.block(kWrite, B, kBuffer, 9, "9").block(kWrite, B, kBuffer + 4, 1, "1");
  script.block(kClose, B, 0, 0, "0");
  script.block_open(kOpenRead, "new", A).block(kRead, A, kBuffer + 3, 20, "10");
  script.peek(kBuffer, "somsome data ");
  run_shared(script);
  EXPECT_EQ(content("new.local0"), "some data ");
  EXPECT_EQ(content("shared.txt"), "shared text");
}

TEST_F(Block, MovesMuchAtOnce) {
  PORTICO_REQUIRES(kvm);
  std::string data;
  while (data.size() < 300'000) data += std::to_string(data.size()) + ",";
  folder_.write("shared.txt", data);
  Script script;
  std::string const size = std::to_string(data.size());
  script.block_open(kOpenRead, "shared.txt", A).block_open(kOpenWrite, "copy", B);
  script.block(kRead, A, 0x190000, kMemory - 0x1A0000, size);
  script.block(kWrite, B, 0x190000, data.size(), size).block(kRead, A, 0x190000, 1, "0");
  run_shared(script);
  EXPECT_TRUE(content("copy.local0") == data);
}

TEST_F(Block, AnswersErrors) {
  PORTICO_REQUIRES(kvm);
  Script script;
  for (unsigned const operation : {0U, 6U, 0x104U, 0x8000'0001U, 0xFFFF'FFFFU}) {
    script.poke(kName, "shared.txt");
    script.block(operation, Script::kNoVariable, kName, 10, "-1");
  }
  script.block_open(kOpenRead, "nothing", A, "-1").block_open(kOpenRead, "", A, "-1");
  script.block_open(kOpenWrite, "", A, "-1").block_open(kOpenWrite, "../x", A, "-1");
  script.block_open(kOpenWrite, std::string(301, 'n'), A, "-1");
  script.block_open(kOpenRead, "/etc/passwd", A, "-1");
  for (std::int32_t const descriptor : {-1, 0, 1, 16'384, 0x7FFF'FFFF, -0x7FFF'FFFF - 1}) {
    for (unsigned const operation : {kClose, kRead, kWrite}) {
      script.block(operation, Script::kNoVariable, kBuffer, 1, "-1", kRequest, descriptor);
    }
  }
  script.block_open(kOpenRead, "shared.txt", A).block_open(kOpenWrite, "new", B);
  script.block(kWrite, A, kBuffer, 1, "-1").block(kRead, B, kBuffer, 1, "-1");
  script.block(kClose, A, 0, 0, "0").block(kClose, A, 0, 0, "-1");
  script.block(kRead, A, kBuffer, 1, "-1");
  run_shared(script);
  EXPECT_EQ(content("new.local0"), "");
}

TEST_F(Block, TakesANameByItsLength) {
  PORTICO_REQUIRES(kvm);
  Script script;
  // No 0 behind the name, and something else instead.
  script.poke(kName, "shared.txtshared").block(kOpenRead, A, kName, 10, "open");
  script.block(kOpenRead, A, kName, 11, "-1").block(kOpenRead, A, kName, 9, "-1");
  // A 0 in it does not make it shorter.
  script.poke(kName, "shared.txt" + bytes({0}) + "more").block(kOpenRead, A, kName, 15, "-1");
  script.poke(kName, "new" + bytes({0}) + "er").block(kOpenWrite, A, kName, 6, "-1");
  // The name ends where memory ends.
  script.poke(kMemory - 16 * 1024, "");
  script.block(kOpenRead, A, kLast, 1, "-1").block(kOpenRead, A, kMemory - 4, 8, "-1");
  script.block(kOpenRead, A, kName, kLast, "-1").block(kOpenRead, A, kLast - 3, 8, "-1");
  run_shared(script);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new.local0"));
}

TEST_F(Block, DropsARequestThatIsNotInMemory) {
  PORTICO_REQUIRES(kvm);
  Script script;
  for (std::uint32_t const where :
       {0x200000U, 0x200000U - 31, 0x200000U - 1, 0x200000U + 4096, 0x40000000U, 0x80000000U,
        0xFEE00000U, 0xFFFFFFE0U, 0xFFFFFFF0U, 0xFFFFFFFFU}) {
    script.out_wide(kFiles, 4, where);
  }
  script.block_open(kOpenRead, "shared.txt", A).block(kRead, A, kBuffer, 2, "2");
  script.peek(kBuffer, "sh").in("ff");
  run_shared(script);
}

TEST_F(Block, WritesNothingButTheResult) {
  PORTICO_REQUIRES(kvm);
  Script script;
  // By hand, at an odd address, with something on both sides.
  std::string const request = bytes({1, 0, 0, 0, 0x11, 0x22, 0x33, 0x44}) +
                              bytes({0, 0x10, 0x18, 0, 0, 0, 0, 0}) +
                              bytes({3, 0, 0, 0, 0, 0, 0, 0});
  script.poke(kName, "abc").poke(kRequest + 1, request + std::string(16, '#'));
  script.poke(kRequest, "<").out_wide(kFiles, 4, kRequest + 1);
  script.peek(kRequest, "<" + request + std::string(8, '\xFF') + "########");
  // With what is left of memory: the last 32 bytes hold the guest's stack, so a page below.
  script.block_open(kOpenRead, "shared.txt", A);
  script.block(kRead, A, kBuffer, 1, "1", static_cast<std::uint32_t>(kMemory - 8192 - 32));
  run_shared(script);
}

TEST_F(Block, ChecksTheBuffer) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.block_open(kOpenRead, "shared.txt", A).block_open(kOpenWrite, "new", B);

  struct {
    std::uint64_t address;
    std::uint64_t length;
  } const outside[] = {
      {kMemory, 1},
      {kMemory - 1, 2},
      {kMemory - 4, 8},
      {kMemory + 4096, 4},
      {0x4000'0000, 4},
      {0xFEE0'0000, 4},
      {0x1'0000'0000, 4},
      {0x1'0018'2000, 4},
      {kLast, 1},
      {kLast, 2},
      {kLast - 3, 8},
      {kLast - 0xFFF, 0x2000},
      {kBuffer, kLast},
      {kBuffer, kLast - 0x100},
      {kBuffer, 1ULL << 63},
      {0, kMemory + 1},
      {0, kLast},
      {1ULL << 63, 1ULL << 63},
      {kBuffer, 0xFFFFFFFF},
      {1, kLast},
  };

  for (auto const& range : outside) {
    script.block(kRead, A, range.address, range.length, "-1");
    script.block(kWrite, B, range.address, range.length, "-1");
  }
  // Nothing was read or written by any of them.
  script.peek(kMemory - 1, bytes({0})).block(kRead, A, kBuffer, 11, "11");
  script.peek(kBuffer, "shared text");
  // To the last byte before the stack, and the very last byte.
  script.block(kWrite, B, kMemory - 1, 1, "1");
  run_shared(script);
  EXPECT_EQ(content("new.local0"), bytes({0}));
}

TEST_F(Block, TakesALengthOfZero) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.block_open(kOpenRead, "shared.txt", A).block_open(kOpenWrite, "new", B);
  script.block(kRead, A, kBuffer, 0, "0").block(kWrite, B, kBuffer, 0, "0");
  script.block(kRead, B, kBuffer, 0, "-1").block(kWrite, A, kBuffer, 0, "-1");
  script.block(kRead, Script::kNoVariable, kBuffer, 0, "-1");
  script.block(kRead, A, kBuffer, 1, "1").peek(kBuffer, "s");
  run_shared(script);
  EXPECT_EQ(content("new.local0"), "");
}

TEST_F(Block, IsCopiedBeforeItIsUsed) {
  PORTICO_REQUIRES(kvm);
  // What is read lies over the request itself.
  folder_.write("shared.txt", std::string(64, 'x'));
  Script script;
  script.block_open(kOpenRead, "shared.txt", A).block(kRead, A, kRequest, 40, "40");
  script.peek(kRequest, std::string(24, 'x') + bytes({40, 0, 0, 0, 0, 0, 0, 0}) + "xxxxxxxx");
  run_shared(script);
}

TEST_F(Block, SharesDescriptorsWithTheByteProtocol) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.open_read("shared.txt", A).read(A, "sha").block(kRead, A, kBuffer, 3, "3");
  script.peek(kBuffer, "red").read(A, " t").block(kClose, A, 0, 0, "0").read_nothing(A);
  script.block_open(kOpenWrite, "new", B).write(B, "ab").poke(kBuffer, "cd");
  script.block(kWrite, B, kBuffer, 2, "2").write(B, "e").close(B);
  script.block(kWrite, B, kBuffer, 2, "-1");
  script.block_open(kOpenRead, "shared.txt", A).open_read("shared.txt", B).differ(A, B);
  script.block_open(kOpenWrite, "shared.txt", C).read_nothing(B).close(B, "ff");
  script.block(kRead, A, kBuffer, 1, "-1").block(kClose, A, 0, 0, "-1");
  run_shared(script);
  EXPECT_EQ(content("new.local0"), "abcde");
}

TEST_F(Block, LeavesAByteRequestAlone) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.out("\1sha").block_open(kOpenRead, "shared.txt", A).out("red.txt");
  script.block(kRead, A, kBuffer, 1, "1").out(bytes({0})).block(kRead, A, kBuffer, 1, "1");
  script.out_wide(kFiles, 4, 0xFFFF'FFFF).reply(B).read(B, "s");
  // In the middle of a reply: two of four bytes, then the others.
  script.out("\1nothing" + bytes({0})).in("ff ff", 2).block(kRead, A, kBuffer, 1, "1");
  script.in("ffffffff", 1, kFiles, 4);
  script.out("\1nothing" + bytes({0}));
  script.out("\4").descriptor(B).block(kRead, A, kBuffer, 1, "1").in("68").read(B, "a");
  script.out("\4").descriptor(B).block(kRead, A, kBuffer, 100, "7").in("ffffffff", 1, kFiles, 4);
  script.in("72").in("ff");
  // In the middle of an over-long name.
  script.out("\1" + std::string(350, 'n')).block(kRead, A, kBuffer, 100, "0");
  script.out("nnn" + bytes({0})).in("ff").read(B, "e");
  run_shared(script);
}

}  // namespace
}  // namespace portico::abi
