// From a loaded machine with a serial port and a disk to an exit status.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include <portico/devices/output_sink.hpp>
#include <portico/machine.hpp>

#include "command_line.hpp"
#include "disk.hpp"
#include "ending.hpp"
#include "observers.hpp"

namespace examples {

/// Makes the disk if that was asked for, and runs if that was.
template <class Run>
int with_disk(DiskChoice const& choice, Run run) {
  if (choice.create) portico::create_disk(choice.disk, *choice.create);
  return choice.runs ? run() : 0;
}

/// The part of run_to_end() that may throw anything.
template <class Board, class Ended>
int run_started(portico::Machine<Board>& machine, char const* program, DiskChoice const& choice,
                Watching const& watching, portico::OutputSink& output, Ended ended) {
  auto const complain = [&](std::string const& what) {
    std::fprintf(stderr, "%s: %s\n", program, what.c_str());
    return failure;
  };
  if (watching.map) std::fputs(map_text<Board>(machine.memory()).c_str(), stderr);
  Observers<Board> observers{watching, choice.image + ": "};
  portico::Stop const stop = observers.run(machine);

  if (output.terminal()) output.end_line();
  std::fputs(observers.statistics_text().c_str(), stderr);
  int status = 0;
  if (std::string const loss = loss_text(machine.template get<"serial">().lost()); !loss.empty())
    status = complain(loss);
  if (std::uint64_t const failures = machine.template get<"disk">().sectors().host_failures();
      failures > 0)
    status = complain("disk " + choice.disk + ": " + std::to_string(failures) +
                      " commands failed because the host did");
  std::optional<int> const good = ended(stop);
  if (!good) return complain(choice.image + ": " + how_it_ended(machine, stop));
  return status != 0 ? status : *good;
}

/// Runs a machine whose board has entries "serial" and "disk", and tells what went wrong. `ended`
/// gives the exit status for a Stop that is a good end. Throws RunFailed.
template <class Board, class Ended>
int run_to_end(portico::Machine<Board>& machine, char const* program, DiskChoice const& choice,
               Watching const& watching, portico::OutputSink& output, Ended ended) {
  return started([&] { return run_started(machine, program, choice, watching, output, ended); });
}

}  // namespace examples
