// Virtio devices that do what a test tells them to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <portico/virtio/device.hpp>

#include "support/virtio_driver.hpp"

namespace portico::test {

/// Only what a device must have.
struct PlainProbe {
  static constexpr std::uint32_t virtio_id = 63;
  static constexpr std::array<std::uint16_t, 2> queue_sizes{16, 8};

  std::function<void(std::size_t, VirtioQueues&)> work = [](std::size_t, VirtioQueues&) {};
  std::vector<VirtioChain> held{};

  PlainProbe() = default;

  explicit PlainProbe(std::function<void(std::size_t, VirtioQueues&)> given)
      : work{std::move(given)} {}

  void notified(std::size_t index, VirtioQueues& queues) { work(index, queues); }
};

/// Takes all there is, and keeps it.
inline void hold_all(PlainProbe& probe, std::size_t index, VirtioQueues& queues) {
  while (auto chain = queues[index].take()) probe.held.push_back(std::move(*chain));
}

/// All that a device may have.
struct Probe : PlainProbe {
  struct Config {
    std::uint32_t number = 0x1234'5678;
    std::uint16_t small = 0x9ABC;
    std::uint8_t tiny = 0xDE;
    std::uint8_t last = 0xF0;
  };

  struct State {
    int value = 0;
    friend bool operator==(State const&, State const&) = default;
  };

  std::uint64_t own_features = 0b111;
  Config configuration{};
  State state{};
  std::vector<std::string> calls{};

  using PlainProbe::PlainProbe;

  [[nodiscard]] std::uint64_t features() const { return own_features; }

  /// Bit 1 needs bit 0.
  [[nodiscard]] bool accepts(std::uint64_t chosen) const {
    return (chosen & 0b10) == 0 || (chosen & 1) != 0;
  }

  [[nodiscard]] Config config() const { return configuration; }

  void write_config(std::uint64_t offset, gsl::span<std::byte const> from) {
    calls.push_back("write_config " + std::to_string(offset) + " " + std::to_string(from.size()));
    std::memcpy(reinterpret_cast<std::byte*>(&configuration) + offset, from.data(), from.size());
  }

  void activate(VirtioQueues& queues) {
    calls.emplace_back("activate");
    queues.watch().arm(0);
  }

  void event(VirtioQueues& queues) {
    calls.emplace_back("event");
    if (on_event) on_event(queues);
  }

  void reset() {
    calls.emplace_back("reset");
    held.clear();
  }

  void reset_queue(std::size_t index) {
    calls.push_back("reset_queue " + std::to_string(index));
    held.clear();
  }

  [[nodiscard]] State save() const { return state; }

  void load(State const& saved) { state = saved; }

  std::function<void(VirtioQueues&)> on_event{};
};

inline std::uint64_t bit(unsigned number) { return 1ULL << number; }

inline constexpr std::uint64_t version_1 = 1ULL << VirtioFeature::version_1;
inline constexpr std::uint64_t event_index = 1ULL << VirtioFeature::event_index;
inline constexpr std::uint64_t indirect = 1ULL << VirtioFeature::indirect_descriptors;

}  // namespace portico::test
