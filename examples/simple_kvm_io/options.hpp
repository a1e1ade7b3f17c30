// The command line of simple_kvm_io.
#pragma once

#include "../common/command_line.hpp"
#include "../common/disk.hpp"
#include "../common/observers.hpp"

namespace simple_kvm_io {

struct Options : examples::DiskChoice {
  bool mmio = false;
  examples::Watching watching;
};

examples::Parsed<Options> parse(int argc, char** argv);

}  // namespace simple_kvm_io
