#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include <portico/devices/descriptor_set.hpp>
#include <portico/devices/wait.hpp>

#include "pipe.hpp"

namespace {

using portico::DescriptorSet;
using portico::Wait;

bool tells(DescriptorSet& set, int milliseconds = 0) {
  if (portico::wait_for(set.descriptor(), POLLIN, {{}, milliseconds}) != Wait::ready) return false;
  set.drain();
  return true;
}

TEST(DescriptorSet, TellsOnceForEachTimeThatThereIsInput) {
  Pipe pipe;
  DescriptorSet set;
  EXPECT_FALSE(tells(set));
  ASSERT_TRUE(set.add_input(pipe.out.get()));
  EXPECT_FALSE(tells(set));
  pipe.put("a");
  EXPECT_TRUE(tells(set, 5000));
  EXPECT_FALSE(tells(set)) << "the byte is there still, and that was told";
  ASSERT_TRUE(set.add_input(pipe.out.get()));
  EXPECT_FALSE(tells(set));
  pipe.put("b");
  EXPECT_TRUE(tells(set, 5000));
  EXPECT_EQ(pipe.available(), "ab");
}

TEST(DescriptorSet, TellsOfWhatWasThereBefore) {
  Pipe pipe;
  pipe.put("a");
  DescriptorSet set;
  ASSERT_TRUE(set.add_input(pipe.out.get()));
  EXPECT_TRUE(tells(set));
}

TEST(DescriptorSet, AnInputTakesThePlaceOfAnother) {
  Pipe first;
  Pipe second;
  DescriptorSet set;
  ASSERT_TRUE(set.add_input(first.out.get()));
  ASSERT_TRUE(set.add_input(second.out.get()));
  first.put("a");
  EXPECT_FALSE(tells(set));
  second.put("a");
  EXPECT_TRUE(tells(set, 5000));
}

TEST(DescriptorSet, TheEndOfAnInputIsToldOnce) {
  Pipe pipe;
  DescriptorSet set;
  ASSERT_TRUE(set.add_input(pipe.out.get()));
  pipe.in.reset();
  EXPECT_TRUE(tells(set, 5000));
  EXPECT_FALSE(tells(set));
}

TEST(DescriptorSet, TellsWhenThereIsRoomForOutput) {
  Pipe pipe;
  pipe.fill();
  DescriptorSet set;
  ASSERT_TRUE(set.add_output(pipe.in.get()));
  EXPECT_FALSE(tells(set));
  (void)pipe.available();
  EXPECT_TRUE(tells(set, 5000));
  set.remove_output();
  pipe.fill();
  (void)pipe.available();
  EXPECT_FALSE(tells(set));
  ASSERT_TRUE(set.add_output(pipe.in.get()));
  EXPECT_TRUE(tells(set)) << "there is room now";
}

TEST(DescriptorSet, WhatCannotBeWaitedForIsRefused) {
  DescriptorSet set;
  portico::Fd const file{::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
  EXPECT_FALSE(set.add_input(file.get()));
  EXPECT_FALSE(set.add_output(file.get()));
  EXPECT_FALSE(set.add_input(-1));
  EXPECT_FALSE(set.add_output(-1));
  EXPECT_FALSE(tells(set));
}

TEST(DescriptorSet, TellsAfterATime) {
  DescriptorSet set;
  set.tell_in(3'600'000);
  set.tell_in(20);
  EXPECT_FALSE(tells(set));
  EXPECT_TRUE(tells(set, 5000));
  EXPECT_FALSE(tells(set, 30)) << "once";
}

TEST(DescriptorSet, IsWokenFromAnotherThread) {
  DescriptorSet set;
  std::thread other{[&] { set.wake(); }};
  EXPECT_TRUE(tells(set, 5000));
  other.join();
  set.wake();
  set.wake();
  EXPECT_TRUE(tells(set));
  EXPECT_FALSE(tells(set));
}

}  // namespace
