// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// A device of ours against QEMU's: random sequences of register accesses go to both, and each read
// and each interrupt line is compared. README.md beside this file says how to add a device.
//
//   struct Subject {
//     using Model = portico::test::BoardModel<Board>;
//     static portico::test::Setup setup();                    // QEMU's machine, how to begin
//     portico::test::Sequence generate(portico::test::Random& random);
//     portico::test::Explanation explain(portico::test::Sequence const&, std::size_t step,
//                                        Observed qemu, Observed ours);   // may be left out
//   };
//   TEST(Device, BehavesAsQemus) { portico::test::compare_with_qemu(Subject{}); }
//
// PORTICO_SEQUENCES says how many (500), PORTICO_SEED with which to begin (1). What differs is made
// as short as possible before it is printed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/run_control.hpp>

#include "qtest.hpp"

namespace portico::test {

/// One thing that happens to a device.
struct Step {
  enum class Kind : std::uint8_t { in, out, advance, line };

  Kind kind = Kind::in;
  std::uint8_t width = 1;   ///< of a port access: 1, 2 or 4
  std::uint16_t port = 0;   ///< or the number of an input line
  std::uint64_t value = 0;  ///< what is written; nanoseconds to advance; an input line's level
  bool tied = false;        ///< means nothing without the step before
};

using Sequence = std::vector<Step>;

inline Step in(std::uint16_t port, std::uint8_t width = 1) { return {Step::Kind::in, width, port}; }

inline Step out(std::uint16_t port, std::uint64_t value, std::uint8_t width = 1) {
  return {Step::Kind::out, width, port, value};
}

inline Step advance(std::uint64_t nanoseconds) { return {Step::Kind::advance, 0, 0, nanoseconds}; }

/// Drives input line `number` of the device that Setup::input names.
inline Step line(std::uint16_t number, bool level) {
  return {Step::Kind::line, 0, number, level ? 1U : 0U};
}

/// Appends steps that belong together: what is found is not made shorter by some of them alone.
inline void append_tied(Sequence& sequence, Sequence const& steps) {
  for (std::size_t index = 0; index < steps.size(); ++index) {
    sequence.push_back(steps[index]);
    sequence.back().tied = index > 0;
  }
}

/// What can be seen of a device after a step.
struct Observed {
  std::uint64_t value = 0;   ///< what was read
  std::uint32_t lines = 0;   ///< interrupt lines that are high
  std::uint32_t raised = 0;  ///< how often one went up during the step

  friend bool operator==(Observed const&, Observed const&) = default;
};

/// Something in which we differ from QEMU on purpose.
struct Difference {
  std::string_view name;
  std::string_view qemu;    ///< what QEMU does
  std::string_view source;  ///< the data sheet and its page, which say that we are right
};

/// Why a step differs: nothing, if it must not.
struct Explanation {
  Difference const* difference = nullptr;
  bool ends = false;  ///< the rest of the sequence cannot be compared
};

/// How a device is met in QEMU.
struct Setup {
  std::vector<std::string> arguments;                 ///< of QEMU: machine, devices
  std::string intercept = "irq_intercept_in ioapic";  ///< which lines are seen
  std::vector<std::string> begin{};                   ///< QEMU's commands, once
  std::string input{};                                ///< for `line`: "QOM-PATH NAME" of gpio-in
  Sequence prologue{};        ///< brings either device to one state, whatever it did before
  std::uint32_t lines = ~0U;  ///< the interrupt lines that are compared
  bool raised = false;        ///< also how often they went up
  std::vector<Difference const*> differences{};  ///< what `explain` may name
};

/// Numbers by lot, the same for the same seed.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_{seed} {}

  /// 0 to `end` - 1.
  std::uint64_t below(std::uint64_t end) { return engine_() % end; }

  std::uint8_t byte() { return static_cast<std::uint8_t>(engine_()); }

  bool chance(unsigned percent) { return below(100) < percent; }

  template <class Value, std::size_t Count>
  Value one_of(Value const (&values)[Count]) {
    return values[below(Count)];
  }

 private:
  std::mt19937_64 engine_;
};

/// A board of ours in which time and interrupt lines are the test's. A subject with input lines
/// derives from it and gives it `void line(std::uint16_t number, bool level)`.
template <class Board>
class BoardModel {
 public:
  /// One argument for each entry of the board, or none.
  template <class... Arguments>
  explicit BoardModel(std::uint64_t now, Arguments&&... arguments)
      : time_{TimeSource::manual(now)}, board_{std::forward<Arguments>(arguments)...} {
    for (std::size_t entry = 0; entry < Board::size; ++entry)
      lines_[entry] = IrqLine{wires_[entry]};
  }

  std::uint64_t in(std::uint16_t port, std::uint8_t width) {
    if (width == 1) return board_.template in<std::uint8_t>(port, *this);
    if (width == 2) return board_.template in<std::uint16_t>(port, *this);
    return board_.template in<std::uint32_t>(port, *this);
  }

  void out(std::uint16_t port, std::uint8_t width, std::uint64_t value) {
    if (width == 1) board_.out(port, static_cast<std::uint8_t>(value), *this);
    if (width == 2) board_.out(port, static_cast<std::uint16_t>(value), *this);
    if (width == 4) board_.out(port, static_cast<std::uint32_t>(value), *this);
  }

  /// Lets time pass; every deadline is met at its time. Returns the steps in which it passed.
  std::vector<std::uint64_t> advance(std::uint64_t nanoseconds) {
    std::vector<std::uint64_t> steps;
    std::uint64_t const end = time_.now() + nanoseconds;
    auto const move_to = [&](std::uint64_t time) {
      steps.push_back(time - time_.now());
      time_.set(time);
    };
    for (;;) {
      std::size_t first = 0;
      for (std::size_t entry = 1; entry < Board::size; ++entry)
        if (clocks_[entry].deadline() < clocks_[first].deadline()) first = entry;
      std::uint64_t const deadline = clocks_[first].deadline();
      if (deadline > end) break;
      if (deadline > time_.now()) move_to(deadline);
      if (clocks_[first].take_due(deadline)) board_.call_deadline(first, *this);
    }
    if (time_.now() < end || steps.empty()) move_to(end);
    return steps;
  }

  [[nodiscard]] std::uint32_t lines() const {
    std::uint32_t high = 0;
    for (std::size_t entry = 0; entry < Board::size; ++entry)
      if (auto const number = Board::irq_of(entry); number && wires_[entry].level())
        high |= 1U << *number;
    return high;
  }

  /// How often one of `these` lines went up so far.
  [[nodiscard]] std::uint32_t raised(std::uint32_t these) const {
    std::uint64_t sum = 0;
    for (std::size_t entry = 0; entry < Board::size; ++entry)
      if (auto const number = Board::irq_of(entry); number && (these >> *number & 1) != 0)
        sum += wires_[entry].raised();
    return static_cast<std::uint32_t>(sum);
  }

  [[nodiscard]] Board& board() noexcept { return board_; }

  /// What handlers ask for, as a machine gives it: each entry has a clock and a line of its own.
  template <class Wanted, std::size_t Entry>
  [[nodiscard]] Wanted& service() noexcept {
    if constexpr (std::is_same_v<Wanted, Clock>)
      return clocks_[Entry];
    else if constexpr (std::is_same_v<Wanted, IrqLine>)
      return lines_[Entry];
    else if constexpr (std::is_same_v<Wanted, RunControl>)
      return control_;
    else
      return Context<>{}.template service<Wanted, Entry>();
  }

 private:
  TimeSource time_;
  std::array<Clock, Board::size> clocks_ =
      [this]<std::size_t... Entry>(std::index_sequence<Entry...>) {
        return std::array<Clock, Board::size>{((void)Entry, Clock{time_})...};
      }(std::make_index_sequence<Board::size>{});
  std::array<IrqWire, Board::size> wires_;
  std::array<IrqLine, Board::size> lines_{};
  RunControl control_;
  Board board_;
};

namespace detail {

inline std::uint64_t number_from(char const* variable, std::uint64_t otherwise) {
  char const* const text = std::getenv(variable);
  return text != nullptr && *text != '\0' ? std::strtoull(text, nullptr, 0) : otherwise;
}

inline std::string hex(std::uint64_t value) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%" PRIx64, value);
  return text.data();
}

/// A step in QEMU's words.
inline std::string command_of(Step const& step, Setup const& setup) {
  char const letter = step.width == 1 ? 'b' : step.width == 2 ? 'w' : 'l';
  switch (step.kind) {
    case Step::Kind::in:
      return std::string{"in"} + letter + ' ' + hex(step.port);
    case Step::Kind::out:
      return std::string{"out"} + letter + ' ' + hex(step.port) + ' ' + hex(step.value);
    case Step::Kind::advance:
      return "clock_step " + std::to_string(step.value);
    case Step::Kind::line:
      return "set_irq_in " + setup.input + ' ' + std::to_string(step.port) + ' ' +
             std::to_string(step.value);
  }
  return {};
}

template <class Subject>
class Comparison {
 public:
  Comparison(Subject subject, std::string const& program)
      : subject_{std::move(subject)}, qemu_{program, setup_.arguments} {
    qemu_.count_raised(setup_.lines);
    if (!setup_.intercept.empty()) qemu_.run({setup_.intercept});
    qemu_.run(setup_.begin);
  }

  /// Stops at the first sequence that differs.
  void run(std::uint64_t seed, std::uint64_t count) {
    constexpr std::uint64_t batch = 64;
    for (std::uint64_t begin = 0; begin < count; begin += batch) {
      std::vector<Sequence> sequences;
      for (std::uint64_t index = begin; index < count && index < begin + batch; ++index) {
        Random random{seed + index};
        sequences.push_back(subject_.generate(random));
      }
      std::vector<Run> const runs = carry_out(sequences);
      for (std::size_t index = 0; index < sequences.size(); ++index)
        if (differs(sequences[index], runs[index])) {
          report(seed + begin + index, sequences[index]);
          return;
        }
    }
    tell(count);
  }

 private:
  using Model = typename Subject::Model;

  /// What both show, step by step.
  struct Run {
    std::vector<Observed> qemu;
    std::vector<Observed> ours;
  };

  /// Ours goes first, as it knows the deadlines at which time must stop on its way.
  std::vector<Run> carry_out(std::vector<Sequence> const& sequences) {
    std::vector<Run> runs(sequences.size());
    std::vector<std::string> commands;
    std::vector<Observed*> seen;  // where a command's reply belongs, or nowhere
    std::uint64_t now = qemu_.now();
    for (std::size_t index = 0; index < sequences.size(); ++index) {
      Run& run = runs[index];
      run.qemu.resize(sequences[index].size());
      run.ours.resize(sequences[index].size());
      Model model{now};
      for (Step const& step : setup_.prologue) now += ours(model, step, nullptr, commands);
      seen.resize(commands.size(), nullptr);
      for (std::size_t step = 0; step < sequences[index].size(); ++step) {
        now += ours(model, sequences[index][step], &run.ours[step], commands);
        seen.resize(commands.size(), &run.qemu[step]);
      }
    }
    std::vector<Reply> const replies = qemu_.run(commands);
    for (std::size_t index = 0; index < replies.size(); ++index) {
      if (seen[index] == nullptr) continue;
      if (commands[index].starts_with("in")) seen[index]->value = replies[index].value;
      seen[index]->lines = replies[index].lines & setup_.lines;
      if (setup_.raised) seen[index]->raised += replies[index].raised;
    }
    return runs;
  }

  /// One step with ours, and the commands for QEMU. Returns the nanoseconds that have passed.
  std::uint64_t ours(Model& model, Step const& step, Observed* seen,
                     std::vector<std::string>& commands) {
    std::uint32_t const before = model.raised(setup_.lines);
    std::uint64_t value = 0;
    if (step.kind == Step::Kind::advance) {
      for (std::uint64_t const part : model.advance(step.value))
        commands.push_back("clock_step " + std::to_string(part));
    } else {
      commands.push_back(command_of(step, setup_));
      if (step.kind == Step::Kind::in) value = model.in(step.port, step.width);
      if (step.kind == Step::Kind::out) model.out(step.port, step.width, step.value);
      if constexpr (requires { model.line(step.port, true); })
        if (step.kind == Step::Kind::line) model.line(step.port, step.value != 0);
    }
    if (seen != nullptr)
      *seen = {value, model.lines() & setup_.lines,
               setup_.raised ? model.raised(setup_.lines) - before : 0};
    return step.kind == Step::Kind::advance ? step.value : 0;
  }

  /// The first step that differs without a reason; the number of steps if there is none.
  std::size_t first_difference(Sequence const& sequence, Run const& run) {
    for (std::size_t step = 0; step < sequence.size(); ++step) {
      Observed const& qemu = run.qemu[step];
      Observed const& ours = run.ours[step];
      if (qemu == ours) continue;
      Explanation why;
      if constexpr (requires { subject_.explain(sequence, step, qemu, ours); })
        why = subject_.explain(sequence, step, qemu, ours);
      if (why.difference == nullptr) return step;
      ++met_[index_of(why.difference)];
      if (why.ends) break;
    }
    return sequence.size();
  }

  bool differs(Sequence const& sequence, Run const& run) {
    return first_difference(sequence, run) != sequence.size();
  }

  bool differs(Sequence const& sequence) { return differs(sequence, carry_out({sequence})[0]); }

  /// Leaves out what can be left out, in halves, then smaller parts, until nothing can.
  Sequence shorten(Sequence const& sequence) {
    std::vector<Sequence> groups;
    for (Step const& step : sequence) {
      if (!step.tied || groups.empty()) groups.emplace_back();
      groups.back().push_back(step);
    }
    auto const joined = [&](std::size_t from, std::size_t to) {
      Sequence without;
      for (std::size_t index = 0; index < groups.size(); ++index)
        if (index < from || index >= to)
          without.insert(without.end(), groups[index].begin(), groups[index].end());
      return without;
    };
    for (std::size_t part = groups.size() / 2 + 1; part > 0;) {
      bool shorter = false;
      for (std::size_t start = 0; start < groups.size();) {
        std::size_t const end = std::min(start + part, groups.size());
        if (differs(joined(start, end))) {
          groups.erase(groups.begin() + static_cast<long>(start),
                       groups.begin() + static_cast<long>(end));
          shorter = true;
        } else {
          start = end;
        }
      }
      if (part == 1 && shorter) continue;
      part = part == 1 ? 0 : part / 2;
    }
    return joined(0, 0);
  }

  static std::string text_of(Observed const& seen, Step const& step) {
    std::string text = step.kind == Step::Kind::in ? hex(seen.value) : std::string{};
    if (seen.lines != 0) text += " lines " + hex(seen.lines);
    if (seen.raised != 0) text += " raised " + std::to_string(seen.raised);
    return text;
  }

  void report(std::uint64_t seed, Sequence const& found) {
    bool const again = differs(found);
    Sequence const sequence = again ? shorten(found) : found;
    Run const run = carry_out({sequence})[0];
    std::size_t const first = first_difference(sequence, run);
    std::string text = "PORTICO_SEED=" + std::to_string(seed) + ": " +
                       std::to_string(found.size()) + " steps, " +
                       (again ? "shortened to" : "which do not differ when repeated:") + '\n';
    for (std::size_t step = 0; step < sequence.size(); ++step) {
      std::string row = command_of(sequence[step], setup_);
      row.resize(row.size() < 28 ? 28 : row.size(), ' ');
      row += "QEMU " + text_of(run.qemu[step], sequence[step]);
      row.resize(row.size() < 60 ? 60 : row.size(), ' ');
      text += "  " + row + "ours " + text_of(run.ours[step], sequence[step]) +
              (step == first ? "   <-- differs\n" : "\n");
    }
    ADD_FAILURE() << text;
  }

  std::size_t index_of(Difference const* difference) const {
    for (std::size_t index = 0; index < setup_.differences.size(); ++index)
      if (setup_.differences[index] == difference) return index;
    throw std::logic_error{"a difference is not in Setup::differences"};
  }

  /// A difference that never shows is documented in vain.
  void tell(std::uint64_t count) {
    for (std::size_t index = 0; index < setup_.differences.size(); ++index) {
      Difference const& difference = *setup_.differences[index];
      std::cout << met_[index] << " times: " << difference.name << "\n    QEMU: " << difference.qemu
                << "\n    " << difference.source << '\n';
      if (count >= 10'000 && met_[index] == 0) ADD_FAILURE() << difference.name << ": never met";
    }
  }

  Subject subject_;
  Setup setup_ = Subject::setup();
  std::vector<std::uint64_t> met_ = std::vector<std::uint64_t>(setup_.differences.size());
  Qtest qemu_;
};

}  // namespace detail

/// Sends random sequences to both, and fails the test at the first that differs; skips it where
/// there is no QEMU.
template <class Subject>
void compare_with_qemu(Subject subject) {
  std::optional<std::string> const program = find_qemu();
  if (!program) GTEST_SKIP() << "no qemu-system-x86_64 (./dev lab prepare fetches one)";
  detail::Comparison<Subject> comparison{std::move(subject), *program};
  comparison.run(detail::number_from("PORTICO_SEED", 1),
                 detail::number_from("PORTICO_SEQUENCES", 500));
}

}  // namespace portico::test
