// What the examples' command lines have in common: numbers, refusals, exit statuses.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace examples {

/// The exit status when the command line or a file is wrong; no guest was started then.
inline constexpr int bad_input = 2;

/// The exit status when a guest was started and something went wrong.
inline constexpr int failure = 1;

/// Either options, or the exit status that the program ends with now: help was printed, or the
/// command line is wrong and standard error says how.
template <class Options>
struct Parsed {
  std::optional<Options> options;
  int status = 0;
};

/// A wrong command line: what, and what would be right.
class WrongUse : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The number in `text`, decimal or with 0x, all of it.
inline std::optional<std::uint64_t> number(std::string const& text) {
  try {
    std::size_t used = 0;
    if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
    // Not the library's choice of a base: a leading zero does not mean octal here.
    bool const hexadecimal = text.size() > 1 && (text[1] == 'x' || text[1] == 'X');
    std::uint64_t const value = std::stoull(text, &used, hexadecimal ? 16 : 10);
    if (used == text.size()) return value;
  } catch (std::exception const&) {
    return std::nullopt;
  }
  return std::nullopt;
}

/// The same, possibly with K, M or G behind it, for 2^10, 2^20, 2^30.
inline std::optional<std::uint64_t> size_in_bytes(std::string text) {
  unsigned shift = 0;
  if (!text.empty()) {
    if (text.back() == 'K') shift = 10;
    if (text.back() == 'M') shift = 20;
    if (text.back() == 'G') shift = 30;
  }
  if (shift != 0) text.pop_back();
  auto const count = number(text);
  if (!count || *count > UINT64_MAX >> shift) return std::nullopt;
  return *count << shift;
}

/// The number in `text`, from 0 to a million, possibly with a fraction, all of it.
inline std::optional<double> decimal(std::string const& text) {
  try {
    std::size_t used = 0;
    double const value = std::stod(text, &used);
    if (used == text.size() && value >= 0 && value <= 1e6) return value;
  } catch (std::exception const&) {
    return std::nullopt;
  }
  return std::nullopt;
}

/// An option whose value was forgotten, where CLI11 would take the next option for it.
inline std::optional<std::string> option_without_value(CLI::App const& app, int argc, char** argv) {
  for (int index = 1; index < argc; ++index) {
    if (argv[index][0] != '-') continue;
    CLI::Option const* const option = app.get_option_no_throw(argv[index]);
    if (option == nullptr || option->get_items_expected_min() == 0) continue;
    if (index + 1 == argc || argv[index + 1][0] == '-')
      return std::string{argv[index]} + " has no value";
  }
  return std::nullopt;
}

/// Lets `app` read the command line, and `checked` turn what it read into options; that may throw
/// WrongUse. `usage` is one line.
template <class Options, class Checked>
Parsed<Options> parse(CLI::App& app, int argc, char** argv, char const* usage, Checked checked) {
  std::string wrong;
  try {
    if (auto const forgotten = option_without_value(app, argc, argv)) throw WrongUse{*forgotten};
    app.parse(argc, argv);
    return {checked(), 0};
  } catch (CLI::CallForHelp const& help) {
    return {std::nullopt, app.exit(help)};
  } catch (CLI::ParseError const& error) {
    wrong = error.what();
  } catch (WrongUse const& error) {
    wrong = error.what();
  }
  std::fprintf(stderr, "%s: %s\nusage: %s\n", app.get_name().c_str(), wrong.c_str(), usage);
  return {std::nullopt, bad_input};
}

/// The value of --timeout, in seconds. Throws WrongUse.
inline double time_limit(std::string const& text) {
  auto const value = decimal(text);
  if (!value || *value == 0)
    throw WrongUse{"--timeout " + text + ": seconds are expected, more than 0 and at most 1000000"};
  return *value;
}

/// What went wrong once a machine was loaded: no fault of what the program was given.
class RunFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The part of a program from a machine's start on: what `run` throws becomes RunFailed.
template <class Run>
int started(Run run) {
  try {
    return run();
  } catch (std::exception const& error) {
    throw RunFailed{error.what()};
  }
}

/// Runs the program that the command line asks for, if it is right; the exit status. What `run`
/// throws is told in one line: a failure once a guest was `started`, or else bad input.
template <class Options, class Run>
int run_program(char const* name, Parsed<Options> const& parsed, Run run) {
  if (!parsed.options) return parsed.status;
  // Nothing of ours may get the number of a standard stream that was closed: input is at its end
  // then, and output fails.
  for (int const stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) < 0) (void)::open("/dev/null", O_RDONLY);
  // A reader that has gone and a full file are errors where they happen, not the program's end.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  try {
    return run(*parsed.options);
  } catch (RunFailed const& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return failure;
  } catch (std::exception const& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return bad_input;
  }
}

}  // namespace examples
