#include "options.hpp"

#include <CLI/CLI.hpp>

#include <string_view>

#include <portico/base/bytes.hpp>

namespace boot_kernel {

namespace {

using examples::WrongUse;

constexpr char const* usage = "boot_kernel --kernel FILE [options]; --help lists them";

constexpr char const* endings =
    "Exit status: 0 powered off, 1 the host failed, 2 no guest was started, 4 reset,\n"
    "6 kernel panic, 8 triple fault, 10 time limit, 12 stopped from outside, 14 halted for good;\n"
    "odd: the guest's own, by isa-debug-exit. On a terminal, Ctrl-A h lists keys.\n"
    "SIGUSR1 holds the disks, so that their files can be copied, and SIGUSR2 lets them go on.\n";

/// Values as they were typed; `checked` turns them into options.
struct Raw {
  std::string memory = "256M", cpus = "1", irqchip = "kernel";
  std::optional<std::string> timeout;
  std::vector<std::string> disks;
};

/// FILE, or FILE,readonly; any other comma belongs to the name.
Disk disk(std::string const& text) {
  constexpr std::string_view suffix = ",readonly";
  Disk disk{text, text.ends_with(suffix)};
  if (disk.read_only) disk.file.resize(text.size() - suffix.size());
  if (disk.file.empty()) throw WrongUse{"--disk " + text + ": a file is expected"};
  return disk;
}

Options checked(Raw const& raw, Options options) {
  auto const memory = examples::size_in_bytes(raw.memory);
  constexpr std::uint64_t most = 128 * portico::GiB;
  if (!memory || *memory < 2 * portico::MiB || *memory > most || *memory % (4 * portico::KiB) != 0)
    throw WrongUse{"--memory " + raw.memory +
                   ": a multiple of 4K from 2M to 128G is expected, such as 256M"};
  options.memory = *memory;
  auto const cpus = examples::number(raw.cpus);
  if (!cpus || *cpus < 1 || *cpus > max_cpus)
    throw WrongUse{"--cpus " + raw.cpus + ": a number from 1 to 8 is expected"};
  options.cpus = static_cast<unsigned>(*cpus);
  if (raw.irqchip == "split")
    options.irqchip = Irqchip::split;
  else if (raw.irqchip == "user")
    options.irqchip = Irqchip::user;
  else if (raw.irqchip != "kernel")
    throw WrongUse{"--irqchip " + raw.irqchip + ": kernel, split or user is expected"};
  if (options.irqchip == Irqchip::user && options.cpus > 1)
    throw WrongUse{"--cpus " + raw.cpus +
                   ": with --irqchip user there are no local APICs, so 1 is the most"};
  if (raw.disks.size() > max_disks)
    throw WrongUse{"--disk " + raw.disks[max_disks] + ": 2 disks are the most"};
  for (std::string const& text : raw.disks) options.disks.push_back(disk(text));
  if (raw.timeout) options.timeout = examples::time_limit(*raw.timeout);
  return options;
}

}  // namespace

examples::Parsed<Options> parse(int argc, char** argv) {
  Options options;
  Raw raw;
  CLI::App app{"Boots a kernel on a small PC whose serial port is the terminal."};
  app.name("boot_kernel");
  app.footer(endings);
  auto* const kernel =
      app.add_option("--kernel", options.kernel,
                     "bzImage, ELF with a PVH entry, Multiboot kernel or plain ELF")
          ->type_name("FILE");
  app.add_option("--initrd", options.initrd, "initial file system, for Linux")->type_name("FILE");
  app.add_option("--append", options.append,
                 "the kernel's command line; Linux's default: console=ttyS0 panic=-1 pci=off")
      ->type_name("TEXT");
  app.add_option("--module", options.modules,
                 "a module for a Multiboot kernel, and text for it; may be repeated")
      ->type_name("\"FILE ARGS\"")
      ->allow_extra_args(false);
  app.add_option("--memory", raw.memory, "RAM, such as 64M or 1G (default 256M)")
      ->type_name("SIZE");
  app.add_option("--cpus", raw.cpus, "processors, 1 to 8 (default 1)")->type_name("N");
  app.add_option("--irqchip", raw.irqchip,
                 "where interrupt controllers and timer are: kernel (default), split, user")
      ->type_name("KIND");
  app.add_option("--disk", raw.disks, "a virtio disk: a raw image; may be given twice")
      ->type_name("FILE[,readonly]")
      ->allow_extra_args(false);
  app.add_option("--net", options.tap, "a virtio network: a tap of the host")->type_name("TAP");
  app.add_option("--virtio-console", options.console,
                 "a virtio console, hvc0 of Linux: what the guest prints there")
      ->type_name("FILE");
  app.add_option("--timeout", raw.timeout, "stop a guest that has not ended by then")
      ->type_name("SECONDS");
  examples::add_options(app, options.watching);
  return examples::parse<Options>(app, argc, argv, usage, [&] {
    if (kernel->count() == 0) throw WrongUse{"--kernel is missing: give the kernel's file"};
    return checked(raw, std::move(options));
  });
}

}  // namespace boot_kernel
