// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// test/support/requires.hpp, with requirements that are met or not whatever the machine is.

#include <cstdlib>
#include <string>

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "support/requires.hpp"

namespace portico::kvm {
constexpr int in_the_way = 1;  // `kvm` names a namespace here, as in the library
}

namespace portico::test {
namespace {

constexpr Requirement met{[](int) { return std::string{}; }};
constexpr Requirement unmet{[](int number) { return "no " + std::to_string(number); }, 7};
constexpr Requirement mandatory{[](int) { return std::string{"gone"}; }, 0, true};

/// Sets PORTICO_REQUIRE_KVM for a test, or takes it away, and puts back what was there.
class RequireKvm {
 public:
  explicit RequireKvm(char const* value) {
    if (char const* const old = std::getenv(name)) before_ = old;
    set(value);
  }

  RequireKvm(RequireKvm const&) = delete;
  RequireKvm& operator=(RequireKvm const&) = delete;

  ~RequireKvm() { set(before_ ? before_->c_str() : nullptr); }

 private:
  static constexpr char const* name = "PORTICO_REQUIRE_KVM";

  static void set(char const* value) {
    if (value == nullptr) {
      ::unsetenv(name);
    } else {
      ::setenv(name, value, 1);
    }
  }

  std::optional<std::string> before_;
};

TEST(Requires, FindsTheFirstUnmetAndNamesIt) {
  EXPECT_FALSE(detail::first_unmet("met, met", {met, met}));
  auto const found = detail::first_unmet("met, some(A, B), other", {met, unmet, unmet});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->reason, "requires some(A, B): no 7");
  EXPECT_FALSE(found->fails);
}

TEST(Requires, FailsForAMandatoryOneOnlyWhereAsked) {
  for (char const* const value : {static_cast<char const*>(nullptr), "", "0"}) {
    RequireKvm const environment{value};
    EXPECT_FALSE(detail::first_unmet("mandatory", {mandatory})->fails);
  }
  RequireKvm const environment{"1"};
  EXPECT_TRUE(detail::first_unmet("mandatory", {mandatory})->fails);
  EXPECT_FALSE(detail::first_unmet("unmet", {unmet})->fails);
}

TEST(Requires, SplitsTheListAtItsOwnCommas) {
  constexpr std::string_view list = "kvm, capability(f(1, 2)),  complete_vendor";
  EXPECT_EQ(detail::nth_argument(list, 0), "kvm");
  EXPECT_EQ(detail::nth_argument(list, 1), "capability(f(1, 2))");
  EXPECT_EQ(detail::nth_argument(list, 2), "complete_vendor");
  EXPECT_EQ(detail::nth_argument(list, 3), "");
}

void skipped_by_requirement(bool& went_on) {
  int const local = -1;  // no kernel has this capability
  PORTICO_REQUIRES(capability(local));
  went_on = true;
}

TEST(Requires, ReturnsFromTheCaller) {
  bool went_on = false;
  {
    // A skip is reported as a part of the result: caught, or this test would be skipped itself.
    ::testing::TestPartResultArray parts;
    ::testing::ScopedFakeTestPartResultReporter const reporter{
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &parts};
    skipped_by_requirement(went_on);
    ASSERT_EQ(parts.size(), 1);
    EXPECT_TRUE(parts.GetTestPartResult(0).skipped());
  }
  EXPECT_FALSE(went_on);
}

TEST(Requires, FindsKvmWhereTheSuiteWasSentToRun) {
  PORTICO_REQUIRES(kvm);
  EXPECT_EQ(kvm::in_the_way, 1);
  EXPECT_EQ(detail::missing_kvm(0), "");
}

}  // namespace
}  // namespace portico::test
