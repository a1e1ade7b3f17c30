// The example that moves a disk off the vCPU's thread: what it says of its exits.
#include <gtest/gtest.h>

#include <string>

#include "abi/program.hpp"
#include "support/requires.hpp"

namespace portico::test {
namespace {

TEST(Offload, TakesOneExitFromEachRead) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  abi::Folder const folder;
  abi::Result const result = abi::run(folder, {}, {.program = "offload"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.error, "");
  // Besides the end and three registers, a read takes two: the doorbell, and the acknowledgement.
  EXPECT_EQ(result.out,
            "in the vCPU's thread:            204 exits for 100 reads\n"
            "Offload<...>:                    104 exits for 100 reads\n"
            "with the loop written out:       104 exits for 100 reads\n");
}

}  // namespace
}  // namespace portico::test
