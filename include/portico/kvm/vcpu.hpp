/// One virtual CPU: its registers, its `kvm_run` page, and KVM_RUN.
///
///     #include <portico/kvm/exit.hpp>
///     #include <portico/kvm/system.hpp>
///
///     /// Runs real-mode code until it halts; true if nothing else happened.
///     bool runs_to_halt(portico::kvm::Vm& vm) {  // memory slots are set
///       portico::kvm::Vcpu vcpu = vm.create_vcpu(0);
///       kvm_regs registers{};
///       registers.rip = 0x1000;
///       registers.rflags = 2;
///       vcpu.set_regs(registers);
///       return vcpu.run() == 0 && vcpu.page().exit_reason == KVM_EXIT_HLT;
///     }
///
/// Limits: everything but kick (see kick.hpp) is for one thread at a time; KVM wants KVM_RUN to
/// stay on one thread for speed. After an `in`, an MMIO load or a string exit the access completes
/// at the next run(), so registers read before are those of the middle of the instruction: set
/// immediate_exit and run() once to complete it.
#pragma once

#include <sys/mman.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/kvm/cpuid.hpp>
#include <portico/kvm/ioctl.hpp>

namespace portico::kvm {

/// Writes `immediate_exit` of a page that another thread may be about to run: with true the next
/// KVM_RUN completes a pending access and returns EINTR without entering the guest. Gives what was
/// there before; safe from any thread and in a signal handler.
inline bool set_immediate_exit(kvm_run& page, bool on) noexcept {
  return std::atomic_ref<std::uint8_t>{page.immediate_exit}.exchange(on ? 1 : 0) != 0;
}

/// The page in which KVM gathers coalesced accesses: a view, valid as long as its vCPU. The kernel
/// writes `last` and the entries, we write `first`.
class CoalescedRing {
 public:
  explicit CoalescedRing(std::byte* page) noexcept : page_{page} {}

  [[nodiscard]] abi::CoalescedRingHead& head() const noexcept {
    return *reinterpret_cast<abi::CoalescedRingHead*>(page_);
  }

  /// All places of the ring; those from head().first up to head().last, modulo their number, are
  /// filled.
  [[nodiscard]] gsl::span<kvm_coalesced_mmio const> entries() const noexcept {
    return {reinterpret_cast<kvm_coalesced_mmio const*>(page_ + sizeof(abi::CoalescedRingHead)),
            abi::coalesced_ring_size};
  }

  /// Whether a write waits. From any thread.
  [[nodiscard]] bool waits() const noexcept {
    return std::atomic_ref<std::uint32_t>{head().first}.load(std::memory_order_acquire) !=
           std::atomic_ref<std::uint32_t>{head().last}.load(std::memory_order_acquire);
  }

  /// Takes every write that waits out, oldest first, and calls `take(kvm_coalesced_mmio const&)`
  /// for each; gives how many there were. One is out when `take` has returned, or thrown. One thread at a time, and before any other exit of the
  /// VM is handled, or the guest's writes are seen in another order than it made them. KVM leaves
  /// the guest when the ring is full: it holds coalesced_ring_size - 1. (KVM API, section 4.116.)
  template <class Take>
  std::uint32_t drain(Take&& take) const {
    std::uint32_t const end =
        std::atomic_ref<std::uint32_t>{head().last}.load(std::memory_order_acquire);
    std::uint32_t count = 0;
    for (; head().first != end; ++count) {
      Taking const taking{head()};
      take(entries()[head().first]);
    }
    return count;
  }

 private:
  /// Goes on to the next place, however it ends.
  struct Taking {  // NOLINT(cppcoreguidelines-special-member-functions): an aggregate, made once
    abi::CoalescedRingHead& head;

    ~Taking() {
      std::uint32_t const next = (head.first + 1) % std::uint32_t{abi::coalesced_ring_size};
      std::atomic_ref<std::uint32_t>{head.first}.store(next, std::memory_order_release);
    }
  };

  std::byte* page_;
};

/// Classes of registers that the page can carry (KVM_CAP_SYNC_REGS), combined with `|`.
enum class SyncedRegisters : std::uint64_t {
  none = 0,
  general = KVM_SYNC_X86_REGS,
  special = KVM_SYNC_X86_SREGS,
  events = KVM_SYNC_X86_EVENTS
};

constexpr SyncedRegisters operator|(SyncedRegisters left, SyncedRegisters right) noexcept {
  return SyncedRegisters{static_cast<std::uint64_t>(left) | static_cast<std::uint64_t>(right)};
}

/// An owned virtual CPU; made by Vm::create_vcpu, move-only.
class Vcpu {
 public:
  /// Takes over a vCPU's descriptor and maps its page; `page_bytes` is what
  /// System::vcpu_mmap_size() says.
  Vcpu(Fd fd, std::size_t page_bytes) : fd_{std::move(fd)}, page_bytes_{page_bytes} {
    void* const page =
        ::mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (page == MAP_FAILED) throw_errno("mmap of kvm_run");
    page_ = static_cast<kvm_run*>(page);
  }

  Vcpu(Vcpu&& other) noexcept
      : fd_{std::move(other.fd_)},
        page_{std::exchange(other.page_, nullptr)},
        page_bytes_{other.page_bytes_} {}

  Vcpu& operator=(Vcpu&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(page_, other.page_);
    std::swap(page_bytes_, other.page_bytes_);
    return *this;
  }

  Vcpu(Vcpu const&) = delete;
  Vcpu& operator=(Vcpu const&) = delete;

  ~Vcpu() {
    if (page_ != nullptr) ::munmap(page_, page_bytes_);
  }

  /// Enters the guest until it leaves for a reason that page() then tells: 0, or the errno value of
  /// the failure.
  ///
  /// EINTR (a signal, or immediate_exit) and EAGAIN (the vCPU waits to be started) are no faults:
  /// run() again when there is no reason to stop. The system call is made in line, which takes 20
  /// instructions less than the C library's variadic ioctl(), and no return: where the kernel clears
  /// the predictions of returns, the first one after it took 0.65 us of an exit of 8 (bench/exits).
  [[gnu::always_inline]] int run() noexcept {
    long result;
    asm volatile("syscall"
                 : "=a"(result)
                 : "0"(static_cast<long>(SYS_ioctl)), "D"(static_cast<long>(fd_.get())),
                   "S"(static_cast<unsigned long>(KVM_RUN)), "d"(0L)
                 : "rcx", "r11", "memory", "cc");
    return static_cast<int>(-result);
  }

  /// What KVM and we tell each other; shared with the kernel, so its contents are good until the
  /// next run().
  kvm_run& page() noexcept { return *page_; }

  kvm_run const& page() const noexcept { return *page_; }

  /// The ring of coalesced accesses, which all vCPUs of a VM share; `page_number` is what
  /// KVM_CAP_COALESCED_MMIO says.
  CoalescedRing coalesced_ring(int page_number) noexcept {
    Expects(page_number > 0 &&
            static_cast<std::size_t>(page_number) < page_bytes_ / abi::page_size);
    return CoalescedRing{reinterpret_cast<std::byte*>(page_) +
                         static_cast<std::size_t>(page_number) * abi::page_size};
  }

  /// Makes the next run() complete a pending access and return EINTR without entering the guest,
  /// until it is taken back; true if it was set before.
  bool immediate_exit(bool on) noexcept { return set_immediate_exit(*page_, on); }

  [[nodiscard]] kvm_regs regs() const { return get<kvm_regs>(KVM_GET_REGS, "KVM_GET_REGS"); }

  void set_regs(kvm_regs const& registers) { set(KVM_SET_REGS, "KVM_SET_REGS", registers); }

  [[nodiscard]] kvm_sregs sregs() const { return get<kvm_sregs>(KVM_GET_SREGS, "KVM_GET_SREGS"); }

  void set_sregs(kvm_sregs const& registers) { set(KVM_SET_SREGS, "KVM_SET_SREGS", registers); }

  [[nodiscard]] kvm_fpu fpu() const { return get<kvm_fpu>(KVM_GET_FPU, "KVM_GET_FPU"); }

  void set_fpu(kvm_fpu const& registers) { set(KVM_SET_FPU, "KVM_SET_FPU", registers); }

  [[nodiscard]] kvm_mp_state mp_state() const {
    return get<kvm_mp_state>(KVM_GET_MP_STATE, "KVM_GET_MP_STATE");
  }

  void set_mp_state(kvm_mp_state state) { set(KVM_SET_MP_STATE, "KVM_SET_MP_STATE", state); }

  [[nodiscard]] kvm_vcpu_events events() const {
    return get<kvm_vcpu_events>(KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS");
  }

  void set_events(kvm_vcpu_events const& events) {
    set(KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS", events);
  }

  /// The registers of the in-kernel local APIC, at their offsets in its page. (KVM API, section
  /// 4.57; EINVAL without such a controller.)
  [[nodiscard]] kvm_lapic_state lapic() const {
    return get<kvm_lapic_state>(KVM_GET_LAPIC, "KVM_GET_LAPIC");
  }

  void set_lapic(kvm_lapic_state const& registers) {
    set(KVM_SET_LAPIC, "KVM_SET_LAPIC", registers);
  }

  /// What `cpuid` tells the guest from now on; before its first run.
  void set_cpuid(Cpuid const& cpuid) { call(fd_, abi::set_cpuid2, "KVM_SET_CPUID2", cpuid.data()); }

  /// The value of a model-specific register; a std::system_error (EINVAL) if KVM does not know it.
  [[nodiscard]] std::uint64_t msr(std::uint32_t index) const {
    Listing<abi::MsrsHead, kvm_msr_entry> one = one_msr(index, 0);
    if (call(fd_, abi::get_msrs, "KVM_GET_MSRS", one.data()) != 1)
      throw_errno("KVM_GET_MSRS", EINVAL);
    return one.elements()[0].data;
  }

  /// Sets a model-specific register; a std::system_error (EINVAL) if KVM refuses it.
  void set_msr(std::uint32_t index, std::uint64_t value) {
    Listing<abi::MsrsHead, kvm_msr_entry> one = one_msr(index, value);
    if (call(fd_, abi::set_msrs, "KVM_SET_MSRS", one.data()) != 1)
      throw_errno("KVM_SET_MSRS", EINVAL);
  }

  /// Queues interrupt `vector`, where no in-kernel controller does;
  /// page().ready_for_interrupt_injection must be set.
  void interrupt(std::uint8_t vector) {
    if (int const error = try_interrupt(vector)) throw_errno("KVM_INTERRUPT", error);
  }

  /// The same; 0, or the errno value of the failure (EEXIST: one is queued already).
  [[nodiscard]] int try_interrupt(std::uint8_t vector) noexcept {
    kvm_interrupt const request{.irq = vector};
    return try_call(fd_, KVM_INTERRUPT, &request) < 0 ? errno : 0;
  }

  /// Asks KVM to leave those classes in synced() at every exit, which needs KVM_CAP_SYNC_REGS and
  /// spares an ioctl when they are read at most exits.
  void keep_synced(SyncedRegisters classes) noexcept {
    page_->kvm_valid_regs = static_cast<std::uint64_t>(classes);
  }

  /// The registers that keep_synced() asked for, as of the last exit.
  kvm_sync_regs& synced() noexcept { return page_->s.regs; }

  /// Makes the next run() take those classes over from synced() first.
  void take_synced(SyncedRegisters classes) noexcept {
    page_->kvm_dirty_regs = static_cast<std::uint64_t>(classes);
  }

  /// The vCPU's descriptor, still owned here.
  [[nodiscard]] Fd const& fd() const noexcept { return fd_; }

 private:
  template <class Structure>
  Structure get(unsigned long number, char const* name) const {
    Structure structure;
    call(fd_, number, name, &structure);
    return structure;
  }

  template <class Structure>
  void set(unsigned long number, char const* name, Structure const& structure) {
    call(fd_, number, name, &structure);
  }

  static Listing<abi::MsrsHead, kvm_msr_entry> one_msr(std::uint32_t index, std::uint64_t value) {
    Listing<abi::MsrsHead, kvm_msr_entry> one{1};
    one.head().count = 1;
    one.elements()[0].index = index;
    one.elements()[0].data = value;
    return one;
  }

  Fd fd_;
  kvm_run* page_ = nullptr;
  std::size_t page_bytes_;
};

}  // namespace portico::kvm
