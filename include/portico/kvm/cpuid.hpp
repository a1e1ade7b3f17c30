/// What the `cpuid` instruction answers in a guest: a list of leaves that can be read and changed.
///
///     #include <portico/kvm/system.hpp>
///
///     /// Everything the host has, but no hardware random numbers (leaf 1, ECX bit 30).
///     portico::kvm::Cpuid without_rdrand(portico::kvm::System const& system) {
///       portico::kvm::Cpuid cpuid = system.supported_cpuid();
///       if (kvm_cpuid_entry2* const leaf = cpuid.find(1)) leaf->ecx &= ~(1U << 30);
///       return cpuid;
///     }
///
/// Limits: what KVM lists is not all that a guest sees: some bits follow the guest's CR4, and a
/// software KVM cannot hide what ring 3 runs natively.
#pragma once

#include <cstdint>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/kvm/abi.hpp>

namespace portico::kvm {

/// The leaves of `cpuid`, a copyable value; at most KVM's limit of 256.
class Cpuid {
 public:
  using Leaves = Listing<abi::CpuidHead, kvm_cpuid_entry2>;

  /// Takes over a listing whose head says how many elements are filled.
  explicit Cpuid(Leaves leaves) : leaves_{std::move(leaves)} {
    Expects(leaves_.head().count <= leaves_.elements().size());
  }

  Cpuid(Cpuid const& other) : leaves_{other.entries().size()} {
    leaves_.head() = other.leaves_.head();
    leaves_.fill(other.entries());
  }

  Cpuid(Cpuid&&) noexcept = default;

  Cpuid& operator=(Cpuid const& other) { return *this = Cpuid{other}; }

  Cpuid& operator=(Cpuid&&) noexcept = default;

  ~Cpuid() = default;

  [[nodiscard]] gsl::span<kvm_cpuid_entry2> entries() noexcept {
    return leaves_.elements().first(leaves_.head().count);
  }

  [[nodiscard]] gsl::span<kvm_cpuid_entry2 const> entries() const noexcept {
    return leaves_.elements().first(leaves_.head().count);
  }

  /// The entry for EAX = `leaf` and, where the leaf has subleaves, ECX = `subleaf`; null if there
  /// is none.
  [[nodiscard]] kvm_cpuid_entry2* find(std::uint32_t leaf, std::uint32_t subleaf = 0) noexcept {
    for (kvm_cpuid_entry2& entry : entries()) {
      bool const indexed = (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0;
      if (entry.function == leaf && (!indexed || entry.index == subleaf)) return &entry;
    }
    return nullptr;
  }

  /// A `kvm_cpuid2`, for an ioctl that reads it.
  [[nodiscard]] void const* data() const noexcept { return leaves_.data(); }

 private:
  Leaves leaves_;
};

}  // namespace portico::kvm
