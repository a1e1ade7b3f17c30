/// A machine's parts, put together: what a board's machine is made of, and what concerns all of it.
///
///     #include <portico/machine.hpp>
///     struct Serial { void write(std::uint8_t byte) { std::putchar(byte); } };
///     using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;
///     void end(portico::Machine<Board>& machine) { machine.stop(); }
///
/// Internal to the library; Machine is made of it, and of the run loop.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/alarm.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/run_control.hpp>
#include <portico/kvm/guest_cpuid.hpp>
#include <portico/machine/coalescing.hpp>
#include <portico/machine/interrupts.hpp>
#include <portico/machine/irqchip_kind.hpp>
#include <portico/machine/memory_slots.hpp>
#include <portico/machine/offloads.hpp>
#include <portico/machine/options.hpp>
#include <portico/machine/parts.hpp>
#include <portico/machine/placement.hpp>
#include <portico/machine/seat.hpp>
#include <portico/machine/services.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico::detail {

/// Owns them. `Options` as Machine's.
template <class Board, class... Options>
class Assembly {
 protected:
  using System = HypervisorOf<Options...>;
  using Vm = decltype(std::declval<System const&>().create_vm());
  using Vcpu = decltype(std::declval<Vm&>().create_vcpu(0U));
  using Services = MachineServices<Board>;
  using Seat = detail::Seat<Vcpu>;
  using Chip = Irqchip<Board, Options...>;
  using Interrupts = detail::Interrupts<Board, Chip>;
  static constexpr unsigned max_vcpus = max_vcpus_of<Options...>;
  static constexpr bool has_io_thread =
      (Board::has_deadlines || Board::has_events || Chip::in_board) &&
      !one_of<DeadlinesByHand, Options...> && !one_of<ManualTime, Options...>;

  template <class BoardSource, class... Values>
  Assembly(System const& system, GuestMemory memory, BoardSource&& board, Values const&... options)
      : memory_{std::move(memory)},
        time_{time_source(options...)},
        vm_{make_vm(system)},
        board_{std::in_place, std::forward<BoardSource>(board)} {
    fit_memory(board_.board, memory_);
    has_local_apics_ = interrupts_.connect(vm_, board_.board, one_of<KernelPit, Options...>);
    unsigned const wanted = vcpu_count(max_vcpus, options...);
    Expects(wanted >= 1 && wanted <= max_vcpus);
    for (; vcpu_count_ < wanted; ++vcpu_count_)
      seats_[vcpu_count_].emplace(vm_.create_vcpu(vcpu_count_), kick_signal(options...));
    if constexpr (one_of<HostCpuid, Options...>) tell_cpuid(system.supported_cpuid());
    if constexpr (Board::has_offloads) offloads_.connect(vm_, board_.board, watches_, interrupts_);
    if constexpr (Board::has_coalesced) coalescing_.connect(vm_);
  }

  /// What the host can do, to each vCPU.
  void tell_cpuid(kvm::Cpuid const& host) {
    for (unsigned index = 0; index < vcpu_count_; ++index) {
      Vcpu& vcpu = seats_[index]->vcpu;
      vcpu.set_cpuid(kvm::guest_cpuid(
          host, {.index = index, .count = vcpu_count_, .has_local_apic = has_local_apics_}));
      if (!has_local_apics_) kvm::disable_local_apic(vcpu);
    }
  }

  Assembly(Assembly const&) = delete;
  Assembly& operator=(Assembly const&) = delete;

  ~Assembly() {
    if constexpr (Board::has_offloads) offloads_.disconnect(vm_);
    if constexpr (Interrupts::has_irqfds) interrupts_.irqfds.untie(vm_);
    if constexpr (Board::has_coalesced) coalescing_.disconnect(vm_);
  }

  [[nodiscard]] Services services() noexcept {
    return {memory_, control_, clocks_, interrupts_.lines, watches_};
  }

  /// As Machine::service_deadlines.
  std::uint64_t service() {
    [[maybe_unused]] typename Interrupts::Attending const attending{interrupts_};
    if constexpr (Board::has_deadlines || Board::has_events) {
      Services services = this->services();
      call_due(board_.board, services, time_.now());
    }
    called_devices();
    return earliest_deadline(clocks_);
  }

  /// Devices were called on another thread than a vCPU's: what they asked for concerns vCPUs that
  /// are in their guests.
  void called_devices() {
    if constexpr (Board::has_deadlines || Board::has_events || Board::has_offloads)
      if (control_.stopping()) kick_all();
    if constexpr (Chip::in_board)
      if (interrupts_.changed()) attend(nullptr);
  }

  /// What the threads of offloaded entries see of the machine.
  struct OffloadHost {
    using Devices = Board;
    Assembly& machine;

    [[nodiscard]] Board& devices() noexcept { return machine.board_.board; }

    [[nodiscard]] Services services() noexcept { return machine.services(); }

    [[nodiscard]] auto attending() noexcept {
      return typename Interrupts::Attending{machine.interrupts_};
    }

    /// A watch of the entry's has come.
    void event(std::size_t entry, Services& services) {
      if constexpr (Board::has_events)
        if (machine.watches_[entry].take()) devices().call_event(entry, services);
    }

    /// The guest has ended an interrupt of the entry's line.
    void resample(std::size_t entry) noexcept {
      if constexpr (Interrupts::has_irqfds)
        machine.interrupts_.irqfds.resampled(
            Board::entries[entry].irq, machine.interrupts_.lines.pin(Board::entries[entry].irq));
    }

    void called_devices() { machine.called_devices(); }

    void end_all() noexcept { machine.end_all(); }
  };

  /// Whether it is vCPU 0's, which takes the 8259A's interrupts.
  [[nodiscard]] bool is_first(Seat const& seat) const noexcept {
    return max_vcpus == 1 || &seat == &*seats_[0];
  }

  /// Lines, or controllers in the board, changed; `seat` is the calling thread's, or none.
  [[gnu::noinline]] void attend(Seat const* seat) {
    bool const rose = interrupts_.controllers.attend(board_.board, vm_);
    if (!rose || (seat != nullptr && is_first(*seat))) return;  // it looks before it enters
    if constexpr (Chip::kind == IrqchipKind::board)
      if (interrupts_.halted.wake()) return;
    seats_[0]->kick.send();
  }

  /// Ends what the last run left half done, before registers are set anew: KVM would go on with it
  /// on the new ones, and we would handle an exit of the guest that was.
  void forget_accesses() {
    for (auto& seat : seats_)
      if (seat) seat->forget_access();
  }

  void kick_all() noexcept {
    if constexpr (Chip::kind == IrqchipKind::board) interrupts_.halted.wake();
    for (auto& seat : seats_)
      if (seat) seat->kick.send();
  }

  /// The first vCPU has stopped: gets the others out.
  void end_all() noexcept {
    ending_.store(true, std::memory_order_release);
    kick_all();
  }

  // Destroyed from the last to the first: devices, then vCPUs, then the VM, memory last.
  GuestMemory memory_;
  RunControl control_;
  TimeSource time_;
  Alarm alarm_{};
  Clocks<Board> clocks_ = make_clocks<Board>(time_, alarm_);
  [[no_unique_address]] Watches<Board> watches_{};
  std::atomic<bool> ending_{false};
  Vm vm_;
  Interrupts interrupts_{alarm_};
  std::array<std::optional<Seat>, max_vcpus> seats_;
  BoardHolder<Board> board_;
  unsigned vcpu_count_ = 0;
  bool has_local_apics_ = false;
  MemorySlots slots_;
  [[no_unique_address]] std::conditional_t<Board::has_offloads, Offloads<Board>, Absent<6>>
      offloads_{};
  [[no_unique_address]] std::conditional_t<Board::has_coalesced, Coalescing<Board>, Absent<7>>
      coalescing_{};
};

}  // namespace portico::detail
