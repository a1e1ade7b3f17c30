// One block device in three places: in the vCPU's thread, on a thread of its own by one word of the
// map, and there with the loop written out. README.md beside this file walks through it.
#include <sys/eventfd.h>

#include <atomic>
#include <cstdio>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <portico/device/offload.hpp>
#include <portico/device/serve.hpp>
#include <portico/devices/block_device.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/portico.hpp>

#include "../common/built_guest.hpp"

namespace {

using Disk = portico::BlockDevice<portico::MemoryDisk>;
using Exit = portico::Port<0x501, portico::DebugExit<portico::ExitStatus::plain>>;

constexpr std::uint64_t base = 0xD000'0000;

// The same device, and the rest of the map is the same too.
using InPlace = portico::Mmio<base, Disk, portico::Irq<5>>;
using OffTheVcpu = portico::Offload<portico::Mmio<base, Disk, portico::Irq<5>>>;
using BehindALock = portico::Mmio<base, portico::Locked<Disk>, portico::Irq<5>>;

/// Counts the exits that reach this program.
struct Exits {
  void access(portico::Access const&, portico::Claim const&) { ++count; }

  unsigned count = 0;
};

/// A disk of 16 sectors; the first begins with "portico!".
Disk make_disk() {
  std::vector<std::byte> content(16 * portico::sector_bytes);
  portico::store(content.data(), std::uint64_t{0x216F'6369'7472'6F70});
  return Disk{portico::MemoryDisk{std::move(content)}};
}

/// Runs the guest to its end with `beside(machine)` going on beside it; its exit status.
template <class Where, class Beside>
int run(std::string const& image, char const* where, Beside beside) {
  using Board = portico::DeviceMap<Exit, Where>;
  portico::Machine machine{
      portico::GuestMemory{2 * portico::MiB},
      [] { return Board{portico::DebugExit<portico::ExitStatus::plain>{}, make_disk}; }};
  machine.load(portico::FlatImage{image},
               portico::LongMode{portico::PageSize::k2MiB,
                                 {{base, 2 * portico::MiB, portico::PageSize::k2MiB,
                                   portico::Caching::uncached}}});
  Exits exits;
  portico::Stop const stop = beside(machine, [&] { return machine.run(exits); });
  std::printf("%-32s %3u exits for 100 reads\n", where, exits.count);
  if (auto const* const exit = std::get_if<portico::GuestExit>(&stop)) return exit->code;
  std::fprintf(stderr, "offload: %s\n", portico::describe(stop).c_str());
  return 1;
}

/// What Offload<...> does, by hand: KVM signals one eventfd for a write of S, and takes the other's
/// signal for an interrupt.
template <class Machine, class Run>
portico::Stop with_the_loop_written_out(Machine& machine, Run run) {
  portico::Fd const bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  portico::Fd const interrupt{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  kvm_ioeventfd doorbell{};
  doorbell.datamatch = portico::BlockBits::start;
  doorbell.addr = base;
  doorbell.len = 4;
  doorbell.fd = bell.get();
  doorbell.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
  machine.vm().ioeventfd(doorbell);
  kvm_irqfd line{};
  line.fd = static_cast<std::uint32_t>(interrupt.get());
  line.gsi = 5;
  machine.vm().irqfd(line);

  std::atomic<bool> over = false;
  std::thread worker{[&] {
    auto const work = [&] {
      machine.board().template with<1>([&](Disk& disk) {
        disk.command(portico::BlockBits::start, machine.memory(), portico::IrqLine{});
      });
    };
    while (!over) portico::serve(work, bell.get(), interrupt.get(), 10'000'000);
  }};
  portico::Stop const stop = run();
  over = true;
  worker.join();
  doorbell.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
  machine.vm().ioeventfd(doorbell);
  line.flags = KVM_IRQFD_FLAG_DEASSIGN;
  machine.vm().irqfd(line);
  return stop;
}

}  // namespace

int main(int argc, char** argv) try {
  std::string const image = argc > 1 ? argv[1] : examples::built_guest("doorbell");
  auto const alone = [](auto&, auto run) { return run(); };
  int failures = run<InPlace>(image, "in the vCPU's thread:", alone);
  failures += run<OffTheVcpu>(image, "Offload<...>:", alone);
  failures += run<BehindALock>(image, "with the loop written out:", [](auto& machine, auto run) {
    return with_the_loop_written_out(machine, run);
  });
  return failures == 0 ? 0 : 1;
} catch (std::exception const& error) {
  std::fprintf(stderr, "offload: %s\n", error.what());
  return 2;
}
