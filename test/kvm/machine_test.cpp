// Machines on the host's KVM, with guests of a few bytes of machine code.
#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <initializer_list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <portico/device/locked.hpp>
#include <portico/portico.hpp>

#include "support/requires.hpp"

namespace portico {
namespace {

// --- Guests

/// Machine code, put together piece by piece, as an image that a machine loads.
class Code {
 public:
  Code& bytes(std::initializer_list<int> values) {
    for (int const value : values) code_.push_back(static_cast<std::byte>(value));
    return *this;
  }

  template <class Value>
  Code& value(Value number) {
    std::array<std::byte, sizeof number> raw;
    store(raw.data(), number);
    code_.insert(code_.end(), raw.begin(), raw.end());
    return *this;
  }

  Code& edx(std::uint32_t number) { return bytes({0xBA}).value(number); }

  Code& ecx(std::uint32_t number) { return bytes({0xB9}).value(number); }

  Code& esi(std::uint32_t number) { return bytes({0xBE}).value(number); }

  Code& edi(std::uint32_t number) { return bytes({0xBF}).value(number); }

  Code& rax(std::uint64_t number) { return bytes({0x48, 0xB8}).value(number); }

  /// `out dx, al`, ax or eax.
  Code& out(std::uint32_t port, int width) {
    edx(port);
    return width == 1 ? bytes({0xEE}) : width == 2 ? bytes({0x66, 0xEF}) : bytes({0xEF});
  }

  /// `in al, dx`, ax or eax.
  Code& in(std::uint32_t port, int width) {
    edx(port);
    return width == 1 ? bytes({0xEC}) : width == 2 ? bytes({0x66, 0xED}) : bytes({0xED});
  }

  /// `mov [rdi], al`, ax, eax or rax.
  Code& store_at_edi(int width) {
    if (width == 2) bytes({0x66});
    if (width == 8) bytes({0x48});
    return bytes({width == 1 ? 0x88 : 0x89, 0x07});
  }

  /// `mov al, [rdi]`, ax, eax or rax.
  Code& load_at_edi(int width) {
    if (width == 2) bytes({0x66});
    if (width == 8) bytes({0x48});
    return bytes({width == 1 ? 0x8A : 0x8B, 0x07});
  }

  /// `mov [address], rax`.
  Code& keep(std::uint32_t address) { return bytes({0x48, 0x89, 0x04, 0x25}).value(address); }

  Code& hlt() { return bytes({0xF4}); }

  /// A jump to itself.
  Code& spin() { return bytes({0xEB, 0xFE}); }

  [[nodiscard]] std::size_t size() const { return code_.size(); }

  void load(GuestMemory& memory, std::uint64_t address, std::uint64_t limit) const {
    ASSERT_LE(code_.size(), limit);
    ASSERT_TRUE(memory.copy_out(address, code_));
  }

 private:
  std::vector<std::byte> code_;
};

/// Stops a machine that takes too long, and says so.
template <class Machine>
class TimeLimit {
 public:
  explicit TimeLimit(Machine& machine)
      : waiting_{[this, &machine] {
          std::unique_lock lock{mutex_};
          if (over_.wait_for(lock, std::chrono::seconds{20} * test::time_scale(),
                             [&] { return done_; }))
            return;
          ADD_FAILURE() << "the guest did not end in time";
          machine.stop();
        }} {}

  TimeLimit(TimeLimit const&) = delete;
  TimeLimit& operator=(TimeLimit const&) = delete;

  ~TimeLimit() {
    {
      std::lock_guard const guard{mutex_};
      done_ = true;
    }
    over_.notify_one();
    waiting_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable over_;
  bool done_ = false;
  std::thread waiting_;
};

template <class Machine, class... Observers>
Stop run(Machine& machine, Observers&... observers) {
  TimeLimit<Machine> const limit{machine};
  return machine.run(observers...);
}

template <class Alternative>
testing::AssertionResult ended_with(Stop const& stop) {
  if (std::holds_alternative<Alternative>(stop)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << describe(stop);
}

LongMode const small_pages{PageSize::k4KiB};

// --- Devices

/// Registers of each width that remember what was written, and answer with their own width.
struct Widths {
  void write8(std::uint8_t value) { note(1, value); }

  void write16(std::uint16_t value) { note(2, value); }

  void write32(std::uint32_t value) { note(4, value); }

  void write64(std::uint64_t value) { note(8, value); }

  std::uint8_t read8() { return 0x81; }

  std::uint16_t read16() { return 0x8283; }

  std::uint32_t read32() { return 0x8485'8687; }

  std::uint64_t read64() { return 0x8889'8A8B'8C8D'8E8F; }

  void note(int width, std::uint64_t value) { written.emplace_back(width, value); }

  std::vector<std::pair<int, std::uint64_t>> written{};
};

struct PortWidths : Widths {
  using registers = Registers<ReadWrite<0, &Widths::read8, &Widths::write8>,
                              ReadWrite<0, &Widths::read16, &Widths::write16>,
                              ReadWrite<0, &Widths::read32, &Widths::write32>>;
};

struct AddressWidths : Widths {
  using registers = Registers<ReadWrite<0, &Widths::read8, &Widths::write8>,
                              ReadWrite<0, &Widths::read16, &Widths::write16>,
                              ReadWrite<0, &Widths::read32, &Widths::write32>,
                              ReadWrite<0, &Widths::read64, &Widths::write64>>;
};

struct Stream {
  void write(gsl::span<std::uint8_t const> bytes) {
    ++writes;
    text.append(bytes.begin(), bytes.end());
  }

  void read(gsl::span<std::uint8_t> bytes) {
    ++reads;
    largest = std::max(largest, bytes.size());
    for (std::uint8_t& byte : bytes) byte = next++;
  }

  std::string text{};
  int writes = 0;
  int reads = 0;
  std::size_t largest = 0;
  std::uint8_t next = 0;
};

struct Words {
  void write(std::uint32_t value) { values.push_back(value); }

  std::uint32_t read() { return next += 0x0101'0101; }

  std::vector<std::uint32_t> values{};
  std::uint32_t next = 0;
};

struct Exit {
  static constexpr auto threads = Threads::any;

  void write(std::uint8_t code, RunControl& control) { control.exit(code); }
};

struct Faulty {
  void write(std::uint8_t) {
    if (std::exchange(armed, false)) throw std::runtime_error{"device"};
    ++calls;
  }

  bool armed = true;
  int calls = 0;
};

using Board = DeviceMap<Port<0x100, PortWidths>, Port<0xE9, Stream>, Port<0x200, Words>,
                        Port<0x501, Exit>, Port<0x600, Faulty>, Mmio<0xD000'0000, AddressWidths>>;

struct MachineOnKvm : testing::Test {
  void SetUp() override { PORTICO_REQUIRES(kvm); }
};

/// A machine of 2 MiB with a guest in it; the device's page is mapped.
struct Guest {
  explicit Guest(Code const& code) {
    machine.load(code, LongMode{PageSize::k4KiB, {{0xD000'0000, 4 * KiB}}});
  }

  [[nodiscard]] std::uint64_t kept(std::uint64_t address) {
    return machine.memory().read<std::uint64_t>(address).value_or(0);
  }

  Machine<Board> machine{GuestMemory{2 * MiB}, Board{}};
};

// --- Accesses

TEST_F(MachineOnKvm, PortsOfEachWidth) {
  Code code;
  code.rax(0x1122'3344'5566'7788);
  for (int const width : {1, 2, 4}) code.out(0x100, width);
  for (int const width : {1, 2, 4})
    code.rax(0).in(0x100, width).keep(0x8000 + 8 * static_cast<std::uint32_t>(width));
  code.hlt();
  Guest guest{code};
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine)));
  EXPECT_EQ(guest.machine.get<PortWidths>().written,
            (std::vector<std::pair<int, std::uint64_t>>{{1, 0x88}, {2, 0x7788}, {4, 0x5566'7788}}));
  EXPECT_EQ(guest.kept(0x8008), 0x81U);
  EXPECT_EQ(guest.kept(0x8010), 0x8283U);
  EXPECT_EQ(guest.kept(0x8020), 0x8485'8687U);
  EXPECT_EQ(guest.machine.unclaimed().reads + guest.machine.unclaimed().writes, 0U);
}

TEST_F(MachineOnKvm, AddressesOfEachWidth) {
  Code code;
  code.rax(0x1122'3344'5566'7788).edi(0xD000'0000);
  for (int const width : {1, 2, 4, 8}) code.store_at_edi(width);
  for (int const width : {1, 2, 4, 8})
    code.rax(0).load_at_edi(width).keep(0x8000 + 8 * static_cast<std::uint32_t>(width));
  code.hlt();
  Guest guest{code};
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine)));
  EXPECT_EQ(guest.machine.get<AddressWidths>().written,
            (std::vector<std::pair<int, std::uint64_t>>{
                {1, 0x88}, {2, 0x7788}, {4, 0x5566'7788}, {8, 0x1122'3344'5566'7788}}));
  EXPECT_EQ(guest.kept(0x8008), 0x81U);
  EXPECT_EQ(guest.kept(0x8010), 0x8283U);
  EXPECT_EQ(guest.kept(0x8020), 0x8485'8687U);
  EXPECT_EQ(guest.kept(0x8040), 0x8889'8A8B'8C8D'8E8FU);
}

TEST_F(MachineOnKvm, NobodysReadsAreOnes) {
  Guest guest{Code{}
                  .rax(0)
                  .in(0x80, 1)
                  .keep(0x8000)
                  .rax(0)
                  .in(0x100 + 2, 2)
                  .keep(0x8008)
                  .rax(0)
                  .edi(0xD000'0800)
                  .load_at_edi(8)
                  .keep(0x8010)
                  .out(0x80, 4)
                  .hlt()};
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine)));
  EXPECT_EQ(guest.kept(0x8000), 0xFFU);
  EXPECT_EQ(guest.kept(0x8008), 0xFFFFU);
  EXPECT_EQ(guest.kept(0x8010), ~std::uint64_t{0});
  EXPECT_EQ(guest.machine.unclaimed().reads, 3U);
  EXPECT_EQ(guest.machine.unclaimed().writes, 1U);
}

TEST_F(MachineOnKvm, StringsOfBytesGoOut) {
  std::string const text = "a string instruction's bytes, in order";
  Code const code = Code{}
                        .esi(0x8000)
                        .ecx(static_cast<std::uint32_t>(text.size()))
                        .edx(0xE9)
                        .bytes({0xF3, 0x6E})  // rep outsb
                        .hlt();
  Guest guest{code};
  ASSERT_TRUE(guest.machine.memory().copy_out(
      0x8000, gsl::as_bytes(gsl::span<char const>{text.data(), text.size()})));
  Statistics<Board> statistics;
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine, statistics)));
  EXPECT_EQ(guest.machine.get<Stream>().text, text);
  EXPECT_EQ(statistics.entry(1).writes, text.size());
  EXPECT_EQ(statistics.entry(1).bytes, text.size());
}

TEST_F(MachineOnKvm, StringsOfBytesComeInInBatches) {
  constexpr std::uint32_t count = 3000;
  Guest guest{Code{}.edi(0x8000).ecx(count).edx(0xE9).bytes({0xF3, 0x6C}).hlt()};  // rep insb
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine)));
  for (std::uint32_t at = 0; at < count; ++at)
    ASSERT_EQ(guest.machine.memory().read<std::uint8_t>(0x8000 + at), static_cast<std::uint8_t>(at))
        << at;
  Stream const& stream = guest.machine.get<Stream>();
  EXPECT_GT(stream.largest, 1U);
  EXPECT_LT(stream.reads, static_cast<int>(count));
}

TEST_F(MachineOnKvm, StringsOfDwordsGoElementAfterElement) {
  Code const code = Code{}
                        .edi(0x8000)
                        .ecx(5)
                        .edx(0x200)
                        .bytes({0xF3, 0x6D})  // rep insd
                        .esi(0x8000)
                        .ecx(5)
                        .bytes({0xF3, 0x6F})  // rep outsd
                        .hlt();
  Guest guest{code};
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine)));
  EXPECT_EQ(guest.machine.get<Words>().values,
            (std::vector<std::uint32_t>{0x0101'0101, 0x0202'0202, 0x0303'0303, 0x0404'0404,
                                        0x0505'0505}));
}

TEST_F(MachineOnKvm, ADeviceStandsWhereRamWouldBe) {
  // RAM goes around the device, and tables behind all RAM.
  using Low = DeviceMap<Mmio<0x10'0000, AddressWidths>>;
  Machine<Low> machine{GuestMemory{2 * MiB}, Low{}};
  machine.load(Code{}.rax(7).edi(0x10'0000).store_at_edi(4).hlt(),
               LongMode{PageSize::k4KiB, {{0x10'0000, 4 * KiB}}});
  EXPECT_TRUE(ended_with<Halted>(run(machine)));
  EXPECT_EQ(machine.get<AddressWidths>().written.size(), 1U);
  ASSERT_EQ(machine.memory().regions().size(), 2U);
  EXPECT_EQ(machine.memory().regions()[1].base, 4 * GiB);
}

// --- Ends

TEST_F(MachineOnKvm, AGuestEndsItselfWithACode) {
  Code code;
  code.rax(42).out(0x501, 1);
  std::uint64_t const behind = code.size();
  code.rax(43).out(0x501, 1).hlt();
  Guest guest{code};
  Stop const stop = run(guest.machine);
  ASSERT_TRUE(ended_with<GuestExit>(stop));
  EXPECT_EQ(std::get<GuestExit>(stop).code, 42);
  EXPECT_EQ(guest.machine.vcpu().regs().rip, behind);  // the instruction is complete
  Stop const second = run(guest.machine);
  ASSERT_TRUE(ended_with<GuestExit>(second));
  EXPECT_EQ(std::get<GuestExit>(second).code, 43);
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine)));
}

TEST_F(MachineOnKvm, ATripleFaultEndsTheRun) {
  Guest guest{Code{}.bytes({0x0F, 0x0B})};  // ud2, and no table of handlers
  EXPECT_TRUE(ended_with<Shutdown>(run(guest.machine)));
}

TEST_F(MachineOnKvm, AnExceptionOfADeviceComesOut) {
  Guest guest{Code{}.out(0x600, 1).out(0x600, 1).hlt()};
  EXPECT_THROW(run(guest.machine), std::runtime_error);
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine)));
  EXPECT_EQ(guest.machine.get<Faulty>().calls, 1);  // the first instruction was over
}

// --- Stops

TEST_F(MachineOnKvm, AnotherThreadStopsAnEndlessLoopAgainAndAgain) {
  Code code;
  code.out(0xE9, 1);
  std::uint64_t const loop = code.size();
  code.spin().hlt();
  Guest guest{code};
  for (int round = 0; round < 5; ++round) {
    std::thread stopping{[&] {
      if (round % 2 == 1) std::this_thread::sleep_for(std::chrono::milliseconds{5});
      guest.machine.stop();
    }};
    EXPECT_TRUE(ended_with<Requested>(run(guest.machine)));
    stopping.join();
  }
  EXPECT_LE(guest.machine.get<Stream>().writes, 1);
  kvm_regs registers = guest.machine.vcpu().regs();
  EXPECT_LE(registers.rip, loop);
  registers.rip = loop + 2;
  guest.machine.vcpu().set_regs(registers);
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine)));
}

TEST_F(MachineOnKvm, AStopBeforeTheRunEntersNoGuest) {
  Guest guest{Code{}.out(0xE9, 1).hlt()};
  guest.machine.stop();
  EXPECT_TRUE(ended_with<Requested>(run(guest.machine)));
  EXPECT_EQ(guest.machine.get<Stream>().writes, 0);
  EXPECT_TRUE(ended_with<Halted>(run(guest.machine)));
  EXPECT_EQ(guest.machine.get<Stream>().writes, 1);
}

TEST_F(MachineOnKvm, AGuestThatOnlyExitsIsStoppedToo) {
  Guest guest{Code{}.out(0x80, 1).bytes({0xEB, 0xF8})};  // back to `mov edx`
  std::thread stopping{[&] {
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
    guest.machine.stop();
  }};
  EXPECT_TRUE(ended_with<Requested>(run(guest.machine)));
  stopping.join();
}

/// Counts what it gets, for other threads to see.
struct Letters {
  void write(std::uint8_t letter) {
    text += static_cast<char>(letter);
    ++count;
  }

  std::string text{};
  std::atomic<std::size_t> count = 0;
};

TEST_F(MachineOnKvm, TwoMachinesRunAtOnce) {
  using Board1 = DeviceMap<Port<0xE9, Letters>>;
  constexpr std::uint32_t count = 200;
  // Each writes its letter `count` times: out; dec ecx; jnz. Then it spins until it is stopped.
  auto const load = [](Machine<Board1>& machine, char letter) {
    machine.load(Code{}
                     .rax(static_cast<std::uint64_t>(letter))
                     .edx(0xE9)
                     .ecx(count)
                     .bytes({0xEE, 0xFF, 0xC9, 0x75, 0xFB})
                     .spin(),
                 small_pages);
  };
  Machine<Board1> first{GuestMemory{2 * MiB}, [] { return Board1{}; }};
  Machine<Board1> second{GuestMemory{2 * MiB}, [] { return Board1{}; }};
  load(first, 'a');
  load(second, 'b');
  std::atomic<int> over = 0;
  auto const run_until_stopped = [&](Machine<Board1>& machine) {
    EXPECT_TRUE(ended_with<Requested>(run(machine)));
    ++over;
  };
  std::thread running_first{[&] { run_until_stopped(first); }};
  std::thread running_second{[&] { run_until_stopped(second); }};
  while (over == 0 && (first.get<Letters>().count < count || second.get<Letters>().count < count))
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  EXPECT_EQ(over, 0);
  first.stop();
  running_first.join();
  EXPECT_EQ(over, 1);  // the other goes on
  second.stop();
  running_second.join();
  EXPECT_EQ(first.get<Letters>().text, std::string(count, 'a'));
  EXPECT_EQ(second.get<Letters>().text, std::string(count, 'b'));
}

// --- Several vCPUs, and interrupt lines

struct Counter {
  void write(std::uint8_t) { ++writes; }

  int writes = 0;
};

TEST_F(MachineOnKvm, SeveralVcpusShareDevicesAndEnd) {
  using Shared2 = DeviceMap<Port<0xE9, Locked<Counter>>, Port<0x501, Exit>>;
  Machine<Shared2, Vcpus<2>> machine{GuestMemory{2 * MiB}, [] { return Shared2{}; }, Vcpus<2>{}};
  // vCPU 0 writes once, and waits for a word that vCPU 1 writes: cmp qword [0x8000], 0; je. Then it ends the machine, while
  // vCPU 1 spins.
  machine.load(Code{}
                   .out(0xE9, 1)
                   .bytes({0x48, 0x83, 0x3C, 0x25, 0x00, 0x80, 0x00, 0x00, 0x00, 0x74, 0xF5})
                   .rax(9)
                   .out(0x501, 1)
                   .hlt(),
               small_pages);
  Code{}.out(0xE9, 1).rax(1).keep(0x8000).spin().load(machine.memory(), 0x1000, 4 * KiB);
  kvm_regs registers = machine.vcpu(0).regs();
  registers.rip = 0x1000;
  registers.rsp = 0x8'0000;
  machine.vcpu(1).set_sregs(machine.vcpu(0).sregs());
  machine.vcpu(1).set_regs(registers);
  Stop const stop = run(machine);
  ASSERT_TRUE(ended_with<GuestExit>(stop));
  EXPECT_EQ(std::get<GuestExit>(stop).code, 9);
  EXPECT_EQ(machine.get<Counter>().writes, 2);
}

struct Raiser {
  void write(std::uint8_t, IrqLine& line) { line.pulse(); }
};

TEST_F(MachineOnKvm, ALineReachesTheControllers) {
  using WithLine = DeviceMap<Port<0x70, Raiser, Irq<5>>, Port<0x501, Exit>>;
  Machine<WithLine> machine{GuestMemory{2 * MiB}, WithLine{}};
  machine.load(Code{}.out(0x70, 1).rax(3).out(0x501, 1).spin(), small_pages);
  Stop const stop = run(machine);
  ASSERT_TRUE(ended_with<GuestExit>(stop));
  kvm_irqchip chip{};
  chip.chip_id = KVM_IRQCHIP_PIC_MASTER;
  ASSERT_EQ(::ioctl(machine.vm().fd().get(), KVM_GET_IRQCHIP, &chip), 0);
  EXPECT_EQ(chip.chip.pic.irr & (1U << 5), 1U << 5);  // an edge waits for the guest
  EXPECT_EQ(chip.chip.pic.irr & (1U << 4), 0U);
}

TEST_F(MachineOnKvm, TheKernelsTimerHasPort0x61) {
  using Small = DeviceMap<Port<0x501, Exit>>;
  Machine<Small, KernelPit> machine{GuestMemory{2 * MiB}, Small{}, KernelPit{}};
  // Channel 2 on; what is read back says so.
  machine.load(Code{}.rax(1).out(0x61, 1).rax(0).in(0x61, 1).out(0x501, 1).hlt(), small_pages);
  Stop const stop = run(machine);
  ASSERT_TRUE(ended_with<GuestExit>(stop));
  EXPECT_EQ(std::get<GuestExit>(stop).code & 0x03, 1);
  EXPECT_EQ(machine.unclaimed().reads + machine.unclaimed().writes, 0U);
}

}  // namespace
}  // namespace portico
