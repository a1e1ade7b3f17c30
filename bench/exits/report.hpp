// What was measured, as records: one JSON file, one table. README.md has the fields.
#pragma once

#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "samples.hpp"

namespace exits {

/// Nanoseconds of one operation.
struct Figure {
  std::string group;
  std::string name;
  std::optional<int> ring{};
  std::string variant{};  ///< none: empty
  Summary summary{};
  double exits_per_op = 1;
  double empty_loop_ns = 0;  ///< what was subtracted from every sample
  std::optional<double> bytes_per_second{};
  std::string note{};
};

/// What this KVM does not do.
struct Missing {
  std::string group;
  std::string name;
  std::optional<int> ring{};
  std::string missing{};  ///< the call that failed, and how
  int error = 0;          ///< its errno; 0: there is none
};

/// One variant against another, both measured in turns.
struct Ratio {
  std::string group;
  std::string name;
  std::optional<int> ring{};
  std::string variant{};
  std::string versus{};
  Interval ratio{};
  Interval difference_ns{};
  std::size_t samples = 0;  ///< pairs
  std::string claim{};
  std::string verdict{};  ///< holds, missed, undecided; empty without a claim
};

class Report {
 public:
  void add(Figure figure) { figures_.push_back(std::move(figure)); }
  void add(Missing missing) { missing_.push_back(std::move(missing)); }
  void add(Ratio ratio) { ratios_.push_back(std::move(ratio)); }

  /// A figure that cannot be trusted, since guest and host do not agree.
  void fail(std::string text) { failures_.push_back(std::move(text)); }

  [[nodiscard]] bool failed() const { return !failures_.empty(); }

  void print(std::FILE* to) const;

  /// Throws std::system_error if the file cannot be written.
  void write_json(std::string const& path) const;

 private:
  std::vector<Figure> figures_;
  std::vector<Missing> missing_;
  std::vector<Ratio> ratios_;
  std::vector<std::string> failures_;
};

/// The name of an errno value, such as EINVAL.
std::string errno_name(int error);

}  // namespace exits
