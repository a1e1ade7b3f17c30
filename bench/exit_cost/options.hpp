// The command line of exit_cost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace exit_cost {

/// Which of the threads that call KVM_RUN are stepped.
struct ThreadChoice {
  bool all = false;
  std::size_t index = 0;  ///< order of the first KVM_RUN, from 0; without meaning if `all`
};

struct Options {
  std::uint64_t skip = 100;   ///< exits of a thread that pass at full speed first
  std::uint64_t count = 200;  ///< exits to step, over all chosen threads
  std::uint64_t timeout = 0;  ///< seconds, 0: none
  ThreadChoice thread;
  std::string only;  ///< step only exits whose name contains this
  bool json = false;
  bool path = false;        ///< also print the addresses of one exit of median cost
  bool let_finish = false;  ///< let the program run to its end afterwards
  std::vector<std::string> program;
};

/// Parses; on a mistake prints one line and the usage to stderr and gives nothing. `--help` prints
/// the usage to stdout and ends the process.
std::optional<Options> parse(int argc, char** argv);

}  // namespace exit_cost
