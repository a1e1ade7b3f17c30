#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <string>

#include <portico/base/bytes.hpp>
#include <portico/boot/flat_image.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {
namespace {

/// Files in a folder that goes with the test.
class FlatImageTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_), nullptr); }

  void TearDown() override {
    ::unlink(path("file").c_str());
    ::unlink(path("pipe").c_str());
    ::rmdir(folder_);
  }

  std::string path(std::string const& name) const { return std::string{folder_} + "/" + name; }

  std::string file(std::string const& content) const {
    std::ofstream{path("file"), std::ios::binary} << content;
    return path("file");
  }

  /// What is said about an image that cannot be used; always one line that begins with the file's name.
  template <class Action>
  static std::string complaint(std::string const& name, Action action) {
    try {
      action();
    } catch (ImageError const& error) {
      std::string const text = error.what();
      EXPECT_EQ(text.find(name + ": "), 0U) << text;
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
      return text.substr(std::min(text.size(), name.size() + 2));
    }
    return "no complaint";
  }

  static std::string complaint(std::string const& name) {
    return complaint(name, [&] { FlatImage{name}; });
  }

 private:
  char folder_[32] = "/tmp/portico-image-XXXXXX";
};

TEST_F(FlatImageTest, LoadsItsBytesAndNothingElse) {
  FlatImage const image{file("guest")};
  EXPECT_EQ(image.size(), 5U);
  EXPECT_EQ(image.path(), path("file"));
  GuestMemory ram{8 * KiB};
  image.load(ram, 0x0FFE);
  EXPECT_EQ(std::to_integer<char>((*ram.span(0x0FFE, 1))[0]), 'g');
  EXPECT_EQ(std::to_integer<char>((*ram.span(0x1002, 1))[0]), 't');
  EXPECT_EQ((*ram.span(0x0FFD, 1))[0], std::byte{0});
  EXPECT_EQ((*ram.span(0x1003, 1))[0], std::byte{0});
}

TEST_F(FlatImageTest, AnImageMayFillAllThatTheLimitLeaves) {
  FlatImage const image{file(std::string(4096, 'x'))};
  GuestMemory ram{8 * KiB};
  image.load(ram, 0, 4096);
  EXPECT_EQ(std::to_integer<char>((*ram.span(4095, 1))[0]), 'x');
  EXPECT_EQ((*ram.span(4096, 1))[0], std::byte{0});
}

TEST_F(FlatImageTest, LoadsMoreThanOnce) {
  FlatImage const image{file("ab")};
  GuestMemory first{4 * KiB};
  GuestMemory second{4 * KiB};
  image.load(first);
  image.load(second);
  EXPECT_EQ(first.read<std::uint16_t>(0), second.read<std::uint16_t>(0));
  EXPECT_EQ(second.read<std::uint16_t>(0), std::uint16_t{0x6261});
}

TEST_F(FlatImageTest, Missing) {
  EXPECT_EQ(complaint(path("nothing")), "cannot be opened: No such file or directory");
}

TEST_F(FlatImageTest, Directory) {
  std::string folder = path("");
  folder.pop_back();
  EXPECT_EQ(complaint(folder), "is a directory; a flat binary file is needed");
}

TEST_F(FlatImageTest, Empty) {
  EXPECT_EQ(complaint(file("")), "is empty; a flat binary of at least one byte is needed");
}

TEST_F(FlatImageTest, Unreadable) {
  std::string const name = file("guest");
  ASSERT_EQ(::chmod(name.c_str(), 0), 0);
  uid_t const user = ::geteuid();
  ASSERT_EQ(::chmod(path("").c_str(), 0755), 0);
  if (user == 0) {  // file modes do not bind root
    ASSERT_EQ(::seteuid(65534), 0);
  }
  std::string const text = complaint(name);
  ASSERT_EQ(::seteuid(user), 0);
  EXPECT_EQ(text, "cannot be opened: Permission denied");
}

TEST_F(FlatImageTest, APipeIsRefusedAndNotWaitedFor) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(complaint(path("pipe")), "is not a regular file; a flat binary file is needed");
  EXPECT_EQ(complaint("/dev/null"), "is not a regular file; a flat binary file is needed");
}

TEST_F(FlatImageTest, ElfIsRefusedWithTheWayOut) {
  std::string const text = complaint("/proc/self/exe");
  EXPECT_EQ(text.find("is an ELF file"), 0U) << text;
  EXPECT_NE(text.find("ld --oformat binary"), std::string::npos) << text;
  EXPECT_NE(text.find("objcopy -O binary"), std::string::npos) << text;
}

TEST_F(FlatImageTest, AFewBytesThatOnlyBeginLikeElfAreFlat) {
  EXPECT_EQ(FlatImage{file("\177EL")}.size(), 3U);
  EXPECT_EQ(FlatImage{file("\177ELX")}.size(), 4U);
}

TEST_F(FlatImageTest, TooLargeNamesSizeAndLimit) {
  FlatImage const image{file(std::string(5000, 'x'))};
  GuestMemory ram{8 * KiB};
  std::string const by_limit = complaint(image.path(), [&] { image.load(ram, 0, 4096); });
  EXPECT_EQ(by_limit,
            "is too large: 5000 bytes, but guest memory of 8192 bytes has room for at most 4096");
  GuestMemory small{4 * KiB};
  std::string const by_ram = complaint(image.path(), [&] { image.load(small); });
  EXPECT_EQ(by_ram,
            "is too large: 5000 bytes, but guest memory of 4096 bytes has room for at most 4096");
  EXPECT_EQ(small.read<std::uint8_t>(0), std::uint8_t{0}) << "nothing was copied";
}

TEST_F(FlatImageTest, AnAddressLeavesLessRoom) {
  FlatImage const image{file(std::string(5000, 'x'))};
  GuestMemory ram{8 * KiB};
  EXPECT_EQ(complaint(image.path(), [&] { image.load(ram, 4096); }),
            "is too large: 5000 bytes, but guest memory of 8192 bytes has room for at most 4096 "
            "from 0x1000 on");
  EXPECT_EQ(complaint(image.path(), [&] { image.load(ram, 0x10'0000); }),
            "is too large: 5000 bytes, but guest memory of 8192 bytes has room for at most 0 from "
            "0x100000 on");
}

TEST_F(FlatImageTest, AFileThatShrinksIsNoticed) {
  FlatImage const image{file("guest image")};
  GuestMemory ram{4 * KiB};
  ASSERT_EQ(::truncate(image.path().c_str(), 3), 0);
  EXPECT_EQ(complaint(image.path(), [&] { image.load(ram); }),
            "became shorter while it was read; it was 11 bytes long");
}

}  // namespace
}  // namespace portico
