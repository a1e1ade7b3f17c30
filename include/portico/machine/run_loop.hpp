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
#include <cstring>
#include <optional>
#include <utility>
#include <variant>

#include <portico/base/contracts.hpp>
#include <portico/base/match.hpp>
#include <portico/device/access.hpp>
#include <portico/device/run_control.hpp>
#include <portico/kvm/exit.hpp>
#include <portico/kvm/kick.hpp>
#include <portico/machine/assembly.hpp>
#include <portico/machine/interrupts.hpp>
#include <portico/machine/io_thread.hpp>
#include <portico/machine/irqchip_kind.hpp>
#include <portico/machine/observer.hpp>
#include <portico/machine/offloads.hpp>
#include <portico/machine/options.hpp>
#include <portico/machine/seat.hpp>
#include <portico/machine/services.hpp>
#include <portico/machine/stop.hpp>
#include <portico/machine/vcpu_threads.hpp>

namespace portico::detail {

/// What goes on while a machine runs. `Options` as Machine's.
template <class Board, class... Options>
class RunLoop : protected Assembly<Board, Options...> {
  using Base = Assembly<Board, Options...>;

 protected:
  using Base::attend;
  using Base::Base;
  using Base::board_;
  using Base::coalescing_;
  using Base::control_;
  using Base::end_all;
  using Base::ending_;
  using Base::has_io_thread;
  using Base::interrupts_;
  using Base::is_first;
  using Base::max_vcpus;
  using Base::seats_;
  using Base::vcpu_count_;
  using typename Base::Chip;
  using typename Base::Interrupts;
  using typename Base::Seat;
  using typename Base::Services;

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
    Stop const stop = run_with_offloads(observers...);
    cleanup.by_stop = std::holds_alternative<Requested>(stop);
    return stop;
  }

  template <class... Observers>
  Stop run_with_offloads(Observers&... observers) {
    if constexpr (Board::has_offloads) {
      typename Base::OffloadHost host{*this};
      OffloadThreads threads{this->offloads_, host};
      Stop const stop = run_with_io(observers...);
      threads.finish();
      return stop;
    } else {
      return run_with_io(observers...);
    }
  }

  template <class... Observers>
  Stop run_with_io(Observers&... observers) {
    if constexpr (has_io_thread) {
      IoWork work{*this};
      IoThread<IoWork> thread{work, this->alarm_, this->time_};
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
      // What the guest wrote before it left comes before what it left for.
      if constexpr (Board::has_coalesced) {
        seat.exit_waits = error == 0;  // if a handler throws
        take_coalesced(seat, services, observers...);
        seat.exit_waits = false;
      }
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

  /// Carries out what KVM has gathered.
  template <class... Observers>
  void take_coalesced(Seat& seat, Services& services, Observers&... observers) {
    coalescing_.drain(seat.vcpu, [&](kvm_coalesced_mmio const& write) {
      alignas(8) std::array<std::byte, 8> data;
      std::memcpy(data.data(), write.data, data.size());
      auto const access = [&]<Space InSpace>() {
        Claim const claim =
            carry_out<InSpace>(true, write.phys_addr, write.len, 1, data.data(), services);
        account<InSpace, false>(seat, claim, true, write.phys_addr, write.len, 1, data.data(),
                                observers...);
      };
      if (write.pio != 0)
        access.template operator()<Space::port>();
      else
        access.template operator()<Space::mmio>();
    });
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
  template <Space InSpace, bool Exits = true, class... Observers>
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
          InSpace, writes ? Direction::write : Direction::read, address, width, count, data, Exits};
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
};

}  // namespace portico::detail
