// Offloaded entries on KVM: doorbells that do not leave the guest, handlers on another thread, and
// interrupts through irqfds.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <portico/device/offload.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/portico.hpp>

#include "machine_code.hpp"
#include "support/requires.hpp"

namespace portico {
namespace {

constexpr std::uint64_t base = 0xD000'0000;

/// Counts what rings, and says who was there.
struct Bells {
  void ring(std::uint32_t value) {
    if (value == 0xBAD) throw std::runtime_error{"bad"};
    rang += value;
    ++calls;
    thread = std::this_thread::get_id();
  }

  void any(std::uint16_t value) {
    EXPECT_EQ(value, 0);
    ++wild;
  }

  std::uint32_t sum() { return rang; }

  using registers = Registers<ReadWrite<0, &Bells::sum, &Bells::ring>, WriteOnly<4, &Bells::any>>;
  using doorbells = Doorbells<Doorbell<0, &Bells::ring, 1, 0x100, 0xBAD>, Doorbell<4, &Bells::any>>;

  std::atomic<std::uint32_t> rang = 0;
  std::atomic<int> calls = 0;
  std::atomic<int> wild = 0;
  std::atomic<std::thread::id> thread{};
};

using Exit = DebugExit<ExitStatus::plain>;

using Code = test::DeviceCode;

/// Counts exits, and those to one address.
struct Counter {
  void access(Access const& access, Claim const&) {
    ++exits;
    if (access.address == watched) ++at_watched;
  }

  std::uint64_t watched = base;
  int exits = 0;
  int at_watched = 0;
};

template <class Machine_>
void load(Machine_& machine, Code const& code) {
  machine.load(code, LongMode{PageSize::k4KiB, {{base, 4 * KiB}}});
}

struct OffloadOnKvm : testing::Test {
  void SetUp() override { PORTICO_REQUIRES(kvm); }
};

TEST_F(OffloadOnKvm, ADoorbellDoesNotLeaveTheGuest) {
  using Board = DeviceMap<Offload<Mmio<base, Bells>>, Port<0x501, Exit>>;
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }};
  // movl $1, (%rdi) a thousand times; movw $7, 4(%rdi); then mov (%rdi), %eax; out %al, %dx
  load(machine, {0xB9, 0xE8, 0x03, 0,    0, 0xC7, 0x07, 1,    0,   0, 0, 0xFF, 0xC9, 0x75, 0xF6,  //
                 0x66, 0xC7, 0x47, 0x04, 7, 0,    0x8B, 0x07, 0xEE});
  Counter counter;
  Stop const stop = machine.run(counter);
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  auto& bells = machine.get<Bells>();
  EXPECT_EQ(counter.exits, 2);       // the load, and the end
  EXPECT_EQ(counter.at_watched, 1);  // no store
  EXPECT_EQ(bells.wild, 1);
  EXPECT_GE(bells.calls, 1);
  EXPECT_LE(bells.calls, 1000);
  // The load saw what was written before it.
  EXPECT_EQ(static_cast<std::uint32_t>(std::get<GuestExit>(stop).code), bells.rang & 0xFF);
}

TEST_F(OffloadOnKvm, OtherValuesAndWidthsLeaveAsEver) {
  using Board = DeviceMap<Offload<Mmio<base, Bells>>, Port<0x501, Exit>>;
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }};
  // movl $0x100, (%rdi); movl $2, (%rdi); movw $1, (%rdi); movl $7, 4(%rdi); mov $3, %al; out %al, %dx
  load(machine, {0xC7, 0x07, 0, 1,    0,    0,    0xC7, 0x07, 2, 0, 0,    0, 0x66, 0xC7,
                 0x07, 1,    0, 0xC7, 0x47, 0x04, 7,    0,    0, 0, 0xB0, 3, 0xEE});
  Counter counter;
  Stop const stop = machine.run(counter);
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(counter.exits, 4);
  EXPECT_EQ(counter.at_watched, 2);
  EXPECT_EQ(machine.get<Bells>().rang, 0x102U);
  EXPECT_EQ(machine.get<Bells>().wild, 0);
  EXPECT_EQ(machine.unclaimed().writes, 2U);
}

/// An access finds done what was rung before it, however slow the device's thread is.
TEST_F(OffloadOnKvm, AnAccessComesAfterTheRingsBeforeIt) {
  using Board = DeviceMap<Offload<Mmio<base, Bells>>, Port<0x501, Exit>>;
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }};
  // A hundred times: movl $1, (%rdi); mov (%rdi), %eax; inc %ebx; cmp %ebx, %eax; jne out
  load(machine, {0x31, 0xDB, 0xC7, 0x07, 1,    0,    0,   0,    0x8B, 0x07, 0xFF, 0xC3,
                 0x39, 0xD8, 0x75, 0x05, 0x83, 0xFB, 100, 0x75, 0xED, 0x88, 0xD8, 0xEE});
  Stop const stop = machine.run();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(std::get<GuestExit>(stop).code, 100);
  EXPECT_EQ(machine.get<Bells>().rang, 100U);
}

TEST_F(OffloadOnKvm, OnPorts) {
  using Board = DeviceMap<Offload<Port<0x300, Bells, Stride<4>>>, Port<0x501, Exit>>;
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }};
  // mov $0x300, %edx; mov $1, %eax; out %eax, %dx; mov $0x310, %edx; out %ax, %dx; mov $0x501, %edx; out %al, %dx
  load(machine, {0xBA, 0x00, 0x03, 0, 0,    0xB8, 1,    0,    0,    0, 0xEF, 0xBA,
                 0x10, 0x03, 0,    0, 0x66, 0xEF, 0xBA, 0x01, 0x05, 0, 0,    0xEE});
  Counter counter;
  Stop const stop = machine.run(counter);
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(counter.exits, 1);
  EXPECT_EQ(machine.get<Bells>().rang, 1U);
  EXPECT_EQ(machine.get<Bells>().wild, 1);
  EXPECT_NE(machine.get<Bells>().thread.load(), std::this_thread::get_id());
}

/// Rings whatever is written.
struct Wild {
  void any(std::uint8_t) { ++rang; }

  using registers = Registers<WriteOnly<0, &Wild::any>>;
  using doorbells = Doorbells<Doorbell<0, &Wild::any>>;
  static constexpr bool doorbells_in_order = false;

  std::atomic<int> rang = 0;
};

TEST_F(OffloadOnKvm, AnyWidthRings) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IOEVENTFD_ANY_LENGTH));
  using Board = DeviceMap<Offload<Mmio<base, Wild, Size<4>>, AnyWidth>, Port<0x501, Exit>>;
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }};
  // movl $7, (%rdi); movb $7, (%rdi); out %al, %dx
  load(machine, {0xC7, 0x07, 7, 0, 0, 0, 0xC6, 0x07, 7, 0xEE});
  Counter counter;
  machine.run(counter);
  EXPECT_EQ(counter.exits, 1);
  EXPECT_GE(machine.get<Wild>().rang, 1);
  EXPECT_LE(machine.get<Wild>().rang, 2);
}

TEST_F(OffloadOnKvm, AnExceptionOnTheThreadComesOutOfTheRun) {
  using Board = DeviceMap<Offload<Mmio<base, Bells>>, Port<0x501, Exit>>;
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }};
  load(machine, {0xC7, 0x07, 0xAD, 0x0B, 0, 0, 0xEB, 0xFE});  // movl $0xBAD, (%rdi); and spins
  EXPECT_THROW(machine.run(), std::runtime_error);
  load(machine, {0xC7, 0x07, 1, 0, 0, 0, 0xEE});
  EXPECT_TRUE(std::holds_alternative<GuestExit>(machine.run()));  // and the machine runs again
  EXPECT_EQ(machine.get<Bells>().rang, 1U);
}

TEST_F(OffloadOnKvm, StopEndsARunWhoseGuestRings) {
  using Board = DeviceMap<Offload<Mmio<base, Bells>>, Port<0x501, Exit>>;
  for (int round = 0; round < 5; ++round) {
    Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }};
    load(machine, {0xC7, 0x07, 1, 0, 0, 0, 0xEB, 0xF8});  // movl $1, (%rdi); again
    std::thread stops{[&] {
      while (machine.get<Bells>().calls < 3) std::this_thread::yield();
      machine.stop();
    }};
    Stop const stop = machine.run();
    stops.join();
    EXPECT_TRUE(std::holds_alternative<Requested>(stop)) << describe(stop);
    int const calls = machine.get<Bells>().calls;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
    EXPECT_EQ(machine.get<Bells>().calls, calls);  // nobody is there any more
  }
}

TEST_F(OffloadOnKvm, SeveralAreIndependent) {
  using Board = DeviceMap<Offload<Mmio<base, Bells, Named<"one">>>,
                          Offload<Mmio<base + 0x100, Bells, Named<"two">>>, Port<0x501, Exit>>;
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }};
  // movl $1, (%rdi); movl $0x100, 0x100(%rdi); out %al, %dx
  load(machine, {0xC7, 0x07, 1, 0, 0, 0, 0xC7, 0x87, 0, 1, 0, 0, 0, 1, 0, 0, 0xEE});
  machine.run();
  Bells& one = machine.get<"one">();
  Bells& two = machine.get<"two">();
  EXPECT_EQ(one.rang, 1U);
  EXPECT_EQ(two.rang, 0x100U);
  EXPECT_NE(one.thread.load(), two.thread.load());
}

/// Each vCPU rings, and finds its own rings done when it looks.
TEST_F(OffloadOnKvm, SeveralVcpusFindTheirRingsDone) {
  using Board =
      DeviceMap<Offload<Port<0x300, Bells, Stride<4>, Named<"first">>>,
                Offload<Port<0x340, Bells, Stride<4>, Named<"second">>>, Port<0x501, Locked<Exit>>>;
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }, Vcpus<2>{}};
  // vCPU 0: mov $0x300, %edx; vCPU 1 comes in behind that, with %edx = 0x340.
  // xor %ebx, %ebx; again: mov $1, %eax; out %eax, %dx; in (%dx), %eax; inc %ebx; cmp %ebx, %eax;
  // jne wrong; cmp $200, %ebx; jne again; lock incl 0x1000; wait: cmpl $2, 0x1000; jne wait;
  // wrong: mov %bl, %al; mov $0x501, %edx; out %al, %dx
  test::MachineCode const code{0xBA, 0x00, 0x03, 0,    0,    0x31, 0xDB, 0xB8, 1,    0,    0,
                               0,    0xEF, 0xED, 0xFF, 0xC3, 0x39, 0xD8, 0x75, 0x1A, 0x81, 0xFB,
                               0xC8, 0,    0,    0,    0x75, 0xEB, 0xF0, 0xFF, 0x04, 0x25, 0x00,
                               0x10, 0,    0,    0x83, 0x3C, 0x25, 0x00, 0x10, 0,    0,    2,
                               0x75, 0xF6, 0x88, 0xD8, 0xBA, 0x01, 0x05, 0,    0,    0xEE};
  machine.load(code, LongMode{PageSize::k4KiB});
  kvm_regs registers = machine.vcpu(0).regs();
  registers.rip += 5;
  registers.rdx = 0x340;
  machine.vcpu(1).set_sregs(machine.vcpu(0).sregs());
  machine.vcpu(1).set_regs(registers);
  Stop const stop = machine.run();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(std::get<GuestExit>(stop).code, 200);
  EXPECT_EQ(machine.get<"first">().rang, 200U);
  EXPECT_EQ(machine.get<"second">().rang, 200U);
}

}  // namespace
}  // namespace portico
