// The person at the terminal, and whoever else tells the program something while the guest runs.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>

#include <portico/base/fd.hpp>
#include <portico/devices/raw_terminal.hpp>

#include "../common/signals.hpp"
#include "escape_keys.hpp"

namespace boot_kernel {

/// What the program has to do.
enum class Event {
  over,
  quit,
  time_limit,
  power_button,
  send_break,
  hold_disks,
  let_disks_go,
  toggle_disks
};

/// Standard input, signals and the time limit. From a terminal, keys reach the guest through a pipe,
/// whose size is how far ahead of the guest escape keys are heard; another input reaches it directly.
/// One thread calls next(); finish() may come from any.
class Console {
 public:
  /// Made before the first thread is, so that none gets the signals.
  Console();
  Console(Console const&) = delete;
  Console& operator=(Console const&) = delete;
  ~Console();

  /// Where the guest's input comes from.
  [[nodiscard]] int guest_input() const;

  /// The terminal becomes raw, and the time limit begins; `timeout` in seconds, 0: none.
  void start(double timeout);

  /// Waits for the next event; `over` once finish() was called.
  Event next();

  void finish();

  /// The terminal as it was. When nobody is in next() any more.
  void restore();

 private:
  void wait();
  void take_keys();
  void obey(Wish wish);
  void obey_signal(int number);
  void pass_on();
  void send_break();
  void suspend();
  void resume();
  void type_window_size();

  examples::Signals signals_;
  portico::Fd over_;  // an eventfd
  portico::Fd keys_;  // the pipe's ends, if standard input is a terminal
  portico::Fd to_guest_;
  std::optional<portico::RawTerminal> raw_;
  EscapeKeys escape_keys_;
  std::string unsent_;  // what the pipe had no room for
  std::string held_;    // what came behind a break that waits
  bool break_waits_ = false;
  std::deque<Event> events_;
  std::optional<std::chrono::steady_clock::time_point> deadline_;
};

}  // namespace boot_kernel
