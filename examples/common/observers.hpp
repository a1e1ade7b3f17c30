// --trace, --stats and --map: what the user wants to see of a run.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <portico/machine/map_text.hpp>
#include <portico/machine/statistics.hpp>
#include <portico/machine/stop.hpp>
#include <portico/machine/trace.hpp>
#include <portico/memory/guest_memory.hpp>

namespace examples {

/// What was asked for.
struct Watching {
  bool trace = false;
  bool stats = false;
  bool map = false;
};

inline void add_options(CLI::App& app, Watching& watching) {
  app.add_flag("--trace", watching.trace, "print each exit, decoded, to standard error");
  app.add_flag("--stats", watching.stats, "print what each guest did to standard error at its end");
  app.add_flag("--map", watching.map, "print the device map to standard error first");
}

/// The text of --map.
template <class Board>
std::string map_text(portico::GuestMemory const& memory) {
  return portico::map_text<Board>() + portico::memory_text(memory);
}

/// Statistics of a machine with several vCPUs: they take turns.
template <class Board>
class SharedStatistics {
 public:
  void access(portico::Access const& access, portico::Claim const& claim) {
    std::lock_guard const lock{mutex_};
    statistics_.access(access, claim);
  }

  void exit(portico::kvm::Exit const& exit, std::uint32_t reason) {
    std::lock_guard const lock{mutex_};
    statistics_.exit(exit, reason);
  }

  /// When the run is over.
  [[nodiscard]] std::string text() const { return statistics_.text(); }

 private:
  std::mutex mutex_;
  portico::Statistics<Board> statistics_;
};

/// A run's observers, as far as they were asked for.
template <class Board, class Statistics = portico::Statistics<Board>>
class Observers {
 public:
  /// Each line of the trace begins with `label`, and so does the table.
  Observers(Watching const& watching, std::string label) : label_{std::move(label)} {
    if (watching.trace) trace_.emplace(stderr, label_);
    if (watching.stats) statistics_ = std::make_unique<Statistics>();
  }

  /// Runs the machine. With no observer asked for, the run loop holds nothing of them.
  template <class Machine>
  portico::Stop run(Machine& machine) {
    if (!trace_ && !statistics_) return machine.run();
    return machine.run(*this);
  }

  /// For the run loop: one access was carried out.
  void access(portico::Access const& access, portico::Claim const& claim) {
    if (trace_) trace_->access(access, claim);
    if (statistics_) statistics_->access(access, claim);
  }

  /// For the run loop: an exit that is no access.
  void exit(portico::kvm::Exit const& exit, std::uint32_t reason) {
    if (trace_) trace_->exit(exit, reason);
    if (statistics_) statistics_->exit(exit, reason);
  }

  /// The table of --stats; empty if nobody asked for it.
  [[nodiscard]] std::string statistics_text() const {
    return statistics_ ? label_ + "\n" + statistics_->text() : std::string{};
  }

 private:
  std::string label_;
  std::optional<portico::Trace<Board>> trace_;
  std::unique_ptr<Statistics> statistics_;
};

}  // namespace examples
