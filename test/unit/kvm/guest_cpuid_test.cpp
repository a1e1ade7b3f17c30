#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <utility>

#include <portico/kvm/boot_msrs.hpp>
#include <portico/kvm/guest_cpuid.hpp>

namespace portico::kvm {
namespace {

struct Leaf {
  std::uint32_t function, index, eax, ebx, ecx, edx;
};

Cpuid host(std::initializer_list<Leaf> leaves) {
  Cpuid::Leaves listing{leaves.size()};
  std::uint32_t count = 0;
  for (Leaf const& leaf : leaves) {
    kvm_cpuid_entry2& entry = listing.elements()[count++];
    entry.function = leaf.function;
    entry.index = leaf.index;
    entry.flags = leaf.function == 4 || leaf.function == 0xB ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
    entry.eax = leaf.eax;
    entry.ebx = leaf.ebx;
    entry.ecx = leaf.ecx;
    entry.edx = leaf.edx;
  }
  listing.head().count = count;
  return Cpuid{std::move(listing)};
}

constexpr std::uint32_t intel = 0x756E'6547;
constexpr std::uint32_t amd = 0x6874'7541;

Cpuid intel_host() {
  return host({{0, 0, 0x1F, intel, 0x6C65'746E, 0x4965'6E69},
               {1, 0, 0, 0x0510'0800, 1U << 21, 1U << 9},
               {4, 0, 0xFC00'4121, 1, 2, 3},  // level 1
               {4, 1, 0xFC03'C163, 4, 5, 6},  // level 3
               {4, 2, 0, 0, 0, 0},            // no more
               {0xB, 0, 1, 2, 3, 4},
               {0x1F, 0, 0, 0, 0, 0},
               {0x4000'0000, 0, 0x4000'0001, 0x4B4D'564B, 0x564B'4D56, 0x4D},
               {0x4000'0001, 0, 0x0100'7EFB, 0, 0, 0},
               {0x8000'0008, 0, 0x3027, 0, 0x1234, 0}});
}

Cpuid amd_host() {
  return host({{0, 0, 0x10, amd, 0x444D'4163, 0x6974'6E65},
               {1, 0, 0, 0x0010'0800, 0, 1U << 9},
               {0x8000'0001, 0, 0, 0, 2, 1U << 9},
               {0x8000'0008, 0, 0x3027, 0, 0x700F, 0},
               {0x8000'001E, 0, 9, 0x109, 3, 0}});
}

std::uint32_t bits(std::uint32_t value, unsigned low, unsigned width) {
  return value >> low & ((1U << width) - 1);
}

TEST(GuestCpuid, Leaf1SaysWhoAndHowMany) {
  Cpuid cpuid = guest_cpuid(intel_host(), {.index = 2, .count = 3});
  kvm_cpuid_entry2 const leaf = *cpuid.find(1);
  EXPECT_EQ(leaf.ebx, 0x0203'0800U);
  EXPECT_EQ(leaf.ecx, 1U << 21 | 1U << 24 | 1U << 31);  // x2APIC, TSC deadline, hypervisor
  EXPECT_EQ(leaf.edx, 1U << 9 | 1U << 28);              // APIC, HTT
  cpuid = guest_cpuid(intel_host(), {});
  EXPECT_EQ(cpuid.find(1)->ebx, 0x0001'0800U);
  EXPECT_EQ(cpuid.find(1)->edx, 1U << 9);
}

TEST(GuestCpuid, WithoutALocalApicNothingSaysThatThereIsOne) {
  Cpuid cpuid = guest_cpuid(intel_host(), {.has_local_apic = false});
  EXPECT_EQ(cpuid.find(1)->ecx, 1U << 31);
  EXPECT_EQ(cpuid.find(1)->edx, 0U);
  EXPECT_EQ(cpuid.find(0x4000'0001)->eax, 0x0100'7EFBU & ~0x4CD0U);
  cpuid = guest_cpuid(amd_host(), {.has_local_apic = false});
  EXPECT_EQ(cpuid.find(0x8000'0001)->edx, 0U);
}

TEST(GuestCpuid, CachesAreSharedAsCoresDo) {
  Cpuid cpuid = guest_cpuid(intel_host(), {.index = 0, .count = 4});
  EXPECT_EQ(bits(cpuid.find(4, 0)->eax, 14, 12), 0U);
  EXPECT_EQ(bits(cpuid.find(4, 0)->eax, 26, 6), 3U);
  EXPECT_EQ(bits(cpuid.find(4, 1)->eax, 14, 12), 3U);
  EXPECT_EQ(bits(cpuid.find(4, 0)->eax, 0, 14), 0x121U);
  EXPECT_EQ(cpuid.find(4, 1)->ebx, 4U);
  EXPECT_EQ(cpuid.find(4, 2)->eax, 0U);
}

TEST(GuestCpuid, TheTopologyHasThreeLevelsInBothLeaves) {
  for (std::uint32_t const function : {0xBU, 0x1FU}) {
    Cpuid cpuid = guest_cpuid(intel_host(), {.index = 4, .count = 5});
    kvm_cpuid_entry2 const threads = *cpuid.find(function, 0);
    kvm_cpuid_entry2 const cores = *cpuid.find(function, 1);
    kvm_cpuid_entry2 const end = *cpuid.find(function, 2);
    EXPECT_EQ(threads.eax, 0U);
    EXPECT_EQ(threads.ebx, 1U);
    EXPECT_EQ(threads.ecx, 0x100U);
    EXPECT_EQ(cores.eax, 3U);  // five IDs take three bits
    EXPECT_EQ(cores.ebx, 5U);
    EXPECT_EQ(cores.ecx, 0x201U);
    EXPECT_EQ(end.ecx, 2U);
    EXPECT_EQ(end.ebx, 0U);
    for (auto const& level : {threads, cores, end}) EXPECT_EQ(level.edx, 4U);
    EXPECT_EQ(cpuid.find(function, 3), nullptr);
  }
}

TEST(GuestCpuid, AmdsTopologyIsInLeavesOfItsOwn) {
  Cpuid cpuid = guest_cpuid(amd_host(), {.index = 3, .count = 4});
  EXPECT_EQ(cpuid.find(0x8000'0001)->ecx, 2U);
  EXPECT_EQ(cpuid.find(0x8000'0008)->ecx, 0x2003U);
  EXPECT_EQ(cpuid.find(0x8000'0008)->eax, 0x3027U);
  EXPECT_EQ(cpuid.find(0x8000'001E)->eax, 3U);
  EXPECT_EQ(cpuid.find(0x8000'001E)->ebx, 3U);
  EXPECT_EQ(cpuid.find(0x8000'001E)->ecx, 0U);
  EXPECT_EQ(cpuid.find(0xB), nullptr);  // the host has none
  cpuid = guest_cpuid(amd_host(), {});
  EXPECT_EQ(cpuid.find(0x8000'0001)->ecx, 0U);
  EXPECT_EQ(cpuid.find(0x8000'0008)->ecx, 0U);
}

TEST(GuestCpuid, TheRestIsTheHosts) {
  Cpuid cpuid = guest_cpuid(intel_host(), {.index = 1, .count = 2});
  EXPECT_EQ(cpuid.find(0)->ebx, intel);
  EXPECT_EQ(cpuid.find(0x4000'0000)->ebx, 0x4B4D'564BU);  // the hypervisor's name
  EXPECT_EQ(cpuid.find(0x4000'0001)->eax, 0x0100'7EFBU);
  EXPECT_EQ(cpuid.find(0x8000'0008)->ecx, 0x1234U);  // only AMD's means anything
}

TEST(BootMsrs, RamIsCached) {
  struct {
    std::map<std::uint32_t, std::uint64_t> msrs{{0x1A0, 0x8'0000}};

    std::uint64_t msr(std::uint32_t index) { return msrs[index]; }
    void set_msr(std::uint32_t index, std::uint64_t value) { msrs[index] = value; }
  } vcpu;

  set_boot_msrs(vcpu);
  EXPECT_EQ(vcpu.msrs[0x2FF], 0x806U);
  EXPECT_EQ(vcpu.msrs[0x1A0], 0x8'0001U);
}

}  // namespace
}  // namespace portico::kvm
