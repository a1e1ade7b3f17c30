// A level that changes while it is being driven.
#include <gtest/gtest.h>

#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include <portico/devices/line_level.hpp>

namespace portico::detail {
namespace {

/// A line that takes its time: `meanwhile` happens before it has the new level.
struct SlowLine {
  std::string* history;
  std::function<void()>* meanwhile;

  void set(bool level) const {
    if (*meanwhile) std::exchange(*meanwhile, {})();
    history->push_back(level ? '1' : '0');
  }
};

class LineLevelTest : public testing::Test {
 protected:
  void want(bool value, bool falls = false) {
    std::unique_lock lock{mutex};
    level.want(value);
    if (falls) level.fall_first();
    level.settle(lock, line);
    EXPECT_TRUE(lock.owns_lock());
  }

  std::mutex mutex;
  LineLevel level;
  std::string history;
  std::function<void()> meanwhile;
  SlowLine line{&history, &meanwhile};
};

TEST_F(LineLevelTest, OnlyChangesAreDriven) {
  want(false);
  EXPECT_EQ(history, "");
  want(true);
  want(true);
  want(false);
  EXPECT_EQ(history, "10");
}

TEST_F(LineLevelTest, AHighLineFallsBeforeItsNextEdge) {
  want(true, true);
  EXPECT_EQ(history, "1") << "it was low";
  want(true, true);
  EXPECT_EQ(history, "101");
  want(false, true);
  EXPECT_EQ(history, "1010");
}

TEST_F(LineLevelTest, AChangeMeanwhileIsDrivenAfterwards) {
  meanwhile = [this] { want(false); };
  want(true);
  EXPECT_EQ(history, "10") << "never the other way round";
  meanwhile = [this] { want(false); };
  want(true);
  EXPECT_EQ(history, "1010");
}

}  // namespace
}  // namespace portico::detail
