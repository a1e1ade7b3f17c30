// The command line of block_device.
#pragma once

#include "../common/command_line.hpp"
#include "../common/disk.hpp"
#include "../common/observers.hpp"

namespace block_device {

struct Options : examples::DiskChoice {
  bool ports = false;
  bool thread = false;
  examples::Watching watching;
};

examples::Parsed<Options> parse(int argc, char** argv);

}  // namespace block_device
