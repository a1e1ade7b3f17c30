// What is made of a list of times: percentiles, a histogram, intervals. No KVM here.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

namespace exits {

using Samples = std::vector<double>;

/// The value below which `share` of the sorted samples lie, interpolated between neighbours.
inline double quantile_of_sorted(std::span<double const> sorted, double share) {
  if (sorted.empty()) return 0;
  double const place = share * static_cast<double>(sorted.size() - 1);
  auto const below = static_cast<std::size_t>(place);
  double const above = sorted[std::min(below + 1, sorted.size() - 1)];
  return sorted[below] + (above - sorted[below]) * (place - static_cast<double>(below));
}

/// The middle one; reorders the samples.
inline double median(std::span<double> samples) {
  if (samples.empty()) return 0;
  auto const middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  if (samples.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(samples.begin(), middle)) / 2;
}

/// One bucket: its lower bound, and how many samples lie from there to the next bound.
using Bucket = std::pair<double, std::uint64_t>;

struct Summary {
  std::uint64_t count = 0;
  double p50 = 0, p99 = 0, p999 = 0, min = 0, mean = 0;
  std::vector<Bucket> histogram;  ///< ascending, without the empty ones
};

/// Buckets per doubling: each is 4.4 % wide.
inline constexpr double buckets_per_octave = 16;

/// Samples below 1 ns (possible where an empty loop was subtracted) are in the bucket of 0.
inline std::vector<Bucket> histogram_of_sorted(std::span<double const> sorted) {
  std::vector<Bucket> buckets;
  for (double const sample : sorted) {
    double const bound =
        sample < 1
            ? 0
            : std::exp2(std::floor(std::log2(sample) * buckets_per_octave) / buckets_per_octave);
    if (buckets.empty() || buckets.back().first < bound) buckets.emplace_back(bound, 0);
    ++buckets.back().second;
  }
  return buckets;
}

inline Summary summarize(Samples samples) {
  Summary summary;
  if (samples.empty()) return summary;
  std::sort(samples.begin(), samples.end());
  double sum = 0;
  for (double const sample : samples) sum += sample;
  summary.count = samples.size();
  summary.p50 = quantile_of_sorted(samples, 0.5);
  summary.p99 = quantile_of_sorted(samples, 0.99);
  summary.p999 = quantile_of_sorted(samples, 0.999);
  summary.min = samples.front();
  summary.mean = sum / static_cast<double>(samples.size());
  summary.histogram = histogram_of_sorted(samples);
  return summary;
}

/// An interval from fewer groups than this says nothing.
inline constexpr std::size_t enough_groups = 6;

struct Interval {
  double value = 0, low = 0, high = 0;
};

/// The median of all groups' samples together, and its 95 % interval by drawing whole groups again
/// with replacement: samples of one group share what they were measured on.
inline Interval median_of_groups(std::vector<Samples> const& groups, int draws = 2000) {
  Samples all;
  for (Samples const& group : groups) all.insert(all.end(), group.begin(), group.end());
  Interval result;
  if (all.empty()) return result;
  result.value = median(all);
  std::mt19937 generator{1};
  std::uniform_int_distribution<std::size_t> pick{0, groups.size() - 1};
  Samples medians;
  for (int draw = 0; draw < draws; ++draw) {
    all.clear();
    for (std::size_t i = 0; i < groups.size(); ++i) {
      Samples const& group = groups[pick(generator)];
      all.insert(all.end(), group.begin(), group.end());
    }
    medians.push_back(median(all));
  }
  std::sort(medians.begin(), medians.end());
  result.low = quantile_of_sorted(medians, 0.025);
  result.high = quantile_of_sorted(medians, 0.975);
  return result;
}

}  // namespace exits
