// The virtio transport's registers, without KVM.
#include <gtest/gtest.h>

#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/virtio/entropy.hpp>
#include <portico/virtio/mmio.hpp>

namespace portico {
namespace {

using Board = DeviceMap<Mmio<0xD000'0000, VirtioMmio<Entropy>, Irq<5>>>;

TEST(VirtioMmio, fills_a_buffer) {
  GuestMemory ram{64 * KiB};
  IrqWire wire;
  IrqLine line{wire};
  Context context{ram, line};
  Board board{Entropy{}};
  auto const write = [&](std::uint64_t offset, std::uint32_t value) {
    EXPECT_TRUE(board.store(0xD000'0000 + offset, value, context));
  };
  auto const read = [&](std::uint64_t offset) {
    return board.load<std::uint32_t>(0xD000'0000 + offset, context);
  };
  EXPECT_EQ(read(0x000), 0x7472'6976U);
  EXPECT_EQ(read(0x008), 4U);
  write(0x070, 3);
  write(0x024, 1);
  write(0x020, 1);  // VERSION_1
  write(0x070, 11);
  EXPECT_EQ(read(0x070), 11U);
  write(0x038, 8);
  write(0x080, 0x1000);
  write(0x090, 0x2000);
  write(0x0A0, 0x3000);
  write(0x044, 1);
  write(0x070, 15);
  ASSERT_TRUE(ram.write(0x1000, detail::VirtioDescriptor{0x4000, 100, 2, 0}));
  ASSERT_TRUE(ram.write(0x2002, std::uint16_t{1}));
  write(0x050, 0);
  EXPECT_EQ(ram.read<std::uint16_t>(0x3002), 1);
  EXPECT_EQ(ram.read<std::uint32_t>(0x3008), 100U);
  EXPECT_EQ(read(0x060), 1U);
  EXPECT_TRUE(wire.level());
  write(0x064, 1);
  EXPECT_FALSE(wire.level());
  EXPECT_NE(ram.read<std::uint64_t>(0x4000), 0U);
}

}  // namespace
}  // namespace portico
