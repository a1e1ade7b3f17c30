// A monitor with what QEMU's microvm machine has: a serial port on standard input and output, and
// virtio devices from 0xFEB00000 on, line 16. It runs the guest of this folder.
//
//   virtio_monitor IMAGE disk FILE [vcpu]     a disk; on the vCPU's thread, not on one of its own
//   virtio_monitor IMAGE net TAP [vcpu]       a network card
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <portico/boot/multiboot_kernel.hpp>
#include <portico/device/locked.hpp>
#include <portico/device/offload.hpp>
#include <portico/devices/output_sink.hpp>
#include <portico/devices/shared_input.hpp>
#include <portico/devices/tap.hpp>
#include <portico/devices/uart16550.hpp>
#include <portico/machine/booting.hpp>
#include <portico/portico.hpp>
#include <portico/virtio/block.hpp>
#include <portico/virtio/mmio.hpp>
#include <portico/virtio/net.hpp>

namespace {

using portico::Irq;
using portico::Locked;
using portico::Mmio;
using portico::Named;
using portico::Offload;
using portico::Port;
using portico::VirtioMmio;

/// The serial port's streams; a line is for a program that waits for it.
struct Streams : portico::StandardStreams {
  using StandardStreams::StandardStreams;
  [[nodiscard]] static constexpr std::uint64_t keep_nanoseconds() { return 100'000; }
};

using Uart = portico::Uart16550<Streams>;
using Serial = Port<0x3F8, Uart, Irq<4>, Named<"com1">>;

/// The placement is the one word that differs.
template <class Device>
using Apart =
    portico::DeviceMap<Serial,
                       Offload<Mmio<0xFEB0'0000, VirtioMmio<Device>, Irq<16>, Named<"virtio">>>>;
template <class Device>
using OnVcpu =
    portico::DeviceMap<Serial,
                       Mmio<0xFEB0'0000, Locked<VirtioMmio<Device>>, Irq<16>, Named<"virtio">>>;

template <class Board, class Make>
int run(std::string const& image, Make make) {
  portico::SharedInput input{STDIN_FILENO};
  portico::OutputSink output{STDOUT_FILENO};
  portico::Machine<Board, portico::KernelIrqchip, portico::HostCpuid> machine{
      portico::GuestMemory{64 * portico::MiB},
      [&] { return Board{[&] { return Uart{Streams{input, output, 0}}; }, make}; }};
  machine.load(portico::MultibootKernel{image});
  std::fprintf(stderr, "tsc_khz %d\n",
               portico::kvm::try_call(machine.vcpu().fd(), KVM_GET_TSC_KHZ));
  portico::RunControl ending;
  std::thread typing{[&] {
    machine.template get<"com1">().pump(ending.token());
    machine.stop();  // who typed has gone
  }};
  portico::Stop const stop = machine.run();
  ending.stop();
  typing.join();
  if (std::holds_alternative<portico::Requested>(stop)) return 0;
  std::fprintf(stderr, "%s\n", portico::describe(stop).c_str());
  return 1;
}

template <class Device, class Make>
int place(std::string const& image, bool on_vcpu, Make make) {
  return on_vcpu ? run<OnVcpu<Device>>(image, make) : run<Apart<Device>>(image, make);
}

/// A disk that is a file, a card on a tap, and nothing else.
using Disk = portico::BasicBlock<portico::UringFile>;
using Card = portico::BasicNet<portico::Tap>;

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 4) throw std::invalid_argument{"usage: virtio_monitor IMAGE disk|net WHAT [vcpu]"};
  std::string const image = argv[1];
  std::string_view const kind = argv[2];
  std::string const what = argv[3];
  bool const on_vcpu = argc > 4 && std::string_view{argv[4]} == "vcpu";
  if (kind == "disk")
    return place<Disk>(image, on_vcpu, [&] { return Disk{portico::UringFile{what}}; });
  if (kind == "net")
    return place<Card>(image, on_vcpu,
                       [&] { return Card{portico::Tap{what}, {.mac = {{2, 0, 0, 0, 0, 1}}}}; });
  throw std::invalid_argument{"no such device: " + std::string{kind}};
} catch (std::exception const& error) {
  std::fprintf(stderr, "virtio_monitor: %s\n", error.what());
  return 1;
}
