// Group exits: what each way out of a guest costs here.
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/base/fd.hpp>

#include "groups.hpp"
#include "rig.hpp"

namespace exits {
namespace {

namespace kvm = portico::kvm;
using portico::Fd;

char const* const group = "exits";

/// What a value of 1 to 8 bytes keeps of a larger one.
std::uint64_t cut(std::uint64_t value, unsigned width) {
  return width >= 8 ? value : value & ((std::uint64_t{1} << 8 * width) - 1);
}

/// The value that guests write; each width of it is different and not 0.
constexpr std::uint64_t written = 0x0807'0605'0403'02E1;

/// Rounds of a batch that stays in the guest: the exit at its end and the clock are small beside it.
constexpr std::uint64_t batch_rounds = 64;

/// One measurement under way: a rig, its time, and where its figures go.
class Measurement {
 public:
  Measurement(Bench& bench, Rig& rig, std::string name, int ring)
      : bench_{bench}, rig_{rig}, name_{std::move(name)}, ring_{ring} {}

  Rig& rig() { return rig_; }

  /// Every round leaves the guest: takes the time from one return of KVM_RUN to the next, divided
  /// by the operations in between. `handle` answers an exit and gives how many operations it
  /// carries, `expected` the sum that the guest must have after so many rounds.
  template <class Handle, class Expected>
  void each_exit(Order order, std::string const& rest, std::uint64_t ops_per_round, Handle handle,
                 Expected expected, Figure figure = {}) {
    order.rounds =
        std::clamp<std::uint64_t>(bench_.most_samples() + 1, 2, ops_per_round > 1 ? 4 : 512);
    Samples samples;
    std::uint64_t exit_count = 0;
    std::uint64_t op_count = 0;
    // The first batch is for the caches, and for finding out whether this works at all.
    for (bool warm = false; !warm || goes_on(samples); warm = true) {
      if (warm && start_ == 0) start_ = now();
      rig_.order(order);
      std::uint64_t ops = 0;
      std::uint64_t exits = 0;
      std::int64_t last = 0;
      std::uint64_t last_ops = 0;
      for (;;) {
        rig_.enter();
        std::int64_t const time = now();
        if (rig_.at_end()) break;
        std::uint64_t const here = handle(rig_.page());
        if (warm && exits > 0) {
          samples.push_back(static_cast<double>(time - last) / static_cast<double>(last_ops));
        }
        last = time;
        last_ops = here;
        ops += here;
        ++exits;
      }
      if (ops != order.rounds * ops_per_round) {
        throw Mismatch{"the host saw " + std::to_string(ops) + " operations of " +
                       std::to_string(order.rounds * ops_per_round)};
      }
      expected(order.rounds);
      if (warm) {
        exit_count += exits;
        op_count += ops;
      }
      rest_once(rest);
    }
    double const empty = rest_of_round() / static_cast<double>(ops_per_round);
    for (double& sample : samples) sample -= empty;
    figure.exits_per_op = static_cast<double>(exit_count) / static_cast<double>(op_count);
    figure.empty_loop_ns = empty;
    add(std::move(figure), std::move(samples));
  }

  /// No round leaves the guest: takes the time of a whole batch, less that of a batch of as many
  /// empty rounds, divided by the rounds. `verify` looks at what a batch did.
  template <class Verify>
  void batches(Order order, std::string const& rest, std::uint64_t rounds, Verify verify,
               Figure figure = {}) {
    Samples times;
    Samples empty;
    for (bool warm = false; !warm || goes_on(times); warm = true) {
      if (warm && start_ == 0) start_ = now();
      order.rounds = warm ? rounds : 1;
      double const time = batch(order);
      verify(order.rounds);
      Order without = order;
      without.loop = rest;
      double const time_without = batch(without);
      rig_.verify();
      if (!warm) continue;
      times.push_back(time);
      empty.push_back(time_without);
    }
    double const without = median(empty);
    for (double& time : times) time = (time - without) / static_cast<double>(rounds);
    figure.exits_per_op = 0;
    figure.empty_loop_ns = without / static_cast<double>(rounds);
    figure.note += std::string{figure.note.empty() ? "" : "; "} + "each sample is the mean of " +
                   std::to_string(rounds) + " operations in the guest";
    add(std::move(figure), std::move(times));
  }

  void add(Figure figure, Samples samples) {
    figure.group = group;
    if (figure.name.empty()) figure.name = name_;
    figure.ring = ring_;
    figure.summary = summarize(std::move(samples));
    bench_.report.add(std::move(figure));
  }

 private:
  [[nodiscard]] bool goes_on(Samples const& samples) const {
    return samples.empty() || (samples.size() < bench_.most_samples() &&
                               static_cast<double>(now() - start_) < bench_.options.seconds * 1e9);
  }

  /// Nanoseconds from entering the guest with an order to its end.
  double batch(Order const& order) {
    rig_.order(order);
    std::int64_t const start = now();
    rig_.enter();
    return static_cast<double>(now() - start);
  }

  /// Times one short and one long batch of the loop without its exit.
  void rest_once(std::string const& rest) {
    Order order{.loop = rest, .rounds = 1, .address = buffer, .length = 1};
    short_.push_back(batch(order));
    rig_.verify();
    order.rounds = long_rest;
    long_.push_back(batch(order));
    rig_.verify();
  }

  double rest_of_round() {
    return std::max(0.0, (median(long_) - median(short_)) / (long_rest - 1));
  }

  static constexpr int long_rest = 65;

  Bench& bench_;
  Rig& rig_;
  std::string name_;
  int ring_;
  std::int64_t start_ = 0;
  Samples short_;
  Samples long_;
};

/// What a measurement says and asks for.
struct Case {
  std::string name;
  std::function<void(Measurement&)> measure;
  Controllers controllers = Controllers::none;
  bool ring3 = true;
  double patience = 10;  ///< seconds that the first batch may take
};

void run_case(Bench& bench, Image const& image, Case const& one, int ring) {
  if (!bench.wants(group, one.name, ring)) return;
  try {
    Rig rig{bench.system,    image,        ring,
            one.controllers, one.patience, 60 + 4 * bench.options.seconds};
    Measurement measurement{bench, rig, one.name, ring};
    one.measure(measurement);
  } catch (Lacking const& lacking) {
    bench.report.add(Missing{group, one.name, ring, lacking.what(), lacking.error});
  } catch (Mismatch const& mismatch) {
    bench.report.fail(one.name + ", ring " + std::to_string(ring) + ": " + mismatch.what());
  } catch (std::system_error const& error) {
    std::string const text = error.what();
    bench.report.add(
        Missing{group, one.name, ring, text.substr(0, text.rfind(": ")), error.code().value()});
  }
}

std::string bytes_text(unsigned width) {
  return std::to_string(width) + (width == 1 ? " byte" : " bytes");
}

// --- Ports and MMIO ------------------------------------------------------------------------------

constexpr std::uint16_t port = 0x510;

/// Whether the last exit is this access, of any data.
void expect_io(Rig& rig, unsigned width, std::uint8_t direction) {
  kvm_run const& page = rig.page();
  if (page.exit_reason != KVM_EXIT_IO || page.io.port != port || page.io.size != width ||
      page.io.direction != direction) [[unlikely]] {
    rig.unexpected();
  }
}

void expect_mmio(Rig& rig, unsigned width, bool writes) {
  kvm_run const& page = rig.page();
  if (page.exit_reason != KVM_EXIT_MMIO || page.mmio.phys_addr != window ||
      page.mmio.len != width || (page.mmio.is_write != 0) != writes) [[unlikely]] {
    rig.unexpected();
  }
}

/// The host's half of a read: a different answer each time, and what they add up to.
class Answers {
 public:
  void give(void* data, unsigned width) {
    std::uint64_t const answer = cut(++count_ * 0x9E37'79B9'7F4A'7C15, width);
    std::memcpy(data, &answer, width);
    sum_ += answer;
  }

  std::uint64_t take_sum() { return std::exchange(sum_, 0); }

 private:
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
};

Case port_write(unsigned width) {
  return {"out " + bytes_text(width), [width](Measurement& measurement) {
            Rig& rig = measurement.rig();
            Order const order{
                .loop = "out" + std::to_string(width), .port = port, .value = written};
            measurement.each_exit(
                order, "empty", 1,
                [&](kvm_run& page) {
                  expect_io(rig, width, KVM_EXIT_IO_OUT);
                  std::uint64_t value = 0;
                  std::memcpy(&value, reinterpret_cast<char*>(&page) + page.io.data_offset, width);
                  if (value != cut(written, width)) rig.unexpected();
                  return std::uint64_t{1};
                },
                [&](std::uint64_t rounds) { rig.verify(rounds * written); });
          }};
}

Case port_read(unsigned width) {
  return {"in " + bytes_text(width), [width](Measurement& measurement) {
            Rig& rig = measurement.rig();
            Answers answers;
            measurement.each_exit(
                {.loop = "in" + std::to_string(width), .port = port}, "empty", 1,
                [&](kvm_run& page) {
                  expect_io(rig, width, KVM_EXIT_IO_IN);
                  answers.give(reinterpret_cast<char*>(&page) + page.io.data_offset, width);
                  return std::uint64_t{1};
                },
                [&](std::uint64_t) { rig.verify(answers.take_sum()); });
          }};
}

Case mmio_store(unsigned width) {
  return {"MMIO store " + bytes_text(width), [width](Measurement& measurement) {
            Rig& rig = measurement.rig();
            Order const order{
                .loop = "store" + std::to_string(width), .address = window, .value = written};
            measurement.each_exit(
                order, "empty", 1,
                [&](kvm_run& page) {
                  expect_mmio(rig, width, true);
                  std::uint64_t value = 0;
                  std::memcpy(&value, page.mmio.data, width);
                  if (value != cut(written, width)) rig.unexpected();
                  return std::uint64_t{1};
                },
                [&](std::uint64_t rounds) { rig.verify(rounds * written); });
          }};
}

Case mmio_load(unsigned width) {
  return {"MMIO load " + bytes_text(width), [width](Measurement& measurement) {
            Rig& rig = measurement.rig();
            Answers answers;
            measurement.each_exit(
                {.loop = "load" + std::to_string(width), .address = window}, "empty", 1,
                [&](kvm_run& page) {
                  expect_mmio(rig, width, false);
                  answers.give(page.mmio.data, width);
                  return std::uint64_t{1};
                },
                [&](std::uint64_t) { rig.verify(answers.take_sum()); });
          }};
}

// --- String instructions and blocks --------------------------------------------------------------

void string_out(Measurement& measurement) {
  constexpr std::uint64_t length = 64;
  Rig& rig = measurement.rig();
  auto const source = *rig.ram().span(buffer, length);
  for (std::size_t i = 0; i < length; ++i) source[i] = static_cast<std::byte>(i * 7 + 3);
  std::uint64_t place = 0;
  measurement.each_exit(
      {.loop = "outs", .port = port, .address = buffer, .length = length}, "string_rest", length,
      [&](kvm_run& page) {
        expect_io(rig, 1, KVM_EXIT_IO_OUT);
        auto const* const data = reinterpret_cast<std::byte*>(&page) + page.io.data_offset;
        for (std::uint32_t i = 0; i < page.io.count; ++i, place = (place + 1) % length) {
          if (data[i] != source[place]) throw Mismatch{"another byte than the guest's"};
        }
        return std::uint64_t{page.io.count};
      },
      [&](std::uint64_t) { rig.verify(0); });
}

void string_in(Measurement& measurement) {
  constexpr std::uint64_t length = 4096;
  Rig& rig = measurement.rig();
  std::uint8_t next = 0;
  measurement.each_exit(
      {.loop = "ins", .port = port, .address = buffer, .length = length}, "string_rest", length,
      [&](kvm_run& page) {
        expect_io(rig, 1, KVM_EXIT_IO_IN);
        auto* const data = reinterpret_cast<std::uint8_t*>(&page) + page.io.data_offset;
        for (std::uint32_t i = 0; i < page.io.count; ++i) data[i] = next++;
        return std::uint64_t{page.io.count};
      },
      [&](std::uint64_t) {
        rig.verify(0);
        auto const target = *rig.ram().span(buffer, length);
        for (std::size_t i = 0; i < length; ++i) {
          if (target[i] != static_cast<std::byte>(i)) throw Mismatch{"the guest lacks a byte"};
        }
        std::fill(target.begin(), target.end(), std::byte{0xFF});
      });
}

Case request_block(std::uint64_t size) {
  return {"request block, " + std::to_string(size) + " bytes", [size](Measurement& measurement) {
            Rig& rig = measurement.rig();
            std::vector<std::byte> sink(size);
            std::uint64_t left = 0;
            Figure figure;
            figure.note = "one out of 4 bytes tells the block's address, the host copies it";
            std::uint64_t sum = 0;
            measurement.each_exit(
                {.loop = "request", .port = port, .address = buffer}, "request_rest", 1,
                [&](kvm_run& page) {
                  expect_io(rig, 4, KVM_EXIT_IO_OUT);
                  std::uint32_t address = 0;
                  std::memcpy(&address, reinterpret_cast<char*>(&page) + page.io.data_offset,
                              sizeof address);
                  auto const block = rig.ram().span(address, size);
                  if (!block) throw Mismatch{"the block is not in RAM"};
                  std::memcpy(sink.data(), block->data(), size);
                  auto const number = portico::load<std::uint64_t>(sink.data());
                  if (left != 0 && number != left - 1) throw Mismatch{"blocks out of order"};
                  left = number == 1 ? 0 : number;
                  sum += address;
                  return std::uint64_t{1};
                },
                [&](std::uint64_t) { rig.verify(std::exchange(sum, 0)); }, std::move(figure));
          }};
}

// --- What does not leave the kernel --------------------------------------------------------------

/// One way of tying an eventfd to a write.
struct Doorbell {
  char const* loop;
  std::uint32_t length;
  bool pio = false;
  bool matches = false;  ///< only this value
};

Case doorbell(std::string name, Doorbell bell) {
  return {std::move(name), [bell](Measurement& measurement) {
            Rig& rig = measurement.rig();
            Fd const event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
            if (!event) throw std::system_error{errno, std::system_category(), "eventfd"};
            kvm_ioeventfd request{};
            request.addr = bell.pio ? port : window;
            request.len = bell.length;
            request.fd = event.get();
            request.flags = (bell.pio ? unsigned{KVM_IOEVENTFD_FLAG_PIO} : 0U) |
                            (bell.matches ? unsigned{KVM_IOEVENTFD_FLAG_DATAMATCH} : 0U);
            if (bell.matches) request.datamatch = cut(written, bell.length);
            rig.vm().ioeventfd(request);
            measurement.batches(
                {.loop = bell.loop, .port = port, .address = window, .value = written}, "empty",
                batch_rounds, [&](std::uint64_t rounds) {
                  rig.verify(rounds * written);
                  std::uint64_t signals = 0;
                  if (::read(event.get(), &signals, sizeof signals) < 0) signals = 0;
                  if (signals != rounds) {
                    throw Mismatch{"the eventfd had " + std::to_string(signals) + " signals of " +
                                   std::to_string(rounds)};
                  }
                });
          }};
}

Case coalesced(std::string const& name, char const* loop, unsigned width, bool pio) {
  return {name, [name, loop, width, pio](Measurement& measurement) {
            constexpr std::uint64_t rounds = batch_rounds;
            Rig& rig = measurement.rig();
            int const ring_page = rig.vm().check_extension(KVM_CAP_COALESCED_MMIO);
            if (ring_page <= 0) throw Lacking{"KVM_CAP_COALESCED_MMIO", ENOTSUP};
            if (pio && rig.vm().check_extension(KVM_CAP_COALESCED_PIO) <= 0) {
              throw Lacking{"KVM_CAP_COALESCED_PIO", ENOTSUP};
            }
            kvm_coalesced_mmio_zone zone{};
            zone.addr = pio ? port : window;
            zone.size = width;
            zone.pio = pio ? 1 : 0;
            rig.vm().coalesce(zone);
            kvm::CoalescedRing const ring = rig.vcpu().coalesced_ring(ring_page);
            Samples drains;
            measurement.batches(
                {.loop = loop, .port = port, .address = window, .value = written}, "empty", rounds,
                [&](std::uint64_t made) {
                  rig.verify(made * written);
                  std::uint64_t wrong = 0;
                  std::int64_t const start = now();
                  std::uint32_t const count = ring.drain([&](kvm_coalesced_mmio const& write) {
                    std::uint64_t value = 0;
                    std::memcpy(&value, write.data, sizeof write.data);
                    wrong += write.len != width || write.phys_addr != zone.addr ||
                             cut(value, width) != cut(written, width);
                  });
                  std::int64_t const end = now();
                  if (count != made || wrong != 0) {
                    throw Mismatch{"the ring held " + std::to_string(count) + " writes of " +
                                   std::to_string(made) + ", " + std::to_string(wrong) +
                                   " of them wrong"};
                  }
                  if (made == rounds) {
                    drains.push_back(static_cast<double>(end - start) / rounds);
                  }
                });
            Figure drain;
            drain.name = name + ": drain, each write";
            drain.exits_per_op = 0;
            drain.note = "in the host; each sample is the mean of a drain of 64 writes";
            measurement.add(std::move(drain), std::move(drains));
          }};
}

/// The mask register of the first 8259A, in the kernel.
Case pic(bool writes) {
  return {writes ? "out 1 byte, PIC in the kernel" : "in 1 byte, PIC in the kernel",
          [writes](Measurement& measurement) {
            constexpr std::uint64_t mask = 0xE1;
            Rig& rig = measurement.rig();
            Order order{.loop = "out1", .port = 0x21, .value = mask};
            rig.order(order);
            rig.enter();
            rig.verify(mask);
            order.loop = writes ? "out1" : "in1";
            order.value = writes ? mask : 0;
            measurement.batches(order, "empty", batch_rounds,
                                [&](std::uint64_t rounds) { rig.verify(rounds * mask); });
          },
          Controllers::kernel};
}

void cpuid(Measurement& measurement) {
  // A leaf that only we know: the sum tells whose answer the guest got.
  constexpr std::uint32_t leaf = 0x4000'0010;
  constexpr std::uint32_t answer = 0x0050'0701;
  Rig& rig = measurement.rig();
  kvm::Cpuid const known = kvm::System{}.supported_cpuid();
  kvm::Cpuid::Leaves leaves{known.entries().size() + 1};
  std::uint32_t count = 0;
  for (kvm_cpuid_entry2 const& entry : known.entries()) {
    if (entry.function != leaf) leaves.elements()[count++] = entry;
  }
  leaves.elements()[count] = kvm_cpuid_entry2{};
  leaves.elements()[count].function = leaf;
  leaves.elements()[count].eax = answer;
  leaves.head().count = count + 1;
  rig.vcpu().set_cpuid(kvm::Cpuid{std::move(leaves)});
  Order const order{.loop = "cpuid", .value = leaf};
  rig.order(order);
  rig.enter();
  rig.verify();
  std::uint64_t const given = rig.control().sum;
  Figure figure;
  if (given != answer) figure.note = "answered by what is below this KVM, not by it";
  measurement.batches(
      order, "cpuid_rest", batch_rounds, [&](std::uint64_t rounds) { rig.verify(rounds * given); },
      figure);
}

// --- Hypercalls and model-specific registers -----------------------------------------------------

char const* hypercall_loop() { return __builtin_cpu_is("amd") ? "vmmcall" : "vmcall"; }

Case hypercall(int ring) {
  return {"hypercall",
          [ring](Measurement& measurement) {
            // One that KVM does not know: -KVM_ENOSYS, and from ring 3 -KVM_EPERM.
            std::uint64_t const result = ring == 0 ? -std::uint64_t{1000} : -std::uint64_t{1};
            measurement.batches(
                {.loop = hypercall_loop(), .value = 0x50}, "cpuid_rest", batch_rounds,
                [&](std::uint64_t rounds) { measurement.rig().verify(rounds * result); });
          },
          Controllers::none, true, 1};
}

void hypercall_to_user_space(Measurement& measurement) {
  constexpr std::uint64_t map_gpa_range = 12;  // the one call that user space can ask for
  constexpr std::uint64_t answer = 0x1234;
  Rig& rig = measurement.rig();
  rig.vm().enable_capability(KVM_CAP_EXIT_HYPERCALL, 1U << map_gpa_range);
  measurement.each_exit(
      // rbx is the range's address, 0; rcx its pages.
      {.loop = hypercall_loop(), .port = 1, .value = map_gpa_range}, "cpuid_rest", 1,
      [&](kvm_run& page) {
        if (page.exit_reason != KVM_EXIT_HYPERCALL || page.hypercall.nr != map_gpa_range) {
          rig.unexpected();
        }
        page.hypercall.ret = answer;
        return std::uint64_t{1};
      },
      [&](std::uint64_t rounds) { rig.verify(rounds * answer); });
}

Case msr(bool writes) {
  return {writes ? "wrmsr to user space" : "rdmsr to user space",
          [writes](Measurement& measurement) {
            constexpr std::uint32_t index = 0x10;  // denied below
            Rig& rig = measurement.rig();
            rig.vm().enable_capability(KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER);
            std::uint8_t none = 0;
            kvm_msr_filter filter{};
            filter.ranges[0].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
            filter.ranges[0].nmsrs = 1;
            filter.ranges[0].base = index;
            filter.ranges[0].bitmap = &none;
            rig.vm().set_msr_filter(filter);
            Answers answers;
            constexpr std::uint64_t value = 0x7654'3210;
            measurement.each_exit(
                {.loop = writes ? "wrmsr" : "rdmsr", .port = index, .value = value}, "empty", 1,
                [&](kvm_run& page) {
                  if (page.exit_reason !=
                          (writes ? unsigned{KVM_EXIT_X86_WRMSR} : unsigned{KVM_EXIT_X86_RDMSR}) ||
                      page.msr.index != index || page.msr.reason != KVM_MSR_EXIT_REASON_FILTER ||
                      (writes && page.msr.data != (std::uint64_t{index} << 32 | value))) {
                    rig.unexpected();
                  }
                  if (!writes) {
                    page.msr.data = 0;
                    answers.give(&page.msr.data, 4);
                  }
                  page.msr.error = 0;
                  return std::uint64_t{1};
                },
                [&](std::uint64_t rounds) {
                  rig.verify(writes ? rounds * value : answers.take_sum());
                });
          },
          Controllers::none, false};
}

// --- Interrupts ----------------------------------------------------------------------------------

void use_messages(Rig& rig) {
  kvm_irq_routing_entry route{};
  route.gsi = 5;
  route.type = KVM_IRQ_ROUTING_MSI;
  route.u.msi.address_lo = 0xFEE0'0000;
  route.u.msi.data = 0x40;
  rig.vm().set_gsi_routing({&route, 1});
  kvm_lapic_state registers = rig.vcpu().lapic();
  registers.regs[0xF1] = 1;  // bit 8 of the spurious vector register: on
  rig.vcpu().set_lapic(registers);
}

/// The guest halts on a thread of its own; this one writes the eventfd and sees in RAM when the
/// guest's handler has run.
void woken_from_halt(Bench& bench, Image const& image, bool message, int pause_us) {
  std::string const name = std::string{"hlt, irqfd to handler, "} +
                           (message ? "message" : "PIC line") + ", halted " +
                           (pause_us < 1000 ? std::to_string(pause_us) + " us"
                                            : std::to_string(pause_us / 1000) + " ms");
  if (!bench.wants(group, name, 0)) return;
  double const limit = 10 + 4 * bench.options.seconds;
  Fd const event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<Rig*> ready{nullptr};
  std::atomic<bool> ended{false};
  std::exception_ptr failure;
  std::thread guest{[&] {
    try {
      Rig rig{bench.system, image, 0, Controllers::kernel, limit, limit};
      if (message) use_messages(rig);
      kvm_irqfd request{};
      request.fd = static_cast<std::uint32_t>(event.get());
      request.gsi = 5;
      rig.vm().irqfd(request);
      rig.order({.loop = message ? "halt" : "halt_pic"});
      rig.enter();  // an interrupt before its controller is set up would be lost
      if (!rig.at_end()) rig.unexpected();
      // NOLINTNEXTLINE(cppcoreguidelines-special-member-functions): an aggregate, made once
      struct Gone {  // the other thread may be looking at the rig
        std::atomic<Rig*>& rig;
        std::atomic<bool>& ended;
        ~Gone() {
          ended.store(true);
          while (rig.load() != nullptr) std::this_thread::yield();
        }
      } const gone{ready, ended};
      ready.store(&rig);
      int error = 0;
      while (error == 0) error = rig.vcpu().run();
      if (error != EINTR) throw Lacking{"KVM_RUN", error};
    } catch (...) {
      failure = std::current_exception();
      ended.store(true);
    }
  }};

  Samples samples;
  std::string trouble;
  while (ready.load() == nullptr && !ended.load()) std::this_thread::yield();
  if (Rig* const rig = ready.load()) {
    auto const woken = [&] { return rig->control().woken; };
    std::this_thread::sleep_for(std::chrono::milliseconds{2});  // into its hlt
    std::uint64_t signals = 0;
    std::int64_t const start = now();
    do {
      std::this_thread::sleep_for(std::chrono::microseconds{pause_us});
      std::uint64_t const one = 1;
      std::int64_t const before = now();
      if (::write(event.get(), &one, sizeof one) != sizeof one) break;
      ++signals;
      std::int64_t after = now();
      while (woken() < signals && after - before < 1'000'000'000) after = now();
      if (woken() != signals) break;
      if (signals > 8) samples.push_back(static_cast<double>(after - before));
    } while (samples.empty() || (samples.size() < bench.most_samples() &&
                                 static_cast<double>(now() - start) < bench.options.seconds * 1e9));
    if (woken() != signals || ended.load()) {
      trouble = std::to_string(signals) + " signals, " + std::to_string(woken()) + " interrupts";
    }
    rig->kick().send();
    ready.store(nullptr);
  }
  guest.join();
  try {
    if (failure) std::rethrow_exception(failure);
    if (!trouble.empty()) throw Mismatch{trouble};
    Figure figure{.group = group, .name = name, .ring = 0};
    figure.summary = summarize(std::move(samples));
    figure.exits_per_op = 0;
    figure.note =
        "from the write to the eventfd until another thread sees the handler's store; "
        "two processors";
    bench.report.add(std::move(figure));
  } catch (Lacking const& lacking) {
    bench.report.add(Missing{group, name, 0, lacking.what(), lacking.error});
  } catch (Mismatch const& mismatch) {
    bench.report.fail(name + ": " + mismatch.what());
  } catch (std::system_error const& error) {
    std::string const text = error.what();
    bench.report.add(
        Missing{group, name, 0, text.substr(0, text.rfind(": ")), error.code().value()});
  }
}

std::vector<Case> all_cases(int ring) {
  std::vector<Case> cases;
  for (unsigned const width : {1U, 2U, 4U}) cases.push_back(port_write(width));
  for (unsigned const width : {1U, 2U, 4U}) cases.push_back(port_read(width));
  for (unsigned const width : {1U, 2U, 4U, 8U}) cases.push_back(mmio_store(width));
  for (unsigned const width : {1U, 2U, 4U, 8U}) cases.push_back(mmio_load(width));
  cases.push_back({"rep outsb, each byte", string_out});
  cases.push_back({"rep insb, each byte", string_in});
  for (std::uint64_t const size : {64U, 512U, 4096U, 65536U, 1048576U}) {
    cases.push_back(request_block(size));
  }
  cases.push_back({"rdmsr to user space", msr(false).measure, Controllers::none, false});
  cases.push_back({"wrmsr to user space", msr(true).measure, Controllers::none, false});
  cases.push_back(
      {"hypercall to user space", hypercall_to_user_space, Controllers::none, false, 1});
  cases.push_back(hypercall(ring));
  cases.push_back({"cpuid", cpuid});
  cases.push_back(pic(true));
  cases.push_back(pic(false));
  cases.push_back(doorbell("out 2 bytes, ioeventfd", {"out2", 2, true}));
  cases.push_back(doorbell("out 2 bytes, ioeventfd, datamatch", {"out2", 2, true, true}));
  for (unsigned const width : {1U, 2U, 4U, 8U}) {
    static constexpr std::array<char const*, 9> loops{"", "store1", "store2", "",      "store4",
                                                      "", "",       "",       "store8"};
    cases.push_back(
        doorbell("MMIO store " + bytes_text(width) + ", ioeventfd", {loops[width], width}));
  }
  cases.push_back(doorbell("MMIO store 4 bytes, ioeventfd, datamatch", {"store4", 4, false, true}));
  cases.push_back(doorbell("MMIO store 4 bytes, ioeventfd, length 0", {"store4", 0}));
  cases.push_back(coalesced("out 1 byte, coalesced", "out1", 1, true));
  cases.push_back(coalesced("MMIO store 4 bytes, coalesced", "store4", 4, false));
  return cases;
}

}  // namespace

void measure_exits(Bench& bench) {
  Image const image{bench.options.folder + "/exits.img"};
  for (int const ring : {0, 3}) {
    for (Case const& one : all_cases(ring)) {
      if (ring == 0 || one.ring3) run_case(bench, image, one, ring);
    }
  }
  for (bool const message : {false, true}) {
    for (int const pause_us : {50, 2000}) woken_from_halt(bench, image, message, pause_us);
  }
}

}  // namespace exits
