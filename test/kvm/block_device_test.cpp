// The block device under a guest with an interrupt handler, on KVM's interrupt controllers: work
// done in the vCPU's thread and on another, while the vCPU halts and while it runs.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <portico/device/locked.hpp>
#include <portico/device/offload.hpp>
#include <portico/devices/block_device.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/devices/i8259.hpp>
#include <portico/devices/ioapic.hpp>
#include <portico/devices/worker_thread.hpp>
#include <portico/portico.hpp>

#include "machine_code.hpp"
#include "support/requires.hpp"

namespace portico {
namespace {

/// Memory that takes its time, longest for long transfers: the guest halts or runs meanwhile.
struct SlowDisk : MemoryDisk {
  SlowDisk() : MemoryDisk{std::vector<std::byte>(64 * sector_bytes)} {}

  bool read(std::uint64_t sector, gsl::span<std::byte> to) {
    wait(to.size());
    return MemoryDisk::read(sector, to);
  }

  bool write(std::uint64_t sector, gsl::span<std::byte const> from) {
    wait(from.size());
    return MemoryDisk::write(sector, from);
  }

  static void wait(std::size_t bytes) {
    std::this_thread::sleep_for(std::chrono::milliseconds{bytes >= 16 * sector_bytes ? 10 : 1} *
                                test::time_scale());
  }
};

struct Console {
  void write(std::uint8_t byte) { text += static_cast<char>(byte); }

  std::string text{};
};

using Exit = DebugExit<ExitStatus::plain>;

/// Where the disk works: one word of its entry.
template <class Entry>
using InPlace = Entry;

template <class Worker_, template <class> class Where, class... Controllers>
using Board = DeviceMap<
    Port<0xE9, Console>, Port<0x501, Exit>,
    Where<Mmio<0xD000'0000, BlockDevice<SlowDisk, Worker_>, Irq<5, Level>, Named<"disk">>>,
    Controllers...>;

// KVM's controllers are those of a board without any.
using Pics = On<Locked<Pic8259A>, Ranges<Ports<0x20, 2>, Ports<0xA0, 2>, Ports<0x4D0, 2>>>;
using Apic = Mmio<0xFEC0'0000, IoApic>;

/// A machine that is stopped if it takes too long, or when the test says so.
template <class Worker_, template <class> class Where, class... Controllers>
struct GuestOf {
  template <class Image>
  explicit GuestOf(Image const& image) {
    machine.load(image, LongMode{PageSize::k4KiB, {{0xD000'0000, 4 * KiB}}});
  }

  Stop run(std::chrono::milliseconds limit = std::chrono::seconds{60}) {
    std::mutex mutex;
    std::condition_variable over;
    bool done = false;
    std::thread stops{[&] {
      std::unique_lock lock{mutex};
      if (!over.wait_for(lock, limit * test::time_scale(), [&] { return done; })) machine.stop();
    }};
    Stop const stop = machine.run();
    {
      std::lock_guard const guard{mutex};
      done = true;
    }
    over.notify_one();
    stops.join();
    return stop;
  }

  using Devices = Board<Worker_, Where, Controllers...>;

  Machine<Devices> machine{
      GuestMemory{2 * MiB}, [] {
        return Devices{Console{}, Exit{}, [] { return BlockDevice<SlowDisk, Worker_>{SlowDisk{}}; },
                       [] { return typename detail::EntryTraits<Controllers>::Held{}; }...};
      }};
};

template <class Worker_, class... Controllers>
using Guest = GuestOf<Worker_, InPlace, Controllers...>;

FlatImage rows() {
  return FlatImage{std::string{std::getenv("PORTICO_GUESTS")} + "/block_device_mmio.img"};
}

using Code = test::MachineCode;

struct BlockDeviceOnKvm : testing::Test {
  void SetUp() override { PORTICO_REQUIRES(kvm, lasting_halts); }
};

/// Runs all rows of the guest; what it said.
template <class Guest>
void expect_all_rows(Guest& guest, std::string& text) {
  Stop const stop = guest.run();
  text = guest.machine.template get<Console>().text;
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop) << "\n" << text;
  ASSERT_EQ(std::get<GuestExit>(stop).code, 0) << text;
  EXPECT_NE(text.find(" 0 failures\n"), std::string::npos) << text;
}

template <class Entry>
using OffTheVcpu = Offload<Entry>;

/// As long as the work lasts, an access waits.
template <template <class> class Where, class... Controllers>
void expect_rows_without_busy() {
  GuestOf<InlineWorker, Where, Controllers...> guest{rows()};
  std::string text;
  expect_all_rows(guest, text);
  EXPECT_NE(text.find("\nbusy was not seen\n"), std::string::npos) << text;
}

TEST_F(BlockDeviceOnKvm, InTheVcpusThread) {
  expect_rows_without_busy<InPlace>();
  expect_rows_without_busy<InPlace, Pics, Apic>();
  expect_rows_without_busy<InPlace, Pics>();
}

TEST_F(BlockDeviceOnKvm, Offloaded) {
  expect_rows_without_busy<OffTheVcpu>();
  expect_rows_without_busy<OffTheVcpu, Pics, Apic>();
  expect_rows_without_busy<OffTheVcpu, Pics>();
}

/// Whether a guest that saw the disk busy found all rows about that to be right.
bool saw_busy(std::string const& text) {
  for (char const* const row :
       {"a start while busy is an error: yes", "and the transfer goes on: yes",
        "I while busy is not ready at once: yes", "but later, without an interrupt: yes"})
    if (text.find(row) == std::string::npos) return false;
  return true;
}

template <class... Controllers>
void expect_rows_on_a_thread() {
  // Where the host has no processor for the guest just then, the disk may be done before it looks.
  std::string text;
  for (int attempt = 0; attempt < 10 && !saw_busy(text); ++attempt) {
    Guest<WorkerThread, Controllers...> guest{rows()};
    ASSERT_NO_FATAL_FAILURE(expect_all_rows(guest, text));
  }
  EXPECT_TRUE(saw_busy(text)) << "the disk was never seen busy";
}

TEST_F(BlockDeviceOnKvm, OnAThreadOfItsOwn) {
  expect_rows_on_a_thread<>();
  expect_rows_on_a_thread<Pics, Apic>();
  expect_rows_on_a_thread<Pics>();
}

TEST_F(BlockDeviceOnKvm, AMachineGoesWhileItsDiskWorks) {
  // mov $0xD0000000, %edi; movl $40, 24(%rdi); movl $I | S, (%rdi); mov $7, %al; out %al, $0x501
  Guest<WorkerThread> guest{Code{0xBF, 0,    0, 0, 0xD0, 0xC7, 0x47, 0x18, 40,   0,    0, 0, 0xC7,
                                 0x07, 0x11, 0, 0, 0,    0xB0, 0x07, 0xBA, 0x01, 0x05, 0, 0, 0xEE}};
  Stop const stop = guest.run();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(std::get<GuestExit>(stop).code, 7);
  // The disk has two pieces of 10 ms to do, unless this test had to wait for a processor.
}

TEST_F(BlockDeviceOnKvm, AHaltedGuestIsStopped) {
  Guest<InlineWorker> guest{Code{0xF4, 0xEB, 0xFD}};  // hlt, with interrupts off; and again
  Stop const stop = guest.run(std::chrono::milliseconds{20});
  EXPECT_TRUE(std::holds_alternative<Requested>(stop)) << describe(stop);
}

}  // namespace
}  // namespace portico
