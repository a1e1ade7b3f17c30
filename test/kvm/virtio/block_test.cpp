// The virtio disk under a guest's driver, in each place: what is on it, and the exits that took.
#include <portico/devices/block_store.hpp>
#include <portico/virtio/block.hpp>

#include "abi/program.hpp"
#include "guest.hpp"

namespace portico::test {
namespace {

constexpr std::size_t disk_bytes = 64 * sector_bytes;

/// Word `index` of a sector after the guest's last round: see guest/virtio_block.c.
std::uint64_t expected_word(std::size_t sector, std::size_t index) {
  std::uint64_t const mark = (4ULL << 40) + 0x10'0000 + (std::uint64_t{sector / 32} << 32);
  return mark + 4096 * (sector % 32) + index;
}

void expect_content(std::string const& disk) {
  ASSERT_EQ(disk.size(), disk_bytes);
  for (std::size_t sector = 0; sector < 64; ++sector)
    for (std::size_t index = 0; index < sector_bytes / 8; index += 8) {
      auto const word = load<std::uint64_t>(reinterpret_cast<std::byte const*>(disk.data()) +
                                            sector * sector_bytes + 8 * index);
      ASSERT_EQ(word, expected_word(sector, index)) << "sector " << sector << ", word " << index;
    }
}

/// Of the guest's ways: looking or by interrupts, without and with EVENT_IDX.
struct Way {
  unsigned number;
  bool interrupts;
};

constexpr std::array<Way, 4> ways{{{0, false}, {1, true}, {2, false}, {3, true}}};

/// Runs the guest on a disk of each kind; `exits` is the most for a request at depth 1 that is
/// waited for by interrupts.
template <template <class> class Placed>
void expect_disk_works(double exits) {
  for (UseUring const use : {UseUring::where_it_pays, UseUring::always, UseUring::never}) {
    SCOPED_TRACE("UseUring " + std::to_string(static_cast<int>(use)));
    abi::Folder folder;
    folder.write("disk.img", std::string(disk_bytes, '\0'));
    {
      VirtioGuest<Placed<Block>> guest{
          "virtio_block",
          [&] { return Block{UringFile{folder / "disk.img", DiskAccess::read_write, use}}; }};
      ASSERT_NO_FATAL_FAILURE(guest.run());
      EXPECT_NE(guest.text().find("0 failures\n"), std::string::npos) << guest.text();
      for (Way const& way : ways) {
        Marks::Part const single = guest.part(way.number << 16 | 2);
        Marks::Part const many = guest.part(way.number << 16 | 32);
        EXPECT_EQ(single.requests, 64U);
        EXPECT_EQ(many.requests, 128U);
        EXPECT_LE(single.exits_per_request(), way.interrupts ? exits : 1.0) << guest.text();
        EXPECT_LT(many.exits_per_request(), 0.2) << guest.text();
      }
    }
    expect_content(folder.read("disk.img").value());
  }
}

TEST(VirtioBlockOnKvm, WorksOnTheVcpusThread) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  using Entry = OnTheVcpusThread<BasicBlock<MemoryDisk>>;
  VirtioGuest<Entry> guest{
      "virtio_block",
      [] { return BasicBlock<MemoryDisk>{MemoryDisk{std::vector<std::byte>(disk_bytes)}}; }};
  ASSERT_NO_FATAL_FAILURE(guest.run());
  for (Way const& way : ways) {
    // Looking: the notification. By interrupts: and the acknowledgement.
    EXPECT_LE(guest.part(way.number << 16 | 2).exits_per_request(), way.interrupts ? 2.0 : 1.0);
    EXPECT_LT(guest.part(way.number << 16 | 32).exits_per_request(), 0.2);
  }
}

TEST(VirtioBlockOnKvm, WorksUnderALock) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  expect_disk_works<UnderALock>(2.0);
}

TEST(VirtioBlockOnKvm, WorksOnItsOwnThread) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  expect_disk_works<OnItsOwnThread>(1.0);
}

}  // namespace
}  // namespace portico::test
