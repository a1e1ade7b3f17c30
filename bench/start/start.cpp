// start [--runs N] [--json] -- COMMAND A... -- COMMAND B...
//
// From exec to the first byte on the terminal, of two programs in alternating order: median of
// each, their ratio, and a 95 % bootstrap interval of the ratio. Each run gets a pseudo-terminal of
// its own as standard input and output, is read until it ends, and must end with status 0.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using Command = std::vector<char*>;

struct Options {
  std::size_t runs = 100;
  bool json = false;
  std::array<Command, 2> commands;
};

struct Run {
  double first_byte_us;  ///< from just before exec
  double end_us;         ///< until the terminal's other side was closed
  long peak_kib;         ///< resident, at most
};

double now_us() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

[[noreturn]] void fail(char const* call) {
  throw std::system_error(errno, std::generic_category(), call);
}

Run run_once(Command const& command, double* exec_time) {
  int const terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) fail("posix_openpt");
  std::array<char, 64> name{};
  if (ptsname_r(terminal, name.data(), name.size()) != 0) fail("ptsname_r");

  pid_t const child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    setsid();
    int const side = open(name.data(), O_RDWR);
    if (side < 0) _exit(126);
    dup2(side, STDIN_FILENO);
    dup2(side, STDOUT_FILENO);
    if (side > STDERR_FILENO) close(side);
    *exec_time = now_us();
    execvp(command[0], command.data());
    _exit(127);
  }
  Run run{};
  std::array<char, 4096> bytes{};
  bool first = true;
  for (;;) {
    pollfd wait{terminal, POLLIN, 0};
    if (poll(&wait, 1, 10'000) == 0) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
      close(terminal);
      throw std::runtime_error{std::string{command[0]} + " gave no output for 10 s"};
    }
    ssize_t const count = read(terminal, bytes.data(), bytes.size());
    if (count <= 0) break;  // EIO: the last one that had the terminal open is gone
    if (first) run.first_byte_us = now_us() - *exec_time;
    first = false;
  }
  run.end_us = now_us() - *exec_time;
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child) fail("wait4");
  close(terminal);
  run.peak_kib = usage.ru_maxrss;
  if (first || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw std::runtime_error{std::string{command[0]} + " ended with wait status " +
                             std::to_string(status) + (first ? " and without output" : "")};
  }
  return run;
}

double median(std::vector<double> values) {
  auto const middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

/// 95 % interval of median(a) / median(b): pairs drawn again with replacement, since neighbours in
/// time share what disturbs them.
std::array<double, 2> interval(std::vector<double> const& a, std::vector<double> const& b) {
  std::mt19937 generator{1};
  std::uniform_int_distribution<std::size_t> pick{0, a.size() - 1};
  std::vector<double> ratios;
  std::vector<double> of_a(a.size());
  std::vector<double> of_b(a.size());
  for (int round = 0; round < 2000; ++round) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      std::size_t const chosen = pick(generator);
      of_a[i] = a[chosen];
      of_b[i] = b[chosen];
    }
    ratios.push_back(median(of_a) / median(of_b));
  }
  return {quantile(ratios, 0.025), quantile(ratios, 0.975)};
}

bool parse(int argc, char** argv, Options& options) {
  int i = 1;
  for (; i < argc && std::string_view{argv[i]} != "--"; ++i) {
    std::string_view const name = argv[i];
    if (name == "--json") {
      options.json = true;
    } else if (name == "--runs" && i + 1 < argc) {
      std::string_view const value = argv[++i];
      if (std::from_chars(value.data(), value.data() + value.size(), options.runs).ec !=
              std::errc{} ||
          options.runs < 3) {
        return false;
      }
    } else {
      return false;
    }
  }
  std::size_t which = 0;
  for (++i; i < argc; ++i) {
    if (std::string_view{argv[i]} == "--" && which == 0) {
      which = 1;
    } else {
      options.commands[which].push_back(argv[i]);
    }
  }
  for (Command& command : options.commands) {
    if (command.empty()) return false;
    command.push_back(nullptr);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs("usage: start [--runs N] [--json] -- COMMAND A... -- COMMAND B...  (N at least 3)\n",
               stderr);
    return 2;
  }
  try {
    void* const shared =
        mmap(nullptr, sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) fail("mmap");
    std::array<std::vector<double>, 2> first_byte;
    std::array<std::vector<double>, 2> end;
    std::array<long, 2> peak{};
    for (std::size_t i = 0; i < options.runs + 2; ++i) {
      for (std::size_t step = 0; step < 2; ++step) {
        std::size_t const which = (step + i) % 2;  // A B, B A, A B: neither always comes second
        Run const run = run_once(options.commands[which], static_cast<double*>(shared));
        if (i < 2) continue;  // the files are read from the disk
        first_byte[which].push_back(run.first_byte_us);
        end[which].push_back(run.end_us);
        peak[which] = std::max(peak[which], run.peak_kib);
      }
    }
    double const ratio = median(first_byte[0]) / median(first_byte[1]);
    auto const [low, high] = interval(first_byte[0], first_byte[1]);
    if (options.json) {
      std::printf("{\"runs\": %zu, \"ratio\": %.4f, \"interval\": [%.4f, %.4f], \"commands\": [",
                  options.runs, ratio, low, high);
    } else {
      std::printf("exec to first byte on the terminal, microseconds, %zu runs each, alternating\n",
                  options.runs);
    }
    for (std::size_t which = 0; which < 2; ++which) {
      auto const& values = first_byte[which];
      std::printf(
          options.json
              ? "%s{\"median_us\": %.1f, \"p10_us\": %.1f, \"p90_us\": %.1f, "
                "\"end_median_us\": %.1f, \"peak_kib\": %ld}"
              : "%s median %.0f, p10 %.0f, p90 %.0f; to its end %.0f; resident at most %ld KiB\n",
          options.json ? (which == 0 ? "" : ", ") : options.commands[which][0], median(values),
          quantile(values, 0.1), quantile(values, 0.9), median(end[which]), peak[which]);
    }
    if (options.json) {
      std::puts("]}");
    } else {
      std::printf("ratio of the medians %.3f, 95 %% interval %.3f to %.3f\n", ratio, low, high);
    }
  } catch (std::exception const& error) {
    std::fprintf(stderr, "start: %s\n", error.what());
    return 1;
  }
  return 0;
}
