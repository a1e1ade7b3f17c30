/// One virtual machine: memory slots, vCPUs, interrupt lines.
///
///     #include <portico/kvm/system.hpp>
///
///     /// A machine with `ram` at address 0 and nothing else.
///     portico::kvm::Vm machine_with(portico::kvm::System const& system, gsl::span<std::byte> ram)
///     {
///       portico::kvm::Vm vm = system.create_vm();
///       vm.set_user_memory_region(0, 0, ram);  // `ram` outlives vm
///       return vm;
///     }
///
/// Limits: the memory behind a slot is borrowed and must live longer than the Vm and its vCPUs. All
/// calls are safe from any thread, since KVM serialises them; setting a slot and destroying a VM
/// may take milliseconds, because the kernel waits for its readers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/kvm/ioctl.hpp>
#include <portico/kvm/vcpu.hpp>

namespace portico::kvm {

/// How a memory slot behaves, combined with `|`.
enum class SlotFlags : std::uint32_t {
  none = 0,
  log_dirty_pages = KVM_MEM_LOG_DIRTY_PAGES,  ///< KVM notes which pages the guest writes
  read_only = KVM_MEM_READONLY                ///< a guest's store becomes an MMIO exit
};

constexpr SlotFlags operator|(SlotFlags left, SlotFlags right) noexcept {
  return SlotFlags{static_cast<std::uint32_t>(left) | static_cast<std::uint32_t>(right)};
}

/// An owned virtual machine; made by System::create_vm, move-only.
class Vm {
 public:
  /// Takes over a VM's descriptor; `vcpu_page_bytes` is what System::vcpu_mmap_size() says.
  Vm(Fd fd, std::size_t vcpu_page_bytes) noexcept
      : fd_{std::move(fd)}, vcpu_page_bytes_{vcpu_page_bytes} {}

  /// Puts host memory at a guest-physical address; both and the size are multiples of 4 KiB.
  void set_user_memory_region(std::uint32_t slot, std::uint64_t guest_address,
                              gsl::span<std::byte> host, SlotFlags flags = SlotFlags::none) {
    kvm_userspace_memory_region const region{
        .slot = slot,
        .flags = static_cast<std::uint32_t>(flags),
        .guest_phys_addr = guest_address,
        .memory_size = host.size(),
        .userspace_addr = reinterpret_cast<std::uintptr_t>(host.data())};
    call(fd_, KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION", &region);
  }

  /// Takes a slot's memory away from the guest again.
  void remove_memory_region(std::uint32_t slot) { set_user_memory_region(slot, 0, {}); }

  /// Copies a slot's map of written pages, one bit for each, to `bitmap`, and begins anew.
  void dirty_log(std::uint32_t slot, gsl::span<std::uint64_t> bitmap) {
    kvm_dirty_log log{};
    log.slot = slot;
    log.dirty_bitmap = bitmap.data();
    call(fd_, KVM_GET_DIRTY_LOG, "KVM_GET_DIRTY_LOG", &log);
  }

  /// Makes vCPU `id`, counted from 0; in-kernel interrupt controllers are made before it.
  [[nodiscard]] Vcpu create_vcpu(unsigned id) {
    return Vcpu{Fd{call(fd_, KVM_CREATE_VCPU, "KVM_CREATE_VCPU", static_cast<unsigned long>(id))},
                vcpu_page_bytes_};
  }

  /// What KVM_CAP_... gives on this VM: 0 for "not there", else 1 or a number that the capability
  /// defines.
  [[nodiscard]] int check_extension(int capability) const {
    return call(fd_, KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION",
                static_cast<unsigned long>(capability));
  }

  /// Switches a capability on; `argument` is its first.
  void enable_capability(std::uint32_t capability, std::uint64_t argument = 0) {
    kvm_enable_cap request{};
    request.cap = capability;
    request.args[0] = argument;
    call(fd_, KVM_ENABLE_CAP, "KVM_ENABLE_CAP", &request);
  }

  /// Replaces the list of model-specific registers that the guest may not touch itself; what it
  /// does instead is up to KVM_CAP_X86_USER_SPACE_MSR, which is to be enabled before: a #GP, or an
  /// exit (RdmsrExit, WrmsrExit). A bit that is 0 in a range's bitmap denies. (KVM API, section
  /// 4.97.)
  void set_msr_filter(kvm_msr_filter const& filter) {
    call(fd_, KVM_X86_SET_MSR_FILTER, "KVM_X86_SET_MSR_FILTER", &filter);
  }

  /// Gives KVM the four pages below 4 GiB that Intel processors without "unrestricted guest" need
  /// to run real mode; a no-op elsewhere. Before the first vCPU; no memory slot may stand there.
  void reserve_real_mode_pages(std::uint64_t address = 0xFFFB'C000) {
    call(fd_, KVM_SET_IDENTITY_MAP_ADDR, "KVM_SET_IDENTITY_MAP_ADDR", &address);
    call(fd_, KVM_SET_TSS_ADDR, "KVM_SET_TSS_ADDR",
         static_cast<unsigned long>(address + abi::page_size));
  }

  /// Puts the PIC pair, the IOAPIC and each vCPU's local APIC into the kernel; before the first
  /// vCPU.
  void create_irqchip() { call(fd_, KVM_CREATE_IRQCHIP, "KVM_CREATE_IRQCHIP"); }

  /// Puts only local APICs into the kernel, with room for `routes` IOAPIC pins; before the first
  /// vCPU.
  void split_irqchip(unsigned routes = 24) { enable_capability(KVM_CAP_SPLIT_IRQCHIP, routes); }

  /// Puts the 8254 timer into the kernel, after create_irqchip(); `flags` are KVM_PIT_SPEAKER_DUMMY
  /// or none.
  void create_pit2(std::uint32_t flags = 0) {
    kvm_pit_config config{};
    config.flags = flags;
    call(fd_, KVM_CREATE_PIT2, "KVM_CREATE_PIT2", &config);
  }

  /// Sets the level of an in-kernel controller's line.
  void irq_line(std::uint32_t gsi, bool level) {
    kvm_irq_level request{};
    request.irq = gsi;
    request.level = level ? 1 : 0;
    call(fd_, KVM_IRQ_LINE, "KVM_IRQ_LINE", &request);
  }

  /// Replaces all routes from lines to controllers.
  void set_gsi_routing(gsl::span<kvm_irq_routing_entry const> routes) {
    Listing<abi::IrqRoutingHead, kvm_irq_routing_entry> listing{routes.size()};
    listing.head().count = static_cast<std::uint32_t>(routes.size());
    listing.fill(routes);
    call(fd_, abi::set_gsi_routing, "KVM_SET_GSI_ROUTING", listing.data());
  }

  /// Sends a message-signalled interrupt to in-kernel local APICs; false if KVM refuses it, or if
  /// nobody took it.
  bool signal_msi(std::uint64_t address, std::uint32_t data) noexcept {
    kvm_msi message{};
    message.address_lo = static_cast<std::uint32_t>(address);
    message.address_hi = static_cast<std::uint32_t>(address >> 32);
    message.data = data;
    return try_call(fd_, KVM_SIGNAL_MSI, &message) > 0;
  }

  /// Ties an eventfd to a line, or takes it back (KVM_IRQFD_FLAG_DEASSIGN).
  void irqfd(kvm_irqfd const& request) { call(fd_, KVM_IRQFD, "KVM_IRQFD", &request); }

  /// Turns writes to an address into an eventfd's signal, or takes it back
  /// (KVM_IOEVENTFD_FLAG_DEASSIGN).
  void ioeventfd(kvm_ioeventfd const& request) {
    call(fd_, KVM_IOEVENTFD, "KVM_IOEVENTFD", &request);
  }

  /// Lets KVM gather writes to a zone in the ring instead of leaving the guest for each.
  void coalesce(kvm_coalesced_mmio_zone const& zone) {
    call(fd_, KVM_REGISTER_COALESCED_MMIO, "KVM_REGISTER_COALESCED_MMIO", &zone);
  }

  /// Ends what coalesce() began.
  void uncoalesce(kvm_coalesced_mmio_zone const& zone) {
    call(fd_, KVM_UNREGISTER_COALESCED_MMIO, "KVM_UNREGISTER_COALESCED_MMIO", &zone);
  }

  /// The VM's descriptor, still owned here.
  [[nodiscard]] Fd const& fd() const noexcept { return fd_; }

 private:
  Fd fd_;
  std::size_t vcpu_page_bytes_;
};

}  // namespace portico::kvm
