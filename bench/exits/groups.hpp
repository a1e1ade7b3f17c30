// The three groups of figures; each adds its records to the report.
#pragma once

#include <cstdint>
#include <string>

#include <portico/kvm/system.hpp>

#include "report.hpp"

namespace exits {

struct Options {
  std::string folder;      ///< of the guest images
  std::string json;        ///< file to write; empty: none
  std::string only;        ///< part of "group: name, ring N"; empty: all
  double seconds = 3;      ///< for each figure of group exits; the other groups are in proportion
  std::uint64_t runs = 0;  ///< at most so many samples of each; 0: as many as the time allows
};

/// What a group needs.
class Bench {
 public:
  Bench(Options const& chosen, portico::kvm::System const& kvm, Report& records)
      : options{chosen}, system{kvm}, report{records} {}

  Options const& options;
  portico::kvm::System const& system;
  Report& report;

  /// Whether a figure was asked for; then says on standard error that it is under way.
  bool wants(std::string const& group, std::string const& name, int ring);

  [[nodiscard]] std::uint64_t most_samples() const {
    return options.runs == 0 ? 2'000'000 : options.runs;
  }

 private:
  int done_ = 0;
};

void measure_exits(Bench& bench);
void measure_framework(Bench& bench);
void compare_with_qemu(Bench& bench);

}  // namespace exits
