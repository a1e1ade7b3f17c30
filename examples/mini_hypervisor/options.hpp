// The command line of mini_hypervisor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <portico/x86/page_tables.hpp>

#include "../common/command_line.hpp"
#include "../common/observers.hpp"

namespace mini_hypervisor {

/// Where consoles stand.
enum class ConsoleKind { stdio, pty, file };

/// What the user asked for; checked as far as that needs no file.
struct Options {
  std::uint64_t memory = 0;  ///< bytes for each guest
  portico::PageSize page = portico::PageSize::k4KiB;
  std::vector<std::string> images;
  std::vector<std::string> files;

  std::uint64_t load_address = 0;
  std::optional<std::uint64_t> entry;
  std::optional<std::uint64_t> stack;

  examples::Watching watching;
  bool prefix = false;
  bool raw = false;
  ConsoleKind console = ConsoleKind::stdio;
  std::string console_path;       ///< for ConsoleKind::file
  double timeout = 0;             ///< seconds; 0: none
  std::optional<unsigned> input;  ///< the guest that alone gets standard input
};

examples::Parsed<Options> parse(int argc, char** argv);

}  // namespace mini_hypervisor
