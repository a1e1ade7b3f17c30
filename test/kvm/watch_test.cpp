// A device that waits for a descriptor of the host, under a guest that waits for its interrupt.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <portico/device/locked.hpp>
#include <portico/devices/debug_exit.hpp>
#include <portico/portico.hpp>

#include "machine_code.hpp"
#include "support/requires.hpp"

namespace portico {
namespace {

/// What came through a pipe, byte by byte; each raises the line.
struct Receiver {
  Receiver() {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) throw std::system_error{errno, std::system_category(), "pipe"};
    out.reset(ends[0]);
    in.reset(ends[1]);
  }

  void enable(std::uint8_t, Watch& watch) { watch.arm(out.get()); }

  std::uint8_t take(IrqLine& line) {
    line.set(false);
    return std::exchange(byte, std::uint8_t{0});
  }

  void event(IrqLine& line) {
    ++events;
    if (::read(out.get(), &byte, 1) == 1) line.set(true);
  }

  using registers = Registers<WriteOnly<0, &Receiver::enable>, ReadOnly<1, &Receiver::take>>;

  Fd out;
  Fd in;
  std::uint8_t byte = 0;
  int events = 0;
};

using Exit = DebugExit<ExitStatus::plain>;
using Board = DeviceMap<Port<0x10, Locked<Receiver>, Irq<5, Level>>, Port<0x501, Exit>>;

using Code = test::MachineCode;

TEST(WatchOnKvm, ItsEventComesWhileTheGuestRuns) {
  PORTICO_REQUIRES(kvm);
  // The guest asks for each byte, polls until one that is not 0 has come, and ends with the sum of
  // three.
  Code const code{0xB9, 0x03, 0,    0, 0,  // mov $3, %ecx
                  0x31, 0xDB,              // xor %ebx, %ebx
                  0xE6, 0x10,              // again: out %al, $0x10
                  0xE4, 0x11,              // wait: in $0x11, %al
                  0x84, 0xC0,              // test %al, %al
                  0x74, 0xFA,              // jz wait
                  0x00, 0xC3,              // add %al, %bl
                  0xFF, 0xC9,              // dec %ecx
                  0x75, 0xF2,              // jnz again
                  0x88, 0xD8,              // mov %bl, %al
                  0xBA, 0x01, 0x05, 0, 0,  // mov $0x501, %edx
                  0xEE};                   // out %al, %dx
  Machine machine{GuestMemory{2 * MiB}, [] { return Board{}; }};
  machine.load(code, LongMode{PageSize::k4KiB});
  auto& receiver = machine.get<Receiver>();
  std::thread sender{[&] {
    for (std::uint8_t byte = 1; byte <= 3; ++byte) {
      std::this_thread::sleep_for(std::chrono::milliseconds{2});
      EXPECT_EQ(::write(receiver.in.get(), &byte, 1), 1);
    }
  }};
  Stop const stop = machine.run();
  sender.join();
  ASSERT_TRUE(std::holds_alternative<GuestExit>(stop)) << describe(stop);
  EXPECT_EQ(std::get<GuestExit>(stop).code, 1 + 2 + 3);
  EXPECT_EQ(receiver.events, 3);
}

}  // namespace
}  // namespace portico
