#include "options.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace exit_cost {
namespace {

constexpr char const* kUsage =
    R"(usage: exit_cost [OPTION...] PROGRAM [ARGUMENT...]

Counts, by single-stepping, the user-space instructions and the system calls between the return of
one KVM_RUN and the start of the next, in any program that runs a KVM guest.

  --skip N        exits of a thread that pass at full speed before counting (default 100)
  --count N       exits to count (default 200)
  --only TEXT     count only exits whose name contains TEXT, for instance "out 0xe9"
  --thread WHICH  first (default), all, or N: the thread that was the Nth, from 0, to call KVM_RUN
  --timeout S     give up after S seconds and report what was counted
  --path          also print the code addresses that one exit of median cost went through
  --let-finish    let the program run to its end afterwards (default: kill it)
  --json          machine-readable result, with every single count
)";

bool number(char const* text, std::uint64_t& value) {
  std::string_view const view = text;
  auto const [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  return error == std::errc{} && end == view.data() + view.size() && !view.empty();
}

std::nullopt_t refuse(char const* what, char const* which) {
  std::fprintf(stderr, "exit_cost: %s: %s\n%s", what, which, kUsage);
  return std::nullopt;
}

}  // namespace

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  int i = 1;
  for (; i < argc; ++i) {
    std::string_view const name = argv[i];
    if (!name.starts_with('-') || name == "--") break;
    if (name == "--help" || name == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (name == "--json") {
      options.json = true;
    } else if (name == "--path") {
      options.path = true;
    } else if (name == "--let-finish") {
      options.let_finish = true;
    } else {
      char const* const value = i + 1 < argc ? argv[i + 1] : nullptr;
      bool good = value != nullptr;
      if (name == "--skip") {
        good = good && number(value, options.skip);
      } else if (name == "--count") {
        good = good && number(value, options.count) && options.count > 0;
      } else if (name == "--timeout") {
        good = good && number(value, options.timeout);
      } else if (name == "--only") {
        if (good) options.only = value;
      } else if (name == "--thread") {
        std::uint64_t index = 0;
        options.thread.all = good && std::string_view{value} == "all";
        good = good &&
               (options.thread.all || std::string_view{value} == "first" || number(value, index));
        options.thread.index = index;
      } else {
        return refuse("unknown option", argv[i]);
      }
      if (!good) return refuse("this option needs a proper value", argv[i]);
      ++i;
    }
  }
  if (i < argc && std::string_view{argv[i]} == "--") ++i;
  options.program.assign(argv + i, argv + argc);
  if (options.program.empty()) return refuse("nothing to run", "PROGRAM is missing");
  return options;
}

}  // namespace exit_cost
