// A hypervisor without KVM, for tests of the machine: its vCPUs play scripts.
//
//   portico::test::FakeMachine<Board> machine{portico::GuestMemory{64 * portico::KiB}, Board{}};
//   machine.vcpu().plays([](portico::test::FakeVcpu& vcpu) { vcpu.exits_with_out(0xE9, 1, "a"); },
//                        [](portico::test::FakeVcpu& vcpu) { return vcpu.spin(); });
//
// Each run() of a vCPU plays one step, which fills the run page as KVM would and gives 0 or an errno value. What a step
// cannot tell by itself, the fake does as KVM: `immediate_exit` gives EINTR before any step.
#pragma once

#include <time.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/kvm/cpuid.hpp>
#include <portico/kvm/vcpu.hpp>
#include <portico/machine.hpp>

namespace portico::test {

class FakeVcpu {
 public:
  /// One KVM_RUN: fills the page; 0, or an errno value.
  using Step = std::function<int(FakeVcpu&)>;

  /// The whole of what Vcpu needs of the page: the page itself and one for I/O data.
  static constexpr std::size_t io_data = 4096;

  FakeVcpu() : memory_{std::make_unique<Pages>()} {}

  /// Adds steps to what is still to be played. A step that returns nothing gives 0.
  template <class... Steps>
  void plays(Steps... steps) {
    (add(std::move(steps)), ...);
  }

  /// Forgets what was not played.
  void clear() noexcept { next_ = steps_.size(); }

  [[nodiscard]] bool is_at_end() const noexcept { return next_ == steps_.size(); }

  /// KVM_RUN. With immediate_exit set it completes what is pending and enters no guest; past the end of the script the guest
  /// halts.
  int run() noexcept {
    ++runs;
    if (is_kicked()) {
      ++completions;
      return EINTR;
    }
    if (is_at_end()) {
      page().exit_reason = KVM_EXIT_HLT;
      return 0;
    }
    return steps_[next_++](*this);
  }

  /// Whether immediate_exit is set.
  [[nodiscard]] bool is_kicked() noexcept {
    return std::atomic_ref<std::uint8_t>{page().immediate_exit}.load() != 0;
  }

  /// A guest that never exits: stays in KVM_RUN until it is kicked.
  int spin() noexcept {
    timespec const moment{0, 100'000};
    while (!is_kicked()) ::nanosleep(&moment, nullptr);
    return EINTR;
  }

  kvm_run& page() noexcept { return *reinterpret_cast<kvm_run*>(memory_->bytes); }

  bool immediate_exit(bool on) noexcept { return kvm::set_immediate_exit(page(), on); }

  /// KVM_INTERRUPT.
  [[nodiscard]] int try_interrupt(std::uint8_t vector) noexcept {
    if (refuses_interrupts != 0) return refuses_interrupts;
    interrupts.push_back(vector);
    return 0;
  }

  [[nodiscard]] kvm_regs regs() const { return registers; }

  void set_regs(kvm_regs const& wanted) { registers = wanted; }

  [[nodiscard]] kvm_sregs sregs() const { return special; }

  void set_sregs(kvm_sregs const& wanted) { special = wanted; }

  [[nodiscard]] std::uint64_t msr(std::uint32_t) const noexcept { return 0; }

  void set_msr(std::uint32_t index, std::uint64_t value) { msrs[index] = value; }

  void set_cpuid(kvm::Cpuid const& wanted) { cpuid = wanted; }

  // --- For steps: what the guest did

  /// What KVM says of interrupts at an exit: IF, and whether one may be queued.
  void takes_interrupts(bool ready, bool flag = true) noexcept {
    page().ready_for_interrupt_injection = ready ? 1 : 0;
    page().if_flag = flag ? 1 : 0;
  }

  /// Whether the machine asked for an exit as soon as the guest can take an interrupt.
  [[nodiscard]] bool window_is_asked_for() noexcept { return page().request_interrupt_window != 0; }

  /// The ring of coalesced writes, which each fake vCPU has for itself.
  kvm::CoalescedRing coalesced_ring(int page) noexcept {
    return kvm::CoalescedRing{memory_->bytes + page * 4096};
  }

  /// A write that KVM gathers.
  void writes_coalesced(Space space, std::uint64_t address, std::uint32_t width,
                        std::uint64_t value) {
    kvm::CoalescedRing const ring = coalesced_ring(2);
    auto& place = const_cast<kvm_coalesced_mmio&>(ring.entries()[ring.head().last]);
    place.phys_addr = address;
    place.len = width;
    place.pio = space == Space::port ? 1 : 0;
    std::memcpy(place.data, &value, sizeof value);
    ring.head().last = (ring.head().last + 1) % std::uint32_t{kvm::abi::coalesced_ring_size};
  }

  /// An exit that has only a reason.
  void exits(std::uint32_t reason) { page().exit_reason = reason; }

  /// `out`, or `rep outs` if there are more bytes than one element.
  void exits_with_out(std::uint16_t port, std::uint8_t width, std::string_view data) {
    exits_with_io(port, width, static_cast<std::uint32_t>(data.size() / width), KVM_EXIT_IO_OUT);
    std::memcpy(memory_->bytes + io_data, data.data(), data.size());
  }

  /// `in`, or `rep ins`; the next step finds the answer in io().
  void exits_with_in(std::uint16_t port, std::uint8_t width, std::uint32_t count = 1) {
    exits_with_io(port, width, count, KVM_EXIT_IO_IN);
    std::memset(memory_->bytes + io_data, 0, std::size_t{width} * count);
  }

  void exits_with_store(std::uint64_t address, std::uint64_t value, std::uint32_t length) {
    exits_with_mmio(address, length, 1);
    std::memcpy(page().mmio.data, &value, sizeof value);
  }

  /// A load; the next step finds the answer in mmio().
  void exits_with_load(std::uint64_t address, std::uint32_t length) {
    exits_with_mmio(address, length, 0);
    std::memset(page().mmio.data, 0, sizeof page().mmio.data);
  }

  /// The I/O data of the last exit, where the answer to an `in` stands.
  [[nodiscard]] gsl::span<std::byte> io() noexcept { return {memory_->bytes + io_data, 4096}; }

  /// The first bytes of the MMIO data of the last exit, as a number.
  [[nodiscard]] std::uint64_t mmio() noexcept {
    return load<std::uint64_t>(reinterpret_cast<std::byte*>(page().mmio.data));
  }

  kvm_regs registers{};
  kvm_sregs special = [] {
    kvm_sregs reset{};
    reset.apic_base = 0xFEE0'0900;  // where it stands, on, the first processor's
    return reset;
  }();
  std::map<std::uint32_t, std::uint64_t> msrs{};
  std::optional<kvm::Cpuid> cpuid{};
  std::vector<std::uint8_t> interrupts{};  ///< vectors that were queued
  int refuses_interrupts = 0;              ///< errno value of the next KVM_INTERRUPTs
  int runs = 0;                            ///< how often run() was called
  int completions = 0;                     ///< how often with immediate_exit set

 private:
  struct Pages {
    alignas(4096) std::byte bytes[3 * 4096] = {};
  };

  template <class Added>
  void add(Added step) {
    steps_.push_back([step = std::move(step)](FakeVcpu& vcpu) mutable -> int {
      if constexpr (std::is_void_v<decltype(step(vcpu))>) {
        step(vcpu);
        return 0;
      } else {
        return step(vcpu);
      }
    });
  }

  void exits_with_io(std::uint16_t port, std::uint8_t width, std::uint32_t count,
                     std::uint8_t direction) {
    page().exit_reason = KVM_EXIT_IO;
    page().io.port = port;
    page().io.size = width;
    page().io.count = count;
    page().io.direction = direction;
    page().io.data_offset = io_data;
  }

  void exits_with_mmio(std::uint64_t address, std::uint32_t length, std::uint8_t is_write) {
    page().exit_reason = KVM_EXIT_MMIO;
    page().mmio.phys_addr = address;
    page().mmio.len = length;
    page().mmio.is_write = is_write;
  }

  std::unique_ptr<Pages> memory_;  // a vCPU moves, its page does not
  std::vector<Step> steps_;
  std::size_t next_ = 0;
};

/// Notes what it is told.
class FakeVm {
 public:
  struct Slot {
    std::uint32_t number;
    std::uint64_t address;
    std::uint64_t size;
    std::byte* host;
  };

  void set_user_memory_region(std::uint32_t slot, std::uint64_t address,
                              gsl::span<std::byte> host) {
    slots.push_back({slot, address, host.size(), host.data()});
  }

  [[nodiscard]] FakeVcpu create_vcpu(unsigned) {
    ++vcpus;
    return FakeVcpu{};
  }

  void reserve_real_mode_pages() { has_real_mode_pages = true; }

  void create_irqchip() { has_irqchip = true; }

  void create_pit2(std::uint32_t flags) {
    has_pit = true;
    pit_flags = flags;
  }

  void split_irqchip(unsigned pins) { ioapic_routes = pins; }

  bool signal_msi(std::uint64_t address, std::uint32_t data) {
    std::lock_guard const guard{*mutex};
    messages.push_back({address, data});
    return true;
  }

  void set_gsi_routing(gsl::span<kvm_irq_routing_entry const> table) {
    std::lock_guard const guard{*mutex};
    if (refuses_routes) throw std::system_error{ENOMEM, std::system_category(), "routes"};
    routes.assign(table.begin(), table.end());
    routes_before_message = messages.size();
  }

  void irqfd(kvm_irqfd const& request) { irqfds.push_back(request); }

  void ioeventfd(kvm_ioeventfd const& request) { ioeventfds.push_back(request); }

  /// Capabilities that the fake has: those for coalescing, unless told otherwise.
  [[nodiscard]] int check_extension(int capability) const {
    if (capability == KVM_CAP_COALESCED_MMIO) return coalesced_page;
    return capability == KVM_CAP_COALESCED_PIO && coalesces_ports ? 1 : 0;
  }

  void coalesce(kvm_coalesced_mmio_zone const& zone) { zones.push_back(zone); }

  void uncoalesce(kvm_coalesced_mmio_zone const&) { zones.pop_back(); }

  /// The messages that were sent. From any thread.
  [[nodiscard]] std::vector<MsiMessage> sent() const {
    std::lock_guard const guard{*mutex};
    return messages;
  }

  [[nodiscard]] Fd const& fd() const noexcept { return fd_; }

  std::vector<Slot> slots{};
  unsigned vcpus = 0;
  bool has_real_mode_pages = false;
  bool has_irqchip = false;
  bool has_pit = false;
  std::uint32_t pit_flags = 0;
  unsigned ioapic_routes = 0;
  bool refuses_routes = false;
  std::vector<kvm_irq_routing_entry> routes{};
  std::size_t routes_before_message = 0;  ///< messages sent when the routes were set last
  std::vector<kvm_irqfd> irqfds{};
  std::vector<kvm_ioeventfd> ioeventfds{};
  std::vector<kvm_coalesced_mmio_zone> zones{};
  static inline int coalesced_page = 2;
  static inline bool coalesces_ports = true;
  std::vector<MsiMessage> messages{};
  std::unique_ptr<std::mutex> mutex = std::make_unique<std::mutex>();  // the vm moves

 private:
  Fd fd_{};
};

class FakeSystem {
 public:
  [[nodiscard]] FakeVm create_vm() const { return FakeVm{}; }

  /// Leaf 1, with an APIC (EDX bit 9) that is an x2APIC (ECX bit 21).
  [[nodiscard]] kvm::Cpuid supported_cpuid() const {
    kvm::Cpuid::Leaves leaves{1};
    leaves.head().count = 1;
    leaves.elements()[0].function = 1;
    leaves.elements()[0].ecx = 1U << 21;
    leaves.elements()[0].edx = 1U << 9;
    return kvm::Cpuid{std::move(leaves)};
  }
};

/// A machine of the library on the fake.
template <class Board, class... Options>
using FakeMachine = Machine<Board, Hypervisor<FakeSystem>, Options...>;

}  // namespace portico::test
