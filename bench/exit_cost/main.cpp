// exit_cost PROGRAM ARGS...: what a monitor executes between two KVM_RUNs, counted and not timed.
#include <termios.h>
#include <unistd.h>
#include <cstdio>
#include <system_error>

#include "options.hpp"
#include "report.hpp"
#include "tracer.hpp"

int main(int argc, char** argv) {
  auto const options = exit_cost::parse(argc, argv);
  if (!options) return 2;

  // The program is killed in the end and cannot put the terminal back into its former mode.
  termios mode{};
  bool const terminal = tcgetattr(STDIN_FILENO, &mode) == 0;
  exit_cost::Result result;
  try {
    result = exit_cost::trace(*options);
  } catch (std::system_error const& error) {
    std::fprintf(stderr, "exit_cost: %s\n", error.what());
    return 2;
  }
  if (terminal) tcsetattr(STDIN_FILENO, TCSANOW, &mode);

  if (result.samples.empty()) {
    std::uint64_t most = 0;
    for (auto const& [thread, exits] : result.exits) most = exits > most ? exits : most;
    std::fprintf(
        stderr,
        "exit_cost: nothing counted: %s%s; %zu threads called KVM_RUN, %llu times at most "
        "(--skip %llu%s%s)\n",
        result.ending.empty() ? "the program was still running" : "the program ended with ",
        result.ending.c_str(), result.exits.size(), static_cast<unsigned long long>(most),
        static_cast<unsigned long long>(options->skip), options->only.empty() ? "" : ", --only ",
        options->only.c_str());
    return 1;
  }
  std::string const text = options->json ? as_json(*options, result) : as_text(*options, result);
  // The program's own output may be on its way to the same terminal.
  std::fputs(text.c_str(), stdout);
  return 0;
}
