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
/// The run loop is one function with the map's tree inlined into it. A machine is neither copied nor moved. Limits: x86-64 hosts;
/// a board with interrupt lines gets KVM's in-kernel controllers.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/run_control.hpp>
#include <portico/kvm/cpu_state.hpp>
#include <portico/kvm/exit.hpp>
#include <portico/kvm/kick.hpp>
#include <portico/kvm/system.hpp>
#include <portico/kvm/vcpu.hpp>
#include <portico/kvm/vm.hpp>
#include <portico/machine/observer.hpp>
#include <portico/machine/options.hpp>
#include <portico/machine/placement.hpp>
#include <portico/machine/stop.hpp>
#include <portico/machine/vcpu_threads.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// Where an image goes and where its first instruction and its stack are, in guest-physical bytes.
struct Start {
  std::uint64_t address = 0;             ///< of the image's first byte
  std::optional<std::uint64_t> entry{};  ///< default: the image's first byte
  std::optional<std::uint64_t> stack{};  ///< initial rsp; default: the end of RAM's first region
};

/// Accesses that no register took, and that therefore gave all ones or were dropped.
struct Unclaimed {
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
};

/// Owns everything of one virtual machine. `Options` are Vcpus<N>, KickSignal, and in tests Hypervisor<Fake>.
template <class Board, class... Options>
class Machine {
  using System = detail::HypervisorOf<Options...>;
  using Vm = decltype(std::declval<System const&>().create_vm());
  using Vcpu = decltype(std::declval<Vm&>().create_vcpu(0U));
  static constexpr unsigned max_vcpus = detail::max_vcpus_of<Options...>;

  static consteval bool threads_are_sound() {
    if constexpr (max_vcpus > 1) return Board::check_threads();
    return true;
  }

  static_assert(threads_are_sound());

 public:
  /// Builds the machine on the host's KVM: `board` is a Board, or a callable that returns one (for devices that cannot be moved).
  /// Throws std::invalid_argument if an entry lies in RAM, std::system_error if the host refuses something.
  template <class BoardSource, class... Values>
  explicit Machine(GuestMemory memory, BoardSource&& board, Values const&... options)
      : Machine(System{}, std::move(memory), std::forward<BoardSource>(board), options...) {}

  /// The same on a System that is open already; it is not needed afterwards.
  template <class BoardSource, class... Values>
  Machine(System const& system, GuestMemory memory, BoardSource&& board, Values const&... options)
      : memory_{std::move(memory)},
        vm_{make_vm(system)},
        board_{std::in_place, std::forward<BoardSource>(board)} {
    detail::fit_memory(board_.board, memory_);
    connect_lines();
    unsigned const wanted = detail::vcpu_count(max_vcpus, options...);
    Expects(wanted >= 1 && wanted <= max_vcpus);
    for (vcpu_count_ = 0; vcpu_count_ < wanted; ++vcpu_count_) {
      seats_[vcpu_count_].emplace(vm_.create_vcpu(vcpu_count_), detail::kick_signal(options...));
      seats_[vcpu_count_]->vcpu.set_cpuid(system.supported_cpuid());
    }
  }

  Machine(Machine const&) = delete;
  Machine& operator=(Machine const&) = delete;
  ~Machine() = default;

  /// Copies an image into RAM and sets vCPU 0 up for it. The image may fill RAM but for the page below the stack. Page tables go
  /// behind RAM, where neither it nor any entry stands. Throws what the image throws (ImageError).
  template <class Image, class Mode>
  void load(Image const& image, Mode const& mode, Start const& start = {}) {
    Region const& first = memory_.regions()[0];
    std::uint64_t const stack = start.stack.value_or(first.base + first.size);
    std::uint64_t const stack_page = (stack - 1) & ~(GuestMemory::page_bytes - 1);
    bool const below_stack = start.address < stack_page && stack_page < first.base + first.size;
    image.load(memory_, start.address, below_stack ? stack_page - start.address : memory_.size());
    std::uint64_t const entry = start.entry.value_or(start.address);
    if constexpr (requires { mode.table_bytes(memory_.regions()); }) {
      std::uint64_t const tables = place_tables(mode.table_bytes(memory_.regions()));
      mode.build_tables(memory_.tail(), tables, memory_.regions());
      kvm::set_cpu_state(vcpu(), mode.cpu_state(tables, entry, stack));
    } else {
      kvm::set_cpu_state(vcpu(), mode.cpu_state());
    }
  }

  /// Runs vCPU 0 on this thread, and the others on threads of their own, until one of them stops; then all have stopped. Observers
  /// are called for every exit; without one, nothing of them is left in the code. An exception out of a handler comes out here.
  template <class... Observers>
  Stop run(Observers&&... observers) {
    if (!memory_is_set_) register_memory(0);
    Stop stop = Requested{};
    if constexpr (max_vcpus == 1) {
      stop = loop(*seats_[0], observers...);
    } else {
      stop = detail::run_on_threads(
          vcpu_count_, [&](unsigned index) { return loop(*seats_[index], observers...); },
          [&] { end_all(); });
      ending_.store(false, std::memory_order_release);
    }
    control_.clear();
    return stop;
  }

  /// Ends the run, or the next one if none is under way, with Requested; also gets a guest out that never exits. From any thread.
  void stop() noexcept {
    control_.stop();
    kick_all();
  }

  /// Calls the devices whose deadlines have come, and says when the next one is due (nanoseconds of `clock()`, Clock::never if
  /// none is armed). From one thread at a time, which need not be a vCPU's.
  std::uint64_t service_deadlines() {
    std::uint64_t next = Clock::never;
    if constexpr (Board::has_deadlines) {
      std::uint64_t const now = time_.now();
      service_from<0>(now, next);
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
  };

  /// The board, from itself or from a callable whose result is elided.
  struct BoardHolder {
    template <class Source>
      requires(!std::is_invocable_r_v<Board, Source>)
    BoardHolder(std::in_place_t, Source&& source) : board(std::forward<Source>(source)) {}

    template <class Source>
      requires std::is_invocable_r_v<Board, Source>
    BoardHolder(std::in_place_t, Source&& source) : board(std::forward<Source>(source)()) {}

    Board board;
  };

  /// What handlers may ask for.
  struct Services {
    Machine& machine;

    template <class Wanted, std::size_t Entry>
    [[gnu::always_inline]] Wanted& service() noexcept {
      return service_at<Wanted>(Entry);
    }

    /// The same for an entry that is known at run time only (DynamicMap).
    template <class Wanted>
    [[gnu::always_inline]] Wanted& service_at([[maybe_unused]] std::size_t entry) noexcept {
      if constexpr (std::is_same_v<Wanted, GuestMemory>)
        return machine.memory_;
      else if constexpr (std::is_same_v<Wanted, RunControl>)
        return machine.control_;
      else if constexpr (std::is_same_v<Wanted, Clock>)
        return machine.clocks_[entry];
      else if constexpr (std::is_same_v<Wanted, IrqLine>)
        return machine.lines_[entry];
      else
        return *static_cast<Wanted*>(rules::context_lacks<Wanted>{});
    }
  };

  static Vm make_vm(System const& system) {
    Vm vm = system.create_vm();
    vm.reserve_real_mode_pages();
    return vm;
  }

  /// Puts interrupt controllers into the VM if an entry has a line, and ties the lines to their pins.
  void connect_lines() {
    if constexpr (Board::has_irq) {
      bool made = false;
      for (std::size_t entry = 0; entry < Board::size; ++entry) {
        std::optional<std::uint32_t> const number = board_.board.irq_of(entry);
        if (!number) continue;
        if (!std::exchange(made, true)) vm_.create_irqchip();
        if (!pins_[*number]) pins_[*number].emplace(vm_.fd().get(), KVM_IRQ_LINE, *number);
        wires_[entry].connect(*pins_[*number]);
        lines_[entry] = IrqLine{wires_[entry]};
      }
    }
  }

  /// Finds room for page tables, and registers RAM with it; the guest address of the tables.
  std::uint64_t place_tables(std::uint64_t bytes) {
    if (!memory_is_set_) register_memory(bytes);
    if (bytes > table_bytes_)
      throw std::logic_error{"Machine::load: this mode needs " + std::to_string(bytes) +
                             " bytes of page tables, and the machine was completed with " +
                             std::to_string(table_bytes_) + "; load the largest first"};
    return table_address_;
  }

  /// Tells KVM where RAM stands, now that it is known what else there is. Tables right behind RAM share its slot: one slot less
  /// is a faster start.
  void register_memory(std::uint64_t bytes) {
    Expects(bytes <= memory_.tail().size());
    auto const regions = memory_.regions();
    table_bytes_ = bytes;
    table_address_ = detail::free_address(board_.board, memory_, bytes);
    std::uint32_t slot = 0;
    for (Region const& region : regions) {
      bool const with_tables = bytes > 0 && region.base + region.size == table_address_;
      vm_.set_user_memory_region(
          slot++, region.base,
          {region.host, static_cast<std::size_t>(region.size + (with_tables ? bytes : 0))});
      if (with_tables) bytes = 0;
    }
    if (bytes > 0)
      vm_.set_user_memory_region(slot, table_address_,
                                 memory_.tail().first(static_cast<std::size_t>(bytes)));
    memory_is_set_ = true;
  }

  /// The run loop of one vCPU.
  template <class... Observers>
  Stop loop(Seat& seat, Observers&... observers) {
    kvm::KickTarget const target{seat.kick, seat.vcpu.page()};
    kvm_run& page = seat.vcpu.page();
    Services services{*this};
    Stop stop = Requested{};
    for (;;) {
      if (int const error = seat.vcpu.run(); error != 0) [[unlikely]] {
        if (interrupted(seat, error, stop)) return stop;
        continue;
      }
      bool const goes_on = kvm::visit(
          page, Overloaded{[&](kvm::IoExit io) __attribute__((always_inline)) {
                             return port_access(seat, io, services, observers...);
                           },
                           [&](kvm::MmioExit mmio) __attribute__((always_inline)) {
                             return mmio_access(seat, mmio, services, observers...);
                           },
                           [&](auto const& other) __attribute__((always_inline)) {
                             return other_exit(seat, kvm::Exit{other}, stop, observers...);
                           }});
      if (!goes_on) [[unlikely]] {
        if (control_.stopping()) {
          complete_access(seat);
          stop = requested();
        }
        return stop;
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

  /// A string instruction's batch: out of line, so that the tree for single accesses stays small. It decodes the page again, so
  /// that a single access need not hand its exit over in memory.
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

  /// Everything but I/O ends the run, or is nothing.
  template <class... Observers>
  [[gnu::noinline, gnu::cold]] bool other_exit(Seat& seat, kvm::Exit const& exit, Stop& stop,
                                               Observers&... observers) {
    (detail::tell(observers, exit, seat.vcpu.page().exit_reason), ...);
    return match(
        exit, [](kvm::IntrExit) { return true; }, [](kvm::IrqWindowOpenExit) { return true; },
        [](kvm::SetTprExit) { return true; },
        [&](kvm::HltExit) {
          stop = Halted{};
          return false;
        },
        [&](kvm::ShutdownExit) {
          stop = Shutdown{};
          return false;
        },
        [&](kvm::FailEntryExit const& failed) {
          stop = EntryFailed{failed.reason};
          return false;
        },
        [&](kvm::InternalErrorExit const& error) {
          stop = InternalError{error.suberror, seat.vcpu.regs().rip};
          return false;
        },
        [&](kvm::SystemEventExit const& event) {
          if (event.type == KVM_SYSTEM_EVENT_SHUTDOWN)
            stop = GuestExit{0};
          else if (event.type == KVM_SYSTEM_EVENT_RESET)
            stop = Reset{};
          else
            stop = Unhandled{KVM_EXIT_SYSTEM_EVENT};
          return false;
        },
        [&](auto const&) {
          stop = Unhandled{seat.vcpu.page().exit_reason};
          return false;
        });
  }

  /// KVM_RUN did not end with an exit; true if the run is over.
  [[gnu::noinline, gnu::cold]] bool interrupted(Seat& seat, int error, Stop& stop) {
    if (error == EAGAIN) return ending_.load(std::memory_order_acquire);
    if (error != EINTR) {
      stop = HostError{"KVM_RUN", error};
      return true;
    }
    seat.vcpu.immediate_exit(
        false);  // first this, then the look at what was asked for: nothing is lost
    if (control_.stopping()) {
      stop = requested();
      return true;
    }
    return ending_.load(std::memory_order_acquire);
  }

  /// Lets the instruction of the last exit complete, so that the registers are those after it.
  void complete_access(Seat& seat) noexcept {
    seat.vcpu.immediate_exit(true);
    seat.vcpu.run();
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

  template <std::size_t Entry>
  void service_from(std::uint64_t now, std::uint64_t& next) {
    if constexpr (Entry < Board::size) {
      if (clocks_[Entry].take_due(now)) {
        Services services{*this};
        board_.board.template call_deadline<Entry>(services);
      }
      if (clocks_[Entry].deadline() < next) next = clocks_[Entry].deadline();
      service_from<Entry + 1>(now, next);
    }
  }

  template <std::size_t... Entry>
  static std::array<Clock, Board::size> make_clocks(TimeSource const& time,
                                                    std::index_sequence<Entry...>) {
    return {((void)Entry, Clock{time})...};
  }

  // Destroyed from the last to the first: devices, then vCPUs, then the VM, memory last.
  GuestMemory memory_;
  RunControl control_;
  TimeSource time_;
  std::array<Clock, Board::size> clocks_ =
      make_clocks(time_, std::make_index_sequence<Board::size>{});
  std::atomic<bool> ending_{false};
  Vm vm_;
  std::array<std::optional<IrqPin>, Board::has_irq ? 24 : 0> pins_;
  std::array<IrqWire, Board::has_irq ? Board::size : 0> wires_;
  std::array<IrqLine, Board::size> lines_{};
  std::array<std::optional<Seat>, max_vcpus> seats_;
  BoardHolder board_;
  unsigned vcpu_count_ = 0;
  bool memory_is_set_ = false;
  std::uint64_t table_address_ = 0;
  std::uint64_t table_bytes_ = 0;
};

namespace detail {

template <class Source>
struct BoardFrom {
  using type = Source;
};

template <class Source>
  requires std::is_invocable_v<Source>
struct BoardFrom<Source> {
  using type = std::invoke_result_t<Source>;
};

}  // namespace detail

template <class Source, class... Options>
Machine(GuestMemory, Source, Options...)
    -> Machine<typename detail::BoardFrom<Source>::type, Options...>;
template <class Source, class... Options>
Machine(kvm::System const&, GuestMemory, Source, Options...)
    -> Machine<typename detail::BoardFrom<Source>::type, Options...>;

}  // namespace portico
