#include <gtest/gtest.h>

#include <utility>

#include <portico/kvm/cpuid.hpp>

namespace portico::kvm {
namespace {

/// Leaves 0, 1, and 4 with subleaves 0 and 1, in room for eight.
Cpuid example() {
  Cpuid::Leaves leaves{8};
  leaves.head().count = 4;
  leaves.elements()[0].function = 0;
  leaves.elements()[1].function = 1;
  leaves.elements()[1].ecx = 0x8000'0000;
  for (std::uint32_t subleaf = 0; subleaf < 2; ++subleaf) {
    kvm_cpuid_entry2& entry = leaves.elements()[2 + subleaf];
    entry.function = 4;
    entry.index = subleaf;
    entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    entry.eax = 40 + subleaf;
  }
  return Cpuid{std::move(leaves)};
}

TEST(Cpuid, EntriesAreTheFilledOnes) { EXPECT_EQ(example().entries().size(), 4U); }

TEST(Cpuid, FindLooksAtTheSubleafOnlyWhereThereAreSome) {
  Cpuid cpuid = example();
  ASSERT_NE(cpuid.find(1, 99), nullptr);
  EXPECT_EQ(cpuid.find(1, 99)->ecx, 0x8000'0000U);
  ASSERT_NE(cpuid.find(4, 1), nullptr);
  EXPECT_EQ(cpuid.find(4, 1)->eax, 41U);
  EXPECT_EQ(cpuid.find(4)->eax, 40U);
  EXPECT_EQ(cpuid.find(4, 2), nullptr);
  EXPECT_EQ(cpuid.find(2), nullptr);
}

TEST(Cpuid, ACopyIsItsOwn) {
  Cpuid original = example();
  Cpuid copy = original;
  copy.find(1)->ecx = 0;
  EXPECT_EQ(original.find(1)->ecx, 0x8000'0000U);
  EXPECT_EQ(copy.entries().size(), 4U);
  original = copy;
  EXPECT_EQ(original.find(1)->ecx, 0U);
}

TEST(Cpuid, TheKernelFindsTheLeavesBehindTheCount) {
  Cpuid const cpuid = example();
  auto const* const bytes = static_cast<std::byte const*>(cpuid.data());
  EXPECT_EQ(*reinterpret_cast<std::uint32_t const*>(bytes), 4U);
  EXPECT_EQ(static_cast<void const*>(bytes + 8), static_cast<void const*>(cpuid.entries().data()));
}

}  // namespace
}  // namespace portico::kvm
