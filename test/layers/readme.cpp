// What README.md shows of device maps; that it compiles is the test.
#include <portico/boot/linux_kernel.hpp>
#include <portico/devices/acpi_power.hpp>
#include <portico/devices/reset_ports.hpp>
#include <portico/devices/uart16550.hpp>
#include <portico/firmware/kernel_arguments.hpp>
#include <portico/machine/booting.hpp>
#include <portico/portico.hpp>

struct Serial {
  void write(std::uint8_t byte);
  std::uint8_t read();
};

struct SimpleDisk {
  void set_sector(std::uint32_t sector);  // 4 bytes wide: the parameter says so
  void set_address(std::uint32_t address);
  void execute(std::uint8_t command, portico::GuestMemory& ram);

  using registers = portico::Registers<portico::WriteOnly<0, &SimpleDisk::set_sector>,
                                       portico::WriteOnly<1, &SimpleDisk::set_address>,
                                       portico::WriteOnly<2, &SimpleDisk::execute>>;
};

using Board = portico::DeviceMap<
    portico::Port<0xE9, Serial>,
    portico::Port<0x20, SimpleDisk>,  // three ports: the size comes from the table
    portico::Mmio<0xD000'0000, SimpleDisk, portico::Stride<8>, portico::Named<"mmio disk">>>;

static_assert(Board::size == 3);

using Pc =
    portico::DeviceMap<portico::Port<0x3F8, portico::Uart16550<>, portico::Irq<4>>,
                       portico::Port<0x600, portico::AcpiPower, portico::Irq<9, portico::Level>>,
                       portico::Port<0xCF9, portico::ResetControl>>;

void boot(portico::Machine<Pc, portico::HostCpuid, portico::KernelPit>& machine);

void boot(portico::Machine<Pc, portico::HostCpuid, portico::KernelPit>& machine) {
  std::string const line =
      "console=ttyS0 " + portico::kernel_arguments(portico::describe_board(machine.board()));
  machine.load(portico::LinuxKernel{"vmlinuz", {.initrd = "initrd", .command_line = line}});
}
