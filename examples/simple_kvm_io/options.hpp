// The command line of simple_kvm_io.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "../common/command_line.hpp"
#include "../common/disk.hpp"
#include "../common/observers.hpp"

namespace simple_kvm_io {

struct Options {
  bool mmio = false;
  std::string image;
  std::string disk;
  examples::DiskUse use = examples::DiskUse::write;
  std::optional<std::uint64_t> create;  ///< make the disk first, of so many bytes
  bool runs = true;                     ///< false: only the disk is wanted
  examples::Watching watching;
};

examples::Parsed<Options> parse(int argc, char** argv);

}  // namespace simple_kvm_io
