// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Port 0xE9: what goes out, when it is seen, what comes in.
#include <gtest/gtest.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <regex>
#include <string>
#include <vector>

#include "probe.hpp"
#include "program.hpp"
#include "support/requires.hpp"

namespace portico::abi {
namespace {

using Input = Surroundings::Input;

std::vector<std::string> one(std::string const& image) {
  return {"-m", "2", "-p", "4", "-g", image};
}

TEST(Terminal, SaysHello) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("hello.img");
  Result const result = run(folder, one("hello.img"));
  EXPECT_EQ(result.out, "Hello, world!\n");
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.status, 0);
}

TEST(Terminal, TakesStringInstructions) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("string.img");
  Result const result = run(folder, one("string.img"), {.text = "olleh"});
  EXPECT_EQ(result.out, "string hello\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST(Terminal, PassesEveryByteOut) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  Script script;
  script.print(all).quit();
  folder.write("probe.img", script.image());
  Result const result = run(folder, one("probe.img"));
  EXPECT_EQ(result.out, all);
}

TEST(Terminal, PassesEveryByteIn) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  std::string all;
  Script script;
  for (int i = 255; i >= 0; --i) {
    all += static_cast<char>(i);
    script.wait(static_cast<char>(i));
  }
  script.in(idle(3), 3, kTerminal);
  run_script(folder, script, {}, {.text = all});
}

TEST(Terminal, EchoesUntilTheEndOfInput) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("echo.img");
  std::string text;
  for (int i = 0; i < 900; ++i) text += "line " + std::to_string(i) + "\n";
  Result const result = run(folder, one("echo.img"), {.text = text});
  EXPECT_EQ(result.out, text + "[" + std::to_string(text.size()) + "]\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST(Terminal, WithoutInputIsAtItsEnd) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("echo.img");
  for (Input const input : {Input::text, Input::folder}) {
    Result const result = run(folder, one("echo.img"), {.input = input});
    EXPECT_EQ(result.out, "[0]\n");
    EXPECT_EQ(result.status, 0) << result.error;
  }
}

TEST(Terminal, WithClosedInputIsAtItsEnd) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("echo.img");
  Result const result = run(folder, one("echo.img"), {.input = Input::closed});
  EXPECT_EQ(result.out, "[0]\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST(Terminal, ShowsAPromptBeforeItWaits) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("greet.img");
  Program program{folder, one("greet.img"), {.input = Input::open}};
  EXPECT_TRUE(program.wait_for_output("Name? "));
  program.send("Char");
  program.send("les\n");
  Result const result = program.finish();
  EXPECT_EQ(result.out, "Name? Hello, Charles!\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST(Terminal, ShowsOutputOfAGuestThatNeverStops) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("spin.img");
  Program program{folder, one("spin.img"), {.input = Input::open}};
  EXPECT_TRUE(program.wait_for_output("spin"));
  program.signal(SIGINT);
  Result const result = program.finish();
  EXPECT_EQ(result.out, "spin");
  EXPECT_EQ(result.status, 1);
}

TEST(Terminal, HasNoWiderRegister) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  Script script;
  script.out_wide(kTerminal, 2, 0x4142).out_wide(kTerminal, 4, 0x41424344);
  script.in("ffff ffff", 2, kTerminal, 2).in("ffffffff", 1, kTerminal, 4).wait('a').wait('b');
  run_script(folder, script, {}, {.text = "ab"});
}

TEST(Terminal, LosesNothingOfThreeWhoTalkAtOnce) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("chatter.img");
  Result const result =
      run(folder, {"-m", "2", "-p", "2", "-g", "chatter.img", "chatter.img", "chatter.img"},
          {.text = "XYZ"});
  EXPECT_EQ(result.status, 0) << result.error;
  for (char const who : {'X', 'Y', 'Z'}) {
    EXPECT_EQ(std::count(result.out.begin(), result.out.end(), who), 200 * 63) << who;
  }
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 600);
}

TEST(Terminal, GivesEachByteOfInputToOneGuest) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  Script script;
  script.open_write("got", 0);
  // What was read stays in memory as notes; each guest takes ten bytes.
  script.in("", 10, kTerminal);
  folder.write("probe.img", script.image());
  Result const result =
      run(folder, {"-m", "2", "-p", "4", "-g", "probe.img", "probe.img", "probe.img"},
          {.text = "abcdefghijklmnopqrstuvwxyzABCD"});
  EXPECT_EQ(result.status, 0) << result.error;
  for (char const c : std::string{"abcdefghijklmnopqrstuvwxyzABCD"}) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(c));
    std::size_t const first = result.out.find(digits);
    EXPECT_NE(first, std::string::npos) << "nobody got " << c << ":\n" << result.out;
    if (first == std::string::npos) continue;
    EXPECT_EQ(result.out.find(digits, first + 2), std::string::npos) << "several got " << c;
  }
}

/// Whether a terminal is in its cooked mode.
bool is_cooked(int terminal) {
  termios mode{};
  EXPECT_EQ(::tcgetattr(terminal, &mode), 0);
  return (mode.c_lflag & ICANON) != 0 && (mode.c_lflag & ECHO) != 0 && (mode.c_lflag & ISIG) != 0;
}

TEST(Terminal, StaysCooked) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("greet.img");
  Program program{folder, one("greet.img"), {.input = Input::terminal}};
  ASSERT_TRUE(program.wait_for_output("Name? "));
  EXPECT_TRUE(is_cooked(program.terminal()));
  program.send("Bob\177b\n");  // the line can still be edited
  Result const result = program.finish();
  EXPECT_NE(result.out.find("Hello, Bob!"), std::string::npos) << result.out;
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST(Terminal, EndsItsInputByControlD) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("greet.img");
  Program program{folder, one("greet.img"), {.input = Input::terminal}};
  ASSERT_TRUE(program.wait_for_output("Name? "));
  program.send("\4");
  Result const result = program.finish();
  EXPECT_NE(result.out.find("Hello, !"), std::string::npos) << result.out;
}

TEST(Terminal, IsRawOnRequestAndCookedAgainAfterwards) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  Script script;
  script.print("key? ").wait('k').flush().wait('e');
  folder.write("probe.img", script.image());
  Program program{
      folder, {"--raw", "-m", "2", "-p", "4", "-g", "probe.img"}, {.input = Input::terminal}};
  ASSERT_TRUE(program.wait_for_output("key? "));
  EXPECT_FALSE(is_cooked(program.terminal()));
  program.send("k");  // no newline
  EXPECT_TRUE(program.wait_for_output("6b"));
  program.send("e");
  Result const result = program.finish();
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_TRUE(is_cooked(program.terminal()));
}

TEST(Terminal, IsCookedAgainAfterControlC) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("greet.img");
  Program program{
      folder, {"--raw", "-m", "2", "-p", "4", "-g", "greet.img"}, {.input = Input::terminal}};
  ASSERT_TRUE(program.wait_for_output("Name? "));
  program.signal(SIGINT);
  Result const result = program.finish();
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(is_cooked(program.terminal()));
}

TEST(Terminal, ControlCEndsAllGuestsWithAReport) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("hello.img");
  folder.take("spin.img");
  folder.take("greet.img");
  Program program{folder,
                  {"-m", "2", "-p", "4", "-g", "hello.img", "spin.img", "greet.img"},
                  {.input = Input::terminal}};
  ASSERT_TRUE(program.wait_for_output("Hello, world!"));
  ASSERT_TRUE(program.wait_for_output("spin"));
  ASSERT_TRUE(program.wait_for_output("Name? "));
  program.send("\3");
  Result const result = program.finish();
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(names_guest(result.error, 1, "spin.img")) << result.error;
  EXPECT_TRUE(names_guest(result.error, 2, "greet.img")) << result.error;
}

TEST(Terminal, GivesALateReaderEveryByte) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  Script script;
  std::string const text(4500, 'x');
  script.print(text).quit();
  folder.write("probe.img", script.image());
  Program program{folder, one("probe.img"), {.pipe_bytes = 4096}};
  ::sleep(3);
  Result const result = program.finish();
  EXPECT_EQ(result.out, text);
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.status, 0);
}

TEST(Terminal, CountsWhatNobodyReadAtTheTimeLimit) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  Script script;
  script.print(std::string(4500, 'x')).quit();
  folder.write("probe.img", script.image());
  std::vector<std::string> arguments = one("probe.img");
  arguments.insert(arguments.end(), {"--timeout", "3"});
  Program program{folder, arguments, {.pipe_bytes = 4096}};
  ASSERT_TRUE(program.ends_unread());
  Result const result = program.finish();
  // How far a slow machine's guest got by then is not said, but nothing goes uncounted.
  std::smatch lost;
  ASSERT_TRUE(std::regex_search(result.error, lost, std::regex{"(\\d+) bytes of output were lost"}))
      << result.error;
  std::size_t const count = std::stoul(lost[1]);
  EXPECT_GT(count, 0U);
  EXPECT_LE(result.out.size() + count, 4500U);
  EXPECT_GT(result.out.size() + count, 4096U);  // the guest filled the pipe before it waited
  EXPECT_TRUE(names_guest(result.error, 0, "probe.img")) << result.error;
  EXPECT_LE(result.out.size(), 4096U);
  EXPECT_EQ(result.status, 1);
}

TEST(Terminal, ThatNobodyReadsHoldsNobodyUp) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  Script script;
  script.print(std::string(300'000, 'x')).spin();
  folder.write("probe.img", script.image());
  std::vector<std::string> arguments = one("probe.img");
  arguments.insert(arguments.end(), {"--timeout", "1"});
  Program timed{folder, arguments, {.input = Input::terminal}};
  EXPECT_TRUE(timed.ends_unread());
  EXPECT_EQ(timed.finish().status, 1);
  Program interrupted{folder, one("probe.img"), {.input = Input::terminal}};
  ::sleep(1);
  interrupted.signal(SIGINT);
  EXPECT_TRUE(interrupted.ends_unread());
  EXPECT_EQ(interrupted.finish().status, 1);
}

TEST(Terminal, InterruptEndsAllGuestsWithAReport) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("spin.img");
  folder.take("greet.img");
  Program program{folder,
                  {"-m", "2", "-p", "4", "-g", "spin.img", "greet.img", "spin.img"},
                  {.input = Input::open}};
  ASSERT_TRUE(program.wait_for_output("Name? "));
  program.signal(SIGINT);
  Result const result = program.finish();
  EXPECT_EQ(result.status, 1);
  EXPECT_TRUE(names_guest(result.error, 0, "spin.img")) << result.error;
  EXPECT_TRUE(names_guest(result.error, 1, "greet.img")) << result.error;
  EXPECT_TRUE(names_guest(result.error, 2, "spin.img")) << result.error;
}

}  // namespace
}  // namespace portico::abi
