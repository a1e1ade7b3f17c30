// One line for each way a run ends.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include <portico/machine/stop.hpp>

namespace portico {
namespace {

std::string text(Stop const& stop) { return describe(stop); }

TEST(Stop, EachHasALineForAPerson) {
  EXPECT_EQ(text(Halted{}), "halted");
  EXPECT_EQ(text(Shutdown{}), "triple fault (KVM_EXIT_SHUTDOWN)");
  EXPECT_EQ(text(GuestExit{-7}), "ended by the guest with code -7");
  EXPECT_EQ(text(Reset{}), "reset by the guest");
  EXPECT_EQ(text(Requested{}), "stopped on request");
  EXPECT_EQ(text(EntryFailed{0x8000'0021}),
            "the processor refused to enter the guest (KVM_EXIT_FAIL_ENTRY, reason 0x80000021)");
  EXPECT_EQ(text(InternalError{KVM_INTERNAL_ERROR_EMULATION, 0x1234}),
            "an instruction that KVM cannot emulate (KVM_EXIT_INTERNAL_ERROR, suberror 1) at rip "
            "0x1234");
  EXPECT_EQ(text(HostError{"KVM_RUN", EFAULT}), "KVM_RUN failed: Bad address");
  EXPECT_NE(text(Unhandled{3}).find("exit reason 3"), std::string::npos);
}

TEST(Stop, TheLargestNumbersFit) {
  EXPECT_NE(text(EntryFailed{~std::uint64_t{0}}).find("0xffffffffffffffff"), std::string::npos);
  EXPECT_NE(text(InternalError{~std::uint32_t{0}, ~std::uint64_t{0}}).find("4294967295"),
            std::string::npos);
}

TEST(Stop, HasNoNewlines) {
  for (Stop const& stop : {Stop{Halted{}}, Stop{Shutdown{}}, Stop{InternalError{99, 0}},
                           Stop{HostError{"mmap", 12345}}})
    EXPECT_EQ(text(stop).find('\n'), std::string::npos);
}

}  // namespace
}  // namespace portico
