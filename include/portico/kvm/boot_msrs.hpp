/// Model-specific registers as firmware leaves them to a kernel.
///
///     #include <portico/kvm/boot_msrs.hpp>
///     #include <portico/kvm/system.hpp>
///
///     portico::kvm::Vcpu make_vcpu(portico::kvm::Vm& vm) {
///       portico::kvm::Vcpu vcpu = vm.create_vcpu(0);
///       portico::kvm::set_boot_msrs(vcpu);     // otherwise all RAM would be uncached to the guest
///       return vcpu;
///     }
///
/// Source: Intel SDM 4, chapter 2, and 3A, section 12.11.
#pragma once

#include <cstdint>

#include <portico/kvm/vcpu.hpp>

namespace portico::kvm {

inline constexpr std::uint32_t msr_misc_enable = 0x1A0;
inline constexpr std::uint32_t msr_mtrr_default_type = 0x2FF;

/// MTRRs on with write-back as the default, so that all RAM is cached; fast string instructions on.
template <class VirtualCpu>
void set_boot_msrs(VirtualCpu& vcpu) {
  constexpr std::uint64_t fast_strings = 1U << 0;
  constexpr std::uint64_t mtrr_enable = 1U << 11;
  constexpr std::uint64_t write_back = 6;
  vcpu.set_msr(msr_misc_enable, vcpu.msr(msr_misc_enable) | fast_strings);
  vcpu.set_msr(msr_mtrr_default_type, mtrr_enable | write_back);
}

}  // namespace portico::kvm
