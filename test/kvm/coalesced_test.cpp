// Coalesced entries on KVM: writes that leave the guest together, in order with all others.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <portico/device/coalesced.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/portico.hpp>

#include "machine_code.hpp"
#include "support/requires.hpp"

namespace portico {
namespace {

constexpr std::uint64_t base = 0xD000'0000;

/// Keeps what is written, and tells how much that is.
struct Log {
  void word(std::uint32_t value) {
    if (value == 0xBAD) throw std::runtime_error{"bad"};
    words.push_back(value);
  }

  std::uint32_t count() { return static_cast<std::uint32_t>(words.size()); }

  void byte(std::uint8_t value) { words.push_back(0x100U + value); }

  using registers = Registers<ReadWrite<0, &Log::count, &Log::word>, WriteOnly<4, &Log::byte>>;

  std::vector<std::uint32_t> words{};
};

using Exit = DebugExit<ExitStatus::plain>;

using Code = test::DeviceCode;

struct Counter {
  void access(Access const& access, Claim const&) {
    ++accesses;
    exits += access.exits ? 1 : 0;
  }

  int accesses = 0;
  int exits = 0;
};

template <class Machine_>
void load(Machine_& machine, Code const& code) {
  machine.load(code, LongMode{PageSize::k4KiB, {{base, 4 * KiB}}});
}

struct CoalescedOnKvm : testing::Test {
  void SetUp() override {
    PORTICO_REQUIRES(kvm, capability(KVM_CAP_COALESCED_MMIO), capability(KVM_CAP_COALESCED_PIO));
  }
};

using MmioBoard = DeviceMap<Coalesced<Mmio<base, Log>>, Port<0x501, Exit>>;

TEST_F(CoalescedOnKvm, WritesDoNotLeaveTheGuest) {
  Machine machine{GuestMemory{2 * MiB}, MmioBoard{Log{}, Exit{}}};
  // mov $60, %ecx; again: mov %ecx, (%rdi); dec %ecx; jnz again; movb $7, 4(%rdi); out %al, %dx
  load(machine, {0xB9, 60, 0, 0, 0, 0x89, 0x0F, 0xFF, 0xC9, 0x75, 0xFA, 0xC6, 0x47, 4, 7, 0xEE});
  Counter counter;
  Stop const stop = machine.run(counter);
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(counter.exits, 1);
  EXPECT_EQ(counter.accesses, 62);
  std::vector<std::uint32_t> wanted;
  for (std::uint32_t word = 60; word > 0; --word) wanted.push_back(word);
  wanted.push_back(0x107);
  EXPECT_EQ(machine.get<Log>().words, wanted);
}

/// The ring is full long before: the guest leaves then, and nothing is lost or out of order.
TEST_F(CoalescedOnKvm, AFullRingLeavesTheGuest) {
  Machine machine{GuestMemory{2 * MiB}, MmioBoard{Log{}, Exit{}}};
  load(machine, {0xB9, 0xE8, 0x03, 0, 0, 0x89, 0x0F, 0xFF, 0xC9, 0x75, 0xFA, 0xEE});
  Counter counter;
  machine.run(counter);
  EXPECT_GE(counter.exits, 1 + 1000 / 170);
  EXPECT_LE(counter.exits, 1 + 1000 / 80);
  std::vector<std::uint32_t> wanted;
  for (std::uint32_t word = 1000; word > 0; --word) wanted.push_back(word);
  EXPECT_EQ(machine.get<Log>().words, wanted);
}

TEST_F(CoalescedOnKvm, AReadSeesWhatWasWrittenBefore) {
  Machine machine{GuestMemory{2 * MiB}, MmioBoard{Log{}, Exit{}}};
  // A hundred times: mov %ebx, (%rdi); inc %ebx; mov (%rdi), %eax; cmp %eax, %ebx; jne out
  load(machine, {0x31, 0xDB, 0x89, 0x1F, 0xFF, 0xC3, 0x8B, 0x07, 0x39, 0xC3,
                 0x75, 0x05, 0x83, 0xFB, 100,  0x75, 0xF1, 0x88, 0xD8, 0xEE});
  Stop const stop = machine.run();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(std::get<GuestExit>(stop).code, 100);
}

TEST_F(CoalescedOnKvm, OnPortsWithoutTheNeighbours) {
  // The second stands where a write of 4 bytes to the first would reach.
  using Board = DeviceMap<Coalesced<Port<0x300, Log, Size<5>, Named<"log">>>,
                          Port<0x305, Log, Named<"neighbour">>, Port<0x501, Exit>>;
  Machine machine{GuestMemory{2 * MiB}, Board{Log{}, Log{}, Exit{}}};
  // mov $0x300, %edx; mov $7, %eax; out %eax, %dx; mov $0x304, %edx; out %al, %dx;
  // mov $0x305, %edx; out %eax, %dx; mov $0x300, %edx; out %eax, %dx; mov $0x501, %edx; out %al, %dx
  load(machine,
       {0xBA, 0x00, 0x03, 0, 0,    0xB8, 7, 0,    0, 0, 0xEF, 0xBA, 0x04, 0x03, 0, 0, 0xEE, 0xBA,
        5,    0x03, 0,    0, 0xEF, 0xBA, 0, 0x03, 0, 0, 0xEF, 0xBA, 0x01, 0x05, 0, 0, 0xEE});
  Counter counter;
  machine.run(counter);
  EXPECT_EQ(counter.exits, 2);
  EXPECT_EQ(machine.get<"log">().words, (std::vector<std::uint32_t>{7, 0x107, 7}));
  EXPECT_EQ(machine.get<"neighbour">().words, (std::vector<std::uint32_t>{7}));
}

TEST_F(CoalescedOnKvm, NothingIsLeftWhenTheRunIsStopped) {
  for (int round = 0; round < 5; ++round) {
    Machine machine{GuestMemory{2 * MiB}, MmioBoard{Log{}, Exit{}}};
    // Counts in (%rdi) and at 0x1000 of RAM, 50 times; then spins.
    load(machine, {0xB9, 50,   0,    0,    0,    0x89, 0x0F, 0xFF, 0xC9, 0x75, 0xFA,  //
                   0xC6, 0x04, 0x25, 0x00, 0x10, 0,    0,    1,    0xEB, 0xFE});
    std::thread stops{[&] {
      while (machine.memory().read<std::uint8_t>(0x1000) != 1) std::this_thread::yield();
      machine.stop();
    }};
    EXPECT_TRUE(std::holds_alternative<Requested>(machine.run()));
    stops.join();
    EXPECT_EQ(machine.get<Log>().words.size(), 50U);
  }
}

TEST_F(CoalescedOnKvm, AnExceptionComesOutOnce) {
  Machine machine{GuestMemory{2 * MiB}, MmioBoard{Log{}, Exit{}}};
  // movl $1, (%rdi); movl $0xBAD, (%rdi); movl $2, (%rdi); out %al, %dx
  load(machine,
       {0xC7, 0x07, 1, 0, 0, 0, 0xC7, 0x07, 0xAD, 0x0B, 0, 0, 0xC7, 0x07, 2, 0, 0, 0, 0xEE});
  EXPECT_THROW(machine.run(), std::runtime_error);
  Stop const stop = machine.run();
  EXPECT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);  // the exit waited
  EXPECT_EQ(machine.get<Log>().words, (std::vector<std::uint32_t>{1, 2}));
}

/// Each vCPU counts in a coalesced register of its own, and leaves now and then.
TEST_F(CoalescedOnKvm, SeveralVcpusKeepTheirOrder) {
  using Board =
      DeviceMap<Coalesced<Port<0x300, Locked<Log>, Named<"first">>>,
                Coalesced<Port<0x310, Locked<Log>, Named<"second">>>, Port<0x501, Locked<Exit>>>;
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }, Vcpus<2>{}};
  // vCPU 0: mov $0x300, %edx; vCPU 1 comes in behind that, with %edx = 0x310.
  // mov $2000, %ecx; again: mov %ecx, %eax; out %eax, %dx; test $127, %cl; jnz on; in (%dx), %eax;
  // on: dec %ecx; jnz again; done: lock incl 0x1000; wait: cmpl $2, 0x1000; jne wait;
  // mov $0x501, %edx; out %al, %dx
  test::MachineCode const code{0xBA, 0x00, 0x03, 0,    0,    0xB9, 0xD0, 0x07, 0,    0,
                               0x89, 0xC8, 0xEF, 0xF6, 0xC1, 0x7F, 0x75, 0x01, 0xED, 0xFF,
                               0xC9, 0x75, 0xF3,                                            //
                               0xF0, 0xFF, 0x04, 0x25, 0x00, 0x10, 0,    0,                 //
                               0x83, 0x3C, 0x25, 0x00, 0x10, 0,    0,    2,    0x75, 0xF6,  //
                               0xBA, 0x01, 0x05, 0,    0,    0xEE};
  machine.load(code, LongMode{PageSize::k4KiB});
  kvm_regs registers = machine.vcpu(0).regs();
  registers.rip += 5;
  registers.rdx = 0x310;
  machine.vcpu(1).set_sregs(machine.vcpu(0).sregs());
  machine.vcpu(1).set_regs(registers);
  Stop const stop = machine.run();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  std::vector<std::uint32_t> wanted;
  for (std::uint32_t word = 2000; word > 0; --word) wanted.push_back(word);
  EXPECT_EQ(machine.get<"first">().words, wanted);
  EXPECT_EQ(machine.get<"second">().words, wanted);
}

}  // namespace
}  // namespace portico
