// exits [--quick] [--only PATTERN] [--runs N] [--seconds S] [--json FILE]
//
// What leaving a guest costs on this machine, what Portico adds to it, and the same beside QEMU.
// README.md says how each figure is computed and what the JSON file holds.
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>

#include "groups.hpp"
#include "rig.hpp"

namespace exits {

bool Bench::wants(std::string const& group, std::string const& name, int ring) {
  std::string const full = group + ": " + name + ", ring " + std::to_string(ring);
  if (full.find(options.only) == std::string::npos) return false;
  ++done_;
  if (::isatty(STDERR_FILENO) != 0) {
    std::fprintf(stderr, "\r\033[K%3d  %s", done_, full.c_str());
  } else {
    std::fprintf(stderr, "%3d  %s\n", done_, full.c_str());
  }
  return true;
}

namespace {

char const* const usage =
    "usage: exits [--quick] [--only PATTERN] [--runs N] [--seconds S] [--json FILE]\n"
    "  --quick       a twelfth of the time for each figure\n"
    "  --only        figures whose \"GROUP: NAME, ring N\" has this in it;\n"
    "                groups are exits, framework, qemu\n"
    "  --runs N      at most N samples of each figure\n"
    "  --seconds S   time for each figure of group exits (default 3)\n"
    "  --json FILE   writes everything there\n"
    "  --images DIR  where the guests are (default: beside this program)\n";

bool parse(int argc, char** argv, Options& options) {
  std::string_view const program = argv[0];
  std::size_t const slash = program.rfind('/');
  options.folder = slash == std::string_view::npos ? "." : std::string{program.substr(0, slash)};
  for (int i = 1; i < argc; ++i) {
    std::string_view const name = argv[i];
    if (name == "--quick") {
      options.seconds = 0.25;
      continue;
    }
    if (i + 1 == argc) return false;
    std::string_view const value = argv[++i];
    if (name == "--only") {
      options.only = value;
    } else if (name == "--json") {
      options.json = value;
    } else if (name == "--images") {
      options.folder = value;
    } else if (name == "--runs") {
      char const* const begin = value.data();
      char const* const end = begin + value.size();
      auto const [last, error] = std::from_chars(begin, end, options.runs);
      if (error != std::errc{} || last != end || options.runs == 0) return false;
    } else if (name == "--seconds") {
      char const* const begin = value.data();
      char const* const end = begin + value.size();
      auto const [last, error] = std::from_chars(begin, end, options.seconds);
      if (error != std::errc{} || last != end || options.seconds <= 0) return false;
    } else {
      return false;
    }
  }
  return true;
}

/// 77 is a test that was skipped, unless it was sent here to run.
int without_kvm(std::system_error const& error) {
  std::printf("requires kvm: %s\n", error.what());
  char const* const required = std::getenv("PORTICO_REQUIRE_KVM");
  bool const is_required =
      required != nullptr && *required != '\0' && std::string_view{required} != "0";
  return is_required ? 1 : 77;
}

int run(Options const& options) {
  Report report;
  std::optional<portico::kvm::System> system;
  try {
    system.emplace();
  } catch (std::system_error const& error) {
    return without_kvm(error);
  }
  Bench bench{options, *system, report};
  measure_exits(bench);
  measure_framework(bench);
  compare_with_qemu(bench);
  if (::isatty(STDERR_FILENO) != 0) std::fputs("\r\033[K", stderr);
  report.print(stdout);
  if (!options.json.empty()) report.write_json(options.json);
  return report.failed() ? 1 : 0;
}

}  // namespace
}  // namespace exits

int main(int argc, char** argv) {
  exits::Options options;
  if (!exits::parse(argc, argv, options)) {
    std::fputs(exits::usage, stderr);
    return 2;
  }
  try {
    return exits::run(options);
  } catch (std::exception const& error) {
    std::fprintf(stderr, "exits: %s\n", error.what());
    return 1;
  }
}
