#include "options.hpp"

#include <CLI/CLI.hpp>

#include "../common/built_guest.hpp"

namespace mini_vmm {

namespace {

/// Exits a second; a pause of a quarter of an hour.
constexpr double slowest_rate = 0.001;

}  // namespace

examples::Parsed<Options> parse(int argc, char** argv) {
  Options options;
  std::optional<std::string> rate;
  std::optional<std::string> count;
  CLI::App app{"Runs a 16-bit guest at 0x10000 and prints each of its exits, decoded."};
  app.name("mini_vmm");
  auto* const image = app.add_option("--image", options.image,
                                     "flat image (default: the counter built with this program)")
                          ->type_name("FILE");
  app.add_option("--rate", rate, "exits a second (default 1); 0: as many as there are")
      ->type_name("N");
  app.add_option("--count", count, "end after so many exits")->type_name("N");
  return examples::parse<Options>(
      app, argc, argv, "mini_vmm [--image FILE] [--rate N] [--count N]", [&] {
        if (image->count() == 0) options.image = examples::built_guest("counter");
        if (rate) {
          auto const value = examples::decimal(*rate);
          // The clock cannot count the pauses of any rate: some are longer than centuries.
          if (!value || (*value > 0 && *value < slowest_rate))
            throw examples::WrongUse{"--rate " + *rate +
                                     ": exits a second are expected, from 0.001 to 1000000, or 0"};
          options.rate = *value;
        }
        if (count) {
          auto const value = examples::number(*count);
          if (!value || *value == 0)
            throw examples::WrongUse{"--count " + *count +
                                     ": a number of exits is expected, 1 or more"};
          options.count = *value;
        }
        return options;
      });
}

}  // namespace mini_vmm
