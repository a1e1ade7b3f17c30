// The exit status of an example's program, and the line that says why.
#include <gtest/gtest.h>

#include <cerrno>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include "../../../examples/common/command_line.hpp"

namespace portico::test {
namespace {

using examples::Parsed;
using examples::run_program;
using examples::started;

TEST(RunProgram, GivesTheStatusOfTheRun) {
  EXPECT_EQ(run_program("program", Parsed<int>{7, 0}, [](int value) { return value; }), 7);
  EXPECT_EQ(run_program("program", Parsed<int>{std::nullopt, 3}, [](int) { return 0; }), 3);
}

TEST(RunProgram, TellsWrongInputFromAFailureOfWhatWasStarted) {
  testing::internal::CaptureStderr();
  int const wrong = run_program("program", Parsed<int>{1, 0}, [](int) -> int {
    throw std::invalid_argument{"none.img: missing"};
  });
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "program: none.img: missing\n");
  EXPECT_EQ(wrong, 2);

  testing::internal::CaptureStderr();
  int const failed = run_program("program", Parsed<int>{1, 0}, [](int) {
    return started([]() -> int {
      throw std::system_error{EAGAIN, std::generic_category(), "pthread_create"};
    });
  });
  std::string const line = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(line.starts_with("program: pthread_create: ")) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1) << "one line";
  EXPECT_EQ(failed, 1);
}

}  // namespace
}  // namespace portico::test
