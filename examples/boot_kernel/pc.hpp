// The PC that kernels boot on: one board, and what each place of the interrupt controllers adds.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <portico/device/locked.hpp>
#include <portico/device/offload.hpp>
#include <portico/devices/acpi_power.hpp>
#include <portico/devices/console_backend.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/devices/i8042.hpp>
#include <portico/devices/i8254.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/devices/mc146818.hpp>
#include <portico/devices/post_port.hpp>
#include <portico/devices/pvpanic.hpp>
#include <portico/devices/reset_ports.hpp>
#include <portico/devices/uart16550.hpp>
#include <portico/machine/booting.hpp>
#include <portico/portico.hpp>
#include <portico/virtio/block.hpp>
#include <portico/virtio/console.hpp>
#include <portico/virtio/entropy.hpp>
#include <portico/virtio/mmio.hpp>
#include <portico/virtio/net.hpp>
#include <portico/virtio/optional.hpp>

#include "disk_hold.hpp"
#include "options.hpp"

namespace boot_kernel {

using portico::Irq;
using portico::Level;
using portico::Locked;
using portico::Mmio;
using portico::Named;
using portico::On;
using portico::Port;
using portico::Ports;
using portico::Ranges;

/// What the serial port is connected to, and the virtio console if there is one.
struct Terminal {
  portico::SharedInput& input;
  portico::OutputSink& output;
  portico::OutputSink* file = nullptr;
};

/// Its end of the serial port.
struct TerminalStreams : portico::StandardStreams {
  explicit TerminalStreams(Terminal const& terminal)
      : StandardStreams{terminal.input, terminal.output, 0} {}

  /// What somebody types is echoed before he wonders.
  [[nodiscard]] static constexpr std::uint64_t keep_nanoseconds() { return 2'000'000; }
};

using Uart = portico::Uart16550<TerminalStreams>;

/// A virtio device in place number `Place`, which works on a thread of its own.
template <unsigned Place, class Device, unsigned Line, portico::FixedText Name>
using Virtio = portico::Offload<
    Mmio<0xFEB0'0000 + 0x200 * Place, portico::VirtioMmio<Device>, Irq<Line>, Named<Name>>>;

using AnyDisk = portico::OptionalVirtio<portico::BasicBlock<DiskStore>>;
using AnyNet = portico::OptionalVirtio<portico::BasicNet<portico::Tap>>;

using AnyConsole = portico::OptionalVirtio<portico::BasicConsole<portico::FileSink>>;

/// What every PC has, and then its controllers.
template <class... Controllers>
struct Board : portico::DeviceMap<
                   Port<0x3F8, Uart, Irq<4>, Named<"com1">>,
                   On<portico::I8042, Ranges<Ports<0x60>, Ports<0x64>>, Irq<1>, Named<"i8042">>,
                   Port<0x70, portico::Mc146818<>, Irq<8>, Named<"rtc">>,
                   Port<0x80, portico::PostPort, Named<"post">>,
                   Port<0x92, portico::SystemControlPortA, Named<"port 92">>,
                   Port<0xF4, portico::DebugExit<>, Named<"debug exit">>,
                   Port<0x505, portico::PvPanic, Named<"pvpanic">>,
                   Port<0x600, portico::AcpiPower, Irq<9, Level>, Named<"acpi">>,
                   Port<0xCF9, portico::ResetControl, Named<"reset">>,
                   Virtio<0, AnyDisk, 10, "disk0">, Virtio<1, AnyDisk, 11, "disk1">,
                   Virtio<2, AnyNet, 5, "net">, Virtio<3, AnyConsole, 6, "console">,
                   Mmio<0xFEB0'0E00, Locked<portico::VirtioMmio<portico::Entropy>>, Irq<3>,
                        Named<"entropy">>,
                   Controllers...> {
  using Board::DeviceMap::DeviceMap;
};

/// Disk number `index` of those that the user named.
inline AnyDisk make_disk(Options const& options, unsigned index) {
  if (index >= options.disks.size()) return AnyDisk{};
  Disk const& disk = options.disks[index];
  auto const access =
      disk.read_only ? portico::DiskAccess::read_only : portico::DiskAccess::read_write;
  return AnyDisk{std::in_place, DiskStore{portico::UringFile{disk.file, access}},
                 "disk" + std::to_string(index)};
}

/// The network card, if the user named a tap; the driver makes up its address.
inline AnyNet make_net(Options const& options) {
  return options.tap.empty() ? AnyNet{} : AnyNet{std::in_place, portico::Tap{options.tap}};
}

/// The console that only prints, if the user named a file for it.
inline AnyConsole make_console(Terminal const& terminal) {
  return terminal.file == nullptr ? AnyConsole{}
                                  : AnyConsole{std::in_place, portico::FileSink{*terminal.file, 0}};
}

/// A board; `controllers` make the devices of its last entries.
template <class Made, class... Makers>
Made make_board(Options const& options, Terminal const& terminal, Makers... controllers) {
  return Made{[&] { return Uart{TerminalStreams{terminal}}; },
              [] { return portico::I8042{}; },
              [] { return portico::Mc146818<>{}; },
              portico::PostPort{},
              portico::SystemControlPortA{},
              portico::DebugExit<>{},
              portico::PvPanic{status::panic},
              [] { return portico::AcpiPower{}; },
              portico::ResetControl{},
              [&] { return make_disk(options, 0); },
              [&] { return make_disk(options, 1); },
              [&] { return make_net(options); },
              [&] { return make_console(terminal); },
              portico::Entropy{},
              controllers...};
}

template <class Device>
Device made() {
  return Device{};
}

using Pics = On<Locked<portico::Pic8259A>, Ranges<Ports<0x20, 2>, Ports<0xA0, 2>, Ports<0x4D0, 2>>,
                Named<"8259A">>;
using Pit = On<portico::Pit8254, Ranges<Ports<0x40, 4>, Ports<0x61, 1>>, Irq<0>, Named<"8254">>;

/// Controllers and timer in KVM.
struct InKernel {
  using Board = boot_kernel::Board<>;
  template <unsigned Max>
  using Machine =
      portico::Machine<Board, portico::Vcpus<Max>, portico::HostCpuid, portico::KernelPit>;

  static Board board(Options const& options, Terminal const& terminal) {
    return make_board<Board>(options, terminal);
  }
};

/// Local APICs in KVM, the rest in the board.
struct Split {
  using Board = boot_kernel::Board<Pit, Pics, Mmio<0xFEC0'0000, portico::IoApic, Named<"ioapic">>>;
  template <unsigned Max>
  using Machine = portico::Machine<Board, portico::Vcpus<Max>, portico::HostCpuid>;

  static Board board(Options const& options, Terminal const& terminal) {
    return make_board<Board>(options, terminal, made<portico::Pit8254>,
                             made<Locked<portico::Pic8259A>>, made<portico::IoApic>);
  }
};

/// All in the board, for one processor.
struct InBoard {
  using Board = boot_kernel::Board<Pit, Pics>;
  template <unsigned Max>
  using Machine = portico::Machine<Board, portico::Vcpus<Max>, portico::HostCpuid>;

  static Board board(Options const& options, Terminal const& terminal) {
    return make_board<Board>(options, terminal, made<portico::Pit8254>,
                             made<Locked<portico::Pic8259A>>);
  }
};

/// A machine with at most `Max` processors; one with 1 has no lock for their sake.
template <class Place, unsigned Max>
class Pc : public Place::template Machine<Max> {
 public:
  using Board = typename Place::Board;
  using Machine = typename Place::template Machine<Max>;
  static constexpr unsigned max_vcpus = Max;

  Pc(Options const& options, Terminal const& terminal)
      : Pc{portico::GuestMemory{options.memory}, options, terminal} {
    std::uint64_t below = 0;
    std::uint64_t above = 0;
    for (portico::Region const& region : this->memory().regions())
      (region.base < 4 * portico::GiB ? below : above) += region.size;
    this->template get<"rtc">().set_memory(below, above);
  }

 private:
  Pc(portico::GuestMemory memory, Options const& options, Terminal const& terminal)
      : Machine{std::move(memory), [&] { return Place::board(options, terminal); },
                portico::Vcpus<Max>{options.cpus}} {}
};

}  // namespace boot_kernel
