// Debian's kernel, unmodified, on a machine of two devices: from its bzImage and from its vmlinux,
// to its first process and through a script. The devices are found by ACPI tables, or by an MP table.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include <portico/boot/linux_kernel.hpp>
#include <portico/boot/pvh_kernel.hpp>
#include <portico/devices/uart16550.hpp>
#include <portico/firmware/kernel_arguments.hpp>
#include <portico/machine/booting.hpp>
#include <portico/portico.hpp>

#include "support/requires.hpp"

namespace portico {
namespace {

constexpr std::string_view marker = "PORTICO-GUEST-UP ";

/// What the guest printed, and how many exits it had made when its first process was there.
struct Record {
  std::string text{};
  std::uint64_t exits = 0;
  std::uint64_t exits_to_init = 0;
  std::map<std::string, std::uint64_t> to_init{};
  long kvm_exits = -1;     ///< at that moment, by KVM's counters
  long kvm_io_exits = -1;  ///< of them to ports and addresses
};

/// A backend that hands on every byte at once.
struct Streams {
  Record* record;

  [[nodiscard]] bool flushes_lines() const noexcept { return true; }

  Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const&) {
    record->text.append(bytes.begin(), bytes.end());
    return {bytes.size(), 0, 0};
  }

  [[nodiscard]] Input try_read() noexcept { return {}; }
  [[nodiscard]] Input read(StopToken) noexcept { return {}; }
};

/// The keyboard controller's command port, as far as a reset.
struct ResetPort {
  static constexpr AcpiReset acpi_reset{.offset = 0, .value = 0xFE};

  void write(std::uint8_t value, RunControl& control) {
    if (value == 0xFE) control.reset();
  }

  std::uint8_t read() { return 0; }
};

using Board = DeviceMap<Port<0x3F8, Uart16550<Streams>, Irq<4>, Named<"com1">>,
                        Port<0x64, ResetPort, Named<"reset">>>;

/// One of KVM's own counters, over all machines there are; -1 where they cannot be read.
long kvm_counter(std::string const& name) {
  long value = -1;
  std::ifstream{"/sys/kernel/debug/kvm/" + name} >> value;
  return value;
}

/// Counts exits, by device, until the marker is there.
struct Counter {
  void access(Access const& access, Claim const& claim) {
    ++record.exits;
    if (record.exits_to_init != 0) return;
    ++record.to_init[claim.taken() ? std::string{Board::entries[unsigned(claim.entry)].name}
                                   : "unclaimed"];
    // A look at the text for each line is enough.
    if (access.address != 0x3F8 || record.text.find(marker) == std::string::npos) return;
    record.exits_to_init = record.exits;
    record.kvm_exits = kvm_counter("exits");
    record.kvm_io_exits = kvm_counter("io_exits") + kvm_counter("mmio_exits");
  }

  void exit(kvm::Exit const&, std::uint32_t) { ++record.exits; }

  Record& record;
};

std::string guest_file(char const* name) {
  char const* const folder = std::getenv("PORTICO_LABORATORY");
  return std::string{folder == nullptr ? "build/lab" : folder} + "/guest/" + name;
}

constexpr char const* script =
    "echo sum=$((40 + 2)); grep ttyS0 /proc/interrupts; grep -c ^processor /proc/cpuinfo; exit 3";

/// Boots, runs the script, reboots; notes what happened.
template <class Kernel, class Options>
void run(char const* kernel, std::string const& arguments, Record& record) {
  Machine machine{
      GuestMemory{256 * MiB},
      [&] { return Board{[&] { return Uart16550<Streams>{Streams{&record}}; }, ResetPort{}}; },
      HostCpuid{}, KernelPit{}};
  std::string const line = "console=ttyS0 quiet panic=-1 portico.end=reboot " + arguments + " " +
                           kernel_arguments(describe_board(machine.board())) +
                           " portico.script=\"" + script + "\"";
  machine.load(
      Kernel{guest_file(kernel), Options{.initrd = guest_file("initrd"), .command_line = line}});
  ::alarm(static_cast<unsigned>(60 * test::time_scale()));  // a kernel that hangs ends the test
  Counter counter{record};
  Stop const stop = machine.run(counter);
  ::alarm(0);
  EXPECT_TRUE(std::holds_alternative<Reset>(stop)) << describe(stop) << "\n" << record.text;
  machine.template get<"com1">().flush();
}

void expect_all(Record const& record) {
  EXPECT_NE(record.text.find(marker), std::string::npos) << record.text;
  EXPECT_NE(record.text.find("sum=42"), std::string::npos) << record.text;
  EXPECT_NE(record.text.find("IO-APIC   4-edge"), std::string::npos) << record.text;
  EXPECT_NE(record.text.find("PORTICO-GUEST-EXIT 3"), std::string::npos) << record.text;
  testing::Test::RecordProperty("exits_to_init", std::to_string(record.exits_to_init));
  std::printf("exits to init: %llu (", static_cast<unsigned long long>(record.exits_to_init));
  for (auto const& [name, count] : record.to_init)
    std::printf(" %s %llu", name.c_str(), static_cast<unsigned long long>(count));
  std::printf(" ); by KVM's counters %ld, %ld of them to ports and addresses\n", record.kvm_exits,
              record.kvm_io_exits);
}

bool is_missing(char const* file) { return ::access(guest_file(file).c_str(), R_OK) != 0; }

TEST(BootLinux, ABzImageFindsItsDevicesInAcpiTables) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  if (is_missing("vmlinuz")) GTEST_SKIP() << "requires the guest kernel of ./dev lab prepare";
  Record record;
  run<LinuxKernel, LinuxOptions>("vmlinuz", "", record);
  expect_all(record);
  // QEMU's microvm machine takes 47,900, of them 40,400 to ports and addresses.
  EXPECT_LT(record.exits_to_init, 2'000U);
}

TEST(BootLinux, AVmlinuxWithoutAcpiFindsItsProcessorInTheMpTable) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  if (is_missing("vmlinux")) GTEST_SKIP() << "requires the guest kernel of ./dev lab prepare";
  Record record;
  run<PvhKernel, PvhOptions>("vmlinux", "acpi=off", record);
  expect_all(record);
}

}  // namespace
}  // namespace portico
