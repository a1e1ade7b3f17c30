#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/debug_console.hpp>

#include "pipe.hpp"
#include "temporary_folder.hpp"

namespace {

using portico::Clock;
using portico::ConsoleBackend;
using portico::DebugConsole;
using portico::FileSink;
using portico::Input;
using portico::InputStatus;
using portico::MemoryStreams;
using portico::OutputSink;
using portico::RunControl;
using portico::SharedInput;
using portico::StandardStreams;
using portico::TimeSource;
using portico::WaitLimit;
using portico::Written;

constexpr std::uint64_t milliseconds = 1'000'000;

static_assert(portico::ByteStreams<StandardStreams> && portico::ByteStreams<FileSink> &&
              portico::ByteStreams<portico::PseudoTerminal> && portico::ByteStreams<MemoryStreams>);

/// A backend that says what it was asked for, and takes as much as it is told to.
struct Recorder {
  std::vector<std::string>* written;
  bool lines = false;
  std::size_t room = ~std::size_t{0};
  std::string input{};
  std::vector<int> waits{};
  std::function<void()> meanwhile{};  ///< what the guest does while bytes are written out

  [[nodiscard]] bool flushes_lines() const { return lines; }

  Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const& limit) {
    if (meanwhile) std::exchange(meanwhile, {})();
    waits.push_back(limit.milliseconds);
    std::size_t const count = bytes.size() < room ? bytes.size() : room;
    if (count > 0) written->emplace_back(bytes.begin(), bytes.begin() + static_cast<long>(count));
    return {count, 0, 0};
  }

  Input try_read() {
    if (input.empty()) return {InputStatus::would_wait};
    auto const value = static_cast<std::uint8_t>(input.front());
    input.erase(0, 1);
    return {InputStatus::byte, value};
  }

  Input read(portico::StopToken stop) {
    written->emplace_back("[waits]");
    return {stop.stopping() ? InputStatus::cancelled : InputStatus::end};
  }
};

using Pieces = std::vector<std::string>;

class DebugConsoleTest : public testing::Test {
 protected:
  template <class Backend>
  void put(DebugConsole<Backend>& console, std::string_view text) {
    for (char letter : text) console.write(static_cast<std::uint8_t>(letter), clock, control);
  }

  TimeSource time = TimeSource::manual(1000);
  Clock clock{time};
  RunControl control;
  Pieces written;
};

TEST_F(DebugConsoleTest, OutputIsGatheredUntilItIsAskedFor) {
  DebugConsole<Recorder> console{Recorder{&written}};
  put(console, "hello\nworld\n");
  EXPECT_EQ(written, Pieces{});
  console.flush();
  EXPECT_EQ(written, Pieces{"hello\nworld\n"});
  console.flush();
  EXPECT_EQ(written.size(), 1U);
}

TEST_F(DebugConsoleTest, OutputGoesOutWhenTheBufferIsFull) {
  DebugConsole<Recorder> console{Recorder{&written}};
  std::string const page(4096, 'x');
  put(console, page.substr(1));
  EXPECT_EQ(written, Pieces{});
  put(console, "y");
  EXPECT_EQ(written, Pieces{page.substr(1) + "y"});
  put(console, page + page);
  EXPECT_EQ(written, (Pieces{page.substr(1) + "y", page, page}));
}

TEST_F(DebugConsoleTest, AWholeBufferGoesOutInOnePieceWhereverItBegins) {
  DebugConsole<Recorder> console{Recorder{&written}};
  put(console, "some");
  console.flush();
  std::string page;
  while (page.size() < 4096) page += std::to_string(page.size());
  page.resize(4096);
  put(console, page);
  EXPECT_EQ(written, (Pieces{"some", page}));
}

TEST_F(DebugConsoleTest, ALineGoesOutAtItsEndWhereLinesShouldBeSeen) {
  DebugConsole<Recorder> console{Recorder{&written, true}};
  put(console, "one\ntw");
  EXPECT_EQ(written, Pieces{"one\n"});
  put(console, "o\n\n");
  EXPECT_EQ(written, (Pieces{"one\n", "two\n", "\n"}));
}

TEST_F(DebugConsoleTest, OutputGoesOutBeforeAnInThatWouldWait) {
  DebugConsole<Recorder> console{Recorder{&written, false, ~std::size_t{0}, "k"}};
  put(console, "> ");
  EXPECT_EQ(console.read(control), 'k');
  EXPECT_EQ(written, Pieces{});
  EXPECT_EQ(console.read(control), 0xFF);
  EXPECT_EQ(written, (Pieces{"> ", "[waits]"}));
}

TEST_F(DebugConsoleTest, ACancelledReadGives0xFF) {
  DebugConsole<Recorder> console{Recorder{&written}};
  control.stop();
  EXPECT_EQ(console.read(control), 0xFF);
}

TEST_F(DebugConsoleTest, OutputGoesOutWhenTheConsoleEnds) {
  {
    DebugConsole<Recorder> console{Recorder{&written}};
    put(console, "bye");
  }
  EXPECT_EQ(written, Pieces{"bye"});
}

TEST_F(DebugConsoleTest, TheFirstByteArmsADeadlineBeforeFiftyMilliseconds) {
  DebugConsole<Recorder> console{Recorder{&written}};
  EXPECT_EQ(clock.deadline(), Clock::never);
  put(console, "a");
  auto const deadline = clock.deadline();
  EXPECT_GT(deadline, time.now());
  EXPECT_LE(deadline, time.now() + 50 * milliseconds);
  time.set(time.now() + 10 * milliseconds);
  put(console, "b");
  EXPECT_EQ(clock.deadline(), deadline);
  time.set(deadline);
  ASSERT_TRUE(clock.take_due(time.now()));
  console.deadline(clock);
  EXPECT_EQ(written, Pieces{"ab"});
  EXPECT_EQ(clock.deadline(), Clock::never);
  put(console, "c");
  EXPECT_LE(clock.deadline(), time.now() + 50 * milliseconds);
}

TEST_F(DebugConsoleTest, ALineThatWentOutNeedsNoDeadline) {
  DebugConsole<Recorder> console{Recorder{&written, true}};
  put(console, "\n");
  EXPECT_EQ(clock.deadline(), Clock::never);
}

TEST_F(DebugConsoleTest, AByteAfterAFlushIsCoveredByTheDeadlineThatIsArmed) {
  DebugConsole<Recorder> console{Recorder{&written, true}};
  put(console, "a");
  auto const deadline = clock.deadline();
  put(console, "\n");
  put(console, "b");
  EXPECT_EQ(clock.deadline(), deadline);
  ASSERT_TRUE(clock.take_due(deadline));
  console.deadline(clock);
  EXPECT_EQ(written, (Pieces{"a\n", "b"}));
}

TEST_F(DebugConsoleTest, ADeadlineDoesNotWaitAndTriesAgain) {
  DebugConsole<Recorder> console{Recorder{&written, false, 2}};
  put(console, "abc");
  ASSERT_TRUE(clock.take_due(clock.deadline()));
  console.deadline(clock);
  EXPECT_EQ(console.backend().waits, std::vector<int>{0});
  EXPECT_EQ(written, Pieces{"ab"});
  EXPECT_NE(clock.deadline(), Clock::never);
  ASSERT_TRUE(clock.take_due(clock.deadline()));
  console.deadline(clock);
  EXPECT_EQ(written, (Pieces{"ab", "c"}));
  EXPECT_EQ(clock.deadline(), Clock::never);
}

TEST_F(DebugConsoleTest, AByteWrittenWhileADeadlineWritesOutIsNotForgotten) {
  DebugConsole<Recorder> console{Recorder{&written}};
  put(console, "a");
  console.backend().meanwhile = [&] { put(console, "b"); };
  ASSERT_TRUE(clock.take_due(clock.deadline()));
  console.deadline(clock);
  EXPECT_EQ(written, Pieces{"a"});
  ASSERT_NE(clock.deadline(), Clock::never);
  ASSERT_TRUE(clock.take_due(clock.deadline()));
  console.deadline(clock);
  EXPECT_EQ(written, (Pieces{"a", "b"}));
}

TEST_F(DebugConsoleTest, ABackendThatTakesNothingCostsOutputNeverTheGuest) {
  DebugConsole<Recorder> console{Recorder{&written, false, 0}};
  put(console, std::string(10'000, 'x'));
  EXPECT_EQ(console.lost().bytes, 8192U);
  console.backend().room = ~std::size_t{0};
  console.flush();
  EXPECT_EQ(written, Pieces{std::string(10'000 - 8192, 'x')});
}

TEST_F(DebugConsoleTest, StateHoldsNothingThatTheGuestCouldMiss) {
  DebugConsole<Recorder> console{Recorder{&written}};
  put(console, "x");
  auto const state = console.save();
  console.load(state);
  EXPECT_EQ(state, console.save());
}

TEST_F(DebugConsoleTest, OutputOfAnyLengthSurvivesFlushesFromAnotherThread) {
  std::string expected;
  for (int line = 0; line < 20'000; ++line) expected += "line " + std::to_string(line) + "\n";
  {
    DebugConsole<Recorder> console{Recorder{&written}};
    std::atomic<bool> done{false};
    std::thread service{[&] {
      while (!done) {
        if (clock.take_due(clock.deadline())) console.deadline(clock);
        console.flush();
        (void)console.lost();
      }
    }};
    put(console, expected);
    done = true;
    service.join();
  }
  std::string all;
  for (std::string const& piece : written) all += piece;
  EXPECT_EQ(all, expected);
}

TEST_F(DebugConsoleTest, NoByteIsLeftWithoutADeadline) {
  // The guest writes one byte now and then; whoever services deadlines must get every one of them
  // out, with nobody flushing.
  DebugConsole<Recorder> console{Recorder{&written}};
  std::atomic<bool> done{false};
  std::thread service{[&] {
    while (!done || clock.deadline() != Clock::never)
      if (clock.deadline() != Clock::never && clock.take_due(clock.deadline()))
        console.deadline(clock);
  }};
  for (int round = 0; round < 30'000; ++round) put(console, "x");
  done = true;
  service.join();
  std::size_t total = 0;
  for (std::string const& piece : written) total += piece.size();
  EXPECT_EQ(total, 30'000U);
}

TEST_F(DebugConsoleTest, StandsOnPort0xE9) {
  using Board = portico::DeviceMap<portico::Port<0xE9, DebugConsole<MemoryStreams>>>;
  Board board{[] { return DebugConsole<MemoryStreams>{MemoryStreams{"in"}}; }};
  portico::Context context{clock, control};
  EXPECT_TRUE(board.out(0xE9, std::uint8_t{'o'}, context));
  EXPECT_FALSE(board.out(0xE9, std::uint16_t{0x4141}, context));
  EXPECT_EQ(board.in<std::uint8_t>(0xE9, context), 'i');
  EXPECT_EQ(board.in<std::uint8_t>(0xE9, context), 'n');
  EXPECT_EQ(board.in<std::uint8_t>(0xE9, context), 0xFF);
  EXPECT_EQ(board.in<std::uint32_t>(0xE9, context), 0xFFFF'FFFFU);
  auto& console = board.get<DebugConsole<MemoryStreams>>();
  console.flush();
  EXPECT_EQ(console.backend().output, "o");
}

TEST_F(DebugConsoleTest, TheBackendIsChosenAtRunTime) {
  DebugConsole<> console{MemoryStreams{"x"}};
  put(console, "out");
  EXPECT_EQ(console.read(control), 'x');
  EXPECT_EQ(console.read(control), 0xFF);
  console.flush();
  EXPECT_EQ(std::get<MemoryStreams>(console.backend()).output, "out");
}

TEST_F(DebugConsoleTest, StandardStreamsOfAPipeGatherOutputAndLabelledOnesShowLines) {
  Pipe in;
  Pipe out;
  SharedInput input{in.out.get()};
  OutputSink sink{out.in.get()};
  DebugConsole<> plain{StandardStreams{input, sink, 0}};
  put(plain, "a\n");
  EXPECT_EQ(out.available(), "");
  plain.flush();
  EXPECT_EQ(out.available(), "a\n");
  DebugConsole<> labelled{StandardStreams{input, sink, 1, "guest1: "}};
  put(labelled, "b\n");
  EXPECT_EQ(out.available(), "guest1: b\n");
  in.put("k");
  EXPECT_EQ(labelled.read(control), 'k');
  in.in.reset();
  EXPECT_EQ(plain.read(control), 0xFF);
}

TEST_F(DebugConsoleTest, OutputGoesOutBeforeAGuestWaitsForStandardInput) {
  Pipe in;
  Pipe out;
  SharedInput input{in.out.get()};
  OutputSink sink{out.in.get()};
  DebugConsole<> console{StandardStreams{input, sink, 0}};
  put(console, "> ");
  EXPECT_FALSE(console.waits_for_input());
  std::thread user{[&] {
    EXPECT_EQ(portico::wait_for(out.out.get(), POLLIN, {{}, 10'000}), portico::Wait::ready);
    EXPECT_EQ(out.available(), "> ");
    while (!console.waits_for_input()) (void)portico::wait_for(-1, 0, {{}, 1});
    in.put("y");
  }};
  EXPECT_EQ(console.read(control), 'y');
  user.join();
  EXPECT_FALSE(console.waits_for_input());
}

TEST_F(DebugConsoleTest, WhatTheHostDidNotTakeIsReported) {
  SharedInput input{-1};
  OutputSink full{portico::Fd{::open("/dev/full", O_WRONLY | O_CLOEXEC)}};
  DebugConsole<> console{FileSink{full, 0}};
  EXPECT_EQ(console.lost(), portico::OutputLoss{});
  put(console, std::string(5000, 'x'));
  EXPECT_EQ(console.lost(), (portico::OutputLoss{4096, ENOSPC}));
  console.flush();
  EXPECT_EQ(console.lost(), (portico::OutputLoss{5000, ENOSPC}));
}

TEST_F(DebugConsoleTest, AStopFreesAGuestWhoseOutputNobodyReads) {
  Pipe out;
  out.fill();
  SharedInput input{-1};
  OutputSink sink{out.in.get()};
  DebugConsole<> console{StandardStreams{input, sink, 0}};
  std::thread stopper{[&] {
    (void)portico::wait_for(-1, 0, {{}, 20});
    console.deadline(clock);  // meanwhile, nobody else is held up
    control.stop();
  }};
  put(console, std::string(4096, 'x'));
  stopper.join();
  EXPECT_EQ(console.lost(), (portico::OutputLoss{4096, ETIMEDOUT}));
}

TEST_F(DebugConsoleTest, WhatAFlushLeavesIsLostAndCounted) {
  DebugConsole<Recorder> console{Recorder{&written, false, 2}};
  put(console, "abcde");
  console.flush({{}, 7});
  EXPECT_EQ(console.backend().waits, std::vector<int>{7});
  EXPECT_EQ(console.lost(), (portico::OutputLoss{3, ETIMEDOUT}));
  put(console, "fg");
  console.flush();
  EXPECT_EQ(written, (Pieces{"ab", "fg"}));
  EXPECT_EQ(console.lost().bytes, 3U);
}

TEST_F(DebugConsoleTest, AFlushWithoutEndWaitsForTheReaderOrAStop) {
  Pipe out;
  SharedInput input{-1};
  OutputSink sink{out.in.get()};
  DebugConsole<> console{StandardStreams{input, sink, 0}};
  out.fill();
  put(console, "late");
  std::thread reader{[&] {
    (void)portico::wait_for(-1, 0, {{}, 1500});
    (void)out.available(4096);
  }};
  console.flush({control.token(), -1});
  reader.join();
  EXPECT_EQ(console.lost(), portico::OutputLoss{});
  EXPECT_EQ(out.available(), "late");
  out.fill();
  put(console, "never");
  control.stop();
  console.flush({control.token(), -1});
  EXPECT_EQ(console.lost(), (portico::OutputLoss{5, ETIMEDOUT}));
}

TEST(ConsoleFile, KeepsItsContentUntilTheProgramIsSure) {
  TemporaryFolder folder;
  folder.write("log", "old text");
  portico::Fd const file =
      portico::open_console_file(folder.path("log"), {}, portico::ConsoleFileContent::kept);
  EXPECT_EQ(folder.read("log"), "old text");
  portico::empty_console_file(file.get(), "log");
  EXPECT_EQ(folder.read("log"), "");
}

TEST(ConsoleFile, IsCreatedOrEmptiedAndWrittenTo) {
  TemporaryFolder folder;
  folder.write("old", "old text");
  for (std::string const& name : {std::string{"new"}, std::string{"old"}}) {
    OutputSink sink{portico::open_console_file(folder.path(name))};
    TimeSource const time = TimeSource::manual();
    Clock clock{time};
    RunControl control;
    {
      DebugConsole<> console{FileSink{sink, 0}};
      console.write('x', clock, control);
      EXPECT_EQ(console.read(control), 0xFF);
    }
    EXPECT_EQ(folder.read(name), "x");
  }
}

TEST(ConsoleFile, MayHaveStandardInputBesideIt) {
  TemporaryFolder folder;
  Pipe pipe;
  pipe.put("k");
  SharedInput input{pipe.out.get()};
  OutputSink sink{portico::open_console_file(folder.path("log"))};
  FileSink backend{sink, 0, {}, &input};
  EXPECT_EQ(backend.try_read(), (Input{InputStatus::byte, 'k'}));
  EXPECT_EQ(backend.try_read(), (Input{InputStatus::would_wait}));
}

TEST(ConsoleFile, ThatCannotBeOpenedIsRefusedByName) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("folder"));
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  for (std::string const& name : {std::string{"folder"}, std::string{"no/where"},
                                  std::string{"pipe"}, std::string{"old/file"}}) {
    try {
      (void)portico::open_console_file(folder.path(name));
      FAIL() << name;
    } catch (std::system_error const& error) {
      EXPECT_NE(std::string{error.what()}.find(folder.path(name)), std::string::npos)
          << error.what();
    }
  }
}

TEST(ConsoleFile, ThatIsAnImageOrSharedFileIsRefusedUnchanged) {
  TemporaryFolder folder;
  folder.write("guest.img", "image");
  std::filesystem::create_hard_link(folder.path("guest.img"), folder.path("alias"));
  std::vector<portico::FileIdentity> const refused{folder.identity("guest.img")};
  EXPECT_THROW((void)portico::open_console_file(folder.path("alias"), refused), std::system_error);
  EXPECT_EQ(folder.read("guest.img"), "image");
}

TEST(ConsoleFile, SharedByGuestsKeepsTheirLinesApart) {
  TemporaryFolder folder;
  OutputSink sink{portico::open_console_file(folder.path("log"))};
  TimeSource const time = TimeSource::manual();
  Clock clock{time};
  RunControl control;
  {
    DebugConsole<> one{FileSink{sink, 0, "guest0: "}};
    DebugConsole<> two{FileSink{sink, 1, "guest1: "}};
    for (char letter : std::string_view{"a\nb"})
      one.write(static_cast<std::uint8_t>(letter), clock, control);
    one.flush();
    two.write('c', clock, control);
  }
  EXPECT_EQ(folder.read("log"), "guest0: a\nguest0: b\nguest1: c");
}

}  // namespace
