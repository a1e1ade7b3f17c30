// The kernel's header as our C++ sees it, put right by kvm/abi.hpp, against the same header in C: every ioctl number
// and every structure of the header, whether we use it or not, so that nothing wrong waits to be used.

#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include <cstddef>
#include <map>
#include <string>

#include <portico/kvm/abi.hpp>

#include "in_c.hpp"

namespace {

namespace abi = portico::kvm::abi;

/// What the library uses in place of a macro or a structure's size.
std::map<std::string, unsigned long> const mended{
    {"KVM_GET_MSR_INDEX_LIST", abi::get_msr_index_list},
    {"KVM_GET_SUPPORTED_CPUID", abi::get_supported_cpuid},
    {"KVM_GET_EMULATED_CPUID", abi::get_emulated_cpuid},
    {"KVM_GET_MSR_FEATURE_INDEX_LIST", abi::get_msr_feature_index_list},
    {"KVM_SET_GSI_ROUTING", abi::set_gsi_routing},
    {"KVM_SET_PMU_EVENT_FILTER", abi::set_pmu_event_filter},
    {"KVM_GET_MSRS", abi::get_msrs},
    {"KVM_SET_MSRS", abi::set_msrs},
    {"KVM_SET_CPUID", abi::set_cpuid},
    {"KVM_SET_SIGNAL_MASK", abi::set_signal_mask},
    {"KVM_SET_CPUID2", abi::set_cpuid2},
    {"KVM_GET_CPUID2", abi::get_cpuid2},
    {"KVM_GET_XSAVE", abi::get_xsave},
    {"KVM_SET_XSAVE", abi::set_xsave},
    {"KVM_GET_REG_LIST", abi::get_reg_list},
    {"KVM_GET_SUPPORTED_HV_CPUID", abi::get_supported_hv_cpuid},
    {"KVM_GET_XSAVE2", abi::get_xsave2},
    {"kvm_msrs", sizeof(abi::MsrsHead)},
    {"kvm_msr_list", sizeof(abi::MsrListHead)},
    {"kvm_cpuid", sizeof(abi::CpuidHead)},
    {"kvm_cpuid2", sizeof(abi::CpuidHead)},
    {"kvm_xsave", sizeof(abi::Xsave)},
    {"kvm_pmu_event_filter", sizeof(abi::PmuEventFilterHead)},
    {"kvm_coalesced_mmio_ring", sizeof(abi::CoalescedRingHead)},
    {"kvm_signal_mask", sizeof(abi::SignalMaskHead)},
    {"kvm_irq_routing", sizeof(abi::IrqRoutingHead)},
    {"kvm_reg_list", sizeof(abi::RegListHead)},
    {"kvm_stats_desc", sizeof(abi::StatsDescriptorHead)},
};

unsigned long ours(char const* name, unsigned long in_cpp) {
  auto const found = mended.find(name);
  return found == mended.end() ? in_cpp : found->second;
}

TEST(AbiNumbers, EveryIoctlIsWhatCSays) {
  int compared = 0;
#define NUMBER(name)                                                                      \
  EXPECT_EQ(ours(#name, static_cast<unsigned long>(name)), in_c::name##_number) << #name; \
  ++compared;
#define STRUCTURE(name)
#include "names.inc"
#undef NUMBER
#undef STRUCTURE
  EXPECT_GT(compared, 100);
}

TEST(AbiNumbers, EveryStructureIsAsLargeAsInC) {
  int compared = 0;
#define NUMBER(name)
#define STRUCTURE(name)                                                    \
  EXPECT_EQ(ours(#name, sizeof(struct name)), in_c::name##_size) << #name; \
  ++compared;
#include "names.inc"
#undef NUMBER
#undef STRUCTURE
  EXPECT_GT(compared, 80);
}

TEST(AbiNumbers, ElementsFollowTheirHeadsAtOnce) {
  EXPECT_EQ(sizeof(abi::CpuidHead), in_c::kvm_cpuid2_array);
  EXPECT_EQ(sizeof(abi::MsrsHead), in_c::kvm_msrs_array);
  EXPECT_EQ(sizeof(abi::MsrListHead), in_c::kvm_msr_list_array);
  EXPECT_EQ(sizeof(abi::IrqRoutingHead), in_c::kvm_irq_routing_array);
  EXPECT_EQ(sizeof(abi::SignalMaskHead), in_c::kvm_signal_mask_array);
  EXPECT_EQ(sizeof(abi::RegListHead), in_c::kvm_reg_list_array);
  EXPECT_EQ(sizeof(abi::CoalescedRingHead), in_c::kvm_coalesced_mmio_ring_array);
  EXPECT_EQ(sizeof(abi::PmuEventFilterHead), in_c::kvm_pmu_event_filter_array);
  EXPECT_EQ(sizeof(abi::StatsDescriptorHead), in_c::kvm_stats_desc_array);
  EXPECT_EQ(abi::coalesced_ring_size, in_c::coalesced_ring_size);
}

// The heads are read and written by the kernel: their members stand where the kernel's do.
TEST(AbiNumbers, HeadsHaveTheKernelsMembers) {
  EXPECT_EQ(offsetof(abi::CpuidHead, count), offsetof(kvm_cpuid2, nent));
  EXPECT_EQ(offsetof(abi::MsrsHead, count), offsetof(kvm_msrs, nmsrs));
  EXPECT_EQ(offsetof(abi::MsrListHead, count), offsetof(kvm_msr_list, nmsrs));
  EXPECT_EQ(offsetof(abi::IrqRoutingHead, count), offsetof(kvm_irq_routing, nr));
  EXPECT_EQ(offsetof(abi::IrqRoutingHead, flags), offsetof(kvm_irq_routing, flags));
  EXPECT_EQ(offsetof(abi::SignalMaskHead, length), offsetof(kvm_signal_mask, len));
  EXPECT_EQ(offsetof(abi::RegListHead, count), offsetof(kvm_reg_list, n));
  EXPECT_EQ(offsetof(abi::CoalescedRingHead, first), offsetof(kvm_coalesced_mmio_ring, first));
  EXPECT_EQ(offsetof(abi::CoalescedRingHead, last), offsetof(kvm_coalesced_mmio_ring, last));
  EXPECT_EQ(offsetof(abi::PmuEventFilterHead, action), offsetof(kvm_pmu_event_filter, action));
  EXPECT_EQ(offsetof(abi::PmuEventFilterHead, count), offsetof(kvm_pmu_event_filter, nevents));
  EXPECT_EQ(offsetof(abi::PmuEventFilterHead, flags), offsetof(kvm_pmu_event_filter, flags));
  EXPECT_EQ(offsetof(abi::StatsDescriptorHead, exponent), offsetof(kvm_stats_desc, exponent));
  EXPECT_EQ(offsetof(abi::StatsDescriptorHead, size), offsetof(kvm_stats_desc, size));
  EXPECT_EQ(offsetof(abi::StatsDescriptorHead, offset), offsetof(kvm_stats_desc, offset));
  EXPECT_EQ(offsetof(abi::StatsDescriptorHead, bucket_size), offsetof(kvm_stats_desc, bucket_size));
}

}  // namespace
