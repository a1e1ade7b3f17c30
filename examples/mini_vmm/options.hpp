// The command line of mini_vmm.
#pragma once

#include <cstdint>
#include <string>

#include "../common/command_line.hpp"

namespace mini_vmm {

struct Options {
  std::string image;
  double rate = 1;          ///< exits a second; 0: no limit
  std::uint64_t count = 0;  ///< exits until the end; 0: no end
};

examples::Parsed<Options> parse(int argc, char** argv);

}  // namespace mini_vmm
