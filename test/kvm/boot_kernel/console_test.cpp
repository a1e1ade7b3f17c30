// boot_kernel's terminal: whose each key is, what becomes of a paste, how it is left behind.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "../../../examples/boot_kernel/escape_keys.hpp"
#include "abi/program.hpp"
#include "support/requires.hpp"

namespace portico::test {
namespace {

using abi::Folder;
using abi::Program;
using abi::Result;
using boot_kernel::EscapeKeys;
using boot_kernel::Wish;

// --- The keys themselves

struct Heard {
  std::string keys{};
  std::vector<Wish> wishes{};

  void hear(EscapeKeys& escape_keys, std::string_view struck) {
    escape_keys.hear(
        struck, [&](char key) { keys += key; }, [&](Wish wish) { wishes.push_back(wish); });
  }
};

TEST(EscapeKeys, OnlyWhatFollowsCtrlAIsForTheProgram) {
  EscapeKeys escape_keys;
  Heard heard;
  heard.hear(escape_keys, "ls\r\x03\x1A");
  heard.hear(escape_keys,
             "\x01hx\x01?\x01x\x01p\x01"
             "b\x01"
             "d\x01w\x01zq");
  EXPECT_EQ(heard.keys, "ls\r\x03\x1Axq");
  EXPECT_EQ(heard.wishes,
            (std::vector{Wish::help, Wish::help, Wish::quit, Wish::power_button, Wish::send_break,
                         Wish::hold_disks, Wish::window_size, Wish::suspend}));
}

TEST(EscapeKeys, CtrlAIsSentByTwiceOrByA) {
  EscapeKeys escape_keys;
  Heard heard;
  heard.hear(escape_keys,
             "\x01\x01\x01"
             "a-\x01");
  heard.hear(escape_keys, "\x01");  // the escape is remembered
  heard.hear(escape_keys, "x\x01");
  heard.hear(escape_keys, "Kk");  // means nothing, and is dropped
  EXPECT_EQ(heard.keys, "\x01\x01-\x01xk");
  EXPECT_TRUE(heard.wishes.empty());
}

// --- At a terminal

std::uint32_t sum_of(std::string_view bytes) {
  std::uint32_t sum = 1;
  for (char const byte : bytes) sum = sum * 31 + static_cast<std::uint8_t>(byte);
  return sum;
}

std::string received(std::string_view bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "received 0x%zx sum 0x%x", bytes.size(), sum_of(bytes));
  return text;
}

/// Whatever may stand in a paste but the keys with a meaning: q ends our kernel's listening.
std::string paste(std::size_t size) {
  std::string text;
  for (std::uint32_t value = 1; text.size() < size; value = value * 1'664'525 + 1'013'904'223) {
    char const byte = static_cast<char>(value >> 24);
    if (byte != 'q' && byte != EscapeKeys::escape) text += byte;
  }
  return text;
}

class Terminal : public testing::Test {
 protected:
  void SetUp() override { PORTICO_REQUIRES(kvm); }

  static abi::Surroundings at_terminal() {
    abi::Surroundings surroundings;
    surroundings.input = abi::Surroundings::Input::terminal;
    surroundings.program = "boot_kernel";
    return surroundings;
  }

  std::vector<std::string> arguments(std::string const& how) {
    folder_.take("pc.kernel");
    return {"--kernel", "pc.kernel", "--append", how, "--memory", "8M", "--timeout", "100"};
  }

  static bool is_raw(Program const& program) {
    termios mode{};
    EXPECT_EQ(::tcgetattr(program.terminal(), &mode), 0);
    return (mode.c_lflag & (ICANON | ECHO | ISIG)) == 0;
  }

  static void expect_soon(Program const& program, bool raw) {
    auto const end = std::chrono::steady_clock::now() + std::chrono::seconds{10} * time_scale();
    while (is_raw(program) != raw && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds{2});
    EXPECT_EQ(is_raw(program), raw);
  }

  Folder folder_;
};

TEST_F(Terminal, EveryKeyButTheEscapeIsTheGuests) {
  Program program{folder_, arguments("echo"), at_terminal()};
  ASSERT_TRUE(program.wait_for_output("listening"));
  EXPECT_TRUE(is_raw(program));
  program.send("\x03\x1A\x1C<\x01\x01>");
  EXPECT_TRUE(program.wait_for_output("\x03\x1A\x1C<\x01>"));
  program.send("\x01h\x01wq");
  Result const result = program.finish();
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_NE(result.error.find("Ctrl-A x  end the machine"), std::string::npos) << result.error;
  EXPECT_EQ(result.out.find("stty"), std::string::npos) << "this terminal has no size";
}

TEST_F(Terminal, ItsSizeIsTypedOnRequest) {
  Program program{folder_, arguments("echo"), at_terminal()};
  ASSERT_TRUE(program.wait_for_output("listening"));
  winsize const size{.ws_row = 50, .ws_col = 132, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(::ioctl(program.terminal(), TIOCSWINSZ, &size), 0);
  program.send("<\x01w>");
  EXPECT_TRUE(program.wait_for_output("<stty rows 50 cols 132\r>"));
  program.send("q");
  EXPECT_EQ(program.finish().status, 0);
}

TEST_F(Terminal, ThePowerButtonReachesTheGuest) {
  Program program{folder_, arguments("button"), at_terminal()};
  ASSERT_TRUE(program.wait_for_output("listening"));
  program.send("\x01p");
  EXPECT_EQ(program.finish().status, 0);
}

TEST_F(Terminal, A64KiBPasteArrivesWhole) {
  // A quarter in the laboratory, where Linux takes all of it in the suite `long`.
  std::string const pasted = paste(time_scale() == 1 ? 65'536 : 16'384);
  Program program{folder_, arguments("sum"), at_terminal()};
  ASSERT_TRUE(program.wait_for_output("listening"));
  program.send(pasted + "q");
  Result const result = program.finish();
  EXPECT_NE(result.out.find(received(pasted)), std::string::npos) << result.out;
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST_F(Terminal, TheEscapeIsHeardThoughTheGuestDoesNotRead) {
  Program program{folder_, arguments("spin"), at_terminal()};
  ASSERT_TRUE(program.wait_for_output("map 0x100000"));
  program.send(paste(16'384) + "\x01x");
  Result const result = program.finish();
  EXPECT_EQ(result.status, 12);
  EXPECT_EQ(result.error, "boot_kernel: pc.kernel: stopped from outside\n");
}

TEST_F(Terminal, IsRestoredHoweverItEnds) {
  for (int const number : {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGXCPU, SIGABRT, SIGTRAP}) {
    SCOPED_TRACE(number);
    Program program{folder_, arguments("spin"), at_terminal()};
    ASSERT_TRUE(program.wait_for_output("map 0x100000"));
    EXPECT_TRUE(is_raw(program));
    program.signal(number);
    ASSERT_TRUE(program.ends_unread());
    EXPECT_FALSE(is_raw(program));
    bool const is_fault = number == SIGABRT || number == SIGTRAP;
    EXPECT_EQ(program.finish().status, is_fault ? 1000 + number : 12);
  }
}

TEST_F(Terminal, IsTheShellsWhileTheProgramIsSuspended) {
  Program program{folder_, arguments("echo"), at_terminal()};
  ASSERT_TRUE(program.wait_for_output("listening"));
  for (bool const by_key : {false, true}) {
    if (by_key)
      program.send("\x01z");
    else
      program.signal(SIGTSTP);
    program.go_on_for(std::chrono::milliseconds{50});
    expect_soon(program, false);
    program.signal(SIGCONT);
    expect_soon(program, true);
  }
  program.send("still there");
  EXPECT_TRUE(program.wait_for_output("still there"));
  program.send("q");
  EXPECT_EQ(program.finish().status, 0);
}

// --- Held disks

TEST_F(Terminal, ItsDisksAreHeldAndGoOnByKeyAndBySignal) {
  std::vector<std::string> words = arguments("echo");
  for (char const* const name : {"disk.img", "more.img"}) {
    folder_.write(name, std::string(4096, 'x'));
    words.insert(words.end(), {"--disk", name});
  }
  constexpr char const* held =
      "boot_kernel: disk held: disk.img can be copied\n"
      "boot_kernel: disk held: more.img can be copied\n";
  for (bool const is_powered_off : {true, false}) {
    Program program{folder_, words, at_terminal()};
    ASSERT_TRUE(program.wait_for_output("listening"));
    program.signal(SIGUSR2);
    std::string said = "boot_kernel: no disk is held\n";
    ASSERT_TRUE(program.wait_for_error(said));
    program.send(
        "\x01"
        "d");
    ASSERT_TRUE(program.wait_for_error(said += held));
    program.signal(SIGUSR1);
    ASSERT_TRUE(program.wait_for_error(said += "boot_kernel: disk is held already\n"));
    program.send("still there");
    ASSERT_TRUE(program.wait_for_output("still there"));
    program.signal(SIGUSR2);
    ASSERT_TRUE(program.wait_for_error(said += "boot_kernel: disk goes on\n"));
    program.signal(SIGUSR1);
    ASSERT_TRUE(program.wait_for_error(said += held));
    program.send(
        "\x01"
        "d");
    ASSERT_TRUE(program.wait_for_error(said += "boot_kernel: disk goes on\n"));
    program.send(
        "\x01"
        "d");
    ASSERT_TRUE(program.wait_for_error(said += held));
    is_powered_off ? program.send("q") : program.signal(SIGTERM);
    Result const result = program.finish();
    EXPECT_EQ(result.status, is_powered_off ? 0 : 12);
    if (!is_powered_off) said += "boot_kernel: pc.kernel: stopped from outside\n";
    EXPECT_EQ(result.error, said);
  }
}

TEST_F(Terminal, WithoutADiskThatIsWrittenThereIsNothingToHold) {
  folder_.write("disk.img", std::string(4096, 'x'));
  std::vector<std::string> words = arguments("echo");
  words.insert(words.end(), {"--disk", "disk.img,readonly"});
  Program program{folder_, words, at_terminal()};
  ASSERT_TRUE(program.wait_for_output("listening"));
  program.signal(SIGUSR1);
  std::string const said = "boot_kernel: there is no disk to hold: the guest writes none\n";
  ASSERT_TRUE(program.wait_for_error(said));
  program.send("q");
  Result const result = program.finish();
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.error, said);
}

// --- Without one

TEST_F(Terminal, FromAPipeEveryByteIsTheGuestsAndTheEndIsNotTheMachines) {
  std::string const sent = "\x01x\x03" + paste(4096);
  abi::Surroundings surroundings;
  surroundings.input = abi::Surroundings::Input::open;
  surroundings.program = "boot_kernel";
  Program program{folder_, arguments("sum"), surroundings};
  ASSERT_TRUE(program.wait_for_output("listening"));
  program.send(sent + "q");
  program.end_input();
  Result const result = program.finish();
  EXPECT_NE(result.out.find(received(sent)), std::string::npos) << result.out;
  EXPECT_EQ(result.status, 0) << result.error;

  surroundings.input = abi::Surroundings::Input::text;
  Result const without = abi::run(folder_, arguments("exit7"), surroundings);
  EXPECT_EQ(without.status, 15) << without.error;
}

}  // namespace
}  // namespace portico::test
