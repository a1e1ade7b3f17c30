/// What `cpuid` tells one of several vCPUs: who it is, how many there are, and what its local APIC
/// can do.
///
///     #include <portico/kvm/guest_cpuid.hpp>
///     #include <portico/kvm/system.hpp>
///
///     /// Four vCPUs, each a core of one package.
///     void tell(portico::kvm::System const& system, std::array<portico::kvm::Vcpu, 4>& vcpus) {
///       for (unsigned index = 0; index < 4; ++index)
///         vcpus[index].set_cpuid(
///             portico::kvm::guest_cpuid(system.supported_cpuid(), {.index = index, .count = 4}));
///     }
///
/// The leaves: 1 (APIC ID, logical processors, TSC deadline, x2APIC), 4 (who shares a cache), 0xB
/// and 0x1F (topology), 0x80000001, 0x80000008 and 0x8000001E (AMD's topology). All others, the
/// hypervisor's at 0x40000000 among them, stay as the host's KVM has them. vCPU n has APIC ID n.
/// Sources: Intel SDM 2A, `cpuid`; AMD APM 3, appendix E; Linux, Documentation/virt/kvm/api.rst.
#pragma once

#include <bit>
#include <cstdint>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/kvm/cpuid.hpp>

namespace portico::kvm {

/// Which vCPU of how many.
struct CpuPlace {
  unsigned index = 0;
  unsigned count = 1;
  bool has_local_apic = true;  ///< the kernel's; without one, what needs it is not shown
};

namespace detail {

/// Replaces bits [low, low + width) of a register.
constexpr std::uint32_t with_field(std::uint32_t value, unsigned low, unsigned width,
                                   std::uint32_t field) noexcept {
  std::uint32_t const mask = ((1U << width) - 1) << low;
  return (value & ~mask) | (field << low & mask);
}

constexpr std::uint32_t with_bit(std::uint32_t value, unsigned bit, bool on) noexcept {
  return with_field(value, bit, 1, on ? 1 : 0);
}

/// Bits of an APIC ID that tell the cores of a package apart.
constexpr std::uint32_t core_bits(CpuPlace place) noexcept {
  return static_cast<std::uint32_t>(std::bit_width(place.count - 1));
}

/// Leaf 1: APIC ID, number of logical processors, HTT; the APIC's features.
inline void set_features(kvm_cpuid_entry2& leaf, CpuPlace place) noexcept {
  constexpr unsigned x2apic = 21;
  constexpr unsigned tsc_deadline = 24;
  constexpr unsigned hypervisor = 31;
  constexpr unsigned apic = 9;
  constexpr unsigned htt = 28;
  leaf.ebx = with_field(leaf.ebx, 16, 8, place.count);
  leaf.ebx = with_field(leaf.ebx, 24, 8, place.index);
  leaf.ecx = with_bit(leaf.ecx, x2apic, (leaf.ecx >> x2apic & 1) != 0 && place.has_local_apic);
  // KVM emulates it with every local APIC of its own, and does not list it.
  leaf.ecx = with_bit(leaf.ecx, tsc_deadline, place.has_local_apic);
  leaf.ecx = with_bit(leaf.ecx, hypervisor, true);
  leaf.edx = with_bit(leaf.edx, apic, place.has_local_apic);
  leaf.edx = with_bit(leaf.edx, htt, place.count > 1);
}

/// Leaf 4, Intel's caches: the first two levels belong to one core, the third to all.
inline void set_cache_sharing(kvm_cpuid_entry2& leaf, CpuPlace place) noexcept {
  if ((leaf.eax & 0x1F) == 0) return;  // no more caches
  std::uint32_t const level = leaf.eax >> 5 & 7;
  leaf.eax = with_field(leaf.eax, 14, 12, level >= 3 ? place.count - 1 : 0);
  leaf.eax = with_field(leaf.eax, 26, 6, place.count - 1);
}

/// Whether leaf 0 names AMD, or Hygon, whose processors are AMD's.
inline bool is_amd(gsl::span<kvm_cpuid_entry2 const> leaves) noexcept {
  for (kvm_cpuid_entry2 const& leaf : leaves)
    if (leaf.function == 0) return leaf.ebx == 0x6874'7541 || leaf.ebx == 0x6F67'7948;
  return false;
}

/// AMD's: leaf 0x80000001 says that there are cores, 0x80000008 how many, 0x8000001E which one.
inline void set_amd_topology(kvm_cpuid_entry2& leaf, CpuPlace place) noexcept {
  constexpr unsigned legacy_multicore = 1;
  if (leaf.function == 0x8000'0001) {
    leaf.ecx = with_bit(leaf.ecx, legacy_multicore,
                        (leaf.ecx >> legacy_multicore & 1) != 0 && place.count > 1);
    leaf.edx = with_bit(leaf.edx, 9, (leaf.edx >> 9 & 1) != 0 && place.has_local_apic);
  } else if (leaf.function == 0x8000'0008) {
    leaf.ecx = with_field(leaf.ecx, 0, 8, place.count - 1);
    leaf.ecx = with_field(leaf.ecx, 12, 4, core_bits(place));
  } else if (leaf.function == 0x8000'001E) {
    leaf.eax = place.index;
    leaf.ebx = place.index;  // one thread in each core
    leaf.ecx = 0;            // one node
  }
}

inline constexpr std::uint32_t paravirtual_features = 0x4000'0001;

/// KVM's own leaf of features: those that live in the kernel's local APIC.
inline void set_paravirtual(kvm_cpuid_entry2& leaf, CpuPlace place) noexcept {
  if (place.has_local_apic) return;
  // Asynchronous page faults (4, 10, 14), EOI (6), unhalt (7), IPIs (11).
  constexpr std::uint32_t needs_apic = 1U << 4 | 1U << 6 | 1U << 7 | 1U << 10 | 1U << 11 | 1U << 14;
  leaf.eax &= ~needs_apic;
}

/// A level of leaf 0xB or 0x1F: 0 threads, 1 cores, 2 the end.
constexpr kvm_cpuid_entry2 topology_level(std::uint32_t function, std::uint32_t level,
                                          CpuPlace place) noexcept {
  kvm_cpuid_entry2 leaf{};
  leaf.function = function;
  leaf.index = level;
  leaf.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  leaf.eax = level == 1 ? core_bits(place) : 0;
  leaf.ebx = level == 0 ? 1 : level == 1 ? place.count : 0;
  leaf.ecx = level | (level == 0 ? 1U : level == 1 ? 2U : 0U) << 8;
  leaf.edx = place.index;
  return leaf;
}

}  // namespace detail

/// The host's leaves with what differs by vCPU put in; at most 255 vCPUs.
[[nodiscard]] inline Cpuid guest_cpuid(Cpuid const& host, CpuPlace place) {
  Expects(place.index < place.count && place.count <= 255);
  constexpr std::size_t added = 6;
  gsl::span<kvm_cpuid_entry2 const> const given = host.entries();
  Cpuid::Leaves leaves{given.size() + added};
  std::uint32_t count = 0;
  bool const is_amd = detail::is_amd(given);
  bool has_0xb = false;
  bool has_0x1f = false;
  for (kvm_cpuid_entry2 const& entry : given) {
    has_0xb = has_0xb || entry.function == 0xB;
    has_0x1f = has_0x1f || entry.function == 0x1F;
    if (entry.function == 0xB || entry.function == 0x1F) continue;  // anew, below
    kvm_cpuid_entry2& leaf = leaves.elements()[count++] = entry;
    if (leaf.function == 1) detail::set_features(leaf, place);
    if (leaf.function == 4) detail::set_cache_sharing(leaf, place);
    if (leaf.function == detail::paravirtual_features) detail::set_paravirtual(leaf, place);
    if (is_amd) detail::set_amd_topology(leaf, place);
  }
  for (std::uint32_t level = 0; level < 3; ++level) {
    if (has_0xb) leaves.elements()[count++] = detail::topology_level(0xB, level, place);
    if (has_0x1f) leaves.elements()[count++] = detail::topology_level(0x1F, level, place);
  }
  leaves.head().count = count;
  return Cpuid{std::move(leaves)};
}

/// Switches the local APIC of a vCPU off that has none in the kernel. Until then KVM shows one in
/// leaf 1, whatever that was given: it goes by IA32_APIC_BASE, which is on after a reset (Intel SDM
/// 3A, 11.4.3). `vcpu` is a Vcpu, or a test's that has sregs() and set_sregs().
template <class VirtualCpu>
void disable_local_apic(VirtualCpu& vcpu) {
  constexpr std::uint64_t global_enable = 1U << 11;
  kvm_sregs registers = vcpu.sregs();
  registers.apic_base &= ~global_enable;
  vcpu.set_sregs(registers);
}

}  // namespace portico::kvm
