// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// The command line: every form, and what is said about those that are none.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "program.hpp"
#include "support/requires.hpp"

namespace portico::abi {
namespace {

using Arguments = std::vector<std::string>;
namespace fs = std::filesystem;

std::string joined(Arguments const& arguments) {
  std::string text;
  for (std::string const& argument : arguments) text += "'" + argument + "' ";
  return text;
}

class CommandLine : public testing::Test {
 protected:
  void SetUp() override {
    folder_.take("hello.img");
    folder_.write("one.txt", "1");
    folder_.write("two.txt", "2");
  }

  void accepts(Arguments const& arguments, int guests = 1) const {
    Result const result = run(folder_, arguments);
    std::string expected;
    for (int i = 0; i < guests; ++i) expected += "Hello, world!\n";
    EXPECT_EQ(result.status, 0) << joined(arguments) << "\n" << result.error;
    EXPECT_EQ(result.out.size(), expected.size()) << joined(arguments) << "\n" << result.out;
    if (guests == 1) {
      EXPECT_EQ(result.out, expected);
    }
  }

  /// Refused with the status for a wrong command line; the first line matches a pattern.
  void refuses(Arguments const& arguments, std::string const& pattern, bool usage = true,
               Surroundings const& surroundings = {}) const {
    Result const result = run(folder_, arguments, surroundings);
    EXPECT_EQ(result.status, 2) << joined(arguments) << "\n" << result.error;
    EXPECT_EQ(result.out, "") << joined(arguments);
    std::vector<std::string> const said = lines(result.error);
    ASSERT_FALSE(said.empty()) << joined(arguments);
    EXPECT_TRUE(std::regex_search(said.front(), std::regex{pattern, std::regex::icase}))
        << joined(arguments) << "should name " << pattern << ":\n"
        << result.error;
    if (usage) {
      EXPECT_TRUE(std::regex_search(result.error, std::regex{"usage", std::regex::icase}))
          << joined(arguments) << "\n"
          << result.error;
    }
  }

  Folder folder_;
};

TEST_F(CommandLine, TakesEverySize) {
  PORTICO_REQUIRES(kvm);
  for (char const* memory : {"2", "4", "8"}) {
    for (char const* page : {"4", "2"}) {
      accepts({"-m", memory, "-p", page, "-g", "hello.img"});
      accepts({"--memory", memory, "--page", page, "--guest", "hello.img"});
    }
  }
}

TEST_F(CommandLine, TakesOptionsInAnyOrder) {
  PORTICO_REQUIRES(kvm);
  std::vector<Arguments> options{
      {"-f", "one.txt", "two.txt"}, {"-g", "hello.img", "hello.img"}, {"-m", "4"}, {"--page", "2"}};
  do {
    Arguments arguments;
    for (Arguments const& option : options) {
      arguments.insert(arguments.end(), option.begin(), option.end());
    }
    accepts(arguments, 2);
  } while (std::next_permutation(options.begin(), options.end()));
}

TEST_F(CommandLine, TakesTheExamplesOfTheTexts) {
  PORTICO_REQUIRES(kvm);
  folder_.take("hello.img", "guest.img");
  for (char const* image : {"guest1.img", "guest2.img", "guest3.img"}) {
    folder_.take("hello.img", image);
  }
  for (char const* file : {"shared1.txt", "shared2.cpp", "flowers.png"}) folder_.write(file, "x");
  accepts({"--memory", "4", "--page", "2", "--guest", "guest.img"});
  accepts({"--memory", "4", "--page", "2", "--guest", "guest1.img", "guest2.img"}, 2);
  accepts({"-m", "4", "-p", "2", "-g", "guest1.img", "guest2.img", "-f", "./flowers.png"}, 2);
  accepts({"-m", "8", "-p", "4", "-g", "guest1.img", "guest2.img", "guest3.img", "-f",
           "shared1.txt", "shared2.cpp"},
          3);
  accepts({"-m", "8", "-p", "4", "-g", "guest1.img", "--file", "shared1.txt", "shared2.cpp"});
}

TEST_F(CommandLine, TakesALeadingZeroForDecimal) {
  PORTICO_REQUIRES(kvm);
  accepts({"-m", "2", "-p", "4", "-g", "hello.img", "--stack", "0090000"});
}

TEST_F(CommandLine, LeavesTheConsoleFileAloneWhereNoGuestCanStart) {
  PORTICO_REQUIRES(kvm);
  folder_.write("log", "old text");
  folder_.write("huge.img", std::string(3 << 20, 'x'));
  refuses({"-m", "2", "-p", "4", "-g", "hello.img", "huge.img", "--console", "file:log"}, "huge",
          false);
  EXPECT_EQ(folder_.read("log"), "old text");
  EXPECT_EQ(run(folder_, {"-m", "2", "-p", "4", "-g", "hello.img", "--console", "file:log"}).status,
            0);
  EXPECT_EQ(folder_.read("log"), "Hello, world!\n");
}

TEST_F(CommandLine, TakesPathsToImages) {
  PORTICO_REQUIRES(kvm);
  folder_.write("deep/down/copy.img", image_bytes("hello.img"));
  fs::create_symlink("deep/down/copy.img", folder_ / "link.img");
  accepts({"-m", "2", "-p", "4", "-g", "./hello.img", "deep/down/copy.img", "link.img",
           (folder_ / "hello.img").string()},
          4);
}

TEST_F(CommandLine, NeedsTheFirstThree) {
  PORTICO_REQUIRES(kvm);
  refuses({"-p", "4", "-g", "hello.img"}, "-m|memory");
  refuses({"-m", "2", "-g", "hello.img"}, "-p|page");
  refuses({"-m", "2", "-p", "4"}, "-g|guest");
  refuses({"-m", "2", "-p", "4", "-f", "one.txt"}, "-g|guest");
  refuses({"-g", "hello.img"}, "-m|memory|-p|page");
  refuses({}, "-m|memory|-p|page|-g|guest");
}

TEST_F(CommandLine, NeedsValues) {
  PORTICO_REQUIRES(kvm);
  refuses({"-m", "-p", "4", "-g", "hello.img"}, "-m|memory");
  refuses({"-p", "4", "-g", "hello.img", "-m"}, "-m|memory");
  refuses({"-m", "2", "-p", "-g", "hello.img"}, "-p|page");
  refuses({"-m", "2", "-g", "hello.img", "--page"}, "-p|page");
  refuses({"-m", "2", "-p", "4", "-g"}, "-g|guest");
  refuses({"-g", "-m", "2", "-p", "4"}, "-g|guest");
  refuses({"-m", "2", "-p", "4", "-g", "hello.img", "-f"}, "-f|file");
}

TEST_F(CommandLine, RefusesOtherSizes) {
  PORTICO_REQUIRES(kvm);
  for (char const* value : {"0", "1", "3", "6", "16", "-2", "2x", "x2", "2.0", "0x2", "", "two",
                            "2M", "4294967298", "18446744073709551618"}) {
    refuses({"-m", value, "-p", "4", "-g", "hello.img"}, "-m|memory");
    refuses({"--guest", "hello.img", "--page", "4", "--memory", value}, "-m|memory");
  }
  for (char const* value : {"0", "1", "3", "8", "-4", "4K", "4096", "2M", "", "four"}) {
    refuses({"-m", "2", "-p", value, "-g", "hello.img"}, "-p|page");
  }
}

TEST_F(CommandLine, RefusesWhatItDoesNotKnow) {
  PORTICO_REQUIRES(kvm);
  refuses({"-x", "-m", "2", "-p", "4", "-g", "hello.img"}, "-x");
  refuses({"-m", "2", "-p", "4", "-g", "hello.img", "--shared", "one.txt"}, "--shared");
  refuses({"hello.img", "-m", "2", "-p", "4", "-g", "hello.img"}, "hello.img");
  refuses({"-m", "2", "4", "-p", "4", "-g", "hello.img"}, "4");
  refuses({"-m", "2", "-p", "4", "hello.img"}, "hello.img|-g|guest");
}

TEST_F(CommandLine, RefusesOtherTimeouts) {
  PORTICO_REQUIRES(kvm);
  for (char const* value : {"x", "-1", "1x", ""}) {
    refuses({"--timeout", value, "-m", "2", "-p", "4", "-g", "hello.img"}, "timeout");
  }
  refuses({"-m", "2", "-p", "4", "-g", "hello.img", "--timeout"}, "timeout");
}

TEST_F(CommandLine, RefusesImagesThatCannotBeRead) {
  PORTICO_REQUIRES(kvm);
  folder_.write("empty.img", "");
  fs::create_directory(folder_ / "folder.img");
  fs::create_symlink("nowhere", folder_ / "dangling.img");
  for (char const* image : {"missing.img", "empty.img", "folder.img", "dangling.img",
                            "deep/missing.img", "hello.img/x"}) {
    refuses({"-m", "2", "-p", "4", "-g", image}, image, false);
    // Nobody starts before everything is known to be there.
    refuses({"-m", "2", "-p", "4", "-g", "hello.img", image, "hello.img"}, image, false);
  }
}

TEST_F(CommandLine, RefusesAnImageWithoutPermission) {
  PORTICO_REQUIRES(kvm);
  folder_.take("hello.img", "locked.img");
  fs::permissions(folder_ / "locked.img", fs::perms::none);
  refuses({"-m", "2", "-p", "4", "-g", "hello.img", "locked.img"}, "locked.img", false,
          {.root_is_nobody = true});
}

TEST_F(CommandLine, RefusesSharedFilesThatAreNotThere) {
  PORTICO_REQUIRES(kvm);
  refuses({"-m", "2", "-p", "4", "-g", "hello.img", "-f", "missing.txt"}, "missing.txt", false);
  refuses({"-m", "2", "-p", "4", "-f", "one.txt", "missing.txt", "-g", "hello.img"}, "missing.txt",
          false);
}

}  // namespace
}  // namespace portico::abi
