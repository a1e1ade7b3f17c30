#include "options.hpp"

#include <CLI/CLI.hpp>

#include <portico/base/bytes.hpp>

namespace mini_hypervisor {

namespace {

using examples::number;
using examples::WrongUse;

constexpr char const* usage =
    "mini_hypervisor -m 2|4|8 -p 4|2 -g IMAGE... [-f FILE...] [options]; --help lists them";

/// Values as they were typed, if they were; `checked` turns them into options.
struct Raw {
  std::string memory, page, console;
  std::optional<std::string> load_address, entry, stack, timeout, input;
};

/// Takes an address over if it was given; false if it is no number.
bool address(std::optional<std::string> const& text, std::optional<std::uint64_t>& into) {
  if (!text) return true;
  into = number(*text);
  return into.has_value();
}

Options checked(Raw const& raw, Options options) {
  if (raw.memory != "2" && raw.memory != "4" && raw.memory != "8")
    throw WrongUse{"--memory " + raw.memory + ": the size is 2, 4 or 8 (MiB)"};
  options.memory = *number(raw.memory) * portico::MiB;
  if (raw.page != "4" && raw.page != "2")
    throw WrongUse{"--page " + raw.page + ": the page is 4 (KiB) or 2 (MiB)"};
  options.page = raw.page == "4" ? portico::PageSize::k4KiB : portico::PageSize::k2MiB;

  std::optional<std::uint64_t> load_address = 0;
  if (!address(raw.load_address, load_address) || *load_address >= options.memory)
    throw WrongUse{"--load-address " + *raw.load_address +
                   ": an address below the memory's size is expected"};
  options.load_address = *load_address;
  if (!address(raw.entry, options.entry) || options.entry.value_or(0) >= options.memory)
    throw WrongUse{"--entry " + *raw.entry + ": an address below the memory's size is expected"};
  if (!address(raw.stack, options.stack) || options.stack.value_or(16) > options.memory ||
      options.stack.value_or(16) == 0)
    throw WrongUse{"--stack " + *raw.stack +
                   ": an address from 1 to the memory's size is expected"};

  if (raw.console == "pty") {
    options.console = ConsoleKind::pty;
  } else if (raw.console.starts_with("file:") && raw.console.size() > 5) {
    options.console = ConsoleKind::file;
    options.console_path = raw.console.substr(5);
  } else if (raw.console != "stdio") {
    throw WrongUse{"--console " + raw.console + ": stdio, pty or file:PATH is expected"};
  }
  if (raw.timeout) options.timeout = examples::time_limit(*raw.timeout);
  if (raw.input) {
    auto const value = number(*raw.input);
    if (!value || *value >= options.images.size())
      throw WrongUse{"--input " + *raw.input + ": a guest's number is expected, from 0 to " +
                     std::to_string(options.images.size() - 1)};
    options.input = static_cast<unsigned>(*value);
  }
  return options;
}

}  // namespace

examples::Parsed<Options> parse(int argc, char** argv) {
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
  examples::add_options(app, options.watching);
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
  return examples::parse<Options>(app, argc, argv, usage, [&] {
    if (memory->count() == 0)
      throw WrongUse{"--memory is missing: give the guests' memory, 2, 4 or 8 (MiB)"};
    if (page->count() == 0)
      throw WrongUse{"--page is missing: give the page size, 4 (KiB) or 2 (MiB)"};
    if (guest->count() == 0) throw WrongUse{"--guest is missing: give at least one image"};
    return checked(raw, std::move(options));
  });
}

}  // namespace mini_hypervisor
