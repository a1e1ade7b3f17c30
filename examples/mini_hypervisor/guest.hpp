// One guest: its machine, and what is told about it at the end.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <portico/devices/console_backend.hpp>
#include <portico/devices/debug_console.hpp>
#include <portico/devices/file_device.hpp>
#include <portico/devices/guest_files.hpp>
#include <portico/portico.hpp>

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
enum class Stopper { nobody, timeout, signal };

/// A guest from its image to its report. Neither copied nor moved; `run` is for one thread, the rest for the program's main one.
class Guest {
 public:
  Guest(portico::kvm::System const& system, unsigned id, portico::FlatImage const& image,
        Options const& options, portico::ConsoleBackend backend, portico::GuestFiles files)
      : label_{"guest " + std::to_string(id) + " (" + image.path() + "): "},
        machine_{system, portico::GuestMemory{options.memory}, [&] {
                   return Board{[&] { return Console{std::move(backend)}; },
                                Files{std::move(files)}};
                 }} {
    machine_.load(
        image, portico::LongMode{options.page},
        {.address = options.load_address, .entry = options.entry, .stack = options.stack});
    if (options.trace) trace_.emplace(stderr, label_);
    if (options.stats) statistics_ = std::make_unique<portico::Statistics<Board>>();
  }

  /// Runs the guest to its end. With no observer asked for, the run loop holds nothing of them.
  void run() {
    try {
      if (trace_ && statistics_)
        stop_ = machine_.run(*trace_, *statistics_);
      else if (trace_)
        stop_ = machine_.run(*trace_);
      else if (statistics_)
        stop_ = machine_.run(*statistics_);
      else
        stop_ = machine_.run();
    } catch (std::exception const& error) {
      failure_ = error.what();
    }
    machine_.get<Console>().flush();
    ended_.store(true, std::memory_order_release);
  }

  /// Ends the guest, from another thread. The first reason counts.
  void stop(Stopper why) {
    if (ended() || stopper_ != Stopper::nobody) return;
    stopper_ = why;
    waited_for_input_ = machine_.get<Console>().waits_for_input();
    machine_.stop();
  }

  [[nodiscard]] bool ended() const { return ended_.load(std::memory_order_acquire); }

  /// Lets the console write out what is older than its time.
  void service() { machine_.service_deadlines(); }

  [[nodiscard]] bool halted() const {
    return failure_.empty() && std::holds_alternative<portico::Halted>(stop_);
  }

  /// One line on how it ended, if that was not `hlt`; with rip as far as it is known.
  [[nodiscard]] std::string report(double timeout) {
    if (!failure_.empty()) return label_ + failure_;
    if (halted()) return {};
    std::string text = label_;
    if (!std::holds_alternative<portico::Requested>(stop_)) {
      text += portico::describe(stop_);
      if (!std::holds_alternative<portico::InternalError>(stop_)) text += where();
      return text;
    }
    if (stopper_ == Stopper::timeout) {
      char seconds[32];
      std::snprintf(seconds, sizeof seconds, "%g", timeout);
      text += "stopped, did not end within " + std::string{seconds} + " s;";
    } else {
      text += "stopped by a signal;";
    }
    text += waited_for_input_ ? " it was waiting for input" : " it was running";
    return text + where();
  }

  /// Output that the host did not take, as a line; empty if there is none.
  [[nodiscard]] std::string loss() {
    portico::OutputLoss const lost = machine_.get<Console>().lost();
    if (lost.bytes == 0) return {};
    return label_ + "console: " + std::to_string(lost.bytes) +
           " bytes of output were lost: " + std::generic_category().message(lost.error);
  }

  /// The table of --stats.
  [[nodiscard]] std::string statistics_text() const {
    return statistics_ ? label_ + "\n" + statistics_->text() : std::string{};
  }

  [[nodiscard]] portico::GuestMemory const& memory() { return machine_.memory(); }

 private:
  /// Where the guest was. After a triple fault AMD's module has reset the vCPU, and rip with it.
  [[nodiscard]] std::string where() {
    std::uint64_t const rip = machine_.vcpu().regs().rip;
    bool const reset = std::holds_alternative<portico::Shutdown>(stop_) && rip == 0xFFF0;
    return " at rip " + portico::detail::hex(rip) +
           (reset ? " (the processor's reset value: KVM has reset it)" : "");
  }

  std::string label_;
  portico::Machine<Board> machine_;
  std::optional<portico::Trace<Board>> trace_;
  std::unique_ptr<portico::Statistics<Board>> statistics_;
  portico::Stop stop_ = portico::Requested{};
  std::string failure_;
  std::atomic<bool> ended_{false};
  Stopper stopper_ = Stopper::nobody;
  bool waited_for_input_ = false;
};

}  // namespace mini_hypervisor
