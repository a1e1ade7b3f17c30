/// The kernel's KVM interface as C++ can use it. Nothing else in the library includes
/// <linux/kvm.h>.
///
///     #include <portico/kvm/abi.hpp>
///     #include <sys/ioctl.h>
///
///     int cpuid_entries(int kvm) {
///       portico::kvm::Listing<portico::kvm::abi::CpuidHead, kvm_cpuid_entry2> list{128};
///       list.head().count = 128;
///       int const failed = ::ioctl(kvm, portico::kvm::abi::get_supported_cpuid, list.data());
///       return failed ? -1 : static_cast<int>(list.head().count);
///     }
///
/// Some kernel headers, Debian 12's (Linux 6.1) among them, spell a trailing array as a structure
/// that holds an empty structure. That takes no space in C but one byte, and so a whole element, in
/// C++. The structures `kvm_cpuid`, `kvm_cpuid2`, `kvm_msrs`, `kvm_msr_list`, `kvm_irq_routing`,
/// `kvm_signal_mask`, `kvm_reg_list`, `kvm_xsave`, `kvm_pmu_event_filter`, `kvm_stats_desc` and
/// `kvm_coalesced_mmio_ring` are then too big, and the numbers made from their sizes
/// (`KVM_SET_CPUID2`, ...) are ones that the kernel does not know. They are put right in namespace
/// abi below, on every header alike: use those instead of the macros of the same name.
///
/// Limits: 64-bit x86 hosts only. test/kvm/abi_numbers compares all of it with what a C compiler
/// says.
#pragma once

#if !defined(__x86_64__) || defined(__ILP32__)
#error "portico::kvm needs a 64-bit x86 host"
#endif

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

#include <portico/base/contracts.hpp>

namespace portico::kvm {

namespace abi {

// ---- Heads: the fixed part of each structure that ends in an array of elements
// ------------------------------

/// Head of `kvm_cpuid2`; `kvm_cpuid_entry2` elements follow. (And of the old `kvm_cpuid`.)
struct CpuidHead {
  std::uint32_t count;
  std::uint32_t padding;
};

/// Head of `kvm_msrs`; `kvm_msr_entry` elements follow.
struct MsrsHead {
  std::uint32_t count;
  std::uint32_t padding;
};

/// Head of `kvm_msr_list`; `std::uint32_t` indices follow.
struct MsrListHead {
  std::uint32_t count;
};

/// Head of `kvm_irq_routing`; `kvm_irq_routing_entry` elements follow.
struct IrqRoutingHead {
  std::uint32_t count;
  std::uint32_t flags;
};

/// Head of `kvm_signal_mask`; the bytes of a kernel signal set (8 on x86-64) follow.
struct SignalMaskHead {
  std::uint32_t length;
};

/// Head of `kvm_reg_list`; `std::uint64_t` register names follow.
struct RegListHead {
  std::uint64_t count;
};

/// Head of the ring that coalesced accesses are put in; `kvm_coalesced_mmio` elements follow to the
/// end of the page.
struct CoalescedRingHead {
  std::uint32_t first;  ///< next element to take out: written by us
  std::uint32_t last;   ///< where KVM puts the next one
};

/// `kvm_xsave` without its trailing part: what KVM_GET_XSAVE and KVM_SET_XSAVE move.
struct Xsave {
  std::uint32_t region[1024];
};

/// Head of `kvm_pmu_event_filter`; `std::uint64_t` events follow.
struct PmuEventFilterHead {
  std::uint32_t action;
  std::uint32_t count;
  std::uint32_t fixed_counter_bitmap;
  std::uint32_t flags;
  std::uint32_t padding[4];
};

/// Head of `kvm_stats_desc`; the statistic's name, as long as the statistics' header says, follows.
struct StatsDescriptorHead {
  std::uint32_t flags;
  std::int16_t exponent;
  std::uint16_t size;
  std::uint32_t offset;
  std::uint32_t bucket_size;
};

// ---- Numbers: the ioctls whose macros take a wrong size from those structures
// -------------------------------

/// Which way an ioctl's argument goes, as its number tells the kernel.
enum class Way : unsigned long { none = 0, write = 1, read = 2, both = 3 };

/// The number of KVM's ioctl `index` with an argument of `size` bytes (<asm-generic/ioctl.h>,
/// without its types).
constexpr unsigned long number(Way way, unsigned long index, std::size_t size) noexcept {
  return static_cast<unsigned long>(way) << 30 | size << 16 |
         static_cast<unsigned long>(KVMIO) << 8 | index;
}

inline constexpr unsigned long get_msr_index_list = number(Way::both, 0x02, sizeof(MsrListHead));
inline constexpr unsigned long get_supported_cpuid = number(Way::both, 0x05, sizeof(CpuidHead));
inline constexpr unsigned long get_emulated_cpuid = number(Way::both, 0x09, sizeof(CpuidHead));
inline constexpr unsigned long get_msr_feature_index_list =
    number(Way::both, 0x0A, sizeof(MsrListHead));
inline constexpr unsigned long set_gsi_routing = number(Way::write, 0x6A, sizeof(IrqRoutingHead));
inline constexpr unsigned long get_msrs = number(Way::both, 0x88, sizeof(MsrsHead));
inline constexpr unsigned long set_msrs = number(Way::write, 0x89, sizeof(MsrsHead));
inline constexpr unsigned long set_cpuid = number(Way::write, 0x8A, sizeof(CpuidHead));
inline constexpr unsigned long set_signal_mask = number(Way::write, 0x8B, sizeof(SignalMaskHead));
inline constexpr unsigned long set_cpuid2 = number(Way::write, 0x90, sizeof(CpuidHead));
inline constexpr unsigned long get_cpuid2 = number(Way::both, 0x91, sizeof(CpuidHead));
inline constexpr unsigned long get_xsave = number(Way::read, 0xA4, sizeof(Xsave));
inline constexpr unsigned long set_xsave = number(Way::write, 0xA5, sizeof(Xsave));
inline constexpr unsigned long get_reg_list = number(Way::both, 0xB0, sizeof(RegListHead));
inline constexpr unsigned long set_pmu_event_filter =
    number(Way::write, 0xB2, sizeof(PmuEventFilterHead));
inline constexpr unsigned long get_supported_hv_cpuid = number(Way::both, 0xC1, sizeof(CpuidHead));
inline constexpr unsigned long get_xsave2 = number(Way::read, 0xCF, sizeof(Xsave));

/// Bytes of a host page: the unit of `kvm_run` mappings and of memory slots.
inline constexpr std::size_t page_size = 4096;

/// How many elements fit into the ring page of coalesced accesses.
inline constexpr std::size_t coalesced_ring_size =
    (page_size - sizeof(CoalescedRingHead)) / sizeof(kvm_coalesced_mmio);

}  // namespace abi

/// A head and its elements in one piece of memory, as the kernel wants them; all zero at first.
///
/// The head's own count is not tied to the room: KVM reads it as "room for" and writes it as
/// "filled".
template <class Head, class Element>
class Listing {
  static_assert(sizeof(Head) % alignof(Element) == 0, "the elements follow the head without a gap");

 public:
  /// Room for `room` elements.
  explicit Listing(std::size_t room)
      : bytes_{std::make_unique<std::byte[]>(sizeof(Head) + room * sizeof(Element))}, room_{room} {}

  Head& head() noexcept { return *std::launder(reinterpret_cast<Head*>(bytes_.get())); }

  Head const& head() const noexcept {
    return *std::launder(reinterpret_cast<Head const*>(bytes_.get()));
  }

  /// All elements that there is room for, filled or not.
  gsl::span<Element> elements() noexcept {
    return {std::launder(reinterpret_cast<Element*>(bytes_.get() + sizeof(Head))), room_};
  }

  /// All elements that there is room for, filled or not.
  gsl::span<Element const> elements() const noexcept {
    return {std::launder(reinterpret_cast<Element const*>(bytes_.get() + sizeof(Head))), room_};
  }

  /// Copies elements, for which there must be room; the head's count stays as it is.
  void fill(gsl::span<Element const> from) noexcept {
    static_assert(std::is_trivially_copyable_v<Element>, "the kernel's structures are");
    Expects(from.size() <= room_);
    if (!from.empty()) std::memcpy(elements().data(), from.data(), from.size_bytes());
  }

  /// What an ioctl takes.
  void* data() noexcept { return bytes_.get(); }

  void const* data() const noexcept { return bytes_.get(); }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t room_;
};

}  // namespace portico::kvm
