// The course machine Simple KVM I/O: a serial port and a disk, on ports or, with the same devices,
// in memory. README.md beside this file says what guests can rely on.
#include <cstdio>
#include <optional>
#include <variant>

#include <portico/devices/simple_disk.hpp>
#include <portico/devices/simple_serial.hpp>
#include <portico/portico.hpp>

#include "../common/disk_machine.hpp"
#include "options.hpp"

namespace simple_kvm_io {
namespace {

using Serial = portico::SimpleSerial<>;
using Disk = portico::SimpleDisk<>;

/// Registers as ports.
struct PortBoard : portico::DeviceMap<portico::Port<0x10, Serial, portico::Named<"serial">>,
                                      portico::Port<0x20, Disk, portico::Named<"disk">>> {
  using DeviceMap::DeviceMap;
};

/// Where registers stand in memory: 8 bytes for each port.
constexpr portico::IdentityRange window{0x20'0000, 2 * portico::MiB, portico::PageSize::k2MiB,
                                        portico::Caching::uncached};

constexpr std::uint64_t in_window(std::uint64_t port) { return window.address + 8 * port; }

/// The same in memory.
struct MmioBoard
    : portico::DeviceMap<
          portico::Mmio<in_window(0x10), Serial, portico::Stride<8>, portico::Named<"serial">>,
          portico::Mmio<in_window(0x20), Disk, portico::Stride<8>, portico::Named<"disk">>> {
  using DeviceMap::DeviceMap;
};

/// The machine from its image to its exit status.
template <class Board>
int run(Options const& options) {
  portico::OutputSink output{STDOUT_FILENO};
  portico::Machine<Board> machine{portico::GuestMemory{2 * portico::MiB},
                                  Board{Serial{portico::LabelledOutput{output, {}}},
                                        Disk{examples::open_disk(options.disk, options.use)}}};
  machine.load(portico::FlatImage{options.image},
               portico::LongMode{portico::PageSize::k2MiB, {window}});
  auto const ended = [&](portico::Stop const& stop) -> std::optional<int> {
    if (!std::holds_alternative<portico::Halted>(stop)) return std::nullopt;
    auto const regs = machine.vcpu().regs();
    std::printf("EAX: %llx\nEDX: %llx\n", regs.rax, regs.rdx);
    return 0;
  };
  return examples::run_to_end(machine, "simple_kvm_io", options, options.watching, output, ended);
}

}  // namespace
}  // namespace simple_kvm_io

int main(int argc, char** argv) {
  using namespace simple_kvm_io;
  return examples::run_program("simple_kvm_io", parse(argc, argv), [](Options const& options) {
    return examples::with_disk(
        options, [&] { return options.mmio ? run<MmioBoard>(options) : run<PortBoard>(options); });
  });
}
