/// The run loop of a machine's vCPUs, and what stands around it: threads, kicks, deadlines,
/// interrupts.
///
///     #include <portico/machine.hpp>
///     struct Serial { void write(std::uint8_t byte) { std::putchar(byte); } };
///     using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;
///     portico::Stop run(portico::Machine<Board>& machine) { return machine.run(); }
///
/// Internal to the library; Machine is made of it.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>

#include <portico/base/contracts.hpp>
#include <portico/base/match.hpp>
#include <portico/device/access.hpp>
#include <portico/device/alarm.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/run_control.hpp>
#include <portico/kvm/exit.hpp>
#include <portico/kvm/guest_cpuid.hpp>
#include <portico/kvm/kick.hpp>
#include <portico/machine/interrupts.hpp>
#include <portico/machine/io_thread.hpp>
#include <portico/machine/irqchip_kind.hpp>
#include <portico/machine/memory_slots.hpp>
#include <portico/machine/observer.hpp>
#include <portico/machine/options.hpp>
#include <portico/machine/parts.hpp>
#include <portico/machine/placement.hpp>
#include <portico/machine/seat.hpp>
#include <portico/machine/services.hpp>
#include <portico/machine/stop.hpp>
#include <portico/machine/vcpu_threads.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico::detail {

/// A machine's parts, and what goes on while it runs. `Options` as Machine's.
template <class Board, class... Options>
class RunLoop {
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
  RunLoop(System const& system, GuestMemory memory, BoardSource&& board, Values const&... options)
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

  RunLoop(RunLoop const&) = delete;
  RunLoop& operator=(RunLoop const&) = delete;
  ~RunLoop() = default;

  [[nodiscard]] Services services() noexcept {
    return {memory_, control_, clocks_, interrupts_.lines, watches_};
  }

  /// As Machine::service_deadlines.
  std::uint64_t service() {
    [[maybe_unused]] typename Interrupts::Attending const attending{interrupts_};
    if constexpr (Board::has_deadlines || Board::has_events) {
      Services services = this->services();
      call_due(board_.board, services, time_.now());
      // What a device asked for here concerns vCPUs that are in their guests.
      if (control_.stopping()) kick_all();
    }
    if constexpr (Chip::in_board)
      if (interrupts_.changed()) attend(nullptr);
    return earliest_deadline(clocks_);
  }

  /// Takes back what was asked for, however the run ends; but a stop only if it ended the run.
  struct Cleanup {  // NOLINT(cppcoreguidelines-special-member-functions): an aggregate, made once
    RunLoop& machine;
    bool by_stop = false;

    ~Cleanup() {
      machine.ending_.store(false, std::memory_order_release);
      if (by_stop)
        machine.control_.clear();
      else
        machine.control_.clear_guest_request();
    }
  };

  template <class... Observers>
  Stop run_all(Observers&... observers) {
    Cleanup cleanup{*this};
    Stop const stop = run_with_io(observers...);
    cleanup.by_stop = std::holds_alternative<Requested>(stop);
    return stop;
  }

  template <class... Observers>
  Stop run_with_io(Observers&... observers) {
    if constexpr (has_io_thread) {
      IoWork work{*this};
      IoThread<IoWork> thread{work, alarm_, time_};
      Stop const stop = run_vcpus(observers...);
      thread.finish();
      return stop;
    } else {
      return run_vcpus(observers...);
    }
  }

  /// What the I/O thread does.
  struct IoWork {
    RunLoop& machine;

    std::uint64_t carry_out() { return machine.service(); }

    [[nodiscard]] bool has_more(std::uint64_t next) noexcept {
      return earliest_deadline(machine.clocks_) < next || machine.interrupts_.changed();
    }

    [[nodiscard]] int descriptor() noexcept { return machine.watches_.descriptor(); }

    void failed() noexcept { machine.end_all(); }
  };

  template <class... Observers>
  Stop run_vcpus(Observers&... observers) {
    if constexpr (max_vcpus == 1)
      return loop(*seats_[0], observers...);
    else
      return run_on_threads(
          vcpu_count_, [&](unsigned index) { return loop(*seats_[index], observers...); },
          [&] { end_all(); });
  }

  /// The run loop of one vCPU.
  template <class... Observers>
  Stop loop(Seat& seat, Observers&... observers) {
    kvm::KickTarget const target{seat.kick, seat.vcpu.page()};
    [[maybe_unused]] typename Interrupts::Attending const attending{interrupts_};
    kvm_run& page = seat.vcpu.page();
    Services services = this->services();
    std::optional<Stop> stop;
    seat.has_run = true;
    // A stop that the last run did not end by: its kick may be gone.
    if (control_.stopping()) seat.vcpu.immediate_exit(true);
    // What the end of the last run left in the page comes first.
    int error = std::exchange(seat.exit_waits, false) ? 0 : enter(seat);
    for (;; error = enter(seat)) {
      if (error != 0) [[unlikely]] {
        if (interrupted(seat, error, stop)) return *stop;
        continue;
      }
      bool const goes_on =
          kvm::visit(page, Overloaded{[&](kvm::IoExit io) __attribute__((always_inline)) {
                                        return port_access(seat, io, services, observers...);
                                      },
                                      [&](kvm::MmioExit mmio) __attribute__((always_inline)) {
                                        return mmio_access(seat, mmio, services, observers...);
                                      },
                                      [&](auto const&) __attribute__((always_inline)) {
                                        return other_exit(seat, stop, observers...);
                                      }});
      if (!goes_on) [[unlikely]] {
        if (stop) return *stop;
        seat.complete_access();
        return stop_asked_for(control_);
      }
    }
  }

  /// Lets the guest run to its next exit: 0, or an errno value.
  [[gnu::always_inline]] int enter(Seat& seat) {
    if constexpr (Chip::has_pic) {
      if (is_first(seat)) {
        if (int const error =
                interrupts_.injection.prepare(seat.vcpu, interrupts_.controllers, board_.board)) {
          seat.call = "KVM_INTERRUPT";
          return error;
        }
      }
    }
    return seat.vcpu.run();
  }

  template <class... Observers>
  [[gnu::always_inline]] bool port_access(Seat& seat, kvm::IoExit io, Services& services,
                                          Observers&... observers) {
    Claim claim;
    if (io.count == 1) [[likely]]
      claim = carry_out<Space::port>(io.is_write(), io.port, io.width, 1, io.data, services);
    else
      claim = string_access(seat.vcpu.page(), services);
    return account<Space::port>(seat, claim, io.is_write(), io.port, io.width, io.count, io.data,
                                observers...);
  }

  /// A string instruction's batch: out of line, so that the code for single accesses stays small.
  /// It decodes the page again, so that a single access need not hand its exit over in memory.
  [[gnu::noinline]] Claim string_access(kvm_run& page, Services& services) {
    return kvm::visit(page, Overloaded{[&](kvm::IoExit io) {
                                         return carry_out<Space::port>(io.is_write(), io.port,
                                                                       io.width, io.count, io.data,
                                                                       services);
                                       },
                                       [](auto const&) { return Claim{}; }});
  }

  template <class... Observers>
  [[gnu::always_inline]] bool mmio_access(Seat& seat, kvm::MmioExit mmio, Services& services,
                                          Observers&... observers) {
    Claim const claim =
        carry_out<Space::mmio>(mmio.is_write(), mmio.address, mmio.length, 1, mmio.data, services);
    return account<Space::mmio>(seat, claim, mmio.is_write(), mmio.address, mmio.length, 1,
                                mmio.data, observers...);
  }

  template <Space InSpace>
  [[gnu::always_inline]] Claim carry_out(bool writes, std::uint64_t address, std::uint32_t width,
                                         std::uint32_t count, std::byte* data, Services& services) {
    if (writes)
      return board_.board.template access<InSpace, Direction::write>(address, width, count, data,
                                                                     services);
    return board_.board.template access<InSpace, Direction::read>(address, width, count, data,
                                                                  services);
  }

  /// Counts and tells; false if the run may be over.
  template <Space InSpace, class... Observers>
  [[gnu::always_inline]] bool account(Seat& seat, Claim const& claim, bool writes,
                                      std::uint64_t address, std::uint32_t width,
                                      std::uint32_t count, std::byte const* data,
                                      Observers&... observers) {
    if constexpr (Chip::in_board)
      if (interrupts_.changed() || interrupts_.controllers.is_controller(claim.entry))
        attend(&seat);
    if (!claim.taken()) [[unlikely]]
      (writes ? seat.unclaimed.writes : seat.unclaimed.reads) += count;
    if constexpr ((SeesAccesses<Observers> || ...)) {
      Access const access{
          InSpace, writes ? Direction::write : Direction::read, address, width, count, data};
      (tell(observers, access, claim), ...);
    }
    return !(claim.may_stop && control_.stopping());
  }

  /// Everything but I/O ends the run, or is nothing. It decodes the page again, so that the loop
  /// need not make a value of each kind of exit.
  template <class... Observers>
  [[gnu::noinline, gnu::cold]] bool other_exit(Seat& seat, std::optional<Stop>& stop,
                                               Observers&... observers) {
    auto& page = seat.vcpu.page();
    std::uint32_t const reason = page.exit_reason;
    if constexpr ((SeesExits<Observers> || ...)) {
      auto const exit = kvm::decode(page);
      (tell(observers, exit, reason), ...);
    }
    if constexpr (Chip::has_ioapic) {
      if (reason == KVM_EXIT_IOAPIC_EOI) {
        interrupts_.controllers.end_of_interrupt(board_.board, page.eoi.vector);
        attend(&seat);
        return true;
      }
    }
    if constexpr (Chip::kind == IrqchipKind::board)
      if (reason == KVM_EXIT_HLT && page.if_flag != 0) return wait_for_interrupt(seat, stop);
    stop = kvm::visit(page,
                      stop_for<std::optional<Stop>>(reason, [&] { return seat.vcpu.regs().rip; }));
    return !stop;
  }

  /// The guest halted with interrupts on, and only we can wake it; false if the run is over.
  bool wait_for_interrupt(Seat& seat, std::optional<Stop>& stop) {
    auto const is_over = [&] {
      return control_.stopping() || ending_.load(std::memory_order_acquire);
    };
    interrupts_.halted.wait([&] { return interrupts_.controllers.output() || is_over(); });
    if (!is_over()) return true;
    seat.exit_waits = true;  // it halts on in the next run
    stop = stop_asked_for(control_);
    return false;
  }

  /// Lines, or controllers in the board, changed; `seat` is the calling thread's, or none.
  [[gnu::noinline]] void attend(Seat const* seat) {
    bool const rose = interrupts_.controllers.attend(board_.board, vm_);
    if (!rose || (seat != nullptr && is_first(*seat))) return;  // it looks before it enters
    if constexpr (Chip::kind == IrqchipKind::board)
      if (interrupts_.halted.wake()) return;
    seats_[0]->kick.send();
  }

  /// Whether it is vCPU 0's, which takes the 8259A's interrupts.
  [[nodiscard]] bool is_first(Seat const& seat) const noexcept {
    return max_vcpus == 1 || &seat == &*seats_[0];
  }

  /// KVM_RUN did not end with an exit; true if the run is over.
  [[gnu::noinline, gnu::cold]] bool interrupted(Seat& seat, int error, std::optional<Stop>& stop) {
    if (error != EINTR && error != EAGAIN) {
      stop = HostError{std::exchange(seat.call, "KVM_RUN"), error};
      return true;
    }
    // First this, then the look at what was asked for: nothing is lost in between.
    seat.vcpu.immediate_exit(false);
    if (control_.stopping() || ending_.load(std::memory_order_acquire))
      stop = stop_asked_for(control_);
    return stop.has_value();
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
};

}  // namespace portico::detail
