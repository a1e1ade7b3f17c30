// The guest of bench/guests/exits.S on a bare kvm::Vcpu: what to run goes in, exits come out.
#pragma once

#include <signal.h>
#include <time.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <portico/kvm/exit.hpp>
#include <portico/kvm/kick.hpp>
#include <portico/kvm/system.hpp>
#include <portico/memory/guest_memory.hpp>

namespace exits {

/// Nanoseconds of the host's monotonic clock.
inline std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// Guest and host do not agree on what was done: no figure may come of it.
struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// This KVM cannot do it.
struct Lacking : std::runtime_error {
  explicit Lacking(std::string const& what, int number = 0)
      : std::runtime_error{what}, error{number} {}

  int error;  ///< errno, or 0
};

/// The image and where its loops are.
class Image {
 public:
  explicit Image(std::string const& path);

  [[nodiscard]] std::vector<std::byte> const& bytes() const { return bytes_; }

  /// The address of a loop or table; an std::out_of_range if the image has none of that name.
  [[nodiscard]] std::uint64_t at(std::string const& name) const;

 private:
  std::vector<std::byte> bytes_;
  std::map<std::string, std::uint64_t> places_;
};

/// The words at CONTROL, shared with the guest.
struct Control {
  std::uint64_t entry, count, port, address, value, length;  // to the guest
  std::uint64_t sum, batches, woken;                         // from the guest

  static constexpr std::uint64_t place = 0x8000;
};

/// Where the guest of all benches here finds things.
inline constexpr std::uint64_t ram_size = 4 * portico::MiB;
inline constexpr std::uint64_t task_state = 0xC000;  ///< of ring 3, 8 KiB and a little
inline constexpr std::uint64_t window = 0xD000'0000;
inline constexpr std::uint64_t buffer = 0x10'0000;  ///< in RAM, up to its third MiB
inline constexpr std::uint16_t end_port = 0xF1;

/// Puts a vCPU that is in 64-bit mode into ring 3 and allows it all ports, by IOPL and by the I/O
/// map of a task state segment: PVM looks at the second whatever the first says.
void enter_ring3(portico::kvm::Vcpu& vcpu, portico::GuestMemory& ram);

/// What to run.
struct Order {
  std::string loop;
  std::uint64_t rounds = 1;
  std::uint64_t port = 0;
  std::uint64_t address = 0;
  std::uint64_t value = 0;
  std::uint64_t length = 0;
};

/// Gets a vCPU out of its guest when the time is over, once.
class TimeLimit {
 public:
  TimeLimit(portico::kvm::Kick& kick, double seconds);
  TimeLimit(TimeLimit const&) = delete;
  TimeLimit& operator=(TimeLimit const&) = delete;
  ~TimeLimit();

  [[nodiscard]] bool over() const { return over_.load(); }

 private:
  std::atomic<bool> over_{false};
  bool done_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;
};

/// Interrupt controllers of a rig.
enum class Controllers { none, kernel };

/// One VM with the image in RAM, a window of MMIO, and one vCPU that belongs to the thread that
/// made it. Between making and the first order, the VM can be given what a measurement needs.
class Rig {
 public:
  /// The guest is stopped when its first order takes longer than `first_seconds`, or all the
  /// others together longer than `seconds`.
  Rig(portico::kvm::System const& system, Image const& image, int ring, Controllers controllers,
      double first_seconds, double seconds);

  [[nodiscard]] portico::kvm::Vm& vm() { return vm_; }
  [[nodiscard]] portico::kvm::Vcpu& vcpu() { return vcpu_; }
  [[nodiscard]] portico::GuestMemory& ram() { return ram_; }
  [[nodiscard]] kvm_run& page() { return vcpu_.page(); }
  [[nodiscard]] Control volatile& control() { return *control_; }
  [[nodiscard]] portico::kvm::Kick& kick() { return kick_; }

  /// What the guest does at the next enter() after its start or an end.
  void order(Order const& order);

  /// Runs to the next exit. Throws Lacking where KVM gave up or the time is over, Mismatch where
  /// the guest went astray.
  void enter() {
    while (int const error = vcpu_.run()) fail_unless_interrupted(error);
    if (page().exit_reason != KVM_EXIT_IO && page().exit_reason != KVM_EXIT_MMIO) [[unlikely]]
      check();
  }

  /// Whether the last exit says that the order is carried out.
  [[nodiscard]] bool at_end() {
    return page().exit_reason == KVM_EXIT_IO && page().io.port == end_port;
  }

  /// After at_end(): throws Mismatch unless the guest has carried out one order more than before,
  /// and its sum is this.
  void verify(std::uint64_t sum);
  /// The same where the sum means nothing.
  void verify();

  /// Throws Mismatch with what the vCPU left with.
  [[noreturn]] void unexpected();

 private:
  void fail_unless_interrupted(int error);
  void check();

  Image const& image_;
  portico::GuestMemory ram_{ram_size};
  portico::kvm::Vm vm_;
  portico::kvm::Vcpu vcpu_;
  portico::kvm::Kick kick_{SIGRTMIN};
  portico::kvm::KickTarget target_{kick_, vcpu_.page()};
  std::optional<TimeLimit> limit_;
  double first_seconds_;
  double seconds_;
  int orders_ = 0;
  Control volatile* control_ = nullptr;
  std::uint64_t batches_ = 0;
};

}  // namespace exits
