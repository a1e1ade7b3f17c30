// The two devices of "Simple KVM I/O", without KVM: on ports, in memory, and placed at run time.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/device/dynamic_map.hpp>
#include <portico/devices/simple_disk.hpp>
#include <portico/devices/simple_serial.hpp>

#include "temporary_folder.hpp"

namespace portico {
namespace {

using Serial = SimpleSerial<MemoryStreams>;

/// A disk that does what the test says.
struct TestDisk {
  std::vector<std::byte> content;
  bool read_only = false;
  bool broken = false;
  int reads = 0;
  int writes = 0;

  explicit TestDisk(std::size_t sectors) : content(sectors * sector_bytes) {}

  [[nodiscard]] std::uint64_t size() const { return content.size(); }

  [[nodiscard]] bool writable() const { return !read_only; }

  bool read(std::uint64_t sector, gsl::span<std::byte> to) {
    ++reads;
    if (broken) return false;
    std::memcpy(to.data(), content.data() + sector * sector_bytes, to.size());
    return true;
  }

  bool write(std::uint64_t sector, gsl::span<std::byte const> from) {
    ++writes;
    if (broken) return false;
    std::memcpy(content.data() + sector * sector_bytes, from.data(), from.size());
    return true;
  }
};

using Disk = SimpleDisk<TestDisk>;

constexpr std::uint64_t address_of(unsigned port) { return 0x20'0000 + 8 * port; }

/// The three ways to put the devices into a machine; `write` is the guest's access to register
/// `port`.
struct OnPorts {
  DeviceMap<Port<0x10, Serial>, Port<0x20, Disk>> board{Serial{MemoryStreams{}}, Disk{TestDisk{4}}};

  template <class Value>
  bool write(unsigned port, Value value, auto& context) {
    return board.out(static_cast<std::uint16_t>(port), value, context);
  }

  template <class Value>
  Value read(unsigned port, auto& context) {
    return board.template in<Value>(static_cast<std::uint16_t>(port), context);
  }

  Serial& serial() { return board.get<Serial>(); }

  Disk& disk() { return board.get<Disk>(); }
};

template <class Board>
struct InMemory {
  Board board;

  template <class Value>
  bool write(unsigned port, Value value, auto& context) {
    return board.store(address_of(port), value, context);
  }

  template <class Value>
  Value read(unsigned port, auto& context) {
    return board.template load<Value>(address_of(port), context);
  }
};

using MmioBoard =
    DeviceMap<Mmio<address_of(0x10), Serial>, Mmio<address_of(0x20), Disk, Stride<8>>>;

struct OnMmio : InMemory<MmioBoard> {
  OnMmio() : InMemory{MmioBoard{Serial{MemoryStreams{}}, Disk{TestDisk{4}}}} {}

  Serial& serial() { return board.get<Serial>(); }

  Disk& disk() { return board.get<Disk>(); }
};

struct Dynamic : InMemory<DynamicMap<Serial, Disk>> {
  Dynamic() {
    board.place<Serial>({.space = Space::mmio, .base = address_of(0x10), .name = "serial"},
                        MemoryStreams{});
    board.place<Disk>({.space = Space::mmio, .base = address_of(0x20), .stride = 8, .name = "disk"},
                      TestDisk{4});
  }

  Serial& serial() { return *board.find<Serial>("serial"); }

  Disk& disk() { return *board.find<Disk>("disk"); }
};

template <class Machine>
class SimpleIo : public testing::Test {
 protected:
  static constexpr std::uint64_t ram_size = 2 * MiB;
  static constexpr std::uint8_t read = 0, write = 1, setup = 2;

  void command(std::uint32_t sector, std::uint32_t address, std::uint8_t command) {
    EXPECT_TRUE(machine.write(0x20, sector, context));
    EXPECT_TRUE(machine.write(0x21, address, context));
    EXPECT_TRUE(machine.write(0x22, command, context));
  }

  /// The error in the status at 0x1000; the size beside it must be right.
  std::int32_t error(std::uint64_t status = 0x1000) {
    EXPECT_EQ(ram.read<std::uint64_t>(status), machine.disk().sectors().backend().size());
    return ram.read<std::int32_t>(status + 8).value_or(-1);
  }

  void set_up(std::uint32_t status = 0x1000) {
    EXPECT_TRUE(ram.write(status + 12, std::uint32_t{0xAAAA'AAAA}));
    command(0, status, setup);
    EXPECT_EQ(error(status), 0);
    EXPECT_EQ(ram.read<std::uint32_t>(status + 12), 0xAAAA'AAAA) << "a status has 12 bytes";
  }

  TestDisk& store() { return machine.disk().sectors().backend(); }

  GuestMemory ram{ram_size};
  RunControl control;
  Context<GuestMemory, RunControl> context{ram, control};
  Machine machine;
};

using Machines = testing::Types<OnPorts, OnMmio, Dynamic>;
TYPED_TEST_SUITE(SimpleIo, Machines);

TYPED_TEST(SimpleIo, PrintsBytes) {
  for (char const byte : {'h', 'i', '\0', '\xFF'})
    EXPECT_TRUE(this->machine.write(0x10, static_cast<std::uint8_t>(byte), this->context));
  EXPECT_EQ(this->machine.serial().output().output, (std::string{"hi\0\xFF", 4}));
}

TYPED_TEST(SimpleIo, RegistersHaveOneWidthAndAreWriteOnly) {
  this->set_up();
  this->command(1, 0x2000, this->read);
  auto const before = this->machine.disk().save();
  auto& registers = this->machine;
  auto& services = this->context;
  EXPECT_FALSE(registers.write(0x10, std::uint16_t{'a'}, services));
  EXPECT_FALSE(registers.write(0x10, std::uint32_t{'a'}, services));
  EXPECT_FALSE(registers.write(0x20, std::uint8_t{3}, services));
  EXPECT_FALSE(registers.write(0x20, std::uint16_t{3}, services));
  EXPECT_FALSE(registers.write(0x21, std::uint8_t{3}, services));
  EXPECT_FALSE(registers.write(0x21, std::uint16_t{3}, services));
  EXPECT_FALSE(registers.write(0x22, std::uint16_t{1}, services));
  EXPECT_FALSE(registers.write(0x22, std::uint32_t{1}, services));
  EXPECT_EQ(registers.disk().save(), before);
  EXPECT_EQ(registers.serial().output().output, "");
  EXPECT_EQ(this->store().writes, 0);
  for (unsigned const port : {0x10U, 0x20U, 0x21U, 0x22U, 0x23U}) {
    EXPECT_EQ(registers.template read<std::uint8_t>(port, services), 0xFF) << port;
    EXPECT_EQ(registers.template read<std::uint32_t>(port, services), 0xFFFF'FFFF) << port;
  }
}

TYPED_TEST(SimpleIo, ReadsAndWritesSectors) {
  this->set_up();
  for (std::size_t index = 0; index < 4 * sector_bytes; ++index)
    this->store().content[index] = static_cast<std::byte>(index / sector_bytes + 1);
  this->command(3, 0x2000, this->read);
  EXPECT_EQ(this->error(), 0);
  EXPECT_EQ(this->ram.template read<std::uint8_t>(0x1FFF), 0);
  EXPECT_EQ(this->ram.template read<std::uint8_t>(0x2000), 4);
  EXPECT_EQ(this->ram.template read<std::uint8_t>(0x21FF), 4);
  EXPECT_EQ(this->ram.template read<std::uint8_t>(0x2200), 0);
  EXPECT_TRUE(this->ram.write(0x2000, std::uint8_t{0x77}));
  this->command(1, 0x2000, this->write);
  EXPECT_EQ(this->error(), 0);
  EXPECT_EQ(this->store().content[512], std::byte{0x77});
  EXPECT_EQ(this->store().content[513], std::byte{4});
  EXPECT_EQ(this->store().content[1023], std::byte{4});
  EXPECT_EQ(this->store().content[511], std::byte{1});
  EXPECT_EQ(this->store().content[1024], std::byte{3});
}

TYPED_TEST(SimpleIo, IgnoresCommandsBeforeSetup) {
  EXPECT_TRUE(this->ram.write(0x1000, std::uint64_t{0x1122'3344'5566'7788}));
  for (std::uint8_t const command : std::vector<std::uint8_t>{0, 1, 3, 255})
    this->command(0, 0x1000, command);
  EXPECT_EQ(this->ram.template read<std::uint64_t>(0x1000), 0x1122'3344'5566'7788U);
  EXPECT_EQ(this->store().reads, 0);
  EXPECT_EQ(this->store().writes, 0);
}

TYPED_TEST(SimpleIo, SetsUpOnce) {
  this->set_up();
  EXPECT_TRUE(this->ram.write(0x3000, std::uint64_t{0x1122'3344'5566'7788}));
  this->command(0, 0x3000, this->setup);
  EXPECT_EQ(this->error(), 22);
  EXPECT_EQ(this->ram.template read<std::uint64_t>(0x3000), 0x1122'3344'5566'7788U)
      << "the status stays where it was";
  this->command(0, 0x2000, this->read);
  EXPECT_EQ(this->error(), 0) << "an error does not stay";
}

TYPED_TEST(SimpleIo, AStatusOutsideRamDoesNotCount) {
  std::uint32_t const end = this->ram_size;
  EXPECT_TRUE(this->ram.write(end - 11, std::uint64_t{0x1122'3344'5566'7788}));
  for (std::uint32_t const address : {end - 11, end - 1, end, 0xFFFF'FFF8U, 0xFFFF'FFFFU}) {
    this->command(0, address, this->setup);
    EXPECT_EQ(this->machine.disk().save().status, std::nullopt) << address;
  }
  EXPECT_EQ(this->ram.template read<std::uint64_t>(end - 11), 0x1122'3344'5566'7788U);
  EXPECT_EQ(this->ram.template read<std::uint64_t>(0), 0U) << "nothing wraps to address 0";
  this->command(0, end - 12, this->setup);
  EXPECT_EQ(this->error(end - 12), 0);
}

TYPED_TEST(SimpleIo, TellsBadSectorsAndCommands) {
  this->set_up();
  for (std::uint32_t const sector : {4U, 5U, 0x80'0000U, 0xFFFF'FFFFU}) {
    for (std::uint8_t const command : {this->read, this->write}) {
      this->command(sector, 0x2000, command);
      EXPECT_EQ(this->error(), 22) << sector;
    }
  }
  for (std::uint8_t const command : std::vector<std::uint8_t>{3, 4, 255}) {
    this->command(0, 0x2000, command);
    EXPECT_EQ(this->error(), 22) << int{command};
  }
  EXPECT_EQ(this->store().reads + this->store().writes, 0);
}

TYPED_TEST(SimpleIo, TellsAddressesOutsideRam) {
  this->set_up();
  std::uint32_t const end = this->ram_size;
  for (std::uint32_t const address : {end - 511, end, end + 0x80, 0xFFFF'FE00U, 0xFFFF'FFFFU}) {
    for (std::uint8_t const command : {this->read, this->write}) {
      this->command(0, address, command);
      EXPECT_EQ(this->error(), 14) << address;
    }
  }
  EXPECT_EQ(this->store().reads + this->store().writes, 0);
  EXPECT_EQ(this->ram.template read<std::uint64_t>(0), 0U) << "nothing wraps to address 0";
  this->command(3, end - 512, this->read);
  EXPECT_EQ(this->error(), 0);
}

TYPED_TEST(SimpleIo, ChecksInTheOrderOfTheDescription) {
  this->set_up();
  this->store().read_only = true;
  this->store().broken = true;
  this->command(4, 0xFFFF'FFFF, this->write);
  EXPECT_EQ(this->error(), 22) << "the sector before the address";
  this->command(0, 0xFFFF'FFFF, this->write);
  EXPECT_EQ(this->error(), 14) << "the address before the disk";
  this->command(0, 0x2000, this->write);
  EXPECT_EQ(this->error(), 30) << "the disk before the host";
  EXPECT_EQ(this->machine.disk().sectors().host_failures(), 0U);
  this->store().read_only = false;
  this->command(0, 0x2000, this->write);
  EXPECT_EQ(this->error(), 5);
  EXPECT_TRUE(this->ram.write(0x2000, std::uint64_t{0x1122'3344'5566'7788}));
  this->command(0, 0x2000, this->read);
  EXPECT_EQ(this->error(), 5);
  EXPECT_EQ(this->ram.template read<std::uint64_t>(0x2000), 0x1122'3344'5566'7788U);
  EXPECT_EQ(this->machine.disk().sectors().host_failures(), 2U);
}

TYPED_TEST(SimpleIo, TheStatusIsWrittenLast) {
  this->set_up();
  for (std::byte& byte : this->store().content) byte = std::byte{0xEE};
  this->command(0, 0x1000 - 500, this->read);
  EXPECT_EQ(this->error(), 0);
  EXPECT_EQ(this->ram.template read<std::uint32_t>(0x1000 - 4), 0xEEEE'EEEEU);
}

TYPED_TEST(SimpleIo, KeepsItsState) {
  this->set_up();
  this->command(2, 0x2000, this->read);
  Disk other{TestDisk{4}};
  other.load(this->machine.disk().save());
  EXPECT_EQ(other.save(), (Disk::State{.sector = 2, .address = 0x2000, .status = 0x1000}));
  other.sectors().backend().content[1024] = std::byte{0x55};
  other.execute(0, this->ram);
  EXPECT_EQ(this->ram.template read<std::uint8_t>(0x2000), 0x55);
}

TEST(SimpleSerial, PrintsABatchInOnePiece) {
  struct Pieces {
    std::vector<std::string> pieces{};

    Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const&) {
      pieces.emplace_back(bytes.begin(), bytes.end());
      return {bytes.size(), 1, EPIPE};
    }
  };
  using Device = SimpleSerial<Pieces>;
  DeviceMap<Port<0x10, Device>> board{Device{Pieces{}}};
  RunControl control;
  Context context{control};
  std::string text = "whole";
  auto const claim = board.access<Space::port, Direction::write>(
      0x10, 1, 5, reinterpret_cast<std::byte*>(text.data()), context);
  EXPECT_TRUE(claim.taken());
  board.out(0x10, std::uint8_t{'!'}, context);
  EXPECT_EQ(board.get<Device>().output().pieces, (std::vector<std::string>{"whole", "!"}));
  EXPECT_EQ(board.get<Device>().lost(), (OutputLoss{2, EPIPE}));
}

TEST(SimpleIoOnMmio, AnAccessAcrossTwoRegistersIsNobodys) {
  GuestMemory ram{2 * MiB};
  RunControl control;
  Context context{ram, control};
  OnMmio machine;
  auto const before = machine.disk().save();
  EXPECT_FALSE(machine.board.store(0x20'0100, std::uint64_t{0x1'0000'0001}, context));
  EXPECT_FALSE(machine.board.store(0x20'0106, std::uint32_t{1}, context));
  EXPECT_FALSE(machine.board.store(0x20'0104, std::uint64_t{1}, context));
  EXPECT_FALSE(machine.board.store(0x20'007E, std::uint32_t{0x4141'4141}, context));
  EXPECT_EQ(machine.disk().save(), before);
  EXPECT_EQ(machine.serial().output().output, "");
}

std::string message_of(auto action) {
  try {
    action();
  } catch (std::system_error const& error) {
    return error.what();
  }
  return "nothing was thrown";
}

class DiskBackends : public testing::Test {
 protected:
  static std::vector<std::byte> sector(char fill) {
    return std::vector<std::byte>(sector_bytes, static_cast<std::byte>(fill));
  }

  TemporaryFolder folder;
};

TEST_F(DiskBackends, WhatIsWrittenIsInTheFileAtOnce) {
  folder.write("disk", std::string(2048, 'a'));
  for (Durability const durability : {Durability::process_crash, Durability::power_loss}) {
    WriteBackFile disk{folder.path("disk"), durability};
    EXPECT_EQ(disk.size(), 2048U);
    char const fill = durability == Durability::power_loss ? 'c' : 'b';
    EXPECT_TRUE(disk.write(1, sector(fill)));
    EXPECT_EQ(folder.read("disk"),
              std::string(512, 'a') + std::string(512, fill) + std::string(1024, 'a'));
    std::vector<std::byte> back(1024);
    EXPECT_TRUE(disk.read(1, back));
    EXPECT_EQ(back[511], static_cast<std::byte>(fill));
    EXPECT_EQ(back[512], std::byte{'a'});
  }
}

TEST_F(DiskBackends, AReadOnlyFileNeedNotBeWritable) {
  folder.write("disk", std::string(512, 'a'));
  std::filesystem::permissions(folder.path("disk"), std::filesystem::perms::owner_read);
  ReadOnlyFile disk{folder.path("disk")};
  EXPECT_FALSE(disk.writable());
  EXPECT_FALSE(disk.write(0, sector('b')));
  std::vector<std::byte> back(512);
  EXPECT_TRUE(disk.read(0, back));
  EXPECT_EQ(back[511], std::byte{'a'});
  EXPECT_EQ(folder.read("disk"), std::string(512, 'a'));
}

TEST_F(DiskBackends, ACopyInMemoryLeavesTheFileAlone) {
  folder.write("disk", std::string(1024, 'a'));
  MemoryDisk disk{folder.path("disk")};
  EXPECT_TRUE(disk.write(1, sector('b')));
  EXPECT_EQ(disk.content()[511], std::byte{'a'});
  EXPECT_EQ(disk.content()[512], std::byte{'b'});
  EXPECT_EQ(folder.read("disk"), std::string(1024, 'a'));
}

TEST_F(DiskBackends, AFileThatBecomesShorterIsAnError) {
  folder.write("disk", std::string(1024, 'a'));
  WriteBackFile disk{folder.path("disk")};
  std::filesystem::resize_file(folder.path("disk"), 600);
  std::vector<std::byte> back(512);
  EXPECT_TRUE(disk.read(0, back));
  EXPECT_FALSE(disk.read(1, back));
}

TEST_F(DiskBackends, RefuseWhatIsNoDisk) {
  folder.write("odd", std::string(513, 'a'));
  EXPECT_NE(message_of([&] { WriteBackFile{folder.path("odd")}; }).find("513 bytes"),
            std::string::npos);
  EXPECT_NE(message_of([&] { MemoryDisk{folder.path("odd")}; }).find("multiple of 512"),
            std::string::npos);
  EXPECT_NE(message_of([&] { ReadOnlyFile{folder.path("none")}; }).find("none"), std::string::npos);
  EXPECT_NE(message_of([&] { ReadOnlyFile{folder.path("")}; }).find("not a regular file"),
            std::string::npos);
}

TEST_F(DiskBackends, CreateDiskOverwritesNothing) {
  create_disk(folder.path("disk"), 1024);
  EXPECT_EQ(folder.read("disk"), std::string(1024, '\0'));
  folder.write("disk", "mine");
  EXPECT_NE(message_of([&] { create_disk(folder.path("disk"), 1024); }).find("exists"),
            std::string::npos);
  EXPECT_EQ(folder.read("disk"), "mine");
  EXPECT_NE(message_of([&] { create_disk(folder.path("other"), 1000); }).find("multiple of 512"),
            std::string::npos);
  EXPECT_EQ(folder.read("other"), std::nullopt);
}

TEST_F(DiskBackends, TheChoiceIsMadeAtRunTime) {
  folder.write("disk", std::string(512, 'a'));
  GuestMemory ram{4 * KiB};
  std::vector<DiskBackend> backends;
  backends.emplace_back(WriteBackFile{folder.path("disk")});
  backends.emplace_back(ReadOnlyFile{folder.path("disk")});
  backends.emplace_back(MemoryDisk{folder.path("disk")});
  std::vector<std::int32_t> errors;
  for (DiskBackend& backend : backends) {
    SimpleDisk<> disk{std::move(backend)};
    disk.set_address(0);
    disk.execute(2, ram);
    disk.set_address(0x200);
    disk.execute(1, ram);
    errors.push_back(ram.read<std::int32_t>(8).value_or(-1));
  }
  EXPECT_EQ(errors, (std::vector<std::int32_t>{0, 30, 0}));
}

}  // namespace
}  // namespace portico
