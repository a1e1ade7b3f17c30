// What becomes of output between a guest and a backend that takes it as it likes.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include <portico/devices/gathered_output.hpp>

namespace portico {
namespace {

/// Takes `room` bytes, then nothing.
struct Narrow {
  std::string* written;
  std::size_t* room;
  bool lines = false;

  [[nodiscard]] bool flushes_lines() const { return lines; }

  Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const&) const {
    std::size_t const count = std::min(bytes.size(), *room);
    *room -= count;
    written->append(bytes.begin(), bytes.begin() + static_cast<long>(count));
    return {count, 0, 0};
  }
};

/// For people who watch what they type.
struct Quick : Narrow {
  [[nodiscard]] std::uint64_t keep_nanoseconds() const { return 5; }
};

class GatheredOutputTest : public testing::Test {
 protected:
  static gsl::span<std::uint8_t const> bytes(std::string_view text) {
    return {reinterpret_cast<std::uint8_t const*>(text.data()), text.size()};
  }

  std::string written;
  std::size_t room = 1 << 20;
};

TEST_F(GatheredOutputTest, KeepsTheOrderWhenTheHostTakesParts) {
  GatheredOutput<Narrow> output{Narrow{&written, &room}};
  room = 3;
  EXPECT_TRUE(output.gather(bytes("hello ")).complete());
  EXPECT_FALSE(output.try_flush());
  EXPECT_EQ(written, "hel");
  EXPECT_TRUE(output.empty()) << "what is left is on its way";
  output.gather(bytes("world"));
  EXPECT_FALSE(output.empty());
  room = 100;
  EXPECT_TRUE(output.try_flush());
  EXPECT_EQ(written, "hello world");
  EXPECT_EQ(output.lost(), OutputLoss{});
}

TEST_F(GatheredOutputTest, SaysWhenItIsFullAndWritesTheRest) {
  GatheredOutput<Narrow> output{Narrow{&written, &room}};
  std::string text;
  while (text.size() < 10'000) text += std::to_string(text.size());
  auto const gathered = output.gather(bytes(text));
  EXPECT_EQ(gathered.taken, output.capacity);
  EXPECT_TRUE(gathered.full);
  EXPECT_EQ(output.gather(bytes("x")).taken, 0U);
  output.write(bytes(text).subspan(gathered.taken), {});
  EXPECT_EQ(written, text);
}

TEST_F(GatheredOutputTest, ALineIsWorthWritingWherePeopleWatch) {
  GatheredOutput<Narrow> watched{Narrow{&written, &room, true}};
  EXPECT_FALSE(watched.gather(bytes("no line")).line);
  EXPECT_TRUE(watched.gather(bytes(" yet\nbut now")).line);
  GatheredOutput<Narrow> file{Narrow{&written, &room, false}};
  EXPECT_FALSE(file.gather(bytes("a line\n")).line);
}

TEST_F(GatheredOutputTest, ABackendMaySayHowLongOutputIsKept) {
  EXPECT_EQ(GatheredOutput<Narrow>{(Narrow{&written, &room})}.keep(), 40'000'000U);
  EXPECT_EQ(GatheredOutput<Quick>{(Quick{{&written, &room}})}.keep(), 5U);
}

TEST_F(GatheredOutputTest, WhatTheHostRefusesIsCounted) {
  GatheredOutput<Narrow> output{Narrow{&written, &room}};
  room = 2;
  output.gather(bytes("hello"));
  output.flush();
  EXPECT_EQ(written, "he");
  EXPECT_EQ(output.lost(), (OutputLoss{3, ETIMEDOUT}));
  room = 10;
  output.gather(bytes("again"));
  output.flush();
  EXPECT_EQ(written, "heagain");
}

TEST_F(GatheredOutputTest, TheEndWritesEverything) {
  {
    GatheredOutput<Narrow>{Narrow{&written, &room}}.gather(bytes("bye"));
  }
  EXPECT_EQ(written, "bye");
}

}  // namespace
}  // namespace portico
