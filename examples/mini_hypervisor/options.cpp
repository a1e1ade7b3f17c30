#include "options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include <portico/base/bytes.hpp>

namespace mini_hypervisor {

namespace {

constexpr char const* usage =
    "usage: mini_hypervisor -m 2|4|8 -p 4|2 -g IMAGE... [-f FILE...] [options]; --help lists "
    "them\n";

/// An error of the command line: what, and what would be right.
Parsed refuse(std::string const& what) {
  std::fprintf(stderr, "mini_hypervisor: %s\n%s", what.c_str(), usage);
  return {std::nullopt, 2};
}

/// The number in `text`, decimal or with 0x, all of it.
std::optional<std::uint64_t> number(std::string const& text) {
  try {
    std::size_t used = 0;
    if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
    std::uint64_t const value = std::stoull(text, &used, 0);
    if (used == text.size()) return value;
  } catch (std::exception const&) {
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<double> seconds(std::string const& text) {
  try {
    std::size_t used = 0;
    double const value = std::stod(text, &used);
    if (used == text.size() && value > 0 && value <= 1e6) return value;
  } catch (std::exception const&) {
    return std::nullopt;
  }
  return std::nullopt;
}

/// Values as they were typed, if they were; `checked` turns them into options.
struct Raw {
  std::string memory, page, console;
  std::optional<std::string> load_address, entry, stack, timeout, input;
};

/// An option whose value was forgotten, where CLI11 would take the next option for it.
std::optional<std::string> option_without_value(int argc, char** argv) {
  static constexpr std::array<std::string_view, 16> with_value{
      "-m",        "--memory",  "-p",      "--page",         "-g",      "--guest", "-f", "--file",
      "--console", "--timeout", "--input", "--load-address", "--entry", "--stack"};
  for (int index = 1; index < argc; ++index) {
    std::string_view const option = argv[index];
    bool const takes_one = !option.empty() && std::find(with_value.begin(), with_value.end(),
                                                        option) != with_value.end();
    if (takes_one && (index + 1 == argc || argv[index + 1][0] == '-'))
      return std::string{option} + " has no value";
  }
  return std::nullopt;
}

/// Takes an address over if it was given; false if it is no number.
bool address(std::optional<std::string> const& text, std::optional<std::uint64_t>& into) {
  if (!text) return true;
  into = number(*text);
  return into.has_value();
}

Parsed checked(Raw const& raw, Options options) {
  if (raw.memory != "2" && raw.memory != "4" && raw.memory != "8")
    return refuse("--memory " + raw.memory + ": the size is 2, 4 or 8 (MiB)");
  options.memory = *number(raw.memory) * portico::MiB;
  if (raw.page != "4" && raw.page != "2")
    return refuse("--page " + raw.page + ": the page is 4 (KiB) or 2 (MiB)");
  options.page = raw.page == "4" ? portico::PageSize::k4KiB : portico::PageSize::k2MiB;

  std::optional<std::uint64_t> load_address = 0;
  if (!address(raw.load_address, load_address) || *load_address >= options.memory)
    return refuse("--load-address " + *raw.load_address +
                  ": an address below the memory's size is expected");
  options.load_address = *load_address;
  if (!address(raw.entry, options.entry) || options.entry.value_or(0) >= options.memory)
    return refuse("--entry " + *raw.entry + ": an address below the memory's size is expected");
  if (!address(raw.stack, options.stack) || options.stack.value_or(16) > options.memory ||
      options.stack.value_or(16) == 0)
    return refuse("--stack " + *raw.stack + ": an address from 1 to the memory's size is expected");

  if (raw.console == "pty") {
    options.console = ConsoleKind::pty;
  } else if (raw.console.rfind("file:", 0) == 0 && raw.console.size() > 5) {
    options.console = ConsoleKind::file;
    options.console_path = raw.console.substr(5);
  } else if (raw.console != "stdio") {
    return refuse("--console " + raw.console + ": stdio, pty or file:PATH is expected");
  }
  if (raw.timeout) {
    auto const value = seconds(*raw.timeout);
    if (!value)
      return refuse("--timeout " + *raw.timeout +
                    ": seconds are expected, more than 0 and at most 1000000");
    options.timeout = *value;
  }
  if (raw.input) {
    auto const value = number(*raw.input);
    if (!value || *value >= options.images.size())
      return refuse("--input " + *raw.input + ": a guest's number is expected, from 0 to " +
                    std::to_string(options.images.size() - 1));
    options.input = static_cast<unsigned>(*value);
  }
  return {std::move(options), 0};
}

}  // namespace

Parsed parse(int argc, char** argv) {
  Options options;
  Raw raw;
  raw.console = "stdio";
  CLI::App app{
      "Runs course guests for KVM: flat images in long mode, a console at port 0xE9, files at port "
      "0x278."};
  app.name("mini_hypervisor");
  auto* const memory =
      app.add_option("-m,--memory", raw.memory, "memory of each guest in MiB: 2, 4 or 8")
          ->type_name("2|4|8");
  auto* const page =
      app.add_option("-p,--page", raw.page, "page size: 4 (KiB) or 2 (MiB)")->type_name("4|2");
  auto* const guest =
      app.add_option("-g,--guest", options.images, "flat images, one guest for each")
          ->type_name("IMAGE...");
  app.add_option("-f,--file", options.files, "files that all guests may read")
      ->type_name("FILE...");
  app.add_flag("--trace", options.trace, "print each exit, decoded, to standard error");
  app.add_flag("--stats", options.stats, "print what each guest did to standard error at its end");
  app.add_flag("--map", options.map, "print the device map to standard error first");
  app.add_option("--console", raw.console, "stdio (default), pty, or file:PATH")->type_name("KIND");
  app.add_flag("--prefix", options.prefix, "label each line of output with its guest");
  app.add_option("--timeout", raw.timeout, "stop a guest that has not ended by then")
      ->type_name("SECONDS");
  app.add_option("--input", raw.input, "give standard input to guest N alone")->type_name("N");
  app.add_flag("--raw", options.raw, "raw terminal: keys reach the guest as they are struck");
  app.add_option("--load-address", raw.load_address, "where the image goes (default 0)")
      ->type_name("ADDRESS");
  app.add_option("--entry", raw.entry, "first instruction (default: the image's first byte)")
      ->type_name("ADDRESS");
  app.add_option("--stack", raw.stack, "initial stack pointer (default: the end of memory)")
      ->type_name("ADDRESS");
  if (auto const forgotten = option_without_value(argc, argv)) return refuse(*forgotten);
  try {
    app.parse(argc, argv);
  } catch (CLI::CallForHelp const& help) {
    return {std::nullopt, app.exit(help)};
  } catch (CLI::ParseError const& error) {
    return refuse(error.what());
  }
  if (memory->count() == 0)
    return refuse("--memory is missing: give the guests' memory, 2, 4 or 8 (MiB)");
  if (page->count() == 0)
    return refuse("--page is missing: give the page size, 4 (KiB) or 2 (MiB)");
  if (guest->count() == 0) return refuse("--guest is missing: give at least one image");
  return checked(raw, std::move(options));
}

}  // namespace mini_hypervisor
