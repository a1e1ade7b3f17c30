#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <portico/devices/shared_files.hpp>

#include "temporary_folder.hpp"

namespace {

using portico::SharedFiles;

/// What is thrown for these paths, as text.
template <class Error>
std::string refusal(std::vector<std::string> const& paths) {
  try {
    SharedFiles const shared{paths};
  } catch (Error const& error) {
    return error.what();
  }
  return "not refused";
}

TEST(SharedFiles, AnswerToThePathAsGivenAndToTheBaseName) {
  TemporaryFolder folder;
  folder.write("words.txt", "w");
  folder.write("logo.png", "l");
  SharedFiles const shared{{folder.path("words.txt"), folder.path("logo.png")}};
  ASSERT_EQ(shared.size(), 2U);
  EXPECT_EQ(shared.find("words.txt"), 0U);
  EXPECT_EQ(shared.find(folder.path("words.txt")), 0U);
  EXPECT_EQ(shared.find("logo.png"), 1U);
  EXPECT_EQ(shared.base_name(1), "logo.png");
  EXPECT_EQ(shared.find(folder.path("./words.txt")), std::nullopt);
  EXPECT_EQ(shared.find("word"), std::nullopt);
  EXPECT_EQ(shared.find(""), std::nullopt);
}

TEST(SharedFiles, TwoWithOneBaseNameAreRefusedByBothPaths) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("a"));
  folder.write("same.txt", "1");
  folder.write("a/same.txt", "2");
  auto const text =
      refusal<std::invalid_argument>({folder.path("same.txt"), folder.path("a/same.txt")});
  EXPECT_NE(text.find(folder.path("same.txt")), std::string::npos) << text;
  EXPECT_NE(text.find(folder.path("a/same.txt")), std::string::npos) << text;
  EXPECT_NE(refusal<std::invalid_argument>({folder.path("same.txt"), folder.path("same.txt")}),
            "not refused");
}

TEST(SharedFiles, WhatIsMissingOrNoPlainFileIsRefusedByName) {
  TemporaryFolder folder;
  auto const missing = refusal<std::system_error>({folder.path("nowhere")});
  EXPECT_NE(missing.find(folder.path("nowhere")), std::string::npos) << missing;
  EXPECT_NE(missing.find("No such file"), std::string::npos) << missing;

  std::filesystem::create_directory(folder.path("folder"));
  auto const directory = refusal<std::invalid_argument>({folder.path("folder")});
  EXPECT_NE(directory.find("directory"), std::string::npos) << directory;

  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  auto const pipe = refusal<std::invalid_argument>({folder.path("pipe")});
  EXPECT_NE(pipe.find("pipe"), std::string::npos) << pipe;

  EXPECT_NE(refusal<std::invalid_argument>({"/dev/null"}), "not refused");
  EXPECT_NE(refusal<std::system_error>({""}), "not refused");
}

TEST(SharedFiles, StayTheFilesThatTheyWereAtTheStart) {
  TemporaryFolder folder;
  folder.write("words.txt", "first");
  SharedFiles const shared{{folder.path("words.txt")}};
  folder.write("other", "second");
  std::filesystem::rename(folder.path("other"), folder.path("words.txt"));
  std::array<char, 5> text{};
  ASSERT_EQ(::pread(shared.fd(0), text.data(), text.size(), 0), 5);
  EXPECT_EQ(std::string(text.data(), text.size()), "first");
}

TEST(SharedFiles, AreOpenForReadingOnly) {
  TemporaryFolder folder;
  folder.write("words.txt", "first");
  SharedFiles const shared{{folder.path("words.txt")}};
  EXPECT_EQ(::pwrite(shared.fd(0), "x", 1, 0), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(SharedFiles, AreKnownByIdentity) {
  TemporaryFolder folder;
  folder.write("words.txt", "first");
  std::filesystem::create_hard_link(folder.path("words.txt"), folder.path("alias"));
  folder.write("other", "first");
  SharedFiles const shared{{folder.path("words.txt")}};
  EXPECT_TRUE(portico::holds(shared.identities(), folder.identity("alias")));
  EXPECT_FALSE(portico::holds(shared.identities(), folder.identity("other")));
}

}  // namespace
