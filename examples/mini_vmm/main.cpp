// A 16-bit guest, and each of its exits explained: the smallest machine in another CPU mode.
// README.md beside this file says what guests can rely on.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <variant>

#include <portico/portico.hpp>

#include "../common/ending.hpp"
#include "options.hpp"

namespace mini_vmm {
namespace {

/// What the counter guest counts on.
struct Counter {
  void write(std::uint16_t value) { last = value; }

  std::uint16_t last = 0;
};

struct Board : portico::DeviceMap<portico::Port<0xFF, Counter>> {
  using DeviceMap::DeviceMap;
};

/// The layout that mini-vmm printed; `Trace` ends each text with a newline.
struct OldLayout {
  template <class>
  static std::string access(portico::Access const& access, portico::Claim const&) {
    // The monitor knows no memory-mapped devices.
    if (access.space == portico::Space::mmio) return panic(KVM_EXIT_MMIO);
    std::string text = "VMM enter guest...\n\nHandle PIO\nHardware decode:\n-- port: " +
                       std::to_string(access.address) + "\n-- direction: " +
                       (access.direction == portico::Direction::write ? "out" : "in") +
                       "\n-- data:";
    for (std::uint32_t element = 0; element < access.count; ++element) {
      std::uint32_t value = 0;
      std::memcpy(&value, access.data + std::size_t{element} * access.width, access.width);
      text += ' ' + std::to_string(value);
    }
    return text + "\n-- size: " + std::to_string(access.width) + "\nVMM simulate\n";
  }

  static std::string exit(portico::kvm::Exit const&, std::uint32_t reason) {
    if (reason == KVM_EXIT_SHUTDOWN) return std::string{entered} + portico::kvm::name(reason);
    return panic(reason);
  }

 private:
  static constexpr char const* entered = "VMM enter guest...\n";

  static std::string panic(std::uint32_t reason) {
    return std::string{entered} + "KVM PANIC: " + portico::kvm::name(reason);
  }
};

/// Lets the guest make so many exits a second, and so many in all.
class Pacer {
 public:
  Pacer(portico::Machine<Board>& machine, Options const& options)
      : machine_{machine}, rate_{options.rate}, count_{options.count} {}

  void access(portico::Access const& access, portico::Claim const&) {
    panicked_ = access.space == portico::Space::mmio;
    if (++exits_ == count_ || panicked_)
      machine_.stop();
    else if (rate_ > 0)
      std::this_thread::sleep_until(
          start_ + std::chrono::duration_cast<Clock::duration>(
                       std::chrono::duration<double>{static_cast<double>(exits_) / rate_}));
  }

  /// Whether the end was one that the user asked for.
  [[nodiscard]] bool counted() const { return count_ != 0 && exits_ == count_ && !panicked_; }

  /// Whether the last exit was one that the monitor does not know.
  [[nodiscard]] bool panicked() const { return panicked_; }

 private:
  using Clock = std::chrono::steady_clock;

  portico::Machine<Board>& machine_;
  double rate_;
  std::uint64_t count_;
  std::uint64_t exits_ = 0;
  bool panicked_ = false;
  Clock::time_point start_ = Clock::now();
};

/// From a loaded machine to the exit status.
int run_to_end(portico::Machine<Board>& machine, Options const& options) {
  std::puts("VM Starting...");
  portico::Trace<Board, OldLayout> trace{stdout};
  Pacer pacer{machine, options};
  portico::Stop stop = machine.run(trace, pacer);
  if (pacer.counted()) return 0;
  if (pacer.panicked()) stop = portico::Unhandled{KVM_EXIT_MMIO};
  std::fflush(stdout);
  std::fprintf(stderr, "mini_vmm: %s: %s\n", options.image.c_str(),
               examples::how_it_ended(machine, stop).c_str());
  return examples::failure;
}

int run(Options const& options) {
  // Each exit is seen when it happens, in a pipe too.
  if (options.rate > 0) std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  constexpr std::uint64_t load_address = 0x1'0000;
  portico::Machine<Board> machine{portico::GuestMemory{256 * portico::MiB}, Board{Counter{}}};
  machine.load(portico::FlatImage{options.image}, portico::RealMode{load_address},
               {.address = load_address});
  return examples::started([&] { return run_to_end(machine, options); });
}

}  // namespace
}  // namespace mini_vmm

int main(int argc, char** argv) {
  return examples::run_program("mini_vmm", mini_vmm::parse(argc, argv), mini_vmm::run);
}
