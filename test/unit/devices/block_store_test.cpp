// What block devices stand on: operations on memory and on real files, with io_uring and without,
// the host's failures, and disks that are held.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <portico/devices/block_store.hpp>
#include <portico/devices/pausable_store.hpp>

#include "temporary_folder.hpp"

namespace portico {
namespace {

using Kind = BlockOperation::Kind;
using Bytes = std::vector<std::byte>;

/// Memory in pieces, as a guest may cut it.
struct Scattered {
  std::vector<Bytes> pieces{};
  std::vector<iovec> vectors{};

  explicit Scattered(std::vector<std::size_t> const& sizes) {
    for (std::size_t const size : sizes) pieces.emplace_back(size);
    for (Bytes& piece : pieces) vectors.push_back({piece.data(), piece.size()});
  }

  void fill(Bytes const& from) {
    std::size_t at = 0;
    for (Bytes& piece : pieces)
      for (std::byte& byte : piece) byte = from[at++];
  }

  [[nodiscard]] Bytes all() const {
    Bytes joined;
    for (Bytes const& piece : pieces) joined.insert(joined.end(), piece.begin(), piece.end());
    return joined;
  }
};

Bytes pattern(std::size_t size, unsigned seed) {
  std::mt19937 random{seed};
  Bytes made(size);
  for (std::byte& byte : made) byte = static_cast<std::byte>(random());
  return made;
}

/// Collects until `done` says that it is enough, or 10 s have passed.
template <class Disk>
void collect_until(Disk& disk, std::function<bool()> const& done,
                   std::function<void(BlockOperation&)> const& answer) {
  for (int rounds = 0; rounds < 10'000; ++rounds) {
    detail::collect_operations(disk, answer);
    if (done()) return;
    pollfd waiting{detail::operations_descriptor(disk), POLLIN, 0};
    if (detail::operations_in_flight(disk) > 0 && ::poll(&waiting, 1, 10'000) != 1) break;
  }
  FAIL() << "the disk does not answer";
}

/// An operation from start to end: its errno.
template <class Disk>
int perform(Disk& disk, BlockOperation operation) {
  operation.error = -1;
  bool complete = detail::start_operation(disk, operation);
  if (!complete)
    collect_until(
        disk, [&] { return complete; },
        [&](BlockOperation& given) {
          EXPECT_EQ(&given, &operation);
          complete = true;
        });
  EXPECT_EQ(detail::operations_in_flight(disk), 0U);
  return operation.error;
}

template <class Disk>
int move(Disk& disk, Kind kind, std::uint64_t offset, Scattered& memory, bool durable = false) {
  std::uint64_t length = 0;
  for (Bytes const& piece : memory.pieces) length += piece.size();
  return perform(disk, {.kind = kind,
                        .durable = durable,
                        .offset = offset,
                        .length = length,
                        .memory = memory.vectors});
}

template <class Disk>
Bytes read(Disk& disk, std::uint64_t offset, std::size_t length) {
  Scattered memory{{length}};
  EXPECT_EQ(move(disk, Kind::read, offset, memory), 0);
  return memory.all();
}

/// Cuts of `length`, not at sectors.
std::vector<std::size_t> cuts(std::size_t length, std::mt19937& random) {
  std::vector<std::size_t> made;
  while (length > 0) {
    std::size_t const piece = 1 + random() % std::min<std::size_t>(length, 1500);
    made.push_back(piece);
    length -= piece;
  }
  return made;
}

constexpr std::size_t disk_bytes = 256 * 1024;

/// Each kind of disk, over the same file.
enum class Made {
  memory,
  write_back,
  power_loss,
  uring,
  always_uring,
  no_uring,
  in_variant,
  pausable
};

class EveryStore : public testing::TestWithParam<Made> {
 protected:
  EveryStore() { create_disk(path_, disk_bytes); }

  template <class Test>
  void with_disk(Test test) {
    switch (GetParam()) {
      case Made::memory:
        return run(MemoryDisk{Bytes(disk_bytes)}, test);
      case Made::write_back:
        return run(WriteBackFile{path_}, test);
      case Made::power_loss:
        return run(WriteBackFile{path_, Durability::power_loss}, test);
      case Made::uring: {
        return run(UringFile{path_}, test);
      }
      case Made::always_uring: {
        UringFile disk{path_, DiskAccess::read_write, UseUring::always};
        if (disk.refused() != 0) GTEST_SKIP() << "io_uring: " << std::strerror(disk.refused());
        return run(std::move(disk), test);
      }
      case Made::no_uring:
        return run(UringFile{path_, DiskAccess::read_write, UseUring::never}, test);
      case Made::in_variant:
        return run(BlockBackend{UringFile{path_}}, test);
      case Made::pausable:
        return run(PausableStore<BlockBackend>{UringFile{path_}}, test);
    }
  }

  template <class Disk, class Test>
  static void run(Disk disk, Test test) {
    test(disk);
  }

  TemporaryFolder folder_{};
  std::string path_ = folder_.path("disk.img");
};

std::string name_of_made(testing::TestParamInfo<Made> const& made) {
  std::array<char const*, 8> const names{"memory",       "write_back", "power_loss", "uring",
                                         "always_uring", "no_uring",   "in_variant", "pausable"};
  return names[static_cast<std::size_t>(made.param)];
}

INSTANTIATE_TEST_SUITE_P(, EveryStore,
                         testing::Values(Made::memory, Made::write_back, Made::power_loss,
                                         Made::uring, Made::always_uring, Made::no_uring,
                                         Made::in_variant, Made::pausable),
                         name_of_made);

TEST_P(EveryStore, DoesAsAModelDoes) {
  with_disk([](auto& disk) {
    EXPECT_EQ(detail::disk_size(disk), disk_bytes);
    EXPECT_TRUE(detail::disk_is_writable(disk) && detail::disk_discards(disk));
    std::mt19937 random{7};
    Bytes model(disk_bytes);
    for (unsigned round = 0; round < 200; ++round) {
      std::size_t const sectors = disk_bytes / sector_bytes;
      std::size_t const first = random() % sectors;
      std::size_t const count = 1 + random() % std::min<std::size_t>(sectors - first, 40);
      std::size_t const offset = first * sector_bytes;
      std::size_t const length = count * sector_bytes;
      auto const begin = model.begin() + static_cast<std::ptrdiff_t>(offset);
      auto const end = begin + static_cast<std::ptrdiff_t>(length);
      auto const kind = static_cast<Kind>(random() % 5);
      bool const flag = random() % 2 == 0;
      Scattered memory{cuts(length, random)};
      if (kind == Kind::read) {
        ASSERT_EQ(move(disk, kind, offset, memory), 0);
        ASSERT_TRUE(std::equal(begin, end, memory.all().begin())) << round;
      } else if (kind == Kind::write) {
        Bytes const content = pattern(length, round);
        memory.fill(content);
        ASSERT_EQ(move(disk, kind, offset, memory, flag), 0);
        std::copy(content.begin(), content.end(), begin);
      } else if (kind == Kind::flush) {
        ASSERT_EQ(perform(disk, {.kind = kind}), 0);
      } else {
        ASSERT_EQ(
            perform(disk, {.kind = kind, .may_unmap = flag, .offset = offset, .length = length}),
            0);
        if (kind == Kind::write_zeroes)
          std::fill(begin, end, std::byte{0});
        else  // nobody says what is there now
          std::ranges::copy(read(disk, offset, length), begin);
      }
    }
    EXPECT_EQ(read(disk, 0, disk_bytes), model);
  });
}

TEST_P(EveryStore, TakesMoreThanItCanDoAtOnce) {
  with_disk([](auto& disk) {
    std::size_t const many = UringFile::most_calls + 50;
    std::vector<Bytes> contents;
    std::vector<iovec> vectors;
    std::vector<BlockOperation> operations;
    std::vector<unsigned> answers(many);
    for (unsigned at = 0; at < many; ++at) contents.push_back(pattern(sector_bytes, at));
    for (Bytes& content : contents) vectors.push_back({content.data(), content.size()});
    for (std::size_t at = 0; at < many; ++at) {
      // A flush now and then takes a thread of the kernel, and is overtaken.
      operations.push_back({.kind = at % 31 == 0 ? Kind::flush : Kind::write, .error = -1});
      if (at % 31 == 0) continue;
      operations[at].offset = at % (disk_bytes / sector_bytes) * sector_bytes;
      operations[at].length = sector_bytes;
      operations[at].memory = {&vectors[at], 1};
    }
    std::size_t complete = 0;
    auto const answer = [&](BlockOperation& operation) {
      ++answers[static_cast<std::size_t>(&operation - operations.data())];
      ++complete;
    };
    for (BlockOperation& operation : operations)
      if (detail::start_operation(disk, operation)) answer(operation);
    collect_until(disk, [&] { return complete == many; }, answer);
    EXPECT_EQ(answers, std::vector<unsigned>(many, 1));
    for (BlockOperation const& operation : operations) EXPECT_EQ(operation.error, 0);
    EXPECT_EQ(detail::operations_in_flight(disk), 0U);
    EXPECT_EQ(read(disk, 300 * sector_bytes, sector_bytes), contents[300]);
  });
}

TEST_P(EveryStore, StartsAnotherFromAnAnswer) {
  with_disk([](auto& disk) {
    BlockOperation operation{.kind = Kind::flush};
    unsigned answered = 0;
    bool running = true;
    auto const again = [&](BlockOperation& given) {
      while (++answered < 20)
        if (!detail::start_operation(disk, given)) return;
      running = false;
    };
    if (detail::start_operation(disk, operation)) again(operation);
    collect_until(disk, [&] { return !running; }, again);
    EXPECT_EQ(answered, 20U);
  });
}

TEST_P(EveryStore, ForgetsWhatIsAbandoned) {
  with_disk([](auto& disk) {
    {
      std::vector<BlockOperation> operations(100, {.kind = Kind::flush});
      Bytes content(64 * 1024);
      iovec const vector{content.data(), content.size()};
      for (std::size_t at = 0; at < operations.size(); at += 2)
        operations[at] = {.kind = Kind::read, .length = content.size(), .memory = {&vector, 1}};
      for (BlockOperation& operation : operations) (void)detail::start_operation(disk, operation);
      detail::collect_operations(disk, [](BlockOperation&) {});
      detail::abandon_operations(disk);
      EXPECT_EQ(detail::operations_in_flight(disk), 0U);
    }  // neither operations nor memory are there any more
    detail::collect_operations(disk, [](BlockOperation&) { FAIL(); });
    Scattered memory{{512}};
    EXPECT_EQ(move(disk, Kind::write, 512, memory), 0);
  });
}

/// Both ways of working on a file.
class EveryFile : public testing::TestWithParam<UseUring> {
 protected:
  EveryFile() { create_disk(path_, disk_bytes); }

  [[nodiscard]] UringFile open(DiskAccess access = DiskAccess::read_write) const {
    return UringFile{path_, access, GetParam()};
  }

  void resize(off_t bytes) const { ASSERT_EQ(::truncate(path_.c_str(), bytes), 0); }

  [[nodiscard]] off_t size() const {
    struct stat about{};
    EXPECT_EQ(::stat(path_.c_str(), &about), 0);
    return about.st_size;
  }

  TemporaryFolder folder_{};
  std::string path_ = folder_.path("disk.img");
};

std::string name_of_use(testing::TestParamInfo<UseUring> const& use) {
  std::array<char const*, 3> const names{"where_it_pays", "always", "never"};
  return names[static_cast<std::size_t>(use.param)];
}

INSTANTIATE_TEST_SUITE_P(, EveryFile,
                         testing::Values(UseUring::where_it_pays, UseUring::always,
                                         UseUring::never),
                         name_of_use);

TEST_P(EveryFile, SaysWhyThereIsNoIoUring) {
  if (GetParam() == UseUring::never) {
    EXPECT_EQ(open().refused(), ECANCELED);
    EXPECT_EQ(open().descriptor(), -1);
  } else {
    UringFile const disk = open();
    EXPECT_EQ(disk.refused() == 0, disk.descriptor() >= 0);
  }
}

TEST_P(EveryFile, HasBecomeShorter) {
  UringFile disk = open();
  resize(10 * 512 + 100);
  Scattered one{{512}};
  Scattered two{{200, 500, 324}};
  EXPECT_EQ(move(disk, Kind::read, 9 * 512, one), 0);
  EXPECT_EQ(move(disk, Kind::read, 9 * 512, two), EIO);  // a part of it is there
  EXPECT_EQ(move(disk, Kind::read, 10 * 512, one), EIO);
  EXPECT_EQ(move(disk, Kind::read, 20 * 512, one), EIO);
  EXPECT_EQ(move(disk, Kind::write, 20 * 512, one), 0);
  EXPECT_EQ(size(), 21 * 512);
  EXPECT_EQ(move(disk, Kind::read, 10 * 512, one), 0);
}

TEST_P(EveryFile, HasBecomeLonger) {
  UringFile disk = open();
  resize(disk_bytes * 2);
  EXPECT_EQ(disk.size(), disk_bytes);
}

TEST_P(EveryFile, IsNotWrittenIfReadOnly) {
  UringFile disk = open(DiskAccess::read_only);
  EXPECT_FALSE(disk.writable() || disk.discards());
  Scattered memory{{512}};
  memory.fill(pattern(512, 1));
  EXPECT_EQ(move(disk, Kind::write, 0, memory), EBADF);
  EXPECT_EQ(perform(disk, {.kind = Kind::write_zeroes, .length = 512}), EBADF);
  EXPECT_EQ(read(disk, 0, 512), Bytes(512));
}

/// No file of this process grows beyond so many bytes, for as long as it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_{::signal(SIGXFSZ, SIG_IGN)} {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit const now{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  FileSizeLimit(FileSizeLimit const&) = delete;
  FileSizeLimit& operator=(FileSizeLimit const&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_P(EveryFile, TellsThatTheHostTakesOnlyAPart) {
  UringFile disk = open();
  resize(0);
  Scattered memory{{300, 4000, 3892}};
  Bytes const content = pattern(8192, 3);
  memory.fill(content);
  {
    FileSizeLimit const limit{5000};
    EXPECT_EQ(move(disk, Kind::write, 0, memory), EFBIG);
    EXPECT_EQ(size(), 5000);
    EXPECT_EQ(move(disk, Kind::write, 8192, memory), EFBIG);
  }
  EXPECT_EQ(move(disk, Kind::write, 0, memory), 0);
  EXPECT_EQ(read(disk, 0, 8192), content);
}

TEST_P(EveryFile, GivesUpSpaceThatIsDiscarded) {
  UringFile disk = open();
  Scattered memory{{disk_bytes}};
  memory.fill(pattern(disk_bytes, 9));
  ASSERT_EQ(move(disk, Kind::write, 0, memory, true), 0);
  auto const blocks = [&] {
    struct stat about{};
    EXPECT_EQ(::stat(path_.c_str(), &about), 0);
    return about.st_blocks;
  };
  auto const full = blocks();
  ASSERT_EQ(perform(disk, {.kind = Kind::discard, .offset = 65536, .length = 65536}), 0);
  EXPECT_EQ(size(), off_t{disk_bytes});
  if (blocks() == full) GTEST_SKIP() << "this file system has no holes";
  EXPECT_EQ(blocks(), full - 128);
  // Zeros that may not be unmapped take their space.
  ASSERT_EQ(perform(disk, {.kind = Kind::write_zeroes, .offset = 65536, .length = 65536}), 0);
  EXPECT_EQ(blocks(), full);
  ASSERT_EQ(
      perform(disk, {.kind = Kind::write_zeroes, .may_unmap = true, .offset = 0, .length = 65536}),
      0);
  EXPECT_EQ(blocks(), full - 128);
  EXPECT_EQ(read(disk, 0, 131072), Bytes(131072));
}

TEST_P(EveryFile, IsStillServedWhenTheStarterHasGone) {
  UringFile disk = open();
  std::vector<BlockOperation> operations(50, {.kind = Kind::flush, .error = -1});
  std::size_t complete = 0;
  auto const answer = [&](BlockOperation&) { ++complete; };
  std::thread{[&] {
    for (BlockOperation& operation : operations)
      if (disk.start(operation)) ++complete;
    disk.collect(answer);
  }}.join();
  collect_until(disk, [&] { return complete == operations.size(); }, answer);
  for (BlockOperation const& operation : operations) EXPECT_EQ(operation.error, 0);
}

TEST_P(EveryFile, SaysWhatIsWrongWithTheFile) {
  auto const why = [&](std::string const& path) -> std::string {
    try {
      UringFile const disk{path, DiskAccess::read_only, GetParam()};
    } catch (std::system_error const& error) {
      return error.what();
    }
    return "nothing";
  };
  folder_.write("odd", std::string(700, 'x'));
  EXPECT_EQ(why(path_), "nothing");
  EXPECT_EQ(why(folder_.path("none")),
            "disk " + folder_.path("none") + ": No such file or directory");
  EXPECT_NE(why(folder_.path("odd")).find("its size is 700 bytes"), std::string::npos);
  EXPECT_NE(why("/dev/null").find("is not a regular file"), std::string::npos);
}

/// The thread may not make rings from now on.
void forbid_io_uring(std::uint32_t error) {
  std::array<sock_filter, 4> program{
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_io_uring_setup},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  sock_fprog const filter{program.size(), program.data()};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

TEST(UringFile, DoesWithoutARingThatIsRefused) {
  TemporaryFolder const folder;
  create_disk(folder.path("disk.img"), disk_bytes);
  for (unsigned const error : {unsigned{EPERM}, unsigned{ENOSYS}})
    std::thread{[&] {
      forbid_io_uring(error);
      UringFile disk{folder.path("disk.img")};
      EXPECT_EQ(disk.refused(), static_cast<int>(error));
      Scattered memory{{512, 512}};
      Bytes const content = pattern(1024, error);
      memory.fill(content);
      EXPECT_EQ(move(disk, Kind::write, 512, memory, true), 0);
      EXPECT_EQ(read(disk, 512, 1024), content);
    }}.join();
}

// --- The calls that an operation takes, by what the host answers

/// Lets `answers` be the host's, one for each call; what was asked.
std::vector<detail::FileCall> calls_of(BlockOperation& operation,
                                       std::deque<std::int64_t> answers) {
  std::vector<detail::FileCall> calls;
  detail::begin(operation);
  for (;;) {
    calls.push_back(detail::next_call(operation));
    EXPECT_FALSE(answers.empty());
    if (answers.empty()) return calls;
    std::int64_t const answer = answers.front();
    answers.pop_front();
    if (detail::conclude(operation, answer)) break;
  }
  EXPECT_TRUE(answers.empty());
  return calls;
}

TEST(FileOperation, GoesOnWhereAShortTransferEnded) {
  Scattered memory{{1000, 1000, 2096}};
  BlockOperation operation{
      .kind = Kind::write, .offset = 512, .length = 4096, .memory = memory.vectors};
  detail::begin(operation);
  auto const next = [&](std::int64_t moved) {
    EXPECT_FALSE(detail::conclude(operation, moved));
    return detail::next_call(operation);
  };
  EXPECT_EQ(detail::next_call(operation).vectors.size(), 3U);
  auto call = next(600);  // inside of the first piece
  EXPECT_EQ(call.offset, 1112U);
  ASSERT_EQ(call.vectors.size(), 1U);
  EXPECT_EQ(call.vectors[0].iov_base, memory.pieces[0].data() + 600);
  EXPECT_EQ(call.vectors[0].iov_len, 400U);
  call = next(100);  // inside of the rest of it
  EXPECT_EQ(call.vectors[0].iov_base, memory.pieces[0].data() + 700);
  call = next(300);  // to its end
  ASSERT_EQ(call.vectors.size(), 2U);
  EXPECT_EQ(call.vectors[0].iov_base, memory.pieces[1].data());
  EXPECT_EQ(call.offset, 1512U);
  call = next(1001);  // into the last
  EXPECT_EQ(call.vectors[0].iov_len, 2095U);
  EXPECT_TRUE(detail::conclude(operation, 2095));
  EXPECT_EQ(operation.error, 0);
}

TEST(FileOperation, TriesAgainAndGivesUpAtLast) {
  for (int const error : {EINTR, EAGAIN, ECANCELED}) {
    BlockOperation flush{.kind = Kind::flush};
    EXPECT_EQ(calls_of(flush, {-error, -error, 0}).size(), 3U);
    EXPECT_EQ(flush.error, 0);
    EXPECT_EQ(calls_of(flush, std::deque<std::int64_t>(detail::most_attempts, -error)).size(),
              std::size_t{detail::most_attempts});
    EXPECT_EQ(flush.error, error);
    // Anything that was done begins the count anew.
    Scattered memory{{512}};
    BlockOperation read{.length = 512, .memory = memory.vectors};
    std::deque<std::int64_t> answers(60, -error);
    answers.push_back(100);
    answers.insert(answers.end(), 60, -error);
    answers.push_back(412);
    EXPECT_EQ(calls_of(read, answers).size(), 122U);
    EXPECT_EQ(read.error, 0);
  }
}

TEST(FileOperation, FlushesWhatIsDurableAndOnlyWhenItIsWritten) {
  Scattered memory{{512}};
  BlockOperation operation{
      .kind = Kind::write, .durable = true, .length = 512, .memory = memory.vectors};
  auto const calls = calls_of(operation, {100, 412, 0});
  EXPECT_EQ(calls[2].kind, detail::FileCall::Kind::sync);
  EXPECT_EQ(calls_of(operation, {512, -EIO}).size(), 2U);
  EXPECT_EQ(operation.error, EIO);
  EXPECT_EQ(calls_of(operation, {-ENOSPC}).size(), 1U);
  EXPECT_EQ(operation.error, ENOSPC);
  EXPECT_EQ(calls_of(operation, {0}).size(), 1U);
  EXPECT_EQ(operation.error, ENOSPC);
  operation.kind = Kind::read;
  EXPECT_EQ(calls_of(operation, {512}).size(), 1U);
}

TEST(FileOperation, FlushesInOneCall) {
  BlockOperation flush{.kind = Kind::flush};
  auto const calls = calls_of(flush, {0});
  EXPECT_EQ(calls[0].kind, detail::FileCall::Kind::sync);
  EXPECT_EQ(flush.error, 0);
  EXPECT_EQ(calls_of(flush, {-EIO}).size(), 1U);
  EXPECT_EQ(flush.error, EIO);
}

TEST(FileOperation, WritesZerosWhereTheFileSystemHasNoRanges) {
  BlockOperation zeros{.kind = Kind::write_zeroes, .offset = 512, .length = 3 * 1024 * 1024 + 512};
  auto const calls = calls_of(zeros, {-EOPNOTSUPP, 1048576, 1000000, 1048576, 48576, 512});
  EXPECT_EQ(calls[0].mode, FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE);
  EXPECT_EQ(calls[1].kind, detail::FileCall::Kind::write);
  EXPECT_EQ(calls[1].offset, 512U);
  EXPECT_EQ(calls[1].vectors.size(), 256U);
  EXPECT_EQ(calls[3].offset, 512U + 2048576U);
  EXPECT_EQ(calls[5].offset, 512U + 3 * 1024 * 1024);
  EXPECT_EQ(zeros.error, 0);
  EXPECT_EQ(zeros.progress.partial.iov_len, 512U);
  zeros.may_unmap = true;
  EXPECT_EQ(calls_of(zeros, {-ENOSPC})[0].mode, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE);
  EXPECT_EQ(zeros.error, ENOSPC);
  BlockOperation discard{.kind = Kind::discard, .length = 512};
  EXPECT_EQ(calls_of(discard, {-EOPNOTSUPP}).size(), 1U);
  EXPECT_EQ(discard.error, 0);
}

TEST(FileOperation, NeverAsksForMoreVectorsThanTheHostTakes) {
  Scattered memory{std::vector<std::size_t>(2048, 1)};
  BlockOperation operation{.length = 2048, .memory = memory.vectors};
  auto const calls = calls_of(operation, {1024, 1024});
  EXPECT_EQ(calls[0].vectors.size(), 1024U);
  EXPECT_EQ(calls[1].vectors.data(), &memory.vectors[1024]);
}

// --- Held disks

template <class Disk>
void holds_what_comes_during_a_pause(PausableStore<Disk> disk) {
  Scattered memory{{512}};
  memory.fill(pattern(512, 5));
  BlockOperation write{.kind = Kind::write, .length = 512, .memory = memory.vectors, .error = -1};
  bool complete = false;
  auto const answer = [&](BlockOperation&) { complete = true; };
  disk.pause();
  EXPECT_FALSE(disk.start(write));
  disk.collect(answer);
  EXPECT_FALSE(complete);
  EXPECT_EQ(disk.in_flight(), 1U);
  pollfd waiting{disk.descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 0), 0);  // nobody is woken for nothing
  EXPECT_EQ(read(disk.disk(), 0, 512), Bytes(512));
  disk.resume();
  EXPECT_EQ(::poll(&waiting, 1, 10'000), 1);
  collect_until(disk, [&] { return complete; }, answer);
  EXPECT_EQ(write.error, 0);
  EXPECT_EQ(read(disk, 0, 512), pattern(512, 5));
}

TEST(PausableStore, HoldsWhatComesDuringAPause) {
  TemporaryFolder const folder;
  create_disk(folder.path("disk.img"), disk_bytes);
  holds_what_comes_during_a_pause(PausableStore{MemoryDisk{Bytes(disk_bytes)}});
  holds_what_comes_during_a_pause(PausableStore{UringFile{folder.path("disk.img")}});
}

TEST(PausableStore, FinishesWhatIsUnderWayAndTellsTheDevice) {
  TemporaryFolder const folder;
  create_disk(folder.path("disk.img"), disk_bytes);
  PausableStore disk{UringFile{folder.path("disk.img")}};
  if (disk.disk().refused() != 0) GTEST_SKIP() << "io_uring: " << disk.disk().refused();
  BlockOperation flush{.kind = Kind::flush, .error = -1};
  ASSERT_FALSE(disk.start(flush));
  disk.pause();
  EXPECT_EQ(flush.error, 0);
  EXPECT_EQ(disk.in_flight(), 1U);  // the device has not been told yet
  pollfd waiting{disk.descriptor(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
  unsigned answered = 0;
  disk.collect([&](BlockOperation&) { ++answered; });
  EXPECT_EQ(answered, 1U);
  disk.resume();
}

TEST(PausableStore, IsPausedWhileADeviceWorks) {
  TemporaryFolder const folder;
  create_disk(folder.path("disk.img"), disk_bytes);
  PausableStore<BlockBackend> disk{UringFile{folder.path("disk.img")}};
  std::atomic<bool> stop = false;
  std::atomic<std::uint64_t> answers = 0;
  std::thread device{[&] {
    std::array<BlockOperation, 16> operations{};
    for (BlockOperation& operation : operations) operation.kind = Kind::flush;
    auto const again = [&](BlockOperation& operation) {
      ++answers;
      if (!stop) (void)disk.start(operation);
    };
    for (BlockOperation& operation : operations) (void)disk.start(operation);
    do {
      disk.collect(again);
      pollfd waiting{disk.descriptor(), POLLIN, 0};
      (void)::poll(&waiting, 1, 10);
    } while (!stop || disk.in_flight() > 0);
  }};
  if (std::get<UringFile>(disk.disk()).refused() == 0) {
    for (int round = 0; round < 20; ++round) {
      std::uint64_t const before = answers;
      while (answers < before + 16) std::this_thread::yield();
      disk.pause();
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
      EXPECT_EQ(detail::operations_in_flight(disk.disk()), 0U);
      disk.resume();
    }
  }
  stop = true;
  device.join();
  EXPECT_GE(answers, 16U);
}

}  // namespace
}  // namespace portico
