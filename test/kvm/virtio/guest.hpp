// A machine for the virtio guests of guest/: console, exit status, one virtio device, and a count
// of the exits that each part of the guest takes.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <portico/device/locked.hpp>
#include <portico/device/offload.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/portico.hpp>
#include <portico/virtio/mmio.hpp>

#include "support/requires.hpp"

namespace portico::test {

struct Text {
  void write(std::uint8_t byte) { text += static_cast<char>(byte); }

  std::string text{};
};

/// Counts all exits to the monitor, as an observer of the run.
struct CountExits {
  void access(Access const&, Claim const&) { ++exits; }

  void exit(kvm::Exit const&, std::uint32_t) { ++exits; }

  std::uint64_t exits = 0;
};

/// What the guest says of itself: 0 before something, and then how much of it there was; the upper
/// half of that may tell what.
struct Marks {
  struct Part {
    std::uint64_t requests = 0;
    std::uint64_t exits = 0;

    [[nodiscard]] double exits_per_request() const {
      return static_cast<double>(exits) / static_cast<double>(requests);
    }
  };

  explicit Marks(CountExits const* counted) : count{counted} {}

  void write(std::uint32_t what) {
    if (what == 0) {
      before = count->exits + 1;  // with this one, which is counted when it is over
      return;
    }
    Part& part = parts[what];
    part.requests += what & 0xFFFF;
    part.exits += count->exits - before;
  }

  CountExits const* count;
  std::uint64_t before = 0;
  std::map<std::uint32_t, Part> parts{};
};

/// `Entry` is that of the virtio device, at 0xD000'0000 with line 5.
template <class Entry>
class VirtioGuest {
 public:
  using Exit = DebugExit<ExitStatus::plain>;
  using Board = DeviceMap<Port<0xE9, Text>, Port<0x501, Exit>, Port<0x510, Marks>, Entry>;

  /// `make` returns what the device is made from.
  template <class Make>
  VirtioGuest(std::string const& name, Make make)
      : machine_{GuestMemory{2 * MiB},
                 [&] { return Board{Text{}, Exit{}, Marks{&count_}, make}; }} {
    machine_.load(FlatImage{std::string{std::getenv("PORTICO_GUESTS")} + "/" + name + ".img"},
                  LongMode{PageSize::k4KiB, {{0xD000'0000, 4 * KiB}}});
  }

  /// Until the guest ends, or too much time has passed; whether it said that all was well.
  void run() {
    std::mutex mutex;
    std::condition_variable over;
    bool done = false;
    std::thread stops{[&] {
      std::unique_lock lock{mutex};
      if (!over.wait_for(lock, std::chrono::seconds{60} * time_scale(), [&] { return done; }))
        machine_.stop();
    }};
    Stop const stop = machine_.run(count_);
    {
      std::lock_guard const guard{mutex};
      done = true;
    }
    over.notify_one();
    stops.join();
    ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop) << "\n" << text();
    EXPECT_EQ(std::get<GuestExit>(stop).code, 0) << text();
  }

  [[nodiscard]] std::string const& text() { return machine_.template get<Text>().text; }

  /// What the guest has done under this mark.
  [[nodiscard]] Marks::Part part(std::uint32_t mark) {
    return machine_.template get<Marks>().parts[mark];
  }

  [[nodiscard]] auto& machine() { return machine_; }

 private:
  CountExits count_{};
  Machine<Board> machine_;
};

/// Where a device can stand.
template <class Device>
using OnTheVcpusThread = Mmio<0xD000'0000, VirtioMmio<Device>, Irq<5>>;
template <class Device>
using UnderALock = Mmio<0xD000'0000, Locked<VirtioMmio<Device>>, Irq<5>>;
template <class Device>
using OnItsOwnThread = Offload<Mmio<0xD000'0000, VirtioMmio<Device>, Irq<5>>>;

}  // namespace portico::test
