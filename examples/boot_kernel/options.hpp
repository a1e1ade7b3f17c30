// The command line of boot_kernel, and its exit statuses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "../common/command_line.hpp"
#include "../common/observers.hpp"

namespace boot_kernel {

/// How the program ends where the guest was started: README.md. Ours are even, so that a guest's own
/// by isa-debug-exit, which are odd, are no others'; but for 1, examples::failure.
namespace status {
inline constexpr int powered_off = 0;
inline constexpr int reset = 4;
inline constexpr int panic = 6;
inline constexpr int triple_fault = 8;
inline constexpr int time_limit = 10;
inline constexpr int stopped = 12;
inline constexpr int halted = 14;
}  // namespace status

/// Where the interrupt controllers are.
enum class Irqchip : std::uint8_t { kernel, split, user };

/// Processors at most.
inline constexpr unsigned max_cpus = 8;

/// Disks at most.
inline constexpr unsigned max_disks = 2;

/// A file that is a disk of the guest's.
struct Disk {
  std::string file;
  bool read_only = false;
};

/// What the user asked for; checked as far as that needs no file.
struct Options {
  std::string kernel;
  std::string initrd;                 ///< empty: none
  std::optional<std::string> append;  ///< none: the kernel's usual one
  std::vector<std::string> modules;   ///< each a file, perhaps a space and text for the kernel
  std::uint64_t memory = 0;           ///< bytes
  unsigned cpus = 1;
  Irqchip irqchip = Irqchip::kernel;
  std::vector<Disk> disks;  ///< max_disks at most
  std::string tap;          ///< a network interface of the host; empty: none
  std::string console;      ///< the file behind the virtio console; empty: none
  double timeout = 0;       ///< seconds; 0: none
  examples::Watching watching;
};

examples::Parsed<Options> parse(int argc, char** argv);

}  // namespace boot_kernel
