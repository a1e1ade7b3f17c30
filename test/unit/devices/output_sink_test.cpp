#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <portico/base/fd.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/output_sink.hpp>

#include "pipe.hpp"

namespace {

using portico::OutputSink;
using portico::WaitLimit;
using portico::Written;

Written write(OutputSink& sink, std::string_view label, std::string_view text,
              WaitLimit const& limit = {}) {
  return sink.write(label, {reinterpret_cast<std::uint8_t const*>(text.data()), text.size()},
                    limit);
}

class OutputSinkTest : public testing::Test {
 protected:
  OutputSinkTest() : before_{std::signal(SIGPIPE, SIG_IGN)} {}

  ~OutputSinkTest() override { std::signal(SIGPIPE, before_); }

  Pipe pipe;
  OutputSink sink{pipe.in.get()};

 private:
  void (*before_)(int);
};

TEST_F(OutputSinkTest, WithoutLabelsBytesPassUnchanged) {
  std::string_view const text{"one\n\ntwo\0\xFF three", 16};
  EXPECT_EQ(write(sink, "", text).taken, text.size());
  EXPECT_EQ(write(sink, "", "\n\n").taken, 2U);
  EXPECT_EQ(pipe.available(), std::string{text} + "\n\n");
}

TEST_F(OutputSinkTest, EveryLineBeginsWithItsLabel) {
  EXPECT_EQ(write(sink, "guest0: ", "one\ntwo\n\nthree\n").taken, 15U);
  EXPECT_EQ(pipe.available(), "guest0: one\nguest0: two\nguest0: \nguest0: three\n");
}

TEST_F(OutputSinkTest, ALineInPiecesHasOneLabel) {
  write(sink, "guest0: ", "par");
  write(sink, "guest0: ", "ts");
  write(sink, "guest0: ", "\nnext");
  EXPECT_EQ(pipe.available(), "guest0: parts\nguest0: next");
}

TEST_F(OutputSinkTest, WhoWritesIntoAnothersLineBeginsANewOne) {
  write(sink, "guest0: ", "half");
  write(sink, "guest1: ", "whole\n");
  write(sink, "guest0: ", " line\n");
  write(sink, "guest1: ", "x\n");
  EXPECT_EQ(pipe.available(), "guest0: half\nguest1: whole\nguest0:  line\nguest1: x\n");
}

TEST_F(OutputSinkTest, WithoutLabelsNothingIsAddedBetweenWriters) {
  write(sink, "", "half");
  write(sink, "", " line");
  EXPECT_EQ(pipe.available(), "half line");
}

TEST_F(OutputSinkTest, TheProgramCanEndAnUnfinishedLine) {
  sink.end_line();
  write(sink, "guest0: ", "half");
  sink.end_line();
  sink.end_line();
  write(sink, "guest0: ", "next\n");
  sink.end_line();
  EXPECT_EQ(pipe.available(), "guest0: half\nguest0: next\n");
}

TEST_F(OutputSinkTest, LabelledBuffersLargerThanAPieceKeepTheirLines) {
  std::string text;
  std::string expected;
  for (int line = 0; line < 1365; ++line) {
    text += "ab\n";
    expected += "guest7: ab\n";
  }
  EXPECT_EQ(write(sink, "guest7: ", text).taken, text.size());
  EXPECT_EQ(pipe.available(), expected);
}

TEST_F(OutputSinkTest, ALineLongerThanAPieceHasOneLabelToo) {
  std::string const line(10'000, 'x');
  write(sink, "guest0: ", "short\n" + line);
  write(sink, "guest0: ", "y\n");
  EXPECT_EQ(pipe.available(), "guest0: short\nguest0: " + line + "y\n");
}

TEST_F(OutputSinkTest, LinesOfSeveralThreadsNeverMix) {
  constexpr int writers = 4;
  constexpr int lines = 200;
  std::string output;
  std::thread reader{[&] {
    std::array<char, 4096> part{};
    for (ssize_t count = 0; (count = ::read(pipe.out.get(), part.data(), part.size())) > 0;)
      output.append(part.data(), static_cast<std::size_t>(count));
  }};
  std::vector<std::thread> threads;
  for (int writer = 0; writer < writers; ++writer)
    threads.emplace_back([this, writer] {
      std::string const label = "guest" + std::to_string(writer) + ": ";
      std::string const half(20, static_cast<char>('a' + writer));
      for (int line = 0; line < lines; ++line) {
        write(sink, label, half);
        write(sink, label, half + "\n");
      }
    });
  for (std::thread& thread : threads) thread.join();
  pipe.in.reset();
  reader.join();

  std::array<std::size_t, writers> letters{};
  for (std::size_t start = 0; start < output.size();) {
    std::size_t const end = output.find('\n', start);
    ASSERT_NE(end, std::string::npos);
    std::string const line = output.substr(start, end - start);
    ASSERT_EQ(line.substr(0, 5), "guest") << line;
    auto const writer = static_cast<std::size_t>(line[5] - '0');
    ASSERT_LT(writer, letters.size()) << line;
    ASSERT_EQ(line.substr(6, 2), ": ");
    ASSERT_EQ(line.find_first_not_of(static_cast<char>('a' + writer), 8), std::string::npos)
        << line;
    letters[writer] += line.size() - 8;
    start = end + 1;
  }
  for (std::size_t count : letters) EXPECT_EQ(count, std::size_t{lines} * 40);
}

TEST_F(OutputSinkTest, AWriterWithoutTimeTakesNothingFromAFullPipe) {
  pipe.fill();
  auto const result = write(sink, "", "late", {{}, 0});
  EXPECT_EQ(result.taken, 0U);
  EXPECT_EQ(result.lost, 0U);
  (void)pipe.available();
  EXPECT_EQ(write(sink, "", "late", {{}, 0}).taken, 4U);
  EXPECT_EQ(pipe.available(), "late");
}

TEST_F(OutputSinkTest, AWriterWaitsForASlowReader) {
  pipe.fill();
  std::thread reader{[&] {
    (void)portico::wait_for(-1, 0, {{}, 20});
    (void)pipe.available(4096);
  }};
  auto const result = write(sink, "", "patient");
  reader.join();
  EXPECT_EQ(result.taken, 7U);
  EXPECT_EQ(result.lost, 0U);
  EXPECT_EQ(pipe.available(), "patient");
}

TEST_F(OutputSinkTest, WhoWaitsForASlowReaderHoldsNobodyElseUp) {
  pipe.fill();
  portico::RunControl control;
  std::thread slow{[&] { write(sink, "", "slow", {control.token(), -1}); }};
  (void)portico::wait_for(-1, 0, {{}, 20});
  EXPECT_EQ(write(sink, "", "quick", {{}, 0}).taken, 0U);
  EXPECT_EQ(write(sink, "", "quick", {{}, 10}).taken, 0U);
  control.stop();
  slow.join();
}

TEST_F(OutputSinkTest, AStopEndsTheWaitingAndWhatIsLeftIsLostAndCounted) {
  pipe.fill();
  portico::RunControl control;
  std::thread stopper{[&] {
    (void)portico::wait_for(-1, 0, {{}, 20});
    control.stop();
  }};
  auto const result = write(sink, "", "never read", {control.token(), -1});
  stopper.join();
  EXPECT_EQ(result.taken, 10U);
  EXPECT_EQ(result.lost, 10U);
  EXPECT_EQ(result.error, ETIMEDOUT);
  // The others who are stopped do not wait for the same reader again.
  portico::TimeSource const time;
  auto const start = time.now();
  for (int guest = 0; guest < 50; ++guest)
    EXPECT_EQ(write(sink, "", "x", {control.token(), -1}).lost, 1U);
  EXPECT_LT(time.now() - start, 20'000'000'000U);
}

TEST_F(OutputSinkTest, AfterAStopAReaderWhoReadsLosesNothing) {
  portico::RunControl control;
  control.stop();
  EXPECT_EQ(write(sink, "", "last words", {control.token(), -1}).lost, 0U);
  EXPECT_EQ(pipe.available(), "last words");
}

TEST_F(OutputSinkTest, AReaderWhoIsGoneCostsOutputAndNothingElse) {
  pipe.out.reset();
  auto const result = write(sink, "guest0: ", "hello\n");
  EXPECT_EQ(result.taken, 6U);
  EXPECT_EQ(result.lost, 6U);
  EXPECT_EQ(result.error, EPIPE);
}

TEST_F(OutputSinkTest, AFullDiskCostsOutputAndNothingElse) {
  OutputSink full{portico::Fd{::open("/dev/full", O_WRONLY | O_CLOEXEC)}};
  auto const result = write(full, "", std::string(10'000, 'x'));
  EXPECT_EQ(result.taken, 10'000U);
  EXPECT_EQ(result.lost, 10'000U);
  EXPECT_EQ(result.error, ENOSPC);
}

TEST_F(OutputSinkTest, ADescriptorThatDoesNotBlockGetsEverything) {
  ::fcntl(pipe.in.get(), F_SETPIPE_SZ, 4096);
  ::fcntl(pipe.in.get(), F_SETFL, O_NONBLOCK);
  std::string const text(50'000, 'x');
  std::string output;
  std::thread reader{[&] {
    while (output.size() < text.size()) {
      (void)portico::wait_for(pipe.out.get(), POLLIN, {{}, 1000});
      output += pipe.available(1000);
    }
  }};
  auto const result = write(sink, "", text);
  reader.join();
  EXPECT_EQ(result.lost, 0U);
  EXPECT_EQ(output, text);
}

/// A terminal that blocks, and whoever sits at it.
struct Terminal {
  Terminal() : reader{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)} {
    EXPECT_EQ(::grantpt(reader.get()), 0);
    EXPECT_EQ(::unlockpt(reader.get()), 0);
    writer = portico::Fd{::open(::ptsname(reader.get()), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  }

  /// What comes within a while, line ends as they were written.
  [[nodiscard]] std::string read() const {
    std::string text;
    std::array<char, 4096> part{};
    while (portico::wait_for(reader.get(), POLLIN, {{}, 100}) == portico::Wait::ready) {
      ssize_t const count = ::read(reader.get(), part.data(), part.size());
      if (count <= 0) break;
      text.append(part.data(), static_cast<std::size_t>(count));
    }
    std::erase(text, '\r');
    return text;
  }

  portico::Fd reader;
  portico::Fd writer;
};

TEST_F(OutputSinkTest, ATerminalThatNobodyReadsHoldsNobody) {
  Terminal const terminal;
  OutputSink screen{terminal.writer.get()};
  std::string const text(1000, 'x');
  std::string sent;
  // Until it is full, to the last byte that it has room for; the kernel moves what came in between
  // its buffers a moment later, which may make room once more.
  for (std::size_t taken = 1; taken > 0;) {
    auto const result = write(screen, "", text, {{}, 200});
    EXPECT_EQ(result.lost, 0U);
    taken = result.taken;
    sent.append(taken, 'x');
    ASSERT_LT(sent.size(), 10'000'000U);
  }
  EXPECT_EQ(::fcntl(terminal.writer.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(write(screen, "", "\n", {{}, 20}).taken, 0U);
  portico::RunControl control;
  control.stop();
  EXPECT_EQ(write(screen, "", "late", {control.token(), -1}).lost, 4U);
  EXPECT_EQ(terminal.read(), sent);
  EXPECT_EQ(write(screen, "", "seen", {control.token(), -1}).lost, 0U);
  EXPECT_EQ(terminal.read(), "seen");
}

TEST_F(OutputSinkTest, LabelledLinesCutByATerminalGoOnWhereTheyWereCut) {
  Terminal const terminal;
  OutputSink screen{terminal.writer.get()};
  std::string text;
  for (int line = 0; line < 100; ++line) text += "line " + std::to_string(line) + "\n";
  std::string sent;
  for (std::size_t taken = text.size(); taken == text.size();) {
    auto const result = write(screen, "guest0: ", text, {{}, 0});
    EXPECT_EQ(result.lost, 0U);
    taken = result.taken;
    sent += text.substr(0, taken);
    ASSERT_LT(sent.size(), 10'000'000U);
  }
  std::string seen = terminal.read();
  std::string const rest = text.substr(sent.size() % text.size());
  EXPECT_EQ(write(screen, "guest0: ", rest).taken, rest.size());
  seen += terminal.read();
  sent += rest;
  std::string expected;
  for (std::size_t start = 0; start < sent.size(); start = sent.find('\n', start) + 1)
    expected += "guest0: " + sent.substr(start, sent.find('\n', start) + 1 - start);
  EXPECT_EQ(seen, expected);
}

TEST_F(OutputSinkTest, OnlyATerminalIsOne) {
  EXPECT_FALSE(sink.terminal());
  portico::Fd const master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  ASSERT_EQ(::grantpt(master.get()), 0);
  ASSERT_EQ(::unlockpt(master.get()), 0);
  OutputSink const terminal{
      portico::Fd{::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC)}};
  EXPECT_TRUE(terminal.terminal());
}

}  // namespace
