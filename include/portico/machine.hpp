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
/// nor moved. A board with interrupt lines gets KVM's in-kernel controllers, unless it has its own
/// (machine/irqchip_kind.hpp); then a vCPU that halts waits for an interrupt, and `hlt` does not end
/// the run. While a machine runs, a thread of its own calls deadlines and events of devices, if they
/// have any.
/// Limits: x86-64 hosts.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/run_control.hpp>
#include <portico/kvm/cpu_state.hpp>
#include <portico/kvm/system.hpp>
#include <portico/kvm/vcpu.hpp>
#include <portico/kvm/vm.hpp>
#include <portico/machine/gsi_routes.hpp>
#include <portico/machine/memory_slots.hpp>
#include <portico/machine/observer.hpp>
#include <portico/machine/options.hpp>
#include <portico/machine/parts.hpp>
#include <portico/machine/placement.hpp>
#include <portico/machine/run_loop.hpp>
#include <portico/machine/stop.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// Owns everything of one virtual machine. `Options` are those of machine/options.hpp.
template <class Board, class... Options>
class Machine : detail::RunLoop<Board, Options...> {
  using Loop = detail::RunLoop<Board, Options...>;
  using System = detail::HypervisorOf<Options...>;
  using Loop::board_;
  using Loop::clocks_;
  using Loop::control_;
  using Loop::has_local_apics_;
  using Loop::interrupts_;
  using Loop::memory_;
  using Loop::seats_;
  using Loop::slots_;
  using Loop::time_;
  using Loop::vcpu_count_;
  using Loop::vm_;
  using typename Loop::Chip;
  using typename Loop::Vcpu;
  using typename Loop::Vm;

  static_assert((decltype(detail::check_option<Options>())::value && ...));
  static_assert(decltype(detail::check_threads<Board, Loop::max_vcpus>())::value);
  static_assert(decltype(detail::check_deadlines<Board, Loop::has_io_thread>())::value);
  static_assert(decltype(detail::check_events<Board, Loop::has_io_thread>())::value);
  static_assert(decltype(Chip::check())::value);

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
      : Loop(system, std::move(memory), std::forward<BoardSource>(board), options...) {
    static_assert(
        (detail::one_of<Values, Options...> && ...),
        "portico::Machine: an option is given to the constructor that the machine's type does "
        "not have. To fix this: let the type be deduced, or name it: Machine<Board, Vcpus<4>>.");
  }

  Machine(Machine const&) = delete;
  Machine& operator=(Machine const&) = delete;
  ~Machine() = default;

  /// Copies an image into RAM and sets vCPU 0 up for it. The image may fill RAM but for the page
  /// below the stack. Page tables go behind RAM, where neither it nor any entry nor a window of the
  /// mode stands. What an earlier run left waiting is gone then. Throws what the image throws
  /// (ImageError).
  template <class Image, class Mode>
  void load(Image const& image, Mode const& mode, Start const& start = {}) {
    this->forget_accesses();
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

  /// Boots an image with a protocol of its own, such as LinuxKernel. Throws ImageError. What that
  /// takes, the tables for the guest above all, is in <portico/machine/booting.hpp>.
  template <class Image>
  void load(Image const& image) {
    constexpr bool is_included =
        requires { boot_image(image, *this, slots_, Chip{}, has_local_apics_); };
    static_assert(
        is_included,
        "portico::Machine::load: to boot an image with a protocol of its own, include "
        "<portico/machine/booting.hpp>; a flat image needs a mode, such as LongMode, too.");
    this->forget_accesses();
    if constexpr (is_included) boot_image(image, *this, slots_, Chip{}, has_local_apics_);
  }

  /// Runs vCPU 0 on this thread, and the others on threads of their own, until one of them stops;
  /// then all have stopped. Observers are called for every exit; without one, nothing of them is
  /// left in the code. An exception out of a handler comes out here.
  template <class... Observers>
  Stop run(Observers&&... observers) {
    if (!slots_.complete()) slots_.complete(vm_, board_.board, memory_, 0);
    if constexpr ((detail::sees_nothing<Observers> && ...))
      return this->run_all();
    else
      return this->run_all(observers...);
  }

  /// Ends the run, or the next one if none is under way, with Requested; also gets a guest out that
  /// never exits. From any thread.
  void stop() noexcept {
    control_.stop();
    this->kick_all();
  }

  /// Calls the devices whose deadlines have come, and those whose watched descriptors can be read;
  /// says when the next deadline is due (nanoseconds of `clock()`, Clock::never if none is armed). The machine's I/O thread does so during a run; with
  /// DeadlinesByHand the program does, from one thread at a time, which need not be a vCPU's.
  std::uint64_t service_deadlines() { return this->service(); }

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

  /// KVM's table of lines, for MsiLine.
  [[nodiscard]] detail::GsiRoutes& gsi_routes() noexcept
    requires(Chip::has_local_apics)
  {
    if constexpr (Chip::in_board)
      return interrupts_.controllers.routes();
    else
      return interrupts_.routes;
  }

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
};

template <class Source, class... Options>
Machine(GuestMemory, Source, Options...)
    -> Machine<typename detail::BoardFrom<Source>::type, Options...>;
template <class Source, class... Options>
Machine(kvm::System const&, GuestMemory, Source, Options...)
    -> Machine<typename detail::BoardFrom<Source>::type, Options...>;

}  // namespace portico
