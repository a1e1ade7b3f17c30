// The block device on its transport, with a driver model: over memory, and over a disk that answers
// when and how the test says.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <portico/devices/pausable_store.hpp>
#include <portico/virtio/block.hpp>
#include <portico/virtio/mmio.hpp>

#include "support/virtio_driver.hpp"
#include "unit/devices/temporary_folder.hpp"

namespace portico {
namespace {

using Bytes = std::vector<std::byte>;
using Feature = VirtioBlockFeature;
using Header = VirtioBlockHeader;
using Range = VirtioBlockRange;
using Kind = BlockOperation::Kind;

constexpr int ok = 0, io_error = 1, unsupported = 2, unanswered = 0xAA;
constexpr std::uint64_t disk_sectors = 128;

Bytes pattern(std::size_t size, unsigned seed) {
  std::mt19937 random{seed};
  Bytes made(size);
  for (std::byte& byte : made) byte = static_cast<std::byte>(random());
  return made;
}

/// Memory that takes operations, and carries them out when the test says so.
struct ManualDisk {
  struct Shared {
    MemoryDisk disk{pattern(disk_sectors * sector_bytes, 1)};
    std::vector<BlockOperation*> taken{};  ///< not answered yet
    std::vector<BlockOperation*> answered{};
    std::vector<BlockOperation> seen{};  ///< all that were ever taken
    std::size_t handed_over = 0;         ///< collect has told the host
    std::size_t batches = 0;
    bool writable = true;
    bool discards = true;
    int fails_with = 0;              ///< every operation
    std::uint64_t sectors_more = 0;  ///< that are not there
    Fd event{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    unsigned abandoned = 0;
  };
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();

  [[nodiscard]] std::uint64_t size() const {
    return shared->disk.size() + shared->sectors_more * sector_bytes;
  }
  [[nodiscard]] bool writable() const { return shared->writable; }
  [[nodiscard]] bool discards() const { return shared->discards; }
  bool start(BlockOperation& operation) {
    shared->taken.push_back(&operation);
    shared->seen.push_back(operation);
    return false;
  }
  template <class Answer>
  void collect(Answer answer) {
    std::uint64_t count = 0;
    (void)!::read(descriptor(), &count, sizeof count);
    do {
      if (shared->seen.size() != shared->handed_over) ++shared->batches;
      shared->handed_over = shared->seen.size();
      for (BlockOperation* const done : std::exchange(shared->answered, {})) answer(*done);
    } while (shared->seen.size() != shared->handed_over || !shared->answered.empty());
  }
  [[nodiscard]] std::size_t in_flight() const {
    return shared->taken.size() + shared->answered.size();
  }
  [[nodiscard]] int descriptor() const { return shared->event.get(); }
  void abandon() {
    ++shared->abandoned;
    shared->taken.clear();
    shared->answered.clear();
  }

  // --- For the test

  /// The operation taken as number `at` of those that wait is carried out.
  void finish(std::size_t at = 0) const {
    BlockOperation& operation = *shared->taken.at(at);
    shared->taken.erase(shared->taken.begin() + static_cast<std::ptrdiff_t>(at));
    operation.error =
        shared->fails_with != 0 ? shared->fails_with : shared->disk.carry_out(operation);
    shared->answered.push_back(&operation);
    std::uint64_t const one = 1;
    (void)!::write(descriptor(), &one, sizeof one);
  }
};

static_assert(BlockStore<ManualDisk>);

/// Where a request stands in guest memory.
struct Sent {
  std::uint16_t head = 0;
  std::uint64_t data = 0;
  std::uint64_t status = 0;
};

/// What came back.
struct Answer {
  int status = unanswered;
  std::uint32_t length = 0;
  Bytes data{};
};

template <class Device>
class Driver : public test::VirtioRig<Device> {
 public:
  using test::VirtioRig<Device>::VirtioRig;

  /// Puts a request into queue `index`: data that the device reads, room that it writes, in pieces
  /// of at most `piece` bytes; the header and the status are cut too.
  Sent add(Header const& header, Bytes const& out, std::uint32_t room, std::uint32_t piece = ~0U,
           std::uint32_t index = 0) {
    Bytes message(sizeof header);
    std::memcpy(message.data(), &header, sizeof header);
    message.insert(message.end(), out.begin(), out.end());
    std::uint64_t const from = this->allocate(message.size());
    EXPECT_TRUE(this->ram.copy_out(from, message));
    Sent sent{.data = this->allocate(room + 1U)};
    sent.status = sent.data + room;
    EXPECT_TRUE(this->ram.copy_out(sent.data, Bytes(room + 1U, std::byte{unanswered})));
    std::vector<test::VirtioSegment> segments;
    cut(segments, from, static_cast<std::uint32_t>(message.size()), piece, false);
    cut(segments, sent.data, room + 1, piece, true);
    auto const head = segments.size() > 8 ? this->queue(index).add(segments, this->allocate(4096))
                                          : this->queue(index).add(segments);
    if (!head) throw std::logic_error{"the queue is full"};
    sent.head = *head;
    return sent;
  }

  [[nodiscard]] Answer answer_to(Sent const& sent, std::uint32_t length) const {
    Answer answer{.length = length};
    answer.data.resize(static_cast<std::size_t>(sent.status - sent.data));
    EXPECT_TRUE(this->ram.copy_in(sent.data, answer.data));
    answer.status = std::to_integer<int>(*this->ram.template read<std::byte>(sent.status));
    return answer;
  }

  /// There and back, at a device that answers at once.
  Answer ask(Header const& header, Bytes const& out = {}, std::uint32_t room = 0,
             std::uint32_t piece = ~0U, std::uint32_t index = 0) {
    Sent const sent = add(header, out, room, piece, index);
    this->kick(index);
    return take(sent, index);
  }

  Answer take(Sent const& sent, std::uint32_t index = 0) {
    auto const used = this->queue(index).use();
    EXPECT_TRUE(used.has_value());
    if (!used) return {};
    EXPECT_EQ(used->head, sent.head);
    return answer_to(sent, used->length);
  }

  Answer in(std::uint64_t sector, std::uint32_t sectors = 1, std::uint32_t piece = ~0U) {
    return ask({.type = VirtioBlockRequest::in, .sector = sector}, {}, sectors * 512, piece);
  }

  Answer out(std::uint64_t sector, Bytes const& data, std::uint32_t piece = ~0U) {
    return ask({.type = VirtioBlockRequest::out, .sector = sector}, data, 0, piece);
  }

  Answer ranges(std::uint32_t type, std::vector<Range> const& all) {
    Bytes bytes(all.size() * sizeof(Range));
    if (!all.empty()) std::memcpy(bytes.data(), all.data(), bytes.size());
    return ask({.type = type}, bytes);
  }

  [[nodiscard]] VirtioBlockCounts counts() { return this->device().counts(); }

 private:
  static void cut(std::vector<test::VirtioSegment>& segments, std::uint64_t address,
                  std::uint32_t length, std::uint32_t piece, bool writable) {
    while (length > 0) {
      std::uint32_t const step = std::min(length, piece);
      segments.push_back({address, step, writable});
      address += step;
      length -= step;
    }
  }
};

using MemoryBlock = BasicBlock<MemoryDisk>;
using MemoryDriver = Driver<MemoryBlock>;

MemoryBlock memory_block(std::string_view serial = "disk-7") {
  return MemoryBlock{MemoryDisk{pattern(disk_sectors * sector_bytes, 1)}, serial};
}

struct Manual {
  ManualDisk disk{};
  Driver<BasicBlock<ManualDisk>> driver{[this] { return BasicBlock<ManualDisk>{disk}; }};

  ManualDisk::Shared& host() { return *disk.shared; }
};

Bytes content(std::uint64_t sector, std::size_t sectors) {
  Bytes const all = pattern(disk_sectors * sector_bytes, 1);
  auto const begin = all.begin() + static_cast<std::ptrdiff_t>(sector * sector_bytes);
  return {begin, begin + static_cast<std::ptrdiff_t>(sectors * sector_bytes)};
}

// --- What the driver is told

TEST(VirtioBlock, OffersWhatTheDiskCanDo) {
  MemoryDriver driver{memory_block()};
  std::uint64_t const expected = 1U << Feature::seg_max | 1U << Feature::block_size |
                                 1U << Feature::topology | 1U << Feature::flush |
                                 1U << Feature::config_wce | 1U << Feature::discard |
                                 1U << Feature::write_zeroes;
  EXPECT_EQ(driver.offered() & VirtioFeature::of_the_device, expected);
  EXPECT_EQ(driver.read(0x008), 2U);
  EXPECT_EQ(driver.read(0x034), 256U);
}

TEST(VirtioBlock, OffersFlushWithConfigWceAlways) {
  Manual manual;
  for (bool const writable : {false, true})
    for (bool const discards : {false, true}) {
      manual.host().writable = writable;
      manual.host().discards = discards;
      std::uint64_t const offered = manual.driver.offered();
      auto const has = [&](unsigned bit) { return (offered >> bit & 1) != 0; };
      EXPECT_TRUE(has(Feature::flush) && has(Feature::config_wce));
      EXPECT_EQ(has(Feature::read_only), !writable);
      EXPECT_EQ(has(Feature::discard), writable && discards);
      EXPECT_EQ(has(Feature::write_zeroes), writable && discards);
      EXPECT_FALSE(has(Feature::multi_queue));
      auto const may_unmap = manual.driver.config<std::uint8_t>(56);
      EXPECT_EQ(may_unmap, writable && discards ? 1 : 0);
    }
}

TEST(VirtioBlock, ShowsItsConfiguration) {
  MemoryDriver driver{memory_block()};
  EXPECT_EQ(driver.config<std::uint32_t>(0), disk_sectors);
  EXPECT_EQ(driver.config<std::uint32_t>(4), 0U);
  EXPECT_EQ(driver.config<std::uint32_t>(12), 254U);
  EXPECT_EQ(driver.config<std::uint32_t>(20), 512U);
  EXPECT_EQ(driver.config<std::uint8_t>(24), 3U);
  EXPECT_EQ(driver.config<std::uint16_t>(26), 8U);
  EXPECT_EQ(driver.config<std::uint16_t>(34), 1U);
  EXPECT_EQ(driver.config<std::uint32_t>(36), MemoryBlock::most_discard_sectors);
  EXPECT_EQ(driver.config<std::uint32_t>(40), MemoryBlock::most_discard_ranges);
  EXPECT_EQ(driver.config<std::uint32_t>(48), MemoryBlock::most_write_zeroes_sectors);
  EXPECT_EQ(driver.config<std::uint32_t>(52), 1U);
}

TEST(VirtioBlock, HasZerosInItsPadding) {
  MemoryDriver driver{memory_block()};
  driver.start();
  EXPECT_EQ(driver.config<std::uint8_t>(33), 0U);
  for (std::uint64_t const at : {57U, 58U, 59U}) EXPECT_EQ(driver.config<std::uint8_t>(at), 0U);
}

TEST(VirtioBlock, StartsWithStableWritesForADriverThatKnowsNoFlush) {
  MemoryDriver driver{memory_block()};
  std::uint64_t const all = driver.offered();
  ASSERT_TRUE(driver.negotiate(all & ~(1ULL << Feature::flush)));
  EXPECT_EQ(driver.config<std::uint8_t>(32), 0U);
  ASSERT_TRUE(driver.negotiate(all));
  EXPECT_EQ(driver.config<std::uint8_t>(32), 1U);
}

TEST(VirtioBlock, LetsTheDriverChooseTheCacheModeAndNothingElse) {
  MemoryDriver driver{memory_block()};
  driver.start();
  driver.set_config<std::uint8_t>(32, 0);
  EXPECT_EQ(driver.config<std::uint8_t>(32), 0U);
  driver.set_config<std::uint8_t>(32, 7);
  EXPECT_EQ(driver.config<std::uint8_t>(32), 1U);
  driver.set_config<std::uint32_t>(0, 7);
  driver.set_config<std::uint8_t>(33, 7);
  EXPECT_EQ(driver.config<std::uint32_t>(0), disk_sectors);
  EXPECT_EQ(driver.config<std::uint8_t>(33), 0U);
  driver.start(driver.offered() & ~(1ULL << Feature::config_wce));
  driver.set_config<std::uint8_t>(32, 0);
  EXPECT_EQ(driver.config<std::uint8_t>(32), 1U);
}

TEST(VirtioBlock, KeepsTheCacheModeInItsState) {
  MemoryDriver driver{memory_block()};
  driver.start();
  driver.set_config<std::uint8_t>(32, 0);
  auto const state = driver.transport().save();
  driver.write(0x070, 0);
  EXPECT_EQ(driver.config<std::uint8_t>(32), 1U);
  driver.transport().load(state);
  EXPECT_EQ(driver.config<std::uint8_t>(32), 0U);
  driver.set_config<std::uint8_t>(32, 1);
  EXPECT_EQ(driver.config<std::uint8_t>(32), 1U);
}

TEST(VirtioBlock, RefusesASerialNumberThatIsTooLong) {
  EXPECT_NO_THROW(memory_block("12345678901234567890"));
  EXPECT_THROW(memory_block("123456789012345678901"), std::invalid_argument);
}

// --- Requests

TEST(VirtioBlock, ReadsAndWritesHoweverTheRequestIsCut) {
  MemoryDriver driver{memory_block()};
  driver.start();
  for (std::uint32_t const piece : {~0U, 1000U, 512U, 513U, 100U, 17U, 16U, 7U}) {
    std::uint32_t const sectors = piece < 100 ? 2 : 20;
    Answer const before = driver.in(3, sectors, piece);
    EXPECT_EQ(before.status, ok);
    EXPECT_EQ(before.length, sectors * 512 + 1);
    EXPECT_EQ(before.data, content(3, sectors));
    Bytes const data = pattern(sectors * sector_bytes, piece);
    Answer const written = driver.out(3, data, piece);
    EXPECT_EQ(written.status, ok);
    EXPECT_EQ(written.length, 1U);
    EXPECT_EQ(driver.in(3, sectors).data, data);
    EXPECT_EQ(driver.out(3, content(3, sectors)).status, ok);
  }
  EXPECT_EQ(driver.in(disk_sectors - 1).data, content(disk_sectors - 1, 1));
  EXPECT_EQ(driver.counts(), (VirtioBlockCounts{.requests = 8 * 4 + 1}));
}

TEST(VirtioBlock, IsAsAModelIs) {
  MemoryDriver driver{memory_block()};
  driver.start();
  Bytes model = content(0, disk_sectors);
  std::mt19937 random{11};
  for (unsigned round = 0; round < 300; ++round) {
    driver.start();  // and the guest has all its memory again
    std::uint64_t const sector = random() % disk_sectors;
    auto const sectors = static_cast<std::uint32_t>(
        random() % std::min<std::uint64_t>(disk_sectors - sector + 1, 24));
    auto const piece = static_cast<std::uint32_t>(64 + random() % 2000);
    auto const at = model.begin() + static_cast<std::ptrdiff_t>(sector * 512);
    auto const end = at + static_cast<std::ptrdiff_t>(sectors) * 512;
    auto const kind = random() % 3;
    if (kind == 0) {
      Answer const answer = driver.in(sector, sectors, piece);
      ASSERT_EQ(answer.status, ok);
      ASSERT_EQ(answer.length, sectors * 512 + 1);
      ASSERT_TRUE(std::equal(at, end, answer.data.begin()));
    } else if (kind == 1) {
      Bytes const data = pattern(sectors * sector_bytes, round);
      ASSERT_EQ(driver.out(sector, data, piece).status, ok);
      std::copy(data.begin(), data.end(), at);
    } else {
      ASSERT_EQ(
          driver.ranges(VirtioBlockRequest::write_zeroes, {{sector, sectors, round % 2}}).status,
          ok);
      std::fill(at, end, std::byte{0});
    }
  }
  EXPECT_EQ(driver.device().disk().content(), model);
}

TEST(VirtioBlock, RefusesWhatIsNotOnTheDisk) {
  MemoryDriver driver{memory_block()};
  driver.start();
  std::uint64_t const last = disk_sectors - 1;
  for (auto const& [sector, sectors] : {std::pair{last, 2U},
                                        {last + 1, 1U},
                                        {last + 2, 0U},
                                        {~0ULL, 1U},
                                        {1ULL << 55, 1U},
                                        {~0ULL / 512 + 1, 1U}}) {
    Answer const answer = driver.in(sector, sectors);
    EXPECT_EQ(answer.status, io_error);
    EXPECT_EQ(answer.data, Bytes(sectors * sector_bytes, std::byte{unanswered}));
    EXPECT_EQ(driver.out(sector, Bytes(sectors * sector_bytes)).status, io_error);
  }
  EXPECT_EQ(driver.device().disk().content(), content(0, disk_sectors));
  EXPECT_EQ(driver.counts(), (VirtioBlockCounts{.requests = 12, .refused = 12}));
  EXPECT_EQ(driver.in(last + 1, 0).status, ok);  // nothing is asked for
}

TEST(VirtioBlock, RefusesWhatIsNotWholeSectors) {
  MemoryDriver driver{memory_block()};
  driver.start();
  for (std::uint32_t const bytes : {1U, 511U, 513U, 700U}) {
    Answer const answer = driver.ask({.type = VirtioBlockRequest::in}, {}, bytes);
    EXPECT_EQ(answer.status, io_error);
    EXPECT_EQ(answer.length, 0U);  // the status is not what the buffer begins with
    EXPECT_EQ(driver.out(0, Bytes(bytes)).status, io_error);
  }
  EXPECT_EQ(driver.device().disk().content(), content(0, disk_sectors));
}

TEST(VirtioBlock, TellsItsSerialNumber) {
  MemoryDriver driver{memory_block("abc")};
  driver.start();
  for (std::uint32_t const room : {0U, 2U, 20U, 64U}) {
    Answer const answer = driver.ask({.type = VirtioBlockRequest::get_id}, {}, room);
    EXPECT_EQ(answer.status, ok);
    Bytes expected(room, std::byte{unanswered});
    for (std::size_t at = 0; at < std::min(room, 20U); ++at)
      expected[at] = at < 3 ? static_cast<std::byte>('a' + at) : std::byte{0};
    EXPECT_EQ(answer.data, expected);
    EXPECT_EQ(answer.length, room <= 20 ? room + 1 : 20);
  }
}

TEST(VirtioBlock, DoesNotKnowEveryRequest) {
  MemoryDriver driver{memory_block()};
  driver.start();
  for (std::uint32_t const type : {2U, 3U, 5U, 7U, 9U, 10U, 12U, 14U, 15U, 0x8000'0000U}) {
    Answer const answer = driver.ask({.type = type}, {}, 512);
    EXPECT_EQ(answer.status, unsupported) << type;
    EXPECT_EQ(answer.data, Bytes(512, std::byte{unanswered}));
  }
  EXPECT_EQ(driver.counts().refused, 10U);
}

TEST(VirtioBlock, AnswersHalfARequest) {
  MemoryDriver driver{memory_block()};
  driver.start();
  std::uint64_t const place = driver.allocate(64);
  auto const send = [&](std::vector<test::VirtioSegment> const& segments) {
    EXPECT_TRUE(driver.ram.write(place + 32, std::uint32_t{0xAAAA'AAAA}));
    (void)driver.queue(0).add(segments);
    driver.kick(0);
    auto const used = driver.queue(0).use();
    return used ? static_cast<int>(used->length) : -1;
  };
  EXPECT_EQ(send({{place, 15, false}, {place + 32, 1, true}}), 1);  // no whole header
  EXPECT_EQ(*driver.ram.read<std::uint8_t>(place + 32), io_error);
  EXPECT_EQ(send({{place + 32, 1, true}}), 1);  // none at all
  EXPECT_EQ(*driver.ram.read<std::uint8_t>(place + 32), io_error);
  EXPECT_EQ(send({{place, 16, false}}), 0);  // no room for a status
  EXPECT_FALSE(driver.needs_reset());
  EXPECT_EQ(driver.counts(), (VirtioBlockCounts{.requests = 3, .refused = 3}));
  EXPECT_EQ(driver.in(1).status, ok);
}

TEST(VirtioBlock, WritesNothingToADiskThatIsReadOnly) {
  Manual manual;
  manual.host().writable = false;
  manual.driver.start();
  EXPECT_EQ(manual.driver.out(0, Bytes(512)).status, io_error);
  EXPECT_EQ(manual.driver.out(0, {}).status, io_error);
  EXPECT_EQ(manual.driver.ranges(VirtioBlockRequest::discard, {{0, 1, 0}}).status, unsupported);
  EXPECT_EQ(manual.driver.ranges(VirtioBlockRequest::write_zeroes, {{0, 1, 0}}).status,
            unsupported);
  EXPECT_TRUE(manual.host().seen.empty());
}

// --- Discard and write zeroes

TEST(VirtioBlock, ReadsZerosWhereTheyWereWritten) {
  MemoryDriver driver{memory_block()};
  driver.start();
  for (std::uint32_t const unmap : {0U, 1U}) {
    std::uint64_t const sector = 10 + 20 * unmap;
    EXPECT_EQ(driver.ranges(VirtioBlockRequest::write_zeroes, {{sector, 5, unmap}}).status, ok);
    EXPECT_EQ(driver.in(sector, 5).data, Bytes(5 * 512));
    EXPECT_EQ(driver.in(sector - 1).data, content(sector - 1, 1));
    EXPECT_EQ(driver.in(sector + 5).data, content(sector + 5, 1));
  }
}

TEST(VirtioBlock, DoesNotKnowFlagsThatAreNotThere) {
  Manual manual;
  manual.driver.start();
  auto const status = [&](std::uint32_t type, std::uint32_t flags) {
    return manual.driver.ranges(type, {{0, 1, flags}}).status;
  };
  for (std::uint32_t const flags : {1U, 2U, 3U, 0x8000'0000U})
    EXPECT_EQ(status(VirtioBlockRequest::discard, flags), unsupported) << flags;
  for (std::uint32_t const flags : {2U, 3U, 0x8000'0000U})
    EXPECT_EQ(status(VirtioBlockRequest::write_zeroes, flags), unsupported) << flags;
  // Nor is anything done because other ranges have none; and it is said before anything else.
  EXPECT_EQ(manual.driver.ranges(VirtioBlockRequest::discard, {{0, 1, 0}, {~0ULL, 9, 0}, {1, 1, 1}})
                .status,
            unsupported);
  EXPECT_TRUE(manual.host().seen.empty());
}

TEST(VirtioBlock, DiscardsEachRangeInItsTurn) {
  Manual manual;
  manual.driver.start();
  Bytes bytes(3 * sizeof(Range));
  std::array<Range, 3> const ranges{Range{5, 2, 0}, {100, 0, 0}, {127, 1, 0}};
  std::memcpy(bytes.data(), ranges.data(), bytes.size());
  Sent const sent = manual.driver.add({.type = VirtioBlockRequest::discard}, bytes, 0, 20);
  manual.driver.kick(0);
  ASSERT_EQ(manual.host().taken.size(), 1U);
  manual.disk.finish();
  EXPECT_TRUE(manual.driver.event());
  EXPECT_FALSE(manual.driver.queue(0).use());
  ASSERT_EQ(manual.host().taken.size(), 1U);
  manual.disk.finish();
  EXPECT_TRUE(manual.driver.event());
  EXPECT_EQ(manual.driver.take(sent).status, ok);
  ASSERT_EQ(manual.host().seen.size(), 2U);
  EXPECT_EQ(manual.host().seen[0].offset, 5U * 512);
  EXPECT_EQ(manual.host().seen[0].length, 2U * 512);
  EXPECT_EQ(manual.host().seen[1].offset, 127U * 512);
  EXPECT_EQ(manual.host().seen[1].kind, Kind::discard);
}

TEST(VirtioBlock, RefusesRangesThatAreNoGood) {
  Manual manual;
  manual.driver.start();
  auto const status = [&](std::uint32_t type, std::vector<Range> const& ranges) {
    return manual.driver.ranges(type, ranges).status;
  };
  for (std::uint32_t const type : {VirtioBlockRequest::discard, VirtioBlockRequest::write_zeroes}) {
    EXPECT_EQ(status(type, {}), io_error);
    EXPECT_EQ(status(type, {{disk_sectors, 1, 0}}), io_error);
    EXPECT_EQ(status(type, {{0, disk_sectors + 1, 0}}), io_error);
    EXPECT_EQ(status(type, {{~0ULL, 2, 0}}), io_error);
    EXPECT_EQ(status(type, {{0, ~0U, 0}}), io_error);
    EXPECT_EQ(manual.driver.ask({.type = type}, Bytes(17)).status, io_error);
    EXPECT_EQ(status(type, {{disk_sectors, 0, 0}}), ok);  // nothing is asked for
  }
  EXPECT_EQ(status(VirtioBlockRequest::discard, std::vector<Range>(17, {0, 1, 0})), io_error);
  EXPECT_EQ(status(VirtioBlockRequest::discard, {{0, 1, 0}, {disk_sectors, 1, 0}}), io_error);
  EXPECT_EQ(status(VirtioBlockRequest::write_zeroes, {{0, 1, 0}, {1, 1, 0}}), io_error);
  EXPECT_TRUE(manual.host().seen.empty());
  manual.driver.start(manual.driver.offered() &
                      ~(1ULL << Feature::discard | 1ULL << Feature::write_zeroes));
  EXPECT_EQ(status(VirtioBlockRequest::discard, {{0, 1, 0}}), unsupported);
  EXPECT_EQ(status(VirtioBlockRequest::write_zeroes, {{0, 1, 0}}), unsupported);
}

TEST(VirtioBlock, RefusesRangesThatWouldTakeTooLong) {
  using Device = BasicBlock<ManualDisk>;
  Manual manual;
  manual.host().sectors_more = 1U << 20;
  manual.driver.start();
  auto const is_refused = [&](std::uint32_t type, std::uint32_t sectors) {
    Bytes bytes(sizeof(Range));
    std::memcpy(bytes.data() + 8, &sectors, sizeof sectors);
    std::size_t const before = manual.host().seen.size();
    manual.driver.add({.type = type}, bytes, 0);
    manual.driver.kick(0);
    return manual.host().seen.size() == before;
  };
  EXPECT_FALSE(is_refused(VirtioBlockRequest::discard, Device::most_discard_sectors));
  EXPECT_TRUE(is_refused(VirtioBlockRequest::discard, Device::most_discard_sectors + 1));
  EXPECT_FALSE(is_refused(VirtioBlockRequest::write_zeroes, Device::most_write_zeroes_sectors));
  EXPECT_TRUE(is_refused(VirtioBlockRequest::write_zeroes, Device::most_write_zeroes_sectors + 1));
}

TEST(VirtioBlock, DoesNotTroubleTheDiskForNothing) {
  Manual manual;
  manual.driver.start();
  EXPECT_EQ(manual.driver.in(5, 0).status, ok);
  EXPECT_EQ(manual.driver.out(5, {}).status, ok);
  EXPECT_TRUE(manual.host().seen.empty());
}

TEST(VirtioBlock, StopsAtARangeInWhichTheHostFails) {
  Manual manual;
  manual.driver.start();
  Bytes bytes(2 * sizeof(Range));
  std::array<Range, 2> const ranges{Range{5, 2, 0}, {10, 1, 0}};
  std::memcpy(bytes.data(), ranges.data(), bytes.size());
  Sent const sent = manual.driver.add({.type = VirtioBlockRequest::discard}, bytes, 0);
  manual.driver.kick(0);
  manual.host().fails_with = EIO;
  manual.disk.finish();
  EXPECT_TRUE(manual.driver.event());
  EXPECT_EQ(manual.driver.take(sent).status, io_error);
  EXPECT_EQ(manual.host().seen.size(), 1U);
}

// --- What is stable

TEST(VirtioBlock, MakesWritesStableBeforeItSaysSo) {
  struct Case {
    bool flush, config_wce;
    int writeback;  // set by the driver; -1: left alone
    bool durable;
  };
  for (Case const& each :
       {Case{false, false, -1, true}, Case{true, false, -1, false}, Case{false, true, -1, true},
        Case{true, true, -1, false}, Case{true, true, 0, true}, Case{true, true, 1, false},
        Case{false, true, 1, false}}) {
    Manual manual;
    std::uint64_t features = manual.driver.offered();
    if (!each.flush) features &= ~(1ULL << Feature::flush);
    if (!each.config_wce) features &= ~(1ULL << Feature::config_wce);
    manual.driver.start(features);
    if (each.writeback >= 0)
      manual.driver.set_config(32, static_cast<std::uint8_t>(each.writeback));
    manual.driver.write(0x070, manual.driver.read(0x070));  // which agrees upon nothing anew
    manual.driver.add({.type = VirtioBlockRequest::out}, Bytes(512), 0);
    Bytes range(sizeof(Range));
    range[8] = std::byte{1};
    manual.driver.add({.type = VirtioBlockRequest::write_zeroes}, range, 0);
    manual.driver.add({.type = VirtioBlockRequest::discard}, range, 0);
    manual.driver.kick(0);
    ASSERT_EQ(manual.host().seen.size(), 3U);
    for (BlockOperation const& operation : manual.host().seen)
      EXPECT_EQ(operation.durable, each.durable);
  }
}

TEST(VirtioBlock, AnswersAFlushWhenTheHostHasDoneIt) {
  Manual manual;
  manual.driver.start();
  Sent const sent = manual.driver.add({.type = VirtioBlockRequest::flush}, {}, 0);
  manual.driver.kick(0);
  ASSERT_EQ(manual.host().seen.size(), 1U);
  EXPECT_EQ(manual.host().seen[0].kind, Kind::flush);
  EXPECT_FALSE(manual.driver.queue(0).use());
  manual.disk.finish();
  EXPECT_TRUE(manual.driver.event());
  Answer const answer = manual.driver.take(sent);
  EXPECT_EQ(answer.status, ok);
  EXPECT_EQ(answer.length, 1U);
}

// --- Many at once

TEST(VirtioBlock, HandsABatchOverAtOnceAndAnswersInAnyOrder) {
  Manual manual;
  manual.driver.start();
  std::vector<Sent> sent;
  for (std::uint64_t at = 0; at < 32; ++at)
    sent.push_back(manual.driver.add({.type = VirtioBlockRequest::in, .sector = at}, {}, 512, 300));
  EXPECT_TRUE(manual.driver.kick(0));
  EXPECT_EQ(manual.host().taken.size(), 32U);
  EXPECT_EQ(manual.host().batches, 1U);
  EXPECT_EQ(manual.driver.watch.armed(), manual.disk.descriptor());
  std::mt19937 random{3};
  std::vector<std::uint64_t> order;
  while (!manual.host().taken.empty()) {
    std::size_t const at = random() % manual.host().taken.size();
    order.push_back(manual.host().taken[at]->offset / 512);
    manual.disk.finish(at);
    if (random() % 2 == 0) continue;
    EXPECT_TRUE(manual.driver.event());
  }
  (void)manual.driver.event();
  EXPECT_EQ(manual.driver.watch.armed(), Watch::nothing);  // there is nothing to wait for
  for (std::uint64_t const sector : order) {
    Answer const answer = manual.driver.take(sent[sector]);
    EXPECT_EQ(answer.status, ok);
    EXPECT_EQ(answer.data, content(sector, 1));
  }
  EXPECT_EQ(manual.driver.take_interrupts(), 1U);
}

TEST(VirtioBlock, WaitsForTheHostOnceHoweverOftenItIsNotified) {
  Manual manual;
  manual.driver.start();
  auto const one = [&](std::uint64_t sector) {
    Sent const sent =
        manual.driver.add({.type = VirtioBlockRequest::in, .sector = sector}, {}, 512);
    manual.driver.kick(0);
    return sent;
  };
  Sent const first = one(1);
  Sent const second = one(2);
  manual.disk.finish(1);
  EXPECT_EQ(manual.driver.watch.armed(), manual.disk.descriptor());
  Sent const third = one(3);  // which finds the second one complete
  EXPECT_EQ(manual.driver.take(second).data, content(2, 1));
  manual.disk.finish(0);
  manual.disk.finish(0);
  EXPECT_TRUE(manual.driver.event());
  EXPECT_EQ(manual.driver.take(first).data, content(1, 1));
  EXPECT_EQ(manual.driver.take(third).data, content(3, 1));
}

TEST(VirtioBlock, FillsItsQueueAndGoesOnAsPlacesBecomeFree) {
  Manual manual;
  manual.driver.start(manual.driver.offered(), 8);
  std::vector<Sent> sent;
  for (int round = 0; round < 40; ++round) {
    while (manual.driver.queue(0).free_descriptors() >= 2) {
      sent.push_back(manual.driver.add({.type = VirtioBlockRequest::in, .sector = 9}, {}, 512));
      manual.driver.kick(0);
    }
    ASSERT_EQ(manual.host().taken.size(), 4U);
    manual.disk.finish(static_cast<std::size_t>(round) % 4);
    EXPECT_TRUE(manual.driver.event());
    EXPECT_TRUE(manual.driver.queue(0).use().has_value());
  }
  EXPECT_EQ(sent.size(), 43U);
}

TEST(VirtioBlock, HasSeveralQueues) {
  using Device = BasicBlock<ManualDisk, 4>;
  ManualDisk disk;
  Driver<Device> driver{[&] { return Device{disk}; }};
  EXPECT_NE(driver.offered() & 1U << Feature::multi_queue, 0U);
  EXPECT_EQ(driver.config<std::uint16_t>(34), 4U);
  driver.start();
  std::vector<Sent> sent;
  for (std::uint32_t index = 0; index < 4; ++index) {
    sent.push_back(
        driver.add({.type = VirtioBlockRequest::in, .sector = index}, {}, 512, ~0U, index));
    driver.kick(index);
  }
  ASSERT_EQ(disk.shared->taken.size(), 4U);
  for (std::uint32_t const index : {2U, 0U, 3U, 1U}) {
    auto const& taken = disk.shared->taken;
    auto const found = std::ranges::find_if(
        taken, [&](BlockOperation const* each) { return each->offset == index * 512; });
    disk.finish(static_cast<std::size_t>(found - taken.begin()));
    EXPECT_TRUE(driver.event());
    EXPECT_EQ(driver.take(sent[index], index).data, content(index, 1));
  }
}

// --- When the host fails

TEST(VirtioBlock, ReportsWhatTheHostFailsInAndCountsIt) {
  Manual manual;
  manual.driver.start();
  std::vector<Sent> sent;
  for (int const error : {ENOSPC, EIO}) {
    for (std::uint32_t const type :
         {VirtioBlockRequest::in, VirtioBlockRequest::out, VirtioBlockRequest::flush}) {
      bool const reads = type == VirtioBlockRequest::in;
      Sent const one =
          manual.driver.add({.type = type}, reads ? Bytes{} : Bytes(512), reads ? 512 : 0);
      manual.driver.kick(0);
      manual.host().fails_with = error;
      manual.disk.finish();
      EXPECT_TRUE(manual.driver.event());
      Answer const answer = manual.driver.take(one);
      EXPECT_EQ(answer.status, io_error);
      EXPECT_EQ(answer.length, reads ? 0U : 1U);
      EXPECT_EQ(manual.driver.counts().last_error, error);
    }
  }
  EXPECT_EQ(manual.driver.counts().host_failed, 6U);
  EXPECT_EQ(manual.driver.counts().refused, 0U);
  manual.host().fails_with = 0;  // and it goes on
  Sent const good = manual.driver.add({.type = VirtioBlockRequest::in}, {}, 512);
  manual.driver.kick(0);
  manual.disk.finish();
  EXPECT_TRUE(manual.driver.event());
  EXPECT_EQ(manual.driver.take(good).status, ok);
}

// --- Resets

TEST(VirtioBlock, ForgetsWhatIsUnderWayAtAReset) {
  Manual manual;
  manual.driver.start();
  for (int at = 0; at < 5; ++at) manual.driver.add({.type = VirtioBlockRequest::in}, {}, 512);
  manual.driver.kick(0);
  manual.disk.finish(3);
  unsigned const before = manual.host().abandoned;
  manual.driver.write(0x070, 0);
  EXPECT_EQ(manual.host().abandoned, before + 1);
  EXPECT_EQ(manual.driver.watch.armed(), Watch::nothing);
  manual.driver.start();
  EXPECT_FALSE(manual.driver.event());
  EXPECT_FALSE(manual.driver.queue(0).use());
  Sent const sent = manual.driver.add({.type = VirtioBlockRequest::in, .sector = 4}, {}, 512);
  manual.driver.kick(0);
  manual.disk.finish();
  EXPECT_TRUE(manual.driver.event());
  EXPECT_EQ(manual.driver.take(sent).data, content(4, 1));
}

TEST(VirtioBlock, SurvivesAMalformedQueueWhileItIsBusy) {
  Manual manual;
  manual.driver.start();
  manual.driver.add({.type = VirtioBlockRequest::in}, {}, 512);
  manual.driver.kick(0);
  manual.driver.queue(0).offer(9999);
  manual.driver.queue(0).publish();
  manual.driver.write(0x050, 0);
  EXPECT_TRUE(manual.driver.needs_reset());
  manual.disk.finish();
  (void)manual.driver.event();
  EXPECT_FALSE(manual.driver.queue(0).use());
  manual.driver.start();
  Sent const sent = manual.driver.add({.type = VirtioBlockRequest::in, .sector = 4}, {}, 512);
  manual.driver.kick(0);
  manual.disk.finish();
  EXPECT_TRUE(manual.driver.event());
  EXPECT_EQ(manual.driver.take(sent).data, content(4, 1));
}

TEST(VirtioBlock, TakesRequestsAgainAfterALoad) {
  Manual manual;
  manual.driver.start();
  Sent const sent = manual.driver.add({.type = VirtioBlockRequest::in, .sector = 4}, {}, 512);
  manual.driver.kick(0);
  auto const state = manual.driver.transport().save();
  manual.disk.abandon();  // another process
  manual.driver.device().reset();
  manual.driver.transport().load(state);
  manual.driver.write(0x050, 0);
  ASSERT_EQ(manual.host().taken.size(), 1U);
  manual.disk.finish();
  EXPECT_TRUE(manual.driver.event());
  EXPECT_EQ(manual.driver.take(sent).data, content(4, 1));
}

// --- Disks that the program chooses, and holds

TEST(VirtioBlock, StandsOnADiskThatIsChosenAtRunTime) {
  Driver<Block> driver{[] { return Block{MemoryDisk{content(0, disk_sectors)}}; }};
  driver.start();
  EXPECT_EQ(driver.out(7, Bytes(512)).status, ok);
  EXPECT_EQ(driver.in(7).data, Bytes(512));
  EXPECT_EQ(driver.watch.armed(), Watch::nothing);
}

TEST(VirtioBlock, WaitsWhileItsDiskIsHeld) {
  using Device = BasicBlock<PausableStore<MemoryDisk>>;
  Driver<Device> driver{[] { return Device{PausableStore{MemoryDisk{content(0, disk_sectors)}}}; }};
  driver.start();
  auto& disk = driver.device().disk();
  EXPECT_EQ(driver.in(3).data, content(3, 1));
  disk.pause();
  Sent const write = driver.add({.type = VirtioBlockRequest::out, .sector = 3}, Bytes(512), 0);
  driver.kick(0);
  EXPECT_FALSE(driver.queue(0).use());
  EXPECT_EQ(disk.disk().content(), content(0, disk_sectors));
  pollfd waiting{driver.watch.armed(), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 0), 0);
  disk.resume();
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
  EXPECT_TRUE(driver.event());
  EXPECT_EQ(driver.take(write).status, ok);
  EXPECT_EQ(driver.in(3).data, Bytes(512));
}

TEST(VirtioBlock, IsResetWhileItsDiskIsHeld) {
  using Device = BasicBlock<PausableStore<MemoryDisk>>;
  Driver<Device> driver{[] { return Device{PausableStore{MemoryDisk{content(0, disk_sectors)}}}; }};
  driver.start();
  driver.device().disk().pause();
  driver.add({.type = VirtioBlockRequest::out, .sector = 3}, Bytes(512), 0);
  driver.kick(0);
  driver.start();
  driver.device().disk().resume();
  EXPECT_EQ(driver.in(3).data, content(3, 1));
}

TEST(VirtioBlock, GoesWhileItsDiskIsHeld) {
  using Device = BasicBlock<PausableStore<UringFile>>;
  TemporaryFolder const folder;
  create_disk(folder.path("disk.img"), disk_sectors * sector_bytes);
  {
    Driver<Device> driver{
        [&] { return Device{PausableStore{UringFile{folder.path("disk.img")}}}; }};
    driver.start();
    driver.device().disk().pause();
    driver.add({.type = VirtioBlockRequest::out, .sector = 3}, Bytes(512, std::byte{7}), 0);
    driver.kick(0);
    EXPECT_FALSE(driver.queue(0).use());
  }
  UringFile file{folder.path("disk.img")};
  Bytes content(512, std::byte{1});
  iovec const memory{content.data(), content.size()};
  BlockOperation read{.offset = 3 * sector_bytes, .length = 512, .memory = {&memory, 1}};
  EXPECT_EQ(file.carry_out(read), 0);
  EXPECT_EQ(content, Bytes(512));
}

// --- On a real file

class VirtioBlockOnAFile : public testing::TestWithParam<UseUring> {};

INSTANTIATE_TEST_SUITE_P(, VirtioBlockOnAFile,
                         testing::Values(UseUring::where_it_pays, UseUring::always,
                                         UseUring::never));

TEST_P(VirtioBlockOnAFile, IsAsAModelIsWhateverIsUnderWayAtAReset) {
  constexpr std::uint64_t blocks = 64;  // of 4 KiB
  constexpr std::uint32_t block_bytes = 4096;
  struct Request {
    Sent sent{};
    std::uint64_t block = 0;
    int value = -1;  // what is written; -1: it is read
  };
  TemporaryFolder const folder;
  create_disk(folder.path("disk.img"), blocks * block_bytes);
  Driver<Block> driver{
      [&] { return Block{UringFile{folder.path("disk.img"), DiskAccess::read_write, GetParam()}}; },
      2 * MiB};
  std::mt19937 random{5};
  std::array<int, blocks> model{};  // -1: nobody knows
  for (int round = 0; round < 150; ++round) {
    driver.start();
    std::vector<Request> requests;
    std::array<bool, blocks> busy{};
    for (int count = 0; count < 40; ++count) {
      std::uint64_t const block = random() % blocks;
      if (std::exchange(busy[block], true)) continue;
      Request request{.block = block};
      if (random() % 2 == 0) request.value = static_cast<int>(random() % 200);
      Header const header{
          .type = request.value < 0 ? VirtioBlockRequest::in : VirtioBlockRequest::out,
          .sector = block * block_bytes / 512};
      if (request.value < 0)
        request.sent = driver.add(header, {}, block_bytes, 1000);
      else
        request.sent =
            driver.add(header, Bytes(block_bytes, static_cast<std::byte>(request.value)), 0, 1000);
      requests.push_back(request);
      if (random() % 8 == 0) driver.kick(0);
    }
    driver.kick(0);
    std::size_t left = requests.size();
    std::size_t const enough = random() % 3 == 0 ? random() % left : 0;
    while (left > enough) {
      auto const used = driver.queue(0).use();
      if (!used) {
        pollfd waiting{driver.watch.armed(), POLLIN, 0};
        ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
        ASSERT_TRUE(driver.event());
        continue;
      }
      auto const found = std::ranges::find_if(
          requests, [&](Request const& each) { return each.sent.head == used->head; });
      ASSERT_NE(found, requests.end());
      Answer const answer = driver.answer_to(found->sent, used->length);
      ASSERT_EQ(answer.status, ok);
      int& known = model[found->block];
      if (found->value >= 0) {
        known = found->value;
      } else if (known >= 0) {
        ASSERT_EQ(answer.data, Bytes(block_bytes, static_cast<std::byte>(known)));
      }
      found->block = blocks;  // answered
      found->sent.head = 0xFFFF;
      --left;
    }
    for (Request const& request : requests)
      if (request.block < blocks && request.value >= 0) model[request.block] = -1;
  }
  EXPECT_EQ(driver.counts().host_failed, 0U);
}

}  // namespace
}  // namespace portico
