#include <gtest/gtest.h>

#include <string>

#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/machine/map_text.hpp>

namespace portico {
namespace {

struct Console {
  void write(std::uint8_t) {}

  std::uint8_t read() { return 0; }
};

struct Disk {
  void set_sector(std::uint32_t) {}

  std::uint16_t status() { return 0; }

  void read(std::uint64_t, gsl::span<std::byte>) {}

  void configure(std::uint64_t, gsl::span<std::byte const>) {}

  using registers = Registers<WriteOnly<0, &Disk::set_sector>, ReadOnly<4, &Disk::status>,
                              Bytes<0x100, 32, &Disk::read, &Disk::configure>>;
};

struct Pic {
  void write(std::uint8_t) {}
};

TEST(MapText, HasALineForEachRangeAndRegister) {
  using Board = DeviceMap<Port<0xE9, Console, Named<"console">>,
                          Mmio<0xD000'0000, Disk, Irq<5, Level, Shared>>,
                          On<Pic, Ranges<Ports<0x20, 2>, Ports<0xA0, 2>>, Irq<2>>>;
  EXPECT_EQ(map_text<Board>(),
            "port  0x00e9-0x00e9          console          Console\n"
            "        +0x00  rw   8 bit  write\n"
            "mmio  0x00d0000000-0x00d000011f Disk             Disk  irq 5 level shared\n"
            "        +0x00  -w  32 bit  set_sector\n"
            "        +0x04  r-  16 bit  status\n"
            "        +0x100  rw  any width, 32 bytes  configure\n"
            "port  0x0020-0x0021          Pic              Pic  irq 2 edge\n"
            "        +0x00  -w   8 bit  write\n"
            "port  0x00a0-0x00a1          Pic              Pic  irq 2 edge\n"
            "        +0x00  -w   8 bit  write\n");
  EXPECT_EQ(map_text<DeviceMap<>>(), "");
}

TEST(MapText, CountsTheStrideIn) {
  using Board = DeviceMap<Mmio<0x1000, Disk, Stride<1>, Named<"a name that is longer than most">>>;
  std::string const text = map_text<Board>();
  EXPECT_NE(text.find("a name that is longer than most Disk\n"), std::string::npos) << text;
  struct Pair {
    void first(std::uint8_t) {}

    void second(std::uint8_t) {}

    using registers = Registers<WriteOnly<0, &Pair::first>, WriteOnly<1, &Pair::second>>;
  };
  std::string const apart = map_text<DeviceMap<Mmio<0x1000, Pair, Stride<16>>>>();
  EXPECT_NE(apart.find("+0x10  -w   8 bit  second"), std::string::npos) << apart;
}

TEST(MemoryText, HasALineForEachRegion) {
  GuestMemory const memory{{0, 640 * KiB}, {4 * GiB, 8 * KiB}};
  EXPECT_EQ(memory_text(memory),
            "ram   0x0000000000-0x000009ffff 640 KiB\n"
            "ram   0x0100000000-0x0100001fff 8 KiB\n");
}

}  // namespace
}  // namespace portico
