// Group framework: the same exits through a loop by hand, through Machine, and through the buses of
// other monitors, in turns.
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/base/match.hpp>
#include <portico/device/device_map.hpp>
#include <portico/machine.hpp>
#include <portico/x86/long_mode.hpp>

#include "board.h"
#include "groups.hpp"
#include "locked.hpp"
#include "rig.hpp"

namespace exits {
namespace {

using portico::Named;

char const* const group = "framework";

// --- The devices, as Portico has them -------------------------------------------------------------

struct PortProbe {
  void write(std::uint8_t value) const { probe_note(probe, value); }
  std::uint8_t read() const { return static_cast<std::uint8_t>(probe_answer(probe, 0xFF)); }
  struct probe* probe;
};

struct AddressProbe {
  void write(std::uint32_t value) const { probe_note(probe, value); }
  std::uint32_t read() const { return probe_answer(probe, 0xFFFF'FFFF); }
  struct probe* probe;
};

struct End {
  void write(std::uint8_t, portico::RunControl& control) { control.exit(0); }
};

/// Each at another address is another type, as devices of a board are.
template <std::uint64_t Address>
struct Other {
  void write(std::uint8_t value) { sum += value; }
  std::uint8_t read() { return static_cast<std::uint8_t>(sum); }
  std::uint64_t sum = 0;
};

// NOLINTBEGIN(bugprone-macro-parentheses): template arguments, all of them numbers
#define PORTICO_BENCH_PORT(port) portico::Port<port, Other<port>>,
#define PORTICO_BENCH_ADDRESS(address) , portico::Mmio<address, Other<address>>
// NOLINTEND(bugprone-macro-parentheses)
using Board =
    portico::DeviceMap<OTHER_PORTS(PORTICO_BENCH_PORT) portico::Port<END_PORT, End>,
                       portico::Port<PROBE_PORT, PortProbe, Named<"port">>,
                       portico::Mmio<PROBE_ADDRESS, AddressProbe, Named<"address">> OTHER_ADDRESSES(
                           PORTICO_BENCH_ADDRESS)>;
#undef PORTICO_BENCH_PORT
#undef PORTICO_BENCH_ADDRESS

using Machine = portico::Machine<Board>;

// --- The same behind virtual calls ----------------------------------------------------------------

class BusProbe final : public BusDevice {
 public:
  explicit BusProbe(struct probe& probe) : probe_{probe} {}

  void read(std::uint64_t, std::span<std::byte> data) override {
    std::uint32_t const answer = probe_answer(&probe_, data.size() == 1 ? 0xFF : 0xFFFF'FFFF);
    std::memcpy(data.data(), &answer, data.size());
  }

  void write(std::uint64_t, std::span<std::byte const> data) override {
    std::uint32_t value = 0;
    std::memcpy(&value, data.data(), data.size());
    probe_note(&probe_, value);
  }

 private:
  struct probe& probe_;
};

class BusEnd final : public BusDevice {
 public:
  explicit BusEnd(bool& stop) : stop_{stop} {}

  void read(std::uint64_t, std::span<std::byte>) override {}
  void write(std::uint64_t, std::span<std::byte const>) override { stop_ = true; }

 private:
  bool& stop_;
};

class BusOther final : public BusDevice {
 public:
  void read(std::uint64_t, std::span<std::byte> data) override { data[0] = std::byte(sum_); }

  void write(std::uint64_t, std::span<std::byte const> data) override {
    sum_ += std::to_integer<std::uint64_t>(data[0]);
  }

 private:
  std::uint64_t sum_ = 0;
};

/// Both buses with the board's devices on them.
struct Buses {
  explicit Buses(struct probe& probe) {
#define PORTICO_BENCH_PORT(port) add(ports, port, 1, std::make_unique<BusOther>());
#define PORTICO_BENCH_ADDRESS(address) add(addresses, address, 1, std::make_unique<BusOther>());
    OTHER_PORTS(PORTICO_BENCH_PORT)
    OTHER_ADDRESSES(PORTICO_BENCH_ADDRESS)
#undef PORTICO_BENCH_PORT
#undef PORTICO_BENCH_ADDRESS
    add(ports, END_PORT, 1, std::make_unique<BusEnd>(stop));
    add(ports, PROBE_PORT, 1, std::make_unique<BusProbe>(probe));
    add(addresses, PROBE_ADDRESS, 4, std::make_unique<BusProbe>(probe));
  }

  int run(portico::kvm::Vcpu& vcpu) {
    stop = false;
    return run_on_buses(vcpu.fd().get(), &vcpu.page(), ports, addresses, stop);
  }

  Bus ports;
  Bus addresses;
  bool stop = false;

 private:
  void add(Bus& bus, std::uint64_t base, std::uint64_t size, std::unique_ptr<BusDevice> device) {
    auto owned = std::make_shared<LockedDevice>();
    owned->device = std::move(device);
    bus.add(base, size, owned);
    devices_.push_back(std::move(owned));
  }

  std::vector<std::shared_ptr<LockedDevice>> devices_;
};

// --- Taking turns ---------------------------------------------------------------------------------

/// `control` is the bare loop once more, on a VM of its own: what comes out between the two is what
/// this measurement cannot tell from nothing.
enum class Loop : std::size_t { bare, in_line, portico, baseline, control };
constexpr std::size_t loop_count = 5;
constexpr std::array<char const*, loop_count> loop_names{"bare", "bare, in line", "portico",
                                                         "baseline", "bare again"};

constexpr std::uint64_t block_exits = 65;  ///< of one turn; the times between them are one less
constexpr int rounds_per_generation = 4;   ///< turns of each loop before all VMs are made anew

constexpr std::size_t least_generations = 12;

/// Where the device's calls of one turn are noted.
struct Notes {
  std::array<std::uint64_t, block_exits> times{};
  struct probe probe{times.data(), 0, 0};
};

/// A machine and the loop that runs it. All have the same machine, so that nothing else differs.
class Contender {
 public:
  Contender(Bench const& bench, Image const& image, Loop loop, int ring)
      : loop_{loop}, machine_{bench.system, portico::GuestMemory{ram_size}, [this] {
                                return board(notes_.probe);
                              }} {
    machine_.load(Bytes{image},
                  portico::LongMode{portico::PageSize::k2MiB,
                                    {{window, portico::GuestMemory::page_bytes,
                                      portico::PageSize::k4KiB, portico::Caching::uncached}}},
                  portico::Start{.entry = image.at("start")});
    if (ring == 3) enter_ring3(machine_.vcpu(), machine_.memory());
    control_ = reinterpret_cast<Control volatile*>(
        machine_.memory().span(Control::place, sizeof(Control))->data());
    control_->count = block_exits;
  }

  /// One turn; the times between the device's calls, in nanoseconds.
  Samples turn(std::uint64_t entry, bool mmio, std::uint64_t value) {
    control_->entry = entry;
    control_->port = PROBE_PORT;
    control_->address = mmio ? PROBE_ADDRESS : buffer;
    control_->value = value;
    std::uint64_t const batches = control_->batches;
    notes_.probe.count = 0;
    notes_.probe.sum = 0;
    run();
    if (control_->batches != batches + 1 || notes_.probe.count != block_exits ||
        notes_.probe.sum != control_->sum) {
      throw Mismatch{"guest and host do not agree: sums " + std::to_string(control_->sum) +
                     " and " + std::to_string(notes_.probe.sum) + ", " +
                     std::to_string(notes_.probe.count) + " accesses of " +
                     std::to_string(block_exits)};
    }
    Samples samples;
    for (std::size_t i = 1; i < block_exits; ++i) {
      samples.push_back(static_cast<double>(notes_.times[i] - notes_.times[i - 1]));
    }
    return samples;
  }

 private:
  /// An image that is in memory already.
  struct Bytes {
    Image const& image;

    void load(portico::GuestMemory& memory, std::uint64_t address, std::uint64_t) const {
      if (!memory.copy_out(address, image.bytes())) throw Mismatch{"the image does not fit"};
    }
  };

  static Board board(struct probe& probe) {
#define PORTICO_BENCH_PORT(port) Other<port>{},
#define PORTICO_BENCH_ADDRESS(address) \
  , Other<address> {}
    return Board{OTHER_PORTS(PORTICO_BENCH_PORT) End{}, PortProbe{&probe},
                 AddressProbe{&probe} OTHER_ADDRESSES(PORTICO_BENCH_ADDRESS)};
#undef PORTICO_BENCH_PORT
#undef PORTICO_BENCH_ADDRESS
  }

  void run() {
    int result = 0;
    portico::kvm::Vcpu& vcpu = machine_.vcpu();
    switch (loop_) {
      case Loop::portico: {
        portico::Stop const stop = machine_.run();
        if (!std::holds_alternative<portico::GuestExit>(stop)) {
          throw Mismatch{"Machine::run: " + portico::describe(stop)};
        }
        return;
      }
      case Loop::bare:
      case Loop::control:
        result = bare_run(vcpu.fd().get(), &vcpu.page(), &notes_.probe, &others_);
        break;
      case Loop::in_line:
        result = bare_run_in_line(vcpu.fd().get(), &vcpu.page(), &notes_.probe, &others_);
        break;
      case Loop::baseline:
        result = buses_.run(vcpu);
        break;
    }
    if (result > 0) throw Lacking{"KVM_RUN", result};
    if (result < 0) {
      throw Mismatch{std::string{"the guest left with "} +
                     portico::kvm::name(static_cast<std::uint32_t>(-result))};
    }
  }

  Loop loop_;
  Notes notes_;
  Buses buses_{notes_.probe};
  std::uint64_t others_ = 0;
  Machine machine_;
  Control volatile* control_ = nullptr;
};

struct Access {
  char const* name;
  char const* loop;
  bool mmio;
  std::uint64_t value;
};

constexpr std::array accesses{Access{"out 1 byte", "out1", false, 0x5A},
                              Access{"in 1 byte", "in1", false, 0},
                              Access{"MMIO store 4 bytes", "store4", true, 0x5A5A'1234},
                              Access{"MMIO load 4 bytes", "load4", true, 0}};

/// What Portico has to hold against the bare loop: 1 % or 50 ns, whichever is larger.
void judge_framework(Ratio& ratio) {
  constexpr double most = 1.01;
  constexpr double most_ns = 50;
  ratio.claim = "within 1 % or 50 ns";
  if (ratio.ratio.high <= most || ratio.difference_ns.high <= most_ns) {
    ratio.verdict = "holds";
  } else if (ratio.ratio.low > most && ratio.difference_ns.low > most_ns) {
    ratio.verdict = "missed";
  } else {
    ratio.verdict = "undecided";
  }
}

void judge_baseline(Ratio& ratio) {
  ratio.claim = "costs more";
  ratio.verdict = "undecided";
  if (ratio.difference_ns.low > 0) ratio.verdict = "holds";
  if (ratio.difference_ns.high < 0) ratio.verdict = "missed";
}

/// The medians of the turns, generation by generation.
struct Turns {
  std::array<std::vector<Samples>, loop_count> medians;
  std::array<Samples, loop_count> all;

  void begin_generation() {
    for (auto& generations : medians) generations.emplace_back();
  }

  void add(std::size_t loop, Samples samples) {
    if (all[loop].size() < 2'000'000) {
      all[loop].insert(all[loop].end(), samples.begin(), samples.end());
    }
    medians[loop].back().push_back(median(samples));
  }

  /// Turn by turn, one loop's median with the other's of the same round.
  template <class Combine>
  [[nodiscard]] Interval compare(Loop loop, Loop versus, Combine combine) const {
    auto const& mine = medians[static_cast<std::size_t>(loop)];
    auto const& bare = medians[static_cast<std::size_t>(versus)];
    std::vector<Samples> groups(mine.size());
    for (std::size_t i = 0; i < mine.size(); ++i) {
      for (std::size_t j = 0; j < mine[i].size(); ++j) {
        groups[i].push_back(combine(mine[i][j], bare[i][j]));
      }
    }
    return median_of_groups(groups);
  }
};

void measure_access(Bench& bench, Image const& image, Access const& access, int ring) {
  std::mt19937 generator{1};
  std::array<std::size_t, loop_count> order{0, 1, 2, 3, 4};
  double const seconds = bench.options.seconds * 5;
  std::uint64_t const entry = image.at(access.loop);
  Turns turns;
  std::int64_t const start = now();
  do {
    turns.begin_generation();
    std::array<std::unique_ptr<Contender>, loop_count> contenders;
    std::shuffle(order.begin(), order.end(), generator);
    for (std::size_t const loop : order) {
      contenders[loop] = std::make_unique<Contender>(bench, image, static_cast<Loop>(loop), ring);
      contenders[loop]->turn(entry, access.mmio, access.value);
    }
    for (int round = 0; round < rounds_per_generation; ++round) {
      std::shuffle(order.begin(), order.end(), generator);
      for (std::size_t const loop : order) {
        turns.add(loop, contenders[loop]->turn(entry, access.mmio, access.value));
      }
    }
  } while (turns.all[0].size() < bench.most_samples() &&
           (turns.medians[0].size() < least_generations ||
            static_cast<double>(now() - start) < seconds * 1e9));

  std::size_t const pairs = turns.medians[0].size() * rounds_per_generation;
  for (std::size_t loop = 0; loop < loop_count; ++loop) {
    Figure figure{.group = group, .name = access.name, .ring = ring, .variant = loop_names[loop]};
    figure.summary = summarize(std::move(turns.all[loop]));
    figure.note = "from one call of the device to the next, with the guest's loop";
    bench.report.add(std::move(figure));
  }
  auto const compare = [&](Loop loop, Loop versus, void (*judge)(Ratio&)) {
    Ratio ratio{.group = group,
                .name = access.name,
                .ring = ring,
                .variant = loop_names[static_cast<std::size_t>(loop)],
                .versus = loop_names[static_cast<std::size_t>(versus)]};
    ratio.ratio = turns.compare(loop, versus, [](double a, double b) { return a / b; });
    ratio.difference_ns = turns.compare(loop, versus, [](double a, double b) { return a - b; });
    ratio.samples = pairs;
    judge(ratio);
    if (turns.medians[0].size() < enough_groups && !ratio.claim.empty())
      ratio.verdict = "undecided";
    bench.report.add(std::move(ratio));
  };
  compare(Loop::portico, Loop::bare, judge_framework);
  compare(Loop::portico, Loop::in_line, judge_framework);
  compare(Loop::baseline, Loop::bare, judge_baseline);
  compare(Loop::baseline, Loop::portico, judge_baseline);
  compare(Loop::control, Loop::bare, [](Ratio&) {});
}

}  // namespace

void measure_framework(Bench& bench) {
  Image const image{bench.options.folder + "/exits.img"};
  for (int const ring : {0, 3}) {
    for (Access const& access : accesses) {
      if (!bench.wants(group, access.name, ring)) continue;
      try {
        measure_access(bench, image, access, ring);
      } catch (Lacking const& lacking) {
        bench.report.add(Missing{group, access.name, ring, lacking.what(), lacking.error});
      } catch (Mismatch const& mismatch) {
        bench.report.fail(std::string{access.name} + ", ring " + std::to_string(ring) + ": " +
                          mismatch.what());
      }
    }
  }
}

}  // namespace exits
