// A machine whose devices a configuration file places: the same device models as in the other
// examples, on a map made at run time. README.md beside this file has the format.
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <portico/base/hex.hpp>
#include <portico/devices/debug_console.hpp>
#include <portico/devices/simple_disk.hpp>
#include <portico/devices/simple_serial.hpp>
#include <portico/portico.hpp>

#include "../common/command_line.hpp"
#include "../common/ending.hpp"
#include "config.hpp"

namespace from_config {
namespace {

using Console = portico::DebugConsole<portico::StandardStreams>;
using Serial = portico::SimpleSerial<>;
using Disk = portico::SimpleDisk<>;
using Board = portico::DynamicMap<Console, Serial, Disk>;

/// Places every device; what cannot stand together is refused with both parties' names.
Board make_board(Config const& config, portico::SharedInput& input, portico::OutputSink& output) {
  Board board;
  for (DeviceConfig const& device : config.devices) {
    switch (device.kind) {
      case DeviceKind::console:
        board.place<Console>(device.placement, portico::StandardStreams{input, output, 0});
        break;
      case DeviceKind::serial:
        board.place<Serial>(device.placement, portico::LabelledOutput{output, {}});
        break;
      case DeviceKind::disk:
        board.place<Disk>(device.placement, examples::open_disk(device.file, device.use));
        break;
    }
  }
  return board;
}

/// The pages that devices stand in, for the guest to reach them.
std::vector<portico::IdentityRange> windows(Board const& board) {
  constexpr std::uint64_t page = portico::GuestMemory::page_bytes;
  std::vector<portico::IdentityRange> pages;
  board.for_each_range([&](portico::Space space, std::uint64_t base, std::uint64_t size, auto) {
    if (space != portico::Space::mmio) return;
    std::uint64_t const start = base / page * page;
    // By pages of 2 MiB where they fit: there is room for few tables.
    pages.push_back({start, portico::align_up(base + size, page) - start, portico::PageSize::k2MiB,
                     portico::Caching::uncached});
  });
  std::sort(pages.begin(), pages.end(),
            [](auto const& left, auto const& right) { return left.address < right.address; });
  std::vector<portico::IdentityRange> merged;
  for (portico::IdentityRange const& range : pages) {
    if (merged.empty() || range.address > merged.back().end())
      merged.push_back(range);
    else
      merged.back().size = std::max(merged.back().end(), range.end()) - merged.back().address;
  }
  // Four levels of page tables, of which the guest gets the lower half, and room for a few windows.
  for (portico::IdentityRange const& window : merged)
    if (window.end() > (std::uint64_t{1} << 47) || window.size > portico::GiB)
      throw ConfigError{"the devices at " + portico::hex(window.address) +
                        " are too large or too high: they take " + std::to_string(window.size) +
                        " bytes, and can take 1 GiB below 128 TiB"};
  if (merged.size() > portico::LongMode::max_windows)
    throw ConfigError{"the devices in memory stand in " + std::to_string(merged.size()) +
                      " places far apart, and there can be " +
                      std::to_string(portico::LongMode::max_windows) + "; move them together"};
  return merged;
}

struct Options {
  std::string path;
};

/// From a loaded machine to the exit status.
int run_to_end(portico::Machine<Board>& machine, Config const& config,
               portico::OutputSink& output) {
  portico::Stop const stop = machine.run();
  for (portico::Placement const& placement : machine.board().placements())
    if (auto* const console = machine.board().find<Console>(placement.name)) console->flush();
  if (output.terminal()) output.end_line();
  if (std::holds_alternative<portico::Halted>(stop)) return 0;
  std::fprintf(stderr, "from_config: %s: %s\n", config.image.c_str(),
               examples::how_it_ended(machine, stop).c_str());
  return examples::failure;
}

int run(Options const& options) {
  Config const config = read_config(options.path);
  portico::SharedInput input{STDIN_FILENO};
  portico::OutputSink output{STDOUT_FILENO};
  // At a fixed place: a device that lies in it is a mistake, and RAM does not make room for it.
  portico::Machine<Board> machine{portico::GuestMemory{portico::RegionPlace{0, config.memory}},
                                  [&] { return make_board(config, input, output); }};
  machine.load(portico::FlatImage{config.image},
               portico::LongMode{config.page, windows(machine.board())}, config.start);
  return examples::started([&] { return run_to_end(machine, config, output); });
}

examples::Parsed<Options> parse(int argc, char** argv) {
  Options options;
  CLI::App app{"Runs the machine that a configuration file describes."};
  app.name("from_config");
  app.add_option("CONFIG", options.path, "a JSON file")->required();
  return examples::parse<Options>(app, argc, argv, "from_config CONFIG", [&] { return options; });
}

}  // namespace
}  // namespace from_config

int main(int argc, char** argv) {
  return examples::run_program("from_config", from_config::parse(argc, argv), from_config::run);
}
