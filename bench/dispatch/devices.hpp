// What every contender dispatches to: ports, devices, accesses, and the sums that prove the work
// was done.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace dispatch {

/// How the ports of a map lie.
enum class Layout {
  sparse,  ///< gaps of 1 to 63 ports, as irregular as a PC's: what a board looks like
  dense,   ///< one after the other: the best case of a jump table
};

constexpr std::size_t kMostEntries = 256;

template <Layout Lay>
constexpr std::array<std::uint16_t, kMostEntries> make_ports() {
  std::array<std::uint16_t, kMostEntries> ports{};
  std::uint32_t random = 2463534242;  // xorshift, so that the layout is the same everywhere
  std::uint32_t port = 0x20;
  for (auto& entry : ports) {
    entry = static_cast<std::uint16_t>(port);
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    port += Lay == Layout::dense ? 1 : 1 + random % 63;
  }
  return ports;
}

/// The first N of these are the ports of a map with N entries, in ascending order.
template <Layout Lay>
inline constexpr auto ports = make_ports<Lay>();

/// Each device does something slightly different, so that no two handlers can be folded into one.
constexpr std::uint64_t key_of(std::size_t index) { return (index + 1) * 0x51ED'2701; }

template <std::size_t Index>
struct Device {
  std::uint64_t sum = 0;

  void write(std::uint8_t value) { sum += value ^ key_of(Index); }
};

struct Access {
  std::uint16_t port;
  std::uint8_t value;
};

enum class Pattern {
  same,    ///< one port over and over
  random,  ///< all ports of the map, uniformly
  miss,    ///< ports between and around those of the map, uniformly
};

/// Longer than what a branch predictor can learn by heart.
constexpr std::size_t kAccesses = 65536;

template <Layout Lay>
std::vector<Access> make_accesses(Pattern pattern, std::size_t entries, std::size_t count) {
  std::mt19937 random{12345};
  auto const pick = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>{0, limit - 1}(random);
  };
  auto const claimed = std::span{ports<Lay>}.first(entries);
  std::vector<std::uint16_t> choice;
  if (pattern == Pattern::same) {
    choice.push_back(claimed[entries / 2]);
  } else if (pattern == Pattern::random) {
    choice.assign(claimed.begin(), claimed.end());
  } else {
    std::size_t next = 0;
    for (std::uint32_t port = 0; port < claimed.back() + 0x20U; ++port) {
      if (next < entries && claimed[next] == port) {
        ++next;
      } else {
        choice.push_back(static_cast<std::uint16_t>(port));
      }
    }
  }
  std::vector<Access> accesses(count);
  for (Access& access : accesses) {
    access = {choice[pick(choice.size())], static_cast<std::uint8_t>(random())};
  }
  return accesses;
}

/// What a contender has done so far, in one number that depends on which device got which values.
struct Sums {
  std::uint64_t weighted = 0;
  std::uint64_t unclaimed = 0;

  void add(std::size_t index, std::uint64_t sum) { weighted += sum * (2 * index + 1); }

  bool operator==(Sums const&) const = default;
};

/// The same, worked out the slow and plain way.
template <Layout Lay>
Sums expected_sums(std::size_t entries, std::span<Access const> accesses, std::uint64_t passes) {
  std::array<std::uint64_t, kMostEntries> sums{};
  Sums result;
  for (Access const& access : accesses) {
    std::size_t index = 0;
    while (index < entries && ports<Lay>[index] != access.port) ++index;
    if (index < entries) {
      sums[index] += access.value ^ key_of(index);
    } else {
      ++result.unclaimed;
    }
  }
  for (std::size_t index = 0; index < entries; ++index) result.add(index, sums[index] * passes);
  result.unclaimed *= passes;
  return result;
}

}  // namespace dispatch
