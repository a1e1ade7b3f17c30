// A machine with a block device that works by DMA and raises an interrupt, on KVM's interrupt
// controllers. README.md beside this file says what guests can rely on.
#include <cstdio>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <portico/devices/block_device.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/devices/simple_serial.hpp>
#include <portico/devices/worker_thread.hpp>
#include <portico/portico.hpp>

#include "../common/disk_machine.hpp"
#include "options.hpp"

namespace block_device {
namespace {

/// Who does the disk's work: the vCPU's thread, or another. The disk is the same.
using Worker = std::variant<portico::InlineWorker, portico::WorkerThread>;

constexpr std::uint64_t in_memory = 0xD000'0000;

using Serial = portico::Port<0xE9, portico::SimpleSerial<>, portico::Named<"serial">>;
using Exit =
    portico::Port<0x501, portico::DebugExit<portico::ExitStatus::plain>, portico::Named<"exit">>;

/// Registers in memory.
struct MmioBoard : portico::DeviceMap<
                       Serial, Exit,
                       portico::Mmio<in_memory, portico::BlockDevice<portico::DiskBackend, Worker>,
                                     portico::Irq<5, portico::Level>, portico::Named<"disk">>> {
  using DeviceMap::DeviceMap;
};

/// Registers as ports.
struct PortBoard
    : portico::DeviceMap<
          Serial, Exit,
          portico::Port<0x300, portico::BlockDeviceOnPorts<portico::DiskBackend, Worker>,
                        portico::Irq<5, portico::Level>, portico::Named<"disk">>> {
  using DeviceMap::DeviceMap;
};

/// The machine from its image to its exit status.
template <class Board>
int run(Options const& options) {
  portico::OutputSink output{STDOUT_FILENO};
  // Made in place: the disk is not moved, since its worker knows where it is.
  auto const disk = [&] {
    using Disk = std::remove_reference_t<decltype(std::declval<Board&>().template get<"disk">())>;
    if (options.thread)
      return Disk{examples::open_disk(options.disk, options.use),
                  std::in_place_type<portico::WorkerThread>};
    return Disk{examples::open_disk(options.disk, options.use)};
  };
  portico::Machine<Board> machine{
      portico::GuestMemory{2 * portico::MiB}, [&] {
        return Board{portico::SimpleSerial<>{portico::LabelledOutput{output, {}}},
                     portico::DebugExit<portico::ExitStatus::plain>{}, disk};
      }};
  machine.load(portico::FlatImage{options.image},
               portico::LongMode{portico::PageSize::k2MiB,
                                 {{in_memory, 2 * portico::MiB, portico::PageSize::k2MiB,
                                   portico::Caching::uncached}}});
  auto const ended = [](portico::Stop const& stop) -> std::optional<int> {
    if (auto const* const exit = std::get_if<portico::GuestExit>(&stop)) return exit->code;
    return std::nullopt;
  };
  return examples::run_to_end(machine, "block_device", options, options.watching, output, ended);
}

}  // namespace
}  // namespace block_device

int main(int argc, char** argv) {
  using namespace block_device;
  return examples::run_program("block_device", parse(argc, argv), [](Options const& options) {
    return examples::with_disk(
        options, [&] { return options.ports ? run<PortBoard>(options) : run<MmioBoard>(options); });
  });
}
