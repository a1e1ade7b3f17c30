// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// What the laboratory's own tests send through it: a test for each outcome that it has to report.

#include <unistd.h>

#include <csignal>

#include <gtest/gtest.h>

namespace {

[[gnu::noinline]] void innermost_of_the_crash() { ::raise(SIGSEGV); }

[[gnu::noinline]] void innermost_of_the_hang() {
  for (;;) ::pause();
}

TEST(Subject, Passes) { EXPECT_NE(::getpid(), 0); }

TEST(Subject, Skips) { GTEST_SKIP() << "has no reason to run"; }

TEST(Subject, Fails) { EXPECT_EQ(::getpid(), 0) << "the message of the broken test"; }

TEST(Subject, Crashes) { innermost_of_the_crash(); }

TEST(Subject, Hangs) { innermost_of_the_hang(); }

}  // namespace
