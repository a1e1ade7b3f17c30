#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/devices/guest_files.hpp>

#include "temporary_folder.hpp"

namespace {

using portico::FileIdentity;
using portico::GuestFiles;
using portico::LocalDirectory;
using portico::Resolution;
using portico::SharedFiles;

constexpr std::int32_t refused = -1;

std::string read_all(GuestFiles& files, std::int32_t descriptor, std::size_t at_most = 1 << 20) {
  std::string text(at_most, '\0');
  auto const count = files.read(descriptor, gsl::as_writable_bytes(gsl::span{text}));
  if (count < 0) return "error";
  text.resize(static_cast<std::size_t>(count));
  return text;
}

std::int64_t write_all(GuestFiles& files, std::int32_t descriptor, std::string_view text) {
  return files.write(descriptor, gsl::as_bytes(gsl::span{text}));
}

/// A folder with two shared files beside the guests' local ones, both ways of opening names.
class GuestFilesTest : public testing::TestWithParam<Resolution> {
 protected:
  GuestFilesTest() {
    folder.write("words.txt", "shared words");
    std::filesystem::create_directory(folder.path("data"));
    folder.write("data/logo.png", "shared logo");
    shared = SharedFiles{{folder.path("words.txt"), folder.path("data/logo.png")}};
  }

  GuestFiles guest(unsigned number, gsl::span<FileIdentity const> out_of_bounds = {}) {
    return GuestFiles{
        shared, LocalDirectory{folder.descriptor(), number, shared, out_of_bounds, GetParam()}};
  }

  TemporaryFolder folder;
  SharedFiles shared;
};

INSTANTIATE_TEST_SUITE_P(Resolutions, GuestFilesTest,
                         testing::Values(Resolution::beneath, Resolution::plain),
                         [](auto const& parameter) {
                           return parameter.param == Resolution::beneath ? "beneath" : "plain";
                         });

TEST_P(GuestFilesTest, ASharedFileIsReadByBaseNameAndByPathAsGiven) {
  auto files = guest(0);
  EXPECT_EQ(read_all(files, files.open_to_read("words.txt")), "shared words");
  EXPECT_EQ(read_all(files, files.open_to_read(folder.path("words.txt"))), "shared words");
  EXPECT_EQ(read_all(files, files.open_to_read("logo.png")), "shared logo");
  EXPECT_EQ(files.open_to_read("data/logo.png"), refused);
}

TEST_P(GuestFilesTest, EachOpenHasADescriptorAndAnOffsetOfItsOwn) {
  auto files = guest(0);
  auto const first = files.open_to_read("words.txt");
  auto const second = files.open_to_read("words.txt");
  EXPECT_NE(first, second);
  EXPECT_EQ(read_all(files, first, 7), "shared ");
  EXPECT_EQ(read_all(files, second, 3), "sha");
  EXPECT_EQ(read_all(files, first), "words");
  EXPECT_EQ(read_all(files, first), "");
  EXPECT_EQ(read_all(files, second), "red words");
}

TEST_P(GuestFilesTest, WhatTheGuestDidNotCreateInThisSessionIsInvisible) {
  folder.write("notes.txt", "the user's own");
  folder.write("old.txt.local0", "from an earlier session");
  auto files = guest(0);
  EXPECT_EQ(files.open_to_read("notes.txt"), refused);
  EXPECT_EQ(files.open_to_read("old.txt"), refused);
  EXPECT_EQ(files.open_to_read("old.txt.local0"), refused);
  EXPECT_EQ(files.open_to_read("missing"), refused);
  EXPECT_EQ(folder.read("old.txt.local0"), "from an earlier session");
}

TEST_P(GuestFilesTest, ALocalFileIsNamedAfterTheGuestAndReadBack) {
  auto files = guest(23);
  auto const out = files.open_to_write("notes.txt");
  EXPECT_EQ(write_all(files, out, "local"), 5);
  EXPECT_EQ(write_all(files, out, " text"), 5);
  EXPECT_EQ(folder.read("notes.txt.local23"), "local text");
  auto const in = files.open_to_read("notes.txt");
  EXPECT_EQ(read_all(files, in), "local text");
  EXPECT_TRUE(files.close(out));
  EXPECT_TRUE(files.close(in));
  EXPECT_EQ(read_all(files, files.open_to_read("notes.txt")), "local text");
}

TEST_P(GuestFilesTest, OneLeftByAnEarlierSessionIsReplacedNotReused) {
  folder.write("notes.txt.local0", "from an earlier session");
  std::filesystem::create_hard_link(folder.path("notes.txt.local0"), folder.path("kept"));
  auto files = guest(0);
  auto const out = files.open_to_write("notes.txt");
  EXPECT_EQ(write_all(files, out, "new"), 3);
  EXPECT_EQ(folder.read("notes.txt.local0"), "new");
  EXPECT_EQ(folder.read("kept"), "from an earlier session");
}

TEST_P(GuestFilesTest, AnUnwritableFileOfAnEarlierSessionIsReplacedToo) {
  folder.write("notes.txt.local0", "old");
  ASSERT_EQ(::chmod(folder.path("notes.txt.local0").c_str(), 0), 0);
  auto files = guest(0);
  EXPECT_EQ(write_all(files, files.open_to_write("notes.txt"), "new"), 3);
  EXPECT_EQ(folder.read("notes.txt.local0"), "new");
}

TEST_P(GuestFilesTest, WritingASharedNameMakesAnEmptyLocalFileAndLeavesTheSharedOne) {
  auto files = guest(0);
  auto const out = files.open_to_write("words.txt");
  EXPECT_EQ(folder.read("words.txt.local0"), "");
  EXPECT_EQ(read_all(files, files.open_to_read("words.txt")), "");
  EXPECT_EQ(write_all(files, out, "mine"), 4);
  EXPECT_EQ(read_all(files, files.open_to_read("words.txt")), "mine");
  EXPECT_EQ(read_all(files, files.open_to_read(folder.path("words.txt"))), "mine");
  EXPECT_EQ(folder.read("words.txt"), "shared words");
}

TEST_P(GuestFilesTest, ByItsPathASharedFileBecomesTheSameLocalFileInTheWorkingDirectory) {
  auto files = guest(0);
  auto const out = files.open_to_write(folder.path("data/logo.png"));
  EXPECT_EQ(write_all(files, out, "mine"), 4);
  EXPECT_EQ(folder.read("logo.png.local0"), "mine");
  EXPECT_EQ(read_all(files, files.open_to_read("logo.png")), "mine");
  EXPECT_EQ(folder.read("data/logo.png"), "shared logo");
  EXPECT_EQ(folder.read("data/logo.png.local0"), std::nullopt);
}

TEST_P(GuestFilesTest, EarlierReadersOfASharedFileBecomeInvalid) {
  auto files = guest(0);
  auto const first = files.open_to_read("words.txt");
  auto const second = files.open_to_read(folder.path("words.txt"));
  auto const logo = files.open_to_read("logo.png");
  auto const out = files.open_to_write("words.txt");
  ASSERT_GE(out, 0);
  EXPECT_NE(out, first);
  EXPECT_NE(out, second);
  EXPECT_EQ(read_all(files, first), "error");
  EXPECT_EQ(read_all(files, second), "error");
  EXPECT_EQ(read_all(files, logo), "shared logo");
  auto const again = files.open_to_read("words.txt");
  EXPECT_NE(again, first);
  EXPECT_NE(again, second);
  EXPECT_FALSE(files.close(first));
  EXPECT_FALSE(files.close(first));
  EXPECT_FALSE(files.close(second));
  EXPECT_EQ(write_all(files, out, "x"), 1);
  EXPECT_EQ(read_all(files, again), "x");
}

TEST_P(GuestFilesTest, AnInvalidDescriptorsNumberIsFreeOnceItWasClosed) {
  auto files = guest(0);
  auto const reader = files.open_to_read("words.txt");
  (void)files.open_to_write("words.txt");
  EXPECT_FALSE(files.close(reader));
  EXPECT_EQ(files.open_to_read("logo.png"), reader);
}

TEST_P(GuestFilesTest, AFailedOpenForWritingLeavesReadersValid) {
  std::filesystem::create_directory(folder.path("words.txt.local0"));
  auto files = guest(0);
  auto const reader = files.open_to_read("words.txt");
  EXPECT_EQ(files.open_to_write("words.txt"), refused);
  EXPECT_EQ(read_all(files, reader), "shared words");
  EXPECT_EQ(read_all(files, files.open_to_read("words.txt")), "shared words");
}

TEST_P(GuestFilesTest, GuestsDoNotSeeEachOthersFiles) {
  auto one = guest(0);
  auto two = guest(1);
  auto const reader = two.open_to_read("words.txt");
  EXPECT_EQ(write_all(one, one.open_to_write("words.txt"), "zero"), 4);
  EXPECT_EQ(write_all(one, one.open_to_write("private"), "zero"), 4);
  EXPECT_EQ(read_all(two, reader), "shared words");
  EXPECT_EQ(two.open_to_read("private"), refused);
  EXPECT_EQ(two.open_to_read("private.local0"), refused);
  EXPECT_EQ(write_all(two, two.open_to_write("words.txt"), "one"), 3);
  EXPECT_EQ(write_all(two, two.open_to_write("private.local0"), "one"), 3);
  EXPECT_EQ(folder.read("words.txt.local0"), "zero");
  EXPECT_EQ(folder.read("words.txt.local1"), "one");
  EXPECT_EQ(folder.read("private.local0"), "zero");
  EXPECT_EQ(folder.read("private.local0.local1"), "one");
}

TEST_P(GuestFilesTest, OpenedForWritingAgainALocalFileIsEmptiedForAll) {
  auto files = guest(0);
  auto const first = files.open_to_write("notes");
  EXPECT_EQ(write_all(files, first, "long text"), 9);
  auto const reader = files.open_to_read("notes");
  EXPECT_EQ(read_all(files, reader, 4), "long");
  auto const second = files.open_to_write("notes");
  EXPECT_EQ(folder.read("notes.local0"), "");
  EXPECT_EQ(read_all(files, reader), "");
  EXPECT_EQ(write_all(files, second, "new text"), 8);
  EXPECT_EQ(read_all(files, reader), "text");
  EXPECT_TRUE(files.close(first));
  EXPECT_TRUE(files.close(second));
  EXPECT_GE(files.open_to_write("notes"), 0);
  EXPECT_EQ(folder.read("notes.local0"), "");
}

TEST_P(GuestFilesTest, NamesNeverReachOutside) {
  TemporaryFolder outside;
  outside.write("secret", "secret");
  std::filesystem::create_symlink(outside.path("secret"), folder.path("link"));
  std::filesystem::create_symlink(outside.path("secret"), folder.path("planted.local0"));
  std::filesystem::create_symlink(outside.path("new"), folder.path("dangling.local0"));
  std::filesystem::create_symlink(outside.path(""), folder.path("way.local0"));
  auto files = guest(0);
  for (std::string const& name :
       {std::string{"../x"}, std::string{"/etc/passwd"}, std::string{"."}, std::string{".."},
        std::string{}, std::string{"./words.txt"}, std::string{"data/logo.png"}, std::string{"x/"},
        std::string{"/"}, std::string{"a\0b", 3}, outside.path("secret"), std::string{"planted"},
        std::string{"dangling"}, std::string{"way"}, std::string{"way.local0/secret"}}) {
    EXPECT_EQ(files.open_to_read(name), refused) << name;
    EXPECT_EQ(files.open_to_write(name), refused) << name;
  }
  EXPECT_EQ(files.open_to_read("link"), refused);
  EXPECT_EQ(outside.read("secret"), "secret");
  EXPECT_EQ(outside.read("new"), std::nullopt);
  EXPECT_TRUE(std::filesystem::is_symlink(folder.path("planted.local0")));
}

TEST_P(GuestFilesTest, WhatStandsInTheWayAndIsNoPlainFileIsLeftAlone) {
  std::filesystem::create_directory(folder.path("folder.local0"));
  ASSERT_EQ(::mkfifo(folder.path("pipe.local0").c_str(), 0600), 0);
  auto files = guest(0);
  EXPECT_EQ(files.open_to_write("folder"), refused);
  EXPECT_EQ(files.open_to_write("pipe"), refused);
  EXPECT_TRUE(std::filesystem::is_directory(folder.path("folder.local0")));
  EXPECT_TRUE(std::filesystem::is_fifo(folder.path("pipe.local0")));
}

TEST_P(GuestFilesTest, ASharedFileThatHasALocalNameIsNeverReplaced) {
  folder.write("a.local0", "shared");
  SharedFiles const mine{{folder.path("a.local0")}};
  GuestFiles files{mine, LocalDirectory{folder.descriptor(), 0, mine, {}, GetParam()}};
  EXPECT_EQ(files.open_to_write("a"), refused);
  EXPECT_EQ(folder.read("a.local0"), "shared");
  EXPECT_EQ(read_all(files, files.open_to_read("a.local0")), "shared");
  EXPECT_GE(files.open_to_write("a.local0"), 0);
  EXPECT_EQ(folder.read("a.local0.local0"), "");
  EXPECT_EQ(folder.read("a.local0"), "shared");
}

TEST_P(GuestFilesTest, ProtectedFilesAreKnownUnderAnyName) {
  folder.write("guest.img", "image");
  folder.write("console.log", "output");
  std::filesystem::create_hard_link(folder.path("guest.img"), folder.path("a.local0"));
  std::filesystem::rename(folder.path("console.log"), folder.path("b.local0"));
  std::filesystem::create_hard_link(folder.path("words.txt"), folder.path("c.local0"));
  std::filesystem::create_symlink("guest.img", folder.path("d.local0"));
  std::vector<FileIdentity> const out_of_bounds{folder.identity("guest.img"),
                                                folder.identity("b.local0")};
  auto files = guest(0, out_of_bounds);
  for (std::string_view name : {"a", "b", "c", "d"})
    EXPECT_EQ(files.open_to_write(name), refused) << name;
  EXPECT_EQ(folder.read("a.local0"), "image");
  EXPECT_EQ(folder.read("b.local0"), "output");
  EXPECT_EQ(folder.read("c.local0"), "shared words");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.path("d.local0")));
}

TEST_P(GuestFilesTest, NamesThatTheHostCannotHoldAreRefused) {
  auto files = guest(0);
  std::string const fits(255 - std::string_view{".local0"}.size(), 'x');
  EXPECT_GE(files.open_to_write(fits), 0);
  EXPECT_EQ(folder.read(fits + ".local0"), "");
  EXPECT_EQ(files.open_to_write(fits + "x"), refused);
  EXPECT_EQ(files.open_to_write(std::string(300, 'y')), refused);
  EXPECT_EQ(files.open_to_write(std::string(301, 'y')), refused);
  EXPECT_EQ(files.open_to_read(std::string(300, 'y')), refused);
  EXPECT_EQ(files.host_errors().count, 0U);
}

TEST_P(GuestFilesTest, DescriptorsServeOneDirection) {
  auto files = guest(0);
  auto const in = files.open_to_read("words.txt");
  auto const out = files.open_to_write("notes");
  EXPECT_EQ(write_all(files, in, "x"), -1);
  EXPECT_EQ(read_all(files, out), "error");
  EXPECT_EQ(files.host_errors().count, 0U);  // the host is not even asked
  EXPECT_EQ(folder.read("words.txt"), "shared words");
}

TEST_P(GuestFilesTest, DescriptorsThatAreNotOpenGiveErrors) {
  auto files = guest(0);
  auto const in = files.open_to_read("words.txt");
  EXPECT_TRUE(files.close(in));
  for (std::int32_t descriptor : {in, -1, 0, 1, 2, 99, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(read_all(files, descriptor), "error") << descriptor;
    EXPECT_EQ(write_all(files, descriptor, "x"), -1) << descriptor;
    EXPECT_FALSE(files.close(descriptor)) << descriptor;
  }
}

TEST_P(GuestFilesTest, NothingIsMovedByATransferOfNothing) {
  auto files = guest(0);
  auto const in = files.open_to_read("words.txt");
  EXPECT_EQ(files.read(in, {}), 0);
  EXPECT_EQ(files.write(files.open_to_write("notes"), {}), 0);
  EXPECT_EQ(files.read(99, {}), -1);
}

TEST_P(GuestFilesTest, TenThousandDescriptorsShareOneHostFile) {
  auto files = guest(0);
  std::size_t const before = static_cast<std::size_t>(std::distance(
      std::filesystem::directory_iterator{"/proc/self/fd"}, std::filesystem::directory_iterator{}));
  auto const out = files.open_to_write("notes");
  EXPECT_EQ(write_all(files, out, "abc"), 3);
  std::vector<std::int32_t> descriptors;
  for (int count = 0; count < 10'000; ++count) {
    descriptors.push_back(files.open_to_read("notes"));
    ASSERT_GE(descriptors.back(), 0) << count;
  }
  std::size_t const after = static_cast<std::size_t>(std::distance(
      std::filesystem::directory_iterator{"/proc/self/fd"}, std::filesystem::directory_iterator{}));
  EXPECT_EQ(after - before, 2U);
  EXPECT_EQ(read_all(files, descriptors.front(), 2), "ab");
  EXPECT_EQ(read_all(files, descriptors.back()), "abc");
  for (std::int32_t descriptor : descriptors) EXPECT_TRUE(files.close(descriptor));
  EXPECT_EQ(files.open_to_read("words.txt"), descriptors.front());
}

TEST_P(GuestFilesTest, DescriptorsEndAtSixteenThousandThreeHundredAndEightyFour) {
  folder.write("precious.local0", "left");
  auto files = guest(0);
  for (int count = 0; count < 16'384; ++count) ASSERT_GE(files.open_to_read("words.txt"), 0);
  EXPECT_EQ(files.open_to_read("words.txt"), refused);
  EXPECT_EQ(files.open_to_write("precious"), refused);
  EXPECT_EQ(folder.read("precious.local0"), "left");
  EXPECT_TRUE(files.close(3));
  EXPECT_EQ(files.open_to_read("words.txt"), 3);
}

TEST_P(GuestFilesTest, SixtyFourFilesAreOpenOnTheHostAtMost) {
  auto files = guest(0);
  std::vector<std::int32_t> writers;
  for (int count = 0; count < 63; ++count)
    writers.push_back(files.open_to_write("file" + std::to_string(count)));
  EXPECT_GE(writers.back(), 0);
  EXPECT_GE(files.open_to_read("words.txt"), 0);
  EXPECT_EQ(files.open_to_write("one_more"), refused);
  EXPECT_EQ(files.open_to_read("file0"), refused);
  EXPECT_EQ(files.open_to_read("logo.png"), refused);
  EXPECT_GE(files.open_to_write("file0"), 0);
  EXPECT_GE(files.open_to_read("words.txt"), 0);
  EXPECT_EQ(folder.read("one_more.local0"), std::nullopt);
  EXPECT_TRUE(files.close(writers[7]));
  EXPECT_GE(files.open_to_read("logo.png"), 0);
}

TEST_P(GuestFilesTest, WhatIsOnTheDiskFullIsAnErrorAndCounted) {
  auto files = guest(0);
  auto const out = files.open_to_write("notes");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto const handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit const small{1000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  auto const partly = write_all(files, out, std::string(1500, 'x'));
  auto const nothing = write_all(files, out, "y");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(partly, 1000);
  EXPECT_EQ(nothing, -1);
  EXPECT_EQ(files.host_errors().count, 2U);
  EXPECT_EQ(files.host_errors().last, EFBIG);
  EXPECT_EQ(folder.read("notes.local0"), std::string(1000, 'x'));
  EXPECT_EQ(write_all(files, out, "y"), 1);
}

TEST_P(GuestFilesTest, AFolderThatMayNotBeWrittenRefusesNewFiles) {
  auto files = guest(0);
  if (::geteuid() == 0) {
    // Root may write anywhere, except where there is nothing any more.
    std::filesystem::create_directory(folder.path("gone"));
    portico::Fd const gone{::open(folder.path("gone").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    std::filesystem::remove(folder.path("gone"));
    files = GuestFiles{shared, LocalDirectory{gone.get(), 0, shared, {}, GetParam()}};
    EXPECT_EQ(files.open_to_write("notes"), refused);
  } else {
    ASSERT_EQ(::chmod(folder.path("").c_str(), 0500), 0);
    EXPECT_EQ(files.open_to_write("notes"), refused);
    ASSERT_EQ(::chmod(folder.path("").c_str(), 0700), 0);
  }
  EXPECT_EQ(files.host_errors().count, 1U);
  EXPECT_EQ(read_all(files, files.open_to_read("words.txt")), "shared words");
}

TEST_P(GuestFilesTest, AFileThatSomebodyPutInPlaceOfALocalOneIsNotRead) {
  auto files = guest(0);
  auto const out = files.open_to_write("notes");
  EXPECT_EQ(write_all(files, out, "mine"), 4);
  EXPECT_TRUE(files.close(out));
  folder.write("other", "not the guest's");
  std::filesystem::rename(folder.path("other"), folder.path("notes.local0"));
  EXPECT_EQ(files.open_to_read("notes"), refused);
  auto const again = files.open_to_write("notes");
  EXPECT_EQ(write_all(files, again, "new"), 3);
  EXPECT_EQ(read_all(files, files.open_to_read("notes")), "new");
}

TEST_P(GuestFilesTest, AFileThatSomebodyRemovedIsMadeAnewAndOpenReadersKeepTheOld) {
  auto files = guest(0);
  auto const out = files.open_to_write("notes");
  EXPECT_EQ(write_all(files, out, "old"), 3);
  auto const reader = files.open_to_read("notes");
  EXPECT_TRUE(files.close(out));
  std::filesystem::remove(folder.path("notes.local0"));
  auto const again = files.open_to_write("notes");
  EXPECT_EQ(write_all(files, again, "newer"), 5);
  EXPECT_EQ(read_all(files, reader), "old");
  EXPECT_EQ(read_all(files, files.open_to_read("notes")), "newer");
}

TEST_P(GuestFilesTest, ASavedGuestGoesOnWhereItWas) {
  auto files = guest(0);
  auto const revoked = files.open_to_read("words.txt");
  auto const out = files.open_to_write("words.txt");
  EXPECT_EQ(write_all(files, out, "0123456789"), 10);
  auto const in = files.open_to_read("words.txt");
  EXPECT_EQ(read_all(files, in, 4), "0123");
  auto const logo = files.open_to_read("logo.png");
  EXPECT_EQ(read_all(files, logo, 7), "shared ");
  auto const state = files.save();

  auto other = guest(0);
  other.load(state);
  EXPECT_EQ(other.save(), state);
  EXPECT_EQ(read_all(other, in), "456789");
  EXPECT_EQ(read_all(other, logo), "logo");
  EXPECT_EQ(write_all(other, out, "ab"), 2);
  EXPECT_EQ(folder.read("words.txt.local0"), "0123456789ab");
  EXPECT_EQ(read_all(other, revoked), "error");
  EXPECT_EQ(read_all(other, other.open_to_read("words.txt")), "0123456789ab");
}

TEST_P(GuestFilesTest, ASavedGuestWhoseFilesAreGoneHasInvalidDescriptors) {
  auto files = guest(0);
  auto const out = files.open_to_write("notes");
  auto const state = files.save();
  std::filesystem::remove(folder.path("notes.local0"));
  auto other = guest(0);
  other.load(state);
  EXPECT_EQ(write_all(other, out, "x"), -1);
  EXPECT_FALSE(other.close(out));
  EXPECT_EQ(other.open_to_read("notes"), refused);
  EXPECT_GE(other.open_to_write("notes"), 0);
}

TEST_P(GuestFilesTest, AStateThatNamesWhatIsOutsideReachesNothing) {
  TemporaryFolder outside;
  outside.write("secret.local0", "secret");
  std::filesystem::create_symlink(outside.path("secret.local0"), folder.path("link.local0"));
  using Kind = GuestFiles::State::Kind;
  GuestFiles::State state;
  state.local_files = {"link", outside.path("secret"), "../x", ""};
  state.descriptors = {
      {3, Kind::local_reader, "link", 0},       {4, Kind::local_writer, outside.path("secret"), 0},
      {5, Kind::shared_reader, "missing", 0},   {-7, Kind::shared_reader, "words.txt", 0},
      {6, Kind::shared_reader, "words.txt", 7}, {6, Kind::shared_reader, "logo.png", 0}};
  auto files = guest(0);
  files.load(state);
  for (std::int32_t descriptor : {3, 4, 5, -7})
    EXPECT_EQ(read_all(files, descriptor), "error") << descriptor;
  EXPECT_EQ(read_all(files, 6), "words");
  EXPECT_EQ(outside.read("secret.local0"), "secret");
}

}  // namespace
