/// A virtual machine out of parts: a device map, guest memory, vCPUs.
///
///     #include <portico/portico.hpp>
///     struct Serial { void write(std::uint8_t byte) { std::putchar(byte); } };
///     using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;
///     int main(int, char** argv) {
///       portico::Machine machine{portico::GuestMemory{2 * portico::MiB}, Board{Serial{}}};
///       machine.load(portico::FlatImage{argv[1]}, portico::LongMode{portico::PageSize::k4KiB});
///       return portico::match(machine.run(),
///           [](portico::Halted) { return 0; },
///           [](auto const& stop) { std::puts(portico::describe(stop).c_str()); return 1; });
///     }
///
/// The run loop is one function with the map's routing inlined into it. A machine is neither copied
/// nor moved. Limits: x86-64 hosts; a board with interrupt lines gets KVM's in-kernel controllers,
/// and then a vCPU that halts waits in the kernel: `hlt` does not end the run. Deadlines of devices
/// are serviced by whoever calls service_deadlines().
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/run_control.hpp>
#include <portico/kvm/cpu_state.hpp>
#include <portico/kvm/exit.hpp>
#include <portico/kvm/guest_cpuid.hpp>
#include <portico/kvm/kick.hpp>
#include <portico/kvm/system.hpp>
#include <portico/kvm/vcpu.hpp>
#include <portico/kvm/vm.hpp>
#include <portico/machine/booting.hpp>
#include <portico/machine/interrupt_lines.hpp>
#include <portico/machine/memory_slots.hpp>
#include <portico/machine/observer.hpp>
#include <portico/machine/options.hpp>
#include <portico/machine/parts.hpp>
#include <portico/machine/placement.hpp>
#include <portico/machine/services.hpp>
#include <portico/machine/stop.hpp>
#include <portico/machine/vcpu_threads.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// Owns everything of one virtual machine. `Options` are Vcpus<N>, HostCpuid,
/// KickSignal, and in tests Hypervisor<Fake>.
template <class Board, class... Options>
class Machine {
  using System = detail::HypervisorOf<Options...>;
  using Vm = decltype(std::declval<System const&>().create_vm());
  using Vcpu = decltype(std::declval<Vm&>().create_vcpu(0U));
  using Services = detail::MachineServices<Board>;
  static constexpr unsigned max_vcpus = detail::max_vcpus_of<Options...>;

  static_assert(decltype(detail::check_threads<Board, max_vcpus>())::value);

 public:
  /// Builds the machine on the host's KVM: `board` is a Board, or a callable that returns one (for
  /// devices that cannot be moved). Throws std::invalid_argument if an entry lies in RAM,
  /// std::system_error if the host refuses something.
  template <class BoardSource, class... Values>
  explicit Machine(GuestMemory memory, BoardSource&& board, Values const&... options)
      : Machine(System{}, std::move(memory), std::forward<BoardSource>(board), options...) {}

  /// The same on a System that is open already; it is not needed afterwards.
  template <class BoardSource, class... Values>
  Machine(System const& system, GuestMemory memory, BoardSource&& board, Values const&... options)
      : memory_{std::move(memory)},
        vm_{make_vm(system)},
        board_{std::in_place, std::forward<BoardSource>(board)} {
    static_assert(
        (detail::one_of<Values, Options...> && ...),
        "portico::Machine: an option is given to the constructor that the machine's type does "
        "not have. To fix this: let the type be deduced, or name it: Machine<Board, Vcpus<4>>.");
    detail::fit_memory(board_.board, memory_);
    lines_.connect(vm_, board_.board);
    unsigned const wanted = detail::vcpu_count(max_vcpus, options...);
    Expects(wanted >= 1 && wanted <= max_vcpus);
    for (vcpu_count_ = 0; vcpu_count_ < wanted; ++vcpu_count_) {
      seats_[vcpu_count_].emplace(vm_.create_vcpu(vcpu_count_), detail::kick_signal(options...));
      if constexpr (detail::one_of<HostCpuid, Options...>)
        seats_[vcpu_count_]->vcpu.set_cpuid(
            kvm::guest_cpuid(system.supported_cpuid(), {.index = vcpu_count_, .count = wanted}));
    }
  }

  Machine(Machine const&) = delete;
  Machine& operator=(Machine const&) = delete;
  ~Machine() = default;

  /// Copies an image into RAM and sets vCPU 0 up for it. The image may fill RAM but for the page
  /// below the stack. Page tables go behind RAM, where neither it nor any entry nor a window of the
  /// mode stands. Throws what the image throws (ImageError).
  template <class Image, class Mode>
  void load(Image const& image, Mode const& mode, Start const& start = {}) {
    Region const& first = memory_.regions()[0];
    std::uint64_t const address = start.address.value_or(detail::load_address(mode));
    std::uint64_t const stack = start.stack.value_or(first.base + first.size);
    image.load(memory_, address, detail::image_limit(memory_, address, stack));
    std::uint64_t const entry = start.entry.value_or(address);
    if constexpr (requires { mode.table_bytes(memory_.regions()); }) {
      std::uint64_t const tables =
          slots_.place_tables(vm_, board_.board, memory_, mode.table_bytes(memory_.regions()),
                              detail::windows_of(mode));
      mode.build_tables(memory_.tail(), tables, memory_.regions());
      kvm::set_cpu_state(vcpu(), mode.cpu_state(tables, entry, stack));
    } else {
      Expects(!start.entry && !start.stack);  // such a mode has its own
      kvm::set_cpu_state(vcpu(), mode.cpu_state());
    }
  }

  /// Boots an image with a protocol of its own, such as LinuxKernel. Throws ImageError.
  template <class Image>
  void load(Image const& image) {
    detail::boot_image(image, *this, slots_);
  }

  /// Runs vCPU 0 on this thread, and the others on threads of their own, until one of them stops;
  /// then all have stopped. Observers are called for every exit; without one, nothing of them is
  /// left in the code. An exception out of a handler comes out here.
  template <class... Observers>
  Stop run(Observers&&... observers) {
    if (!slots_.complete()) slots_.complete(vm_, board_.board, memory_, 0);
    if constexpr ((detail::sees_nothing<Observers> && ...))
      return run_all();
    else
      return run_all(observers...);
  }

  /// Ends the run, or the next one if none is under way, with Requested; also gets a guest out that
  /// never exits. From any thread.
  void stop() noexcept {
    control_.stop();
    kick_all();
  }

  /// Calls the devices whose deadlines have come, and says when the next one is due (nanoseconds of
  /// `clock()`, Clock::never if none is armed). From one thread at a time, which need not be a
  /// vCPU's.
  std::uint64_t service_deadlines() {
    std::uint64_t next = Clock::never;
    if constexpr (Board::has_deadlines) {
      std::uint64_t const now = time_.now();
      Services services{memory_, control_, clocks_, lines_};
      for (std::size_t entry = 0; entry < Board::size; ++entry) {
        if (clocks_[entry].take_due(now)) board_.board.call_deadline(entry, services);
        if (clocks_[entry].deadline() < next) next = clocks_[entry].deadline();
      }
      // What a deadline asked for concerns vCPUs that are in their guests.
      if (control_.stopping()) kick_all();
    }
    return next;
  }

  /// The device of the entry with this name.
  template <FixedText Name>
  [[nodiscard]] auto& get() noexcept {
    return board_.board.template get<Name>();
  }

  /// The one device of this type.
  template <class Device>
  [[nodiscard]] Device& get() noexcept {
    return board_.board.template get<Device>();
  }

  [[nodiscard]] Board& board() noexcept { return board_.board; }
  [[nodiscard]] GuestMemory& memory() noexcept { return memory_; }
  [[nodiscard]] RunControl& control() noexcept { return control_; }
  [[nodiscard]] TimeSource& clock() noexcept { return time_; }
  [[nodiscard]] Vm& vm() noexcept { return vm_; }
  [[nodiscard]] unsigned vcpu_count() const noexcept { return vcpu_count_; }

  /// A vCPU; while the machine runs, only its own thread may touch it.
  [[nodiscard]] Vcpu& vcpu(unsigned index = 0) noexcept {
    Expects(index < vcpu_count_);
    return seats_[index]->vcpu;
  }

  /// What nobody took, over all vCPUs; exact while the machine does not run.
  [[nodiscard]] Unclaimed unclaimed() const noexcept {
    Unclaimed sum;
    for (unsigned index = 0; index < vcpu_count_; ++index) {
      sum.reads += seats_[index]->unclaimed.reads;
      sum.writes += seats_[index]->unclaimed.writes;
    }
    return sum;
  }

 private:
  /// A vCPU, what gets it out, and what it counts.
  struct Seat {
    Seat(Vcpu&& made, int signal) : vcpu{std::move(made)}, kick{signal} {}

    Vcpu vcpu;
    kvm::Kick kick;
    Unclaimed unclaimed{};
    bool exit_waits = false;  ///< the page holds an exit that nobody has handled yet
  };

  static Vm make_vm(System const& system) {
    Vm vm = system.create_vm();
    vm.reserve_real_mode_pages();
    return vm;
  }

  /// Takes back what was asked for, however the run ends.
  struct Cleanup {
    Machine& machine;

    ~Cleanup() {
      machine.ending_.store(false, std::memory_order_release);
      machine.control_.clear();
    }
  };

  template <class... Observers>
  Stop run_all(Observers&... observers) {
    Cleanup const cleanup{*this};
    if constexpr (max_vcpus == 1)
      return loop(*seats_[0], observers...);
    else
      return detail::run_on_threads(
          vcpu_count_, [&](unsigned index) { return loop(*seats_[index], observers...); },
          [&] { end_all(); });
  }

  /// The run loop of one vCPU.
  template <class... Observers>
  Stop loop(Seat& seat, Observers&... observers) {
    kvm::KickTarget const target{seat.kick, seat.vcpu.page()};
    kvm_run& page = seat.vcpu.page();
    Services services{memory_, control_, clocks_, lines_};
    std::optional<Stop> stop;
    // What the end of the last run left in the page comes first.
    int error = std::exchange(seat.exit_waits, false) ? 0 : seat.vcpu.run();
    for (;; error = seat.vcpu.run()) {
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
        complete_access(seat);
        return requested();
      }
    }
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
    if (!claim.taken()) [[unlikely]]
      (writes ? seat.unclaimed.writes : seat.unclaimed.reads) += count;
    if constexpr ((detail::SeesAccesses<Observers> || ...)) {
      Access const access{
          InSpace, writes ? Direction::write : Direction::read, address, width, count, data};
      (detail::tell(observers, access, claim), ...);
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
    if constexpr ((detail::SeesExits<Observers> || ...)) {
      auto const exit = kvm::decode(page);
      (detail::tell(observers, exit, reason), ...);
    }
    stop = kvm::visit(
        page, detail::stop_for<std::optional<Stop>>(reason, [&] { return seat.vcpu.regs().rip; }));
    return !stop;
  }

  /// KVM_RUN did not end with an exit; true if the run is over.
  [[gnu::noinline, gnu::cold]] bool interrupted(Seat& seat, int error, std::optional<Stop>& stop) {
    if (error != EINTR && error != EAGAIN) {
      stop = HostError{"KVM_RUN", error};
      return true;
    }
    // First this, then the look at what was asked for: nothing is lost in between.
    seat.vcpu.immediate_exit(false);
    if (control_.stopping() || ending_.load(std::memory_order_acquire)) stop = requested();
    return stop.has_value();
  }

  /// Lets the access of the last exit complete, so that the registers are those after it. A string
  /// instruction, or an access across two pages, has a next one then: it waits in the page for the
  /// next run.
  void complete_access(Seat& seat) noexcept {
    seat.vcpu.immediate_exit(true);
    seat.exit_waits = seat.vcpu.run() == 0;
    seat.vcpu.immediate_exit(false);
  }

  [[nodiscard]] Stop requested() const noexcept {
    if (control_.request() == RunControl::Request::exit) return GuestExit{control_.code()};
    if (control_.request() == RunControl::Request::reset) return Reset{};
    return Requested{};
  }

  void kick_all() noexcept {
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
  detail::Clocks<Board> clocks_ = detail::make_clocks<Board>(time_);
  std::atomic<bool> ending_{false};
  Vm vm_;
  detail::InterruptLines<Board> lines_;
  std::array<std::optional<Seat>, max_vcpus> seats_;
  detail::BoardHolder<Board> board_;
  unsigned vcpu_count_ = 0;
  detail::MemorySlots slots_;
};

template <class Source, class... Options>
Machine(GuestMemory, Source, Options...)
    -> Machine<typename detail::BoardFrom<Source>::type, Options...>;
template <class Source, class... Options>
Machine(kvm::System const&, GuestMemory, Source, Options...)
    -> Machine<typename detail::BoardFrom<Source>::type, Options...>;

}  // namespace portico
