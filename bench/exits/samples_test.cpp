// The arithmetic behind every figure, on lists whose answers are known.
#include "samples.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace exits {
namespace {

Samples up_to(int last) {
  Samples samples;
  for (int i = last; i >= 1; --i) samples.push_back(i);
  return samples;
}

TEST(Samples, PercentilesLieBetweenNeighbours) {
  Summary const summary = summarize(up_to(1001));
  EXPECT_EQ(summary.count, 1001U);
  EXPECT_DOUBLE_EQ(summary.p50, 501);
  EXPECT_DOUBLE_EQ(summary.p99, 991);
  EXPECT_DOUBLE_EQ(summary.p999, 1000);
  EXPECT_DOUBLE_EQ(summary.min, 1);
  EXPECT_DOUBLE_EQ(summary.mean, 501);
  EXPECT_DOUBLE_EQ(summarize({4, 1}).p50, 2.5);
  EXPECT_EQ(summarize({}).count, 0U);
}

TEST(Samples, MedianOfEvenAndOdd) {
  Samples odd{9, 1, 5};
  Samples even{9, 1, 5, 4};
  EXPECT_DOUBLE_EQ(median(odd), 5);
  EXPECT_DOUBLE_EQ(median(even), 4.5);
}

TEST(Samples, TheHistogramHoldsEverySampleInItsBucket) {
  Summary const summary = summarize({-3, 0.5, 1, 1000, 1001, 2000, 1e9});
  std::uint64_t all = 0;
  double last = -1;
  for (auto const& [bound, count] : summary.histogram) {
    EXPECT_GT(bound, last);
    last = bound;
    all += count;
  }
  EXPECT_EQ(all, 7U);
  EXPECT_EQ(summary.histogram.front(), (Bucket{0, 2}));
  EXPECT_EQ(summary.histogram[1], (Bucket{1, 1}));
  EXPECT_LE(last, 1e9);
  EXPECT_GT(last * 1.045, 1e9);
}

TEST(Samples, AnIntervalHoldsTheMedianAndShrinksWithTheGroups) {
  std::vector<Samples> few;
  std::vector<Samples> many;
  for (int i = 0; i < 400; ++i) {
    Samples const group{100.0 + i % 20, 101.0 + i % 20};
    many.push_back(group);
    if (i < 20) few.push_back(group);
  }
  Interval const wide = median_of_groups(few);
  Interval const narrow = median_of_groups(many);
  EXPECT_DOUBLE_EQ(wide.value, 110);
  EXPECT_DOUBLE_EQ(narrow.value, 110);
  EXPECT_LE(narrow.low, 110);
  EXPECT_GE(narrow.high, 110);
  EXPECT_LT(narrow.high - narrow.low, wide.high - wide.low);
  Interval const same = median_of_groups({{7, 7}, {7}});
  EXPECT_DOUBLE_EQ(same.low, 7);
  EXPECT_DOUBLE_EQ(same.high, 7);
  EXPECT_DOUBLE_EQ(median_of_groups({}).value, 0);
}

}  // namespace
}  // namespace exits
