// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Guests of courses that link elsewhere than at 0.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "program.hpp"
#include "support/requires.hpp"

namespace portico::abi {
namespace {

class Placement : public testing::TestWithParam<std::string> {
 protected:
  Result run_at(std::string const& image, std::vector<std::string> const& more) {
    std::vector<std::string> arguments{"-m", "2", "-p", "4", "-g", image};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(folder_, arguments);
  }

  Folder folder_;
};

INSTANTIATE_TEST_SUITE_P(All, Placement, testing::Values("0x1000", "0x8000"),
                         [](auto const& instance) { return "At" + instance.param; });

TEST_P(Placement, RunsWhereItWasLinked) {
  PORTICO_REQUIRES(kvm);
  std::string const image = "hello_at_" + GetParam() + ".img";
  folder_.take(image);
  Result const result = run_at(image, {"--load-address", GetParam()});
  EXPECT_EQ(result.out, "Hello, world!\n");
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.status, 0);
  EXPECT_NE(run_at(image, {"--timeout", "5"}).out, "Hello, world!\n")
      << "it would have run anywhere: the test shows nothing";
}

TEST_P(Placement, StartsAsAnyOther) {
  PORTICO_REQUIRES(kvm);
  std::string const image = "state_at_" + GetParam() + ".img";
  folder_.take(image);
  Result const result = run_at(image, {"--load-address", GetParam()});
  EXPECT_NE(result.out.find("rsp 0000000000200000\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("offset 0000000000000000\n"), std::string::npos) << result.out;
  Result const moved = run_at(image, {"--load-address", GetParam(), "--stack", "0x7000"});
  EXPECT_NE(moved.out.find("rsp 0000000000007000\n"), std::string::npos) << moved.out;
  EXPECT_NE(moved.out.find("offset 0000000000000000\n"), std::string::npos) << moved.out;
  EXPECT_EQ(moved.status, 0) << moved.error;
}

TEST_P(Placement, EntersWhereItIsTold) {
  PORTICO_REQUIRES(kvm);
  // Sixteen bytes that nobody may run, and then the guest where it was linked.
  std::string const ud2 = "\x0F\x0B";
  std::string junk;
  while (junk.size() < 16) junk += ud2;
  folder_.write("shifted.img", junk + image_bytes("hello_at_" + GetParam() + ".img"));
  std::string const before = std::to_string(std::stoul(GetParam(), nullptr, 0) - 16);
  Result const result = run_at("shifted.img", {"--load-address", before, "--entry", GetParam()});
  EXPECT_EQ(result.out, "Hello, world!\n");
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(run_at("shifted.img", {"--load-address", before}).status, 1);
}

}  // namespace
}  // namespace portico::abi
