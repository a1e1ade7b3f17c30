/// Counters for each device of a map, as an observer of a run.
///
///     #include <portico/machine/statistics.hpp>
///     #include <portico/machine.hpp>
///     template <class Board>
///     portico::Stop run(portico::Machine<Board>& machine) {
///       portico::Statistics<Board> statistics;
///       portico::Stop const stop = machine.run(statistics);
///       std::fputs(statistics.text().c_str(), stderr);
///       return stop;
///     }
///
/// One instance is for one thread, so for a machine with one vCPU; add those of several machines
/// with `+=`. The unclaimed addresses are told one by one as far as 64 different ones; the rest is
/// counted together, so a guest cannot make the table grow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include <portico/device/access.hpp>
#include <portico/device/device_map.hpp>
#include <portico/kvm/exit.hpp>
#include <portico/machine/map_text.hpp>

namespace portico {

/// What one entry was asked for.
struct EntryCounters {
  std::uint64_t reads = 0;   ///< elements read: a string instruction's count one by one
  std::uint64_t writes = 0;  ///< elements written
  std::uint64_t bytes = 0;
  std::uint64_t exits = 0;

  EntryCounters& operator+=(EntryCounters const& other) noexcept {
    reads += other.reads;
    writes += other.writes;
    bytes += other.bytes;
    exits += other.exits;
    return *this;
  }
};

/// Accesses to one address, of one width and direction, that no register took.
struct UnclaimedAddress {
  Space space = Space::port;
  Direction direction = Direction::read;
  std::uint32_t width = 0;
  std::uint64_t address = 0;
  std::uint64_t count = 0;
};

/// Counts a run by device.
template <class Board>
class Statistics {
 public:
  static constexpr std::size_t max_unclaimed = 64;

  /// For the run loop: one access was carried out.
  void access(Access const& access, Claim const& claim) noexcept {
    EntryCounters& counters =
        claim.taken() ? entries_[static_cast<std::size_t>(claim.entry)] : unclaimed_;
    (access.direction == Direction::read ? counters.reads : counters.writes) += access.count;
    counters.bytes += std::uint64_t{access.width} * access.count;
    counters.exits += access.exits ? 1U : 0U;
    if (!claim.taken())
      note({access.space, access.direction, access.width, access.address, access.count});
  }

  /// For the run loop: an exit that is no access.
  void exit(kvm::Exit const&, std::uint32_t) noexcept { ++other_exits_; }

  /// Counters of entry `index` of the map.
  [[nodiscard]] EntryCounters const& entry(std::size_t index) const noexcept {
    return entries_[index];
  }

  /// What no register took.
  [[nodiscard]] EntryCounters const& unclaimed() const noexcept { return unclaimed_; }

  /// Exits that were no accesses: `hlt`, and what ended the run.
  [[nodiscard]] std::uint64_t other_exits() const noexcept { return other_exits_; }

  /// All exits of the run.
  [[nodiscard]] std::uint64_t exits() const noexcept {
    std::uint64_t sum = unclaimed_.exits + other_exits_;
    for (EntryCounters const& counters : entries_) sum += counters.exits;
    return sum;
  }

  Statistics& operator+=(Statistics const& other) noexcept {
    for (std::size_t index = 0; index < entries_.size(); ++index)
      entries_[index] += other.entries_[index];
    unclaimed_ += other.unclaimed_;
    other_exits_ += other.other_exits_;
    for (std::size_t index = 0; index < other.known_; ++index) note(other.addresses_[index]);
    beyond_ += other.beyond_;
    return *this;
  }

  /// The table: device, reads, writes, bytes, exits; then the unclaimed addresses.
  [[nodiscard]] std::string text() const {
    std::string text;
    detail::append(text, "%-16s %12s %12s %14s %12s\n", "device", "reads", "writes", "bytes",
                   "exits");
    for (std::size_t index = 0; index < entries_.size(); ++index)
      row(text, Board::entries[index].name, entries_[index]);
    row(text, "(unclaimed)", unclaimed_);
    detail::append(text, "%-16s %12s %12s %14s %12llu\n", "(other exits)", "", "", "",
                   static_cast<unsigned long long>(other_exits_));
    for (std::size_t index = 0; index < known_; ++index) {
      UnclaimedAddress const& one = addresses_[index];
      detail::append(text, "unclaimed %s 0x%llx: %llu %s of %u bytes\n",
                     one.space == Space::port ? "port" : "address",
                     static_cast<unsigned long long>(one.address),
                     static_cast<unsigned long long>(one.count),
                     one.direction == Direction::read ? "reads" : "writes", one.width);
    }
    if (beyond_ > 0)
      detail::append(text, "unclaimed elsewhere: %llu\n", static_cast<unsigned long long>(beyond_));
    return text;
  }

 private:
  static void row(std::string& text, std::string_view name, EntryCounters const& counters) {
    detail::append_name(text, name, 16);
    detail::append(text, " %12llu %12llu %14llu %12llu\n",
                   static_cast<unsigned long long>(counters.reads),
                   static_cast<unsigned long long>(counters.writes),
                   static_cast<unsigned long long>(counters.bytes),
                   static_cast<unsigned long long>(counters.exits));
  }

  void note(UnclaimedAddress const& seen) noexcept {
    for (std::size_t index = 0; index < known_; ++index) {
      UnclaimedAddress& known = addresses_[index];
      if (known.space == seen.space && known.direction == seen.direction &&
          known.width == seen.width && known.address == seen.address) {
        known.count += seen.count;
        return;
      }
    }
    if (known_ < max_unclaimed)
      addresses_[known_++] = seen;
    else
      beyond_ += seen.count;
  }

  std::array<EntryCounters, Board::size> entries_{};
  EntryCounters unclaimed_{};
  std::uint64_t other_exits_ = 0;
  std::array<UnclaimedAddress, max_unclaimed> addresses_{};
  std::size_t known_ = 0;
  std::uint64_t beyond_ = 0;
};

}  // namespace portico
