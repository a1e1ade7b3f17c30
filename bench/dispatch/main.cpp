// dispatch [Google Benchmark's options]        time, every contender at every size
// dispatch --count PATTERN [ACCESSES]          one pass each, no more: to be run under callgrind
#include <benchmark/benchmark.h>

#include <atomic>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

#include "measure.hpp"
#include "sizes.hpp"

namespace dispatch {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

char const* name_of(Pattern pattern) {
  switch (pattern) {
    case Pattern::same:
      return "same";
    case Pattern::random:
      return "random";
    case Pattern::miss:
      return "miss";
  }
  return "";
}

namespace {

/// A second thread that sleeps. Locks are there because there are threads; while a process has only
/// one, glibc's mutex and libstdc++'s count of references go without atomic instructions, and the
/// locked map would cost less here than where it is needed.
class OtherThread {
 public:
  OtherThread() = default;
  OtherThread(OtherThread const&) = delete;
  OtherThread& operator=(OtherThread const&) = delete;

  ~OtherThread() {
    over_.store(true);
    over_.notify_one();
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::thread thread_{[this] { over_.wait(false); }};
};

}  // namespace

}  // namespace dispatch

int main(int argc, char** argv) {
  dispatch::OtherThread const other;
  dispatch::add_all_sizes();
  if (argc > 2 && std::string_view{argv[1]} == "--count") {
    std::size_t accesses = 4096;
    std::string_view const number = argc > 3 ? argv[3] : "4096";
    std::from_chars(number.data(), number.data() + number.size(), accesses);
    for (auto const pattern :
         {dispatch::Pattern::same, dispatch::Pattern::random, dispatch::Pattern::miss}) {
      if (dispatch::name_of(pattern) != std::string_view{argv[2]}) continue;
      for (dispatch::Case const& one : dispatch::cases()) one.count(pattern, accesses);
      return 0;
    }
    std::fputs("dispatch: --count takes same, random or miss\n", stderr);
    return 2;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
