#include "options.hpp"

#include <CLI/CLI.hpp>

#include "../common/disk_options.hpp"

namespace block_device {

namespace {

constexpr char const* usage =
    "block_device [--thread] [--ports] [--image FILE] [--disk FILE] [options]; --help lists them";

}  // namespace

examples::Parsed<Options> parse(int argc, char** argv) {
  Options options;
  CLI::App app{"Runs a guest on a machine with a block device that works by DMA and interrupts."};
  app.name("block_device");
  app.add_flag("--thread", options.thread,
               "the disk's work is done on a thread of its own, while the guest goes on");
  app.add_flag("--ports", options.ports, "the disk's registers are ports, from 0x300 on");
  examples::DiskOptions disk{app, options};
  examples::add_options(app, options.watching);
  return examples::parse<Options>(app, argc, argv, usage, [&] {
    disk.finish(options.ports ? "block_device_ports" : "block_device_mmio");
    return options;
  });
}

}  // namespace block_device
