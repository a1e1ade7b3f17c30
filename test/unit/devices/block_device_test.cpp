// The block device's registers, bits and transitions, without KVM: on ports, in memory and placed
// at run time, with a worker that works when the test says so, and with a real one.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/device/dynamic_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/locked.hpp>
#include <portico/device/offload.hpp>
#include <portico/devices/block_device.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/devices/worker_thread.hpp>

namespace portico {
namespace {

// NOLINTNEXTLINE(readability-identifier-naming): the manual's names
constexpr std::uint32_t I = 1, R = 2, B = 4, RW = 8, S = 16, E = 32;

// --- The bits alone

constexpr std::uint32_t initialised = BlockBits::commanded(0, I, true);
constexpr std::uint32_t started = BlockBits::commanded(initialised, S, true);
static_assert(BlockBits::shown(0) == 0);
static_assert(BlockBits::shown(initialised) == R);
static_assert(BlockBits::shown(started) == B);
static_assert(BlockBits::commanded(0, 0, true) == 0 && BlockBits::commanded(0, E | RW, true) == 0);
static_assert(BlockBits::commanded(0, S, true) == (E | BlockBits::interrupt));
static_assert(BlockBits::shown(BlockBits::commanded(initialised, S, false)) == (R | E));
static_assert(BlockBits::shown(BlockBits::commanded(started, S, true)) == (B | E));
static_assert(BlockBits::commanded(0, I | S, true) == started);
static_assert(BlockBits::finished(started, false) == (initialised | BlockBits::interrupt));
static_assert(BlockBits::finished(started, true) == (initialised | BlockBits::interrupt | E));
static_assert(BlockBits::commanded(BlockBits::finished(started, true), I, true) == initialised);
static_assert(BlockBits::finished(BlockBits::commanded(started, I, true), true) == initialised);
static_assert(BlockBits::shown(BlockBits::commanded(started, I | S, true)) == (B | E));

// --- What stands behind the device

/// A disk of `'a' + sector`, which does what the test says.
struct TestDisk {
  std::vector<std::byte> content;
  bool read_only = false;
  bool broken = false;
  std::vector<std::uint32_t> pieces{};

  explicit TestDisk(std::size_t sectors) : content(sectors * sector_bytes) {
    for (std::size_t at = 0; at < content.size(); ++at)
      content[at] = static_cast<std::byte>('a' + at / sector_bytes);
  }

  [[nodiscard]] std::uint64_t size() const { return content.size(); }

  [[nodiscard]] bool writable() const { return !read_only; }

  bool read(std::uint64_t sector, gsl::span<std::byte> to) {
    pieces.push_back(static_cast<std::uint32_t>(to.size() / sector_bytes));
    if (broken) return false;
    std::memcpy(to.data(), content.data() + sector * sector_bytes, to.size());
    return true;
  }

  bool write(std::uint64_t sector, gsl::span<std::byte const> from) {
    pieces.push_back(static_cast<std::uint32_t>(from.size() / sector_bytes));
    if (broken) return false;
    std::memcpy(content.data() + sector * sector_bytes, from.data(), from.size());
    return true;
  }
};

/// Works when it is told to.
struct ManualWorker {
  std::function<void()> work{};

  void start(std::function<void()> given) {
    EXPECT_FALSE(work);
    work = std::move(given);
  }

  void wait() {
    if (work) std::exchange(work, {})();
  }
};

static_assert(Worker<ManualWorker>);

/// What a handler may ask for, and one line.
struct Services {
  GuestMemory ram{64 * KiB};
  IrqWire wire;
  IrqLine line{wire};
  RunControl control;
  Context<GuestMemory, IrqLine, RunControl> context{ram, line, control};
};

/// The three ways to put the device into a machine. A wide register has 64 bits.
struct OnPorts : Services {
  using Disk = BlockDeviceOnPorts<TestDisk, ManualWorker>;

  bool write(std::uint64_t offset, std::uint32_t value) {
    return board.out(static_cast<std::uint16_t>(0x300 + offset), value, context);
  }

  std::uint32_t read(std::uint64_t offset) {
    return board.in<std::uint32_t>(static_cast<std::uint16_t>(0x300 + offset), context);
  }

  bool write_wide(std::uint64_t offset, std::uint64_t value) {
    return write(offset + 4, static_cast<std::uint32_t>(value >> 32)) &&
           write(offset, static_cast<std::uint32_t>(value));
  }

  std::uint64_t read_wide(std::uint64_t offset) {
    return read(offset) | std::uint64_t{read(offset + 4)} << 32;
  }

  Disk& disk() { return board.get<Disk>(); }

  DeviceMap<Port<0x300, Disk, Irq<5, Level>>> board{[] { return Disk{TestDisk{40}}; }};
};

template <class Board>
struct InMemory : Services {
  template <class... Arguments>
  explicit InMemory(Arguments&&... arguments) : board(std::forward<Arguments>(arguments)...) {}

  template <class Value>
  bool write_any(std::uint64_t offset, Value value) {
    return board.store(0xD000'0000 + offset, value, context);
  }

  template <class Value>
  Value read_any(std::uint64_t offset) {
    return board.template load<Value>(0xD000'0000 + offset, context);
  }

  bool write(std::uint64_t offset, std::uint32_t value) { return write_any(offset, value); }

  bool write_wide(std::uint64_t offset, std::uint64_t value) { return write_any(offset, value); }

  std::uint32_t read(std::uint64_t offset) { return read_any<std::uint32_t>(offset); }

  std::uint64_t read_wide(std::uint64_t offset) { return read_any<std::uint64_t>(offset); }

  Board board;
};

using ManualDisk = BlockDevice<TestDisk, ManualWorker>;

struct OnMmio : InMemory<DeviceMap<Mmio<0xD000'0000, ManualDisk, Irq<5, Level>>>> {
  OnMmio() : InMemory{[] { return ManualDisk{TestDisk{40}}; }} {}

  ManualDisk& disk() { return board.get<ManualDisk>(); }
};

struct Dynamic : InMemory<DynamicMap<ManualDisk, DebugExit<>>> {
  Dynamic() {
    board.place<ManualDisk>(
        {.space = Space::mmio, .base = 0xD000'0000, .name = "disk", .irq = 5, .level = true},
        TestDisk{40});
  }

  ManualDisk& disk() { return *board.find<ManualDisk>("disk"); }
};

/// Off the vCPU's thread, as a machine has it: a doorbell's value signals an eventfd, and a thread
/// calls the handler.
struct Offloading : InMemory<DeviceMap<Offload<Mmio<0xD000'0000, ManualDisk, Irq<5, Level>>>>> {
  Offloading() : InMemory{[] { return ManualDisk{TestDisk{40}}; }} {
    held().open();
    thread = std::thread{[this] {
      while (!over.load()) {
        for (std::size_t bell = 0; bell < 2; ++bell) {
          pollfd input{held().event(bell), POLLIN, 0};
          if (::poll(&input, 1, 1) > 0) held().rang<0>(bell, context);
        }
      }
    }};
  }

  ~Offloading() {
    over = true;
    thread.join();
  }

  Offloaded<ManualDisk>& held() { return board.held<0>(); }

  bool write(std::uint64_t offset, std::uint32_t value) {
    if (offset != 0 || (value & ~RW) != S) return write_any(offset, value);
    std::uint64_t const one = 1;
    return ::write(held().event(value == S ? 0 : 1), &one, sizeof one) == sizeof one;
  }

  /// The test looks past the registers: what was rung is done by then.
  ManualDisk& disk() {
    read(0);
    return board.get<ManualDisk>();
  }

  std::atomic<bool> over = false;
  std::thread thread{};
};

template <class Machine>
class BlockDeviceTest : public testing::Test, protected Machine {
 protected:
  using Machine::disk, Machine::ram, Machine::read, Machine::read_wide, Machine::wire,
      Machine::write, Machine::write_wide;

  void command(std::uint32_t bits) { EXPECT_TRUE(write(0, bits)); }

  std::uint32_t status() { return read(0); }

  void acknowledge() { EXPECT_TRUE(write(4, 0)); }

  /// Sets a range and starts.
  void start(std::uint32_t direction, std::uint64_t sector, std::uint32_t count,
             std::uint64_t address) {
    EXPECT_TRUE(write_wide(8, address));
    EXPECT_TRUE(write_wide(16, sector));
    EXPECT_TRUE(write(24, count));
    command(direction | S);
  }

  bool is_started() { return static_cast<bool>(disk().worker().work); }

  /// The worker does what it was given.
  void work() { disk().worker().wait(); }

  /// The byte at an address of RAM as a character.
  char at(std::uint64_t address) { return ram.template read<char>(address).value_or('!'); }

  TestDisk& store() { return disk().sectors().backend(); }
};

using Machines = testing::Types<OnPorts, OnMmio, Dynamic, Offloading>;
TYPED_TEST_SUITE(BlockDeviceTest, Machines);

// `this->` is what a typed test needs to reach its fixture.

TYPED_TEST(BlockDeviceTest, IsNotReadyBeforeItIsInitialised) {
  EXPECT_EQ(this->status(), 0U);
  EXPECT_EQ(this->read(24), 0U);
  this->command(RW);
  EXPECT_EQ(this->status(), RW);
  EXPECT_FALSE(this->wire.level());
  this->start(0, 0, 1, 0x1000);
  EXPECT_EQ(this->status(), E);
  EXPECT_TRUE(this->wire.level());
  EXPECT_FALSE(this->is_started());
  this->acknowledge();
  EXPECT_FALSE(this->wire.level());
  EXPECT_EQ(this->status(), E) << "the error is not the interrupt";
  this->command(E);
  EXPECT_EQ(this->status(), 0U);
  this->start(0, 0, 1, 0x1000);
  this->command(I);
  EXPECT_EQ(this->status(), R) << "I clears the error";
  EXPECT_FALSE(this->wire.level()) << "and the interrupt";
  EXPECT_EQ(this->read(24), 1U) << "and leaves the registers alone";
}

TYPED_TEST(BlockDeviceTest, RegistersKeepWhatIsWritten) {
  EXPECT_TRUE(this->write_wide(8, 0x1122'3344'5566'7788));
  EXPECT_TRUE(this->write_wide(16, 0x99AA'BBCC'DDEE'FF00));
  EXPECT_TRUE(this->write(24, 0x1234'5678));
  EXPECT_EQ(this->read_wide(8), 0x1122'3344'5566'7788U);
  EXPECT_EQ(this->read_wide(16), 0x99AA'BBCC'DDEE'FF00U);
  EXPECT_EQ(this->read(24), 0x1234'5678U);
  EXPECT_EQ(this->read(4), 0xFFFF'FFFF) << "written only";
  this->command(R | B);
  EXPECT_EQ(this->status(), 0U) << "read only";
}

TYPED_TEST(BlockDeviceTest, ReadsAndInterrupts) {
  this->command(I);
  this->start(0, 2, 3, 0x1001);
  EXPECT_EQ(this->status(), B);
  EXPECT_FALSE(this->wire.level());
  EXPECT_EQ(this->at(0x1001), '\0');
  // The registers are free again.
  EXPECT_TRUE(this->write_wide(8, 0x8000));
  EXPECT_TRUE(this->write_wide(16, 30));
  EXPECT_TRUE(this->write(24, 9));
  this->command(RW);
  EXPECT_EQ(this->status(), B | RW);
  this->work();
  EXPECT_EQ(this->status(), R | RW);
  EXPECT_TRUE(this->wire.level());
  EXPECT_EQ(this->at(0x1000), '\0');
  EXPECT_EQ(this->at(0x1001), 'c');
  EXPECT_EQ(this->at(0x1001 + 3 * 512 - 1), 'e');
  EXPECT_EQ(this->at(0x1001 + 3 * 512), '\0');
  EXPECT_EQ(this->at(0x8000), '\0');
  this->acknowledge();
  EXPECT_FALSE(this->wire.level());
  EXPECT_EQ(this->wire.raised(), 1U);
}

TYPED_TEST(BlockDeviceTest, WritesInPieces) {
  this->command(I);
  EXPECT_TRUE(this->ram.write(0x1000, std::uint8_t{'X'}));
  EXPECT_TRUE(this->ram.write(0x1000 + 38 * 512 - 1, std::uint8_t{'Y'}));
  this->start(RW, 2, 38, 0x1000);
  EXPECT_EQ(this->status(), B | RW);
  this->work();
  EXPECT_EQ(this->status(), R | RW);
  EXPECT_EQ(this->store().pieces, (std::vector<std::uint32_t>{32, 6}));
  EXPECT_EQ(this->store().content[2 * 512], std::byte{'X'});
  EXPECT_EQ(this->store().content[40 * 512 - 1], std::byte{'Y'});
  EXPECT_EQ(this->store().content[2 * 512 - 1], std::byte{'b'});
}

TYPED_TEST(BlockDeviceTest, ABadRangeIsAnErrorAtOnce) {
  constexpr std::uint64_t end = 64 * KiB;
  constexpr std::uint64_t most = ~std::uint64_t{0};
  struct Range {
    std::uint64_t sector;
    std::uint32_t count;
    std::uint64_t address;
  };
  this->command(I);
  for (std::uint32_t const direction : {0U, RW}) {
    for (Range const& bad :
         {Range{40, 1, 0x1000}, Range{39, 2, 0x1000}, Range{0, 41, 0x1000}, Range{0, 0, 0x1000},
          Range{most, 1, 0x1000}, Range{most, 2, 0x1000}, Range{most - 1, 0xFFFF'FFFF, 0x1000},
          Range{0, 0xFFFF'FFFF, 0}, Range{1ULL << 55, 1, 0x1000}, Range{0, 1, end - 511},
          Range{0, 1, end}, Range{0, 2, end - 1023}, Range{0, 1, most}, Range{0, 1, most - 510},
          Range{0, 1, most - 511}, Range{0, 2, most - 1023}, Range{0, 1, 0x1'0000'1000}}) {
      this->start(direction, bad.sector, bad.count, bad.address);
      EXPECT_EQ(this->status(), R | E | direction)
          << bad.sector << " " << bad.count << " " << bad.address;
      EXPECT_TRUE(this->wire.level());
      EXPECT_FALSE(this->is_started());
      this->acknowledge();
      this->command(E);
      EXPECT_EQ(this->status(), R);
    }
  }
  this->store().read_only = true;
  this->start(RW, 0, 1, 0x1000);
  EXPECT_EQ(this->status(), R | E | RW);
  EXPECT_TRUE(this->store().pieces.empty());
  this->start(0, 39, 1, end - 512);
  EXPECT_EQ(this->status(), B | E) << "an error hinders nothing";
  this->work();
  EXPECT_EQ(this->status(), R | E) << "and stays";
  EXPECT_EQ(this->at(end - 1), static_cast<char>('a' + 39));
  EXPECT_EQ(this->at(0), '\0') << "nothing wraps to address 0";
}

TYPED_TEST(BlockDeviceTest, AStartWhileBusyIsAnErrorAndTheTransferGoesOn) {
  this->command(I);
  this->start(0, 1, 1, 0x1000);
  this->start(0, 2, 1, 0x2000);
  EXPECT_EQ(this->status(), B | E);
  EXPECT_TRUE(this->wire.level());
  this->acknowledge();
  this->command(E);
  EXPECT_EQ(this->status(), B);
  EXPECT_FALSE(this->wire.level());
  this->work();
  EXPECT_EQ(this->status(), R);
  EXPECT_TRUE(this->wire.level());
  EXPECT_EQ(this->at(0x1000), 'b');
  EXPECT_EQ(this->at(0x2000), '\0');
  EXPECT_EQ(this->wire.raised(), 2U);
}

TYPED_TEST(BlockDeviceTest, AFailingHostIsAnErrorAtTheEnd) {
  this->command(I);
  this->store().broken = true;
  for (std::uint32_t const direction : {0U, RW}) {
    this->start(direction, 0, 1, 0x1000);
    EXPECT_EQ(this->status(), B | direction);
    this->work();
    EXPECT_EQ(this->status(), R | E | direction);
    EXPECT_TRUE(this->wire.level());
    this->acknowledge();
    this->command(E);
  }
  EXPECT_EQ(this->at(0x1000), '\0');
  EXPECT_EQ(this->disk().sectors().host_failures(), 2U);
}

TYPED_TEST(BlockDeviceTest, InitialisedWhileBusyItIsReadyWhenTheTransferIsOver) {
  this->command(I);
  this->store().broken = true;
  this->start(0, 1, 1, 0x1000);
  this->start(0, 1, 1, 0x1000);
  EXPECT_EQ(this->status(), B | E);
  this->command(I);
  EXPECT_EQ(this->status(), B);
  EXPECT_FALSE(this->wire.level());
  this->command(I);
  this->command(S);
  EXPECT_EQ(this->status(), B | E) << "busy is busy";
  this->acknowledge();
  this->command(E);
  this->work();
  EXPECT_EQ(this->status(), R) << "neither an error";
  EXPECT_FALSE(this->wire.level()) << "nor an interrupt of what is forgotten";
  this->store().broken = false;
  this->command(I | S);
  EXPECT_EQ(this->status(), B) << "I comes before S";
  this->work();
  EXPECT_EQ(this->status(), R);
  EXPECT_TRUE(this->wire.level());
  EXPECT_EQ(this->at(0x1000), 'b');
}

TYPED_TEST(BlockDeviceTest, OneWriteMayClearAndStart) {
  this->command(I);
  this->start(0, 40, 1, 0x1000);
  EXPECT_EQ(this->status(), R | E);
  this->acknowledge();
  EXPECT_TRUE(this->write_wide(16, 39));
  this->command(E | S);
  EXPECT_EQ(this->status(), B);
  this->work();
  EXPECT_EQ(this->status(), R);
}

TYPED_TEST(BlockDeviceTest, KeepsItsState) {
  this->command(I);
  this->start(RW, 40, 1, 0x1000);
  this->start(RW, 7, 1, 0x1000);
  BlockState const state = this->disk().save();  // finishes first
  EXPECT_EQ(state.next, (DiskTransfer{true, 7, 1, 0x1000}));
  EXPECT_EQ(this->status(), R | E | RW);
  ManualDisk other{TestDisk{40}};
  other.load(state);
  EXPECT_EQ(other.save(), state);
  EXPECT_EQ(other.status(), R | E | RW);
  IrqWire others;
  other.command(0, this->ram, IrqLine{others});
  EXPECT_TRUE(others.level()) << "the interrupt is part of the state";
}

TEST(BlockDeviceInMemory, OtherWidthsAreNobodys) {
  OnMmio machine;
  EXPECT_TRUE(machine.write_wide(8, 0x1122'3344'5566'7788));
  auto const before = machine.disk().save();
  EXPECT_FALSE(machine.write_any(0, std::uint64_t{I}));
  EXPECT_FALSE(machine.write_any(0, std::uint8_t{I}));
  EXPECT_FALSE(machine.write_any(8, std::uint32_t{1}));
  EXPECT_FALSE(machine.write_any(12, std::uint32_t{1}));
  EXPECT_FALSE(machine.write_any(24, std::uint64_t{1}));
  EXPECT_FALSE(machine.write_any(22, std::uint32_t{1}));
  EXPECT_EQ(machine.read_any<std::uint32_t>(8), 0xFFFF'FFFF);
  EXPECT_EQ(machine.read_any<std::uint8_t>(0), 0xFF);
  EXPECT_EQ(machine.disk().save(), before);
}

TEST(BlockDeviceInline, CompletesBeforeTheStoreDoes) {
  Services services;
  BlockDevice<MemoryDisk> disk{MemoryDisk{std::vector<std::byte>(1024, std::byte{'m'})}};
  disk.set_count(2);
  disk.command(I | S, services.ram, services.line);
  EXPECT_EQ(disk.status(), R);
  EXPECT_TRUE(services.wire.level());
  EXPECT_EQ(services.ram.read<char>(1023), 'm');
  EXPECT_EQ(services.ram.read<char>(1024), '\0');
}

TEST(BlockDeviceInline, SeveralVcpusNeedALock) {
  using Disk = Locked<BlockDevice<MemoryDisk>>;
  DeviceMap<Mmio<0x1000, Disk, Irq<5, Level>>> board{[] {
    return Disk{[] { return BlockDevice<MemoryDisk>{MemoryDisk{std::vector<std::byte>(512)}}; }};
  }};
  static_assert(decltype(board.check_threads())::value);
  Services services;
  EXPECT_TRUE(board.store(0x1000, I, services.context));
  EXPECT_EQ(board.load<std::uint32_t>(0x1000, services.context), R);
}

// --- A thread of its own

/// Lets each transfer wait until the test has seen what it wants to see.
struct GatedDisk : MemoryDisk {
  GatedDisk(std::size_t sectors, std::atomic<bool>& open)
      : MemoryDisk{std::vector<std::byte>(sectors * sector_bytes, std::byte{'g'})}, gate{&open} {}

  bool read(std::uint64_t sector, gsl::span<std::byte> to) {
    gate->wait(false);
    return MemoryDisk::read(sector, to);
  }

  std::atomic<bool>* gate;
};

void open(std::atomic<bool>& gate) {
  gate = true;
  gate.notify_all();
}

using ThreadDisk = BlockDevice<GatedDisk, WorkerThread>;

TEST(BlockDeviceOnAThread, IsBusyWhileItWorks) {
  Services services;
  std::atomic<bool> gate = false;
  ThreadDisk disk{GatedDisk{4, gate}};
  disk.set_count(4);
  disk.command(I | S, services.ram, services.line);
  EXPECT_EQ(disk.status(), B);
  disk.command(S, services.ram, services.line);
  EXPECT_EQ(disk.status(), B | E);
  disk.command(I, services.ram, services.line);
  EXPECT_EQ(disk.status(), B);
  EXPECT_FALSE(services.wire.level());
  open(gate);
  while (disk.status() == B) std::this_thread::yield();
  EXPECT_EQ(disk.status(), R);
  EXPECT_FALSE(services.wire.level());
  EXPECT_EQ(services.ram.read<char>(2047), 'g');
}

TEST(BlockDeviceOnAThread, TheDestructorWaitsForTheWork) {
  Services services;
  std::atomic<bool> gate = false;
  std::thread opens;
  {
    ThreadDisk disk{GatedDisk{4, gate}};
    disk.set_count(1);
    disk.command(I | S, services.ram, services.line);
    opens = std::thread{[&] {
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
      open(gate);
    }};
  }
  opens.join();
  EXPECT_EQ(services.ram.read<char>(511), 'g') << "RAM outlives the device and its work";
  EXPECT_TRUE(services.wire.level());
}

TEST(BlockDeviceOnAThread, ManyCommandsOneAfterTheOther) {
  Services services;
  std::atomic<bool> gate = true;
  using Chosen = std::variant<InlineWorker, WorkerThread>;
  BlockDevice<GatedDisk, Chosen> disk{GatedDisk{4, gate}, std::in_place_type<WorkerThread>};
  disk.command(I, services.ram, services.line);
  constexpr std::uint64_t rounds = 2000;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    disk.set_sector(round % 4);
    disk.set_count(1);
    disk.set_address(round * 16 % 4096);
    disk.command(S, services.ram, services.line);
    while (!services.wire.level()) std::this_thread::yield();
    // The line is up: the transfer is over, and the next one may start.
    ASSERT_EQ(disk.status(), R);
    disk.acknowledge(0, services.line);
    ASSERT_FALSE(services.wire.level());
  }
  EXPECT_EQ(services.wire.raised(), rounds);
}

TEST(BlockDeviceOnAThread, TheLineFollowsWhoeverChangesTheBits) {
  // Acknowledged at any moment of a completion, the line is in the end what the bits say.
  Services services;
  std::atomic<bool> gate = true;
  ThreadDisk disk{GatedDisk{4, gate}};
  disk.set_count(1);
  disk.command(I, services.ram, services.line);
  for (int round = 0; round < 2000; ++round) {
    disk.command(S, services.ram, services.line);
    while (disk.status() == B) disk.acknowledge(0, services.line);
    disk.acknowledge(0, services.line);
    BlockState const state = disk.save();
    ASSERT_EQ(state.bits & BlockBits::interrupt, 0U);
    ASSERT_FALSE(services.wire.level());
  }
}

}  // namespace
}  // namespace portico
