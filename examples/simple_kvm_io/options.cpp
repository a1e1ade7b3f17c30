#include "options.hpp"

#include <CLI/CLI.hpp>

#include "../common/disk_options.hpp"

namespace simple_kvm_io {

namespace {

constexpr char const* usage =
    "simple_kvm_io [--mmio] [--image FILE] [--disk FILE] [options]; --help lists them";

}  // namespace

examples::Parsed<Options> parse(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Runs a guest of the course machine Simple KVM I/O: a serial port and a disk, on ports or in "
      "memory."};
  app.name("simple_kvm_io");
  app.add_flag("--mmio", options.mmio, "registers in memory, from 0x200000 on, instead of ports");
  examples::DiskOptions disk{app, options};
  examples::add_options(app, options.watching);
  return examples::parse<Options>(app, argc, argv, usage, [&] {
    disk.finish(options.mmio ? "simple_io_mmio" : "simple_io_ports");
    return options;
  });
}

}  // namespace simple_kvm_io
