// One guest: its machine, and what is told about it at the end.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include <portico/devices/console_backend.hpp>
#include <portico/devices/debug_console.hpp>
#include <portico/devices/file_device.hpp>
#include <portico/devices/guest_files.hpp>
#include <portico/portico.hpp>

#include "../common/ending.hpp"
#include "../common/observers.hpp"
#include "options.hpp"

namespace mini_hypervisor {

using Console = portico::DebugConsole<portico::ConsoleBackend>;
using Files = portico::FileDevice<portico::GuestFiles>;

/// The machine that course guests expect: two devices.
struct Board : portico::DeviceMap<portico::Port<0xE9, Console, portico::Named<"console">>,
                                  portico::Port<0x278, Files, portico::Named<"files">>> {
  using DeviceMap::DeviceMap;
};

/// Why a guest was stopped from outside, if it was.
enum class Stopper { nobody, timeout, signal, no_thread };

/// A guest from its image to its report. Neither copied nor moved; `run` is for one thread, the
/// rest for the program's main one.
class Guest {
 public:
  Guest(portico::kvm::System const& system, unsigned id, portico::FlatImage const& image,
        Options const& options, portico::ConsoleBackend backend, portico::GuestFiles files)
      : label_{"guest " + std::to_string(id) + " (" + image.path() + "): "},
        machine_{system, portico::GuestMemory{options.memory},
                 [&] {
                   return Board{[&] { return Console{std::move(backend)}; },
                                Files{std::move(files)}};
                 }},
        observers_{options.watching, label_} {
    machine_.load(
        image, portico::LongMode{options.page},
        {.address = options.load_address, .entry = options.entry, .stack = options.stack});
  }

  /// Runs the guest to its end.
  void run() {
    try {
      stop_ = observers_.run(machine_);
    } catch (std::exception const& error) {
      failure_ = error.what();
    }
    // A slow reader gets everything, until somebody loses patience. The machine's own stop is over.
    machine_.get<Console>().flush({flushing_.token(), -1});
    ended_.store(true, std::memory_order_release);
  }

  /// Ends the guest, or its wait for a reader of its output, from another thread. The first reason counts.
  void stop(Stopper why) {
    if (ended() || stopper_ != Stopper::nobody) return;
    stopper_ = why;
    waited_for_input_ = machine_.get<Console>().waits_for_input();
    machine_.stop();
    flushing_.stop();
  }

  [[nodiscard]] bool ended() const { return ended_.load(std::memory_order_acquire); }

  /// Lets the console write out what is older than its time.
  void service() { machine_.service_deadlines(); }

  [[nodiscard]] bool halted() const {
    return failure_.empty() && std::holds_alternative<portico::Halted>(stop_);
  }

  /// One line on how it ended, if that was not `hlt`; with rip as far as it is known.
  [[nodiscard]] std::string report(double timeout) {
    if (!ended()) return label_ + "was not started";
    if (!failure_.empty()) return label_ + failure_;
    if (halted()) return {};
    if (!std::holds_alternative<portico::Requested>(stop_))
      return label_ + examples::how_it_ended(machine_, stop_);
    std::string text = label_;
    if (stopper_ == Stopper::timeout) {
      char seconds[32];
      std::snprintf(seconds, sizeof seconds, "%g", timeout);
      text += "stopped, did not end within " + std::string{seconds} + " s;";
    } else if (stopper_ == Stopper::no_thread) {
      text += "stopped, not every guest could be started;";
    } else {
      text += "stopped by a signal;";
    }
    text += waited_for_input_ ? " it was waiting for input" : " it was running";
    return text + examples::where(machine_, stop_);
  }

  /// Output that the host did not take, as a line; empty if there is none.
  [[nodiscard]] std::string loss() {
    std::string const text = examples::loss_text(machine_.get<Console>().lost());
    return text.empty() ? text : label_ + text;
  }

  /// The table of --stats.
  [[nodiscard]] std::string statistics_text() const { return observers_.statistics_text(); }

  [[nodiscard]] portico::GuestMemory const& memory() { return machine_.memory(); }

 private:
  std::string label_;
  // One thread serves the consoles of all guests.
  portico::Machine<Board, portico::DeadlinesByHand> machine_;
  examples::Observers<Board> observers_;
  portico::Stop stop_ = portico::Requested{};
  std::string failure_;
  portico::RunControl flushing_;
  std::atomic<bool> ended_{false};
  Stopper stopper_ = Stopper::nobody;
  bool waited_for_input_ = false;
};

}  // namespace mini_hypervisor
