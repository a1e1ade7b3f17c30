// Runs a program under ptrace and single-steps it between two KVM_RUN system calls.
//
// Nothing is known about the program: an `ioctl` whose request is KVM_RUN marks a thread as one
// that runs a guest, whether libc's function or an inline `syscall` instruction makes it. Until a
// thread has passed its first `skip` exits it is stopped at system calls only; then it is stepped
// from the return of KVM_RUN to the next KVM_RUN, and left alone inside.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "options.hpp"

namespace exit_cost {

/// What lay between one KVM_RUN's return and the next one's start.
struct Sample {
  int thread;        ///< kernel thread id
  std::string exit;  ///< why KVM_RUN returned: "out 0xe9, 1 byte"
  std::uint64_t
      instructions;  ///< both `syscall` instructions of KVM_RUN excluded; a `rep` counts once
  std::vector<std::uint64_t> system_calls;  ///< numbers, in order
  std::vector<std::uint64_t> path;          ///< addresses, if asked for
};

struct Mapping {
  std::uint64_t begin, end, base;  ///< `base`: where the file begins in memory
  std::string file;
};

struct Result {
  std::vector<Sample> samples;
  std::map<int, std::uint64_t> exits;  ///< KVM_RUN returns seen, by thread
  std::vector<Mapping> mappings;       ///< of the program, if the path was asked for
  std::string ending;                  ///< how the program ended, empty if it was still running
};

/// Starts the program and traces it. Throws std::system_error where the program cannot be started
/// or traced.
Result trace(Options const& options);

}  // namespace exit_cost
