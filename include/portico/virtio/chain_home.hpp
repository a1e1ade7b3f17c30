/// What is behind a chain of a virtqueue: its segments, and the used ring that it goes back to.
///
///     #include <portico/virtio/chain_home.hpp>
///     void pass_on(portico::detail::ChainHome& home, std::uint16_t head) {
///       if (auto parts = home.lend(head)) home.take_back(std::move(parts));   // used, length 0
///     }
///
/// Internal to the library: VirtioChain owns the parts, VirtioQueue the home.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/virtio/ring.hpp>

namespace portico::detail {

/// A part of a chain, readable or writable: how far its bytes were used.
struct ChainCursor {
  std::size_t segment = 0;
  std::size_t offset = 0;    ///< in that segment
  std::uint64_t passed = 0;  ///< bytes

  /// Goes on by up to `most` bytes; calls `use(host, n)` for each piece. How many there were.
  template <class Use>
  std::uint64_t walk(gsl::span<iovec const> segments, std::uint64_t most, Use use) {
    std::uint64_t done = 0;
    while (done < most && segment < segments.size()) {
      iovec const& piece = segments[segment];
      std::uint64_t const left = piece.iov_len - offset;
      std::uint64_t const step = left < most - done ? left : most - done;
      use(static_cast<std::byte*>(piece.iov_base) + offset, static_cast<std::size_t>(step));
      done += step;
      offset += static_cast<std::size_t>(step);
      if (offset == piece.iov_len) {
        ++segment;
        offset = 0;
      }
    }
    passed += done;
    return done;
  }
};

/// All of a chain but its owner. Kept and used again by its queue, so that its vectors keep their
/// capacity.
struct ChainParts {
  std::vector<iovec> segments{};  ///< the readable ones first
  std::size_t readable = 0;       ///< how many
  std::uint64_t readable_bytes = 0;
  std::uint64_t writable_bytes = 0;
  ChainCursor read{};
  ChainCursor written{};
  std::vector<iovec> read_window{};
  std::vector<iovec> write_window{};
  std::uint64_t incarnation = 0;
  std::uint16_t head = 0;

  void clear() noexcept {
    segments.clear();
    readable = 0;
    readable_bytes = writable_bytes = 0;
    rewind();
  }

  void rewind() noexcept { read = written = {}; }

  [[nodiscard]] gsl::span<iovec const> readable_segments() const noexcept {
    return {segments.data(), readable};
  }

  [[nodiscard]] gsl::span<iovec const> writable_segments() const noexcept {
    return gsl::span<iovec const>{segments}.subspan(readable);
  }
};

/// Where chains go back to: the used ring, and the store of their parts. One thread at a time. It
/// is moved only while no chain is out, and outlives its chains.
class ChainHome {
 public:
  explicit ChainHome(std::uint32_t largest) : taken_(largest, 0) { spare_.reserve(largest); }

  ChainHome(ChainHome&& other) noexcept
      : taken_{std::move(other.taken_)},
        spare_{std::move(other.spare_)},
        ring_{other.ring_},
        incarnation_{other.incarnation_},
        outstanding_{other.outstanding_},
        next_used_{other.next_used_},
        open_{std::exchange(other.open_, false)} {
    Expects(other.lent_ == 0);
  }

  ChainHome(ChainHome const&) = delete;
  ChainHome& operator=(ChainHome const&) = delete;
  ChainHome& operator=(ChainHome&&) = delete;

  ~ChainHome() { Expects(lent_ == 0); }

  /// A queue begins: its first used entry is number `next_used`.
  void open(SplitRing const& ring, std::uint16_t next_used) noexcept {
    close();
    ring_ = ring;
    next_used_ = next_used;
    open_ = true;
  }

  /// A queue ends: chains that are out will do nothing when they come back.
  void close() noexcept {
    ++incarnation_;
    outstanding_ = 0;
    open_ = false;
    for (auto& taken : taken_) taken = 0;
  }

  /// Parts for the chain at `head`; nothing if that one is out already, which no driver may do.
  [[nodiscard]] std::unique_ptr<ChainParts> lend(std::uint16_t head) {
    if (taken_[head] != 0) return nullptr;
    std::unique_ptr<ChainParts> parts;
    if (spare_.empty()) {
      parts = std::make_unique<ChainParts>();
    } else {
      parts = std::move(spare_.back());
      spare_.pop_back();
    }
    parts->clear();
    parts->head = head;
    parts->incarnation = incarnation_;
    taken_[head] = 1;
    ++outstanding_;
    ++lent_;
    return parts;
  }

  /// The chain is used; the driver sees it with the next `publish`.
  void fill(std::unique_ptr<ChainParts> parts) noexcept {
    if (parts->incarnation == incarnation_ && open_) {
      taken_[parts->head] = 0;
      --outstanding_;
      std::uint64_t const written = parts->written.passed;
      ring_.put_used(next_used_++, parts->head,
                     written <= 0xFFFF'FFFF ? static_cast<std::uint32_t>(written) : 0xFFFF'FFFF);
    }
    --lent_;
    if (spare_.size() < spare_.capacity()) spare_.push_back(std::move(parts));
  }

  /// The driver sees all that was filled.
  void publish() noexcept {
    if (open_) ring_.publish_used(next_used_);
  }

  /// The chain is used.
  void take_back(std::unique_ptr<ChainParts> parts) noexcept {
    fill(std::move(parts));
    publish();
  }

  [[nodiscard]] bool is_current(ChainParts const& parts) const noexcept {
    return open_ && parts.incarnation == incarnation_;
  }

  /// Buffers that were taken and not completed.
  [[nodiscard]] std::uint32_t outstanding() const noexcept { return outstanding_; }

  [[nodiscard]] std::uint16_t next_used() const noexcept { return next_used_; }

  /// The heads of those that are out.
  [[nodiscard]] std::vector<std::uint16_t> heads() const {
    std::vector<std::uint16_t> found;
    for (std::size_t head = 0; head < taken_.size(); ++head)
      if (taken_[head] != 0) found.push_back(static_cast<std::uint16_t>(head));
    return found;
  }

 private:
  std::vector<std::uint8_t> taken_;
  std::vector<std::unique_ptr<ChainParts>> spare_;
  SplitRing ring_{};
  std::uint64_t incarnation_ = 1;
  std::uint32_t outstanding_ = 0;
  std::uint32_t lent_ = 0;  ///< outstanding ones, and old ones that did not come back yet
  std::uint16_t next_used_ = 0;
  bool open_ = false;
};

}  // namespace portico::detail
