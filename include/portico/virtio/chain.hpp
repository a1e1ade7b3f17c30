/// One buffer of a virtqueue: a chain of descriptors, checked, as spans of guest RAM.
///
///     #include <portico/virtio/chain.hpp>
///     struct Request { std::uint32_t kind; std::uint32_t reserved; std::uint64_t sector; };
///     void answer(portico::VirtioChain chain) {
///       auto const request = chain.read<Request>();            // however the driver has cut it
///       if (request && request->kind == 8) (void)chain.write(gsl::as_bytes(gsl::span{"disk"}));
///       std::move(chain).complete();                           // or at the end of the scope
///     }
///
/// What the device may read comes first, then what it may write (VIRTIO 1.2, section 2.7.4). Both
/// have a cursor; the used length is what the cursor of the writable part has passed. How the
/// driver cuts a message into descriptors means nothing (2.7.4.1): read and write by bytes, or hand
/// the vectors to `readv` and the like.
///
/// A chain goes back to its queue exactly once: when it is completed, or destroyed. It may be kept
/// for long, and chains may be completed in any order. After a reset of the device an old chain does
/// nothing any more; its memory is still guest RAM, but belongs to somebody else in the guest. A
/// chain is used under the same lock as its queue, and does not outlive the device.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/virtio/ring.hpp>

namespace portico {

class VirtioQueue;

namespace detail {

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

  /// The chain is used.
  void take_back(std::unique_ptr<ChainParts> parts) noexcept {
    if (parts->incarnation == incarnation_ && open_) {
      taken_[parts->head] = 0;
      --outstanding_;
      std::uint64_t const written = parts->written.passed;
      ring_.put_used(next_used_, parts->head,
                     written <= 0xFFFF'FFFF ? static_cast<std::uint32_t>(written) : 0xFFFF'FFFF);
      ring_.publish_used(++next_used_);
    }
    --lent_;
    if (spare_.size() < spare_.capacity()) spare_.push_back(std::move(parts));
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

}  // namespace detail

/// A buffer that the driver has made available. Move-only.
class VirtioChain {
 public:
  /// Given back with what was written.
  ~VirtioChain() { give_back(); }

  VirtioChain(VirtioChain&&) noexcept = default;

  VirtioChain& operator=(VirtioChain&& other) noexcept {
    if (this != &other) {
      give_back();
      home_ = other.home_;
      parts_ = std::move(other.parts_);
    }
    return *this;
  }

  VirtioChain(VirtioChain const&) = delete;
  VirtioChain& operator=(VirtioChain const&) = delete;

  /// Gives the buffer back to the driver now: `std::move(chain).complete()`.
  void complete() && { give_back(); }

  /// Bytes that the driver gives, all of them; the driver chooses, up to 2^32 in both parts.
  [[nodiscard]] std::uint64_t readable_bytes() const noexcept { return parts_->readable_bytes; }

  /// Bytes that the driver takes, all of them.
  [[nodiscard]] std::uint64_t writable_bytes() const noexcept { return parts_->writable_bytes; }

  /// Those behind the cursor.
  [[nodiscard]] std::uint64_t readable_left() const noexcept {
    return parts_->readable_bytes - parts_->read.passed;
  }

  /// Those behind the cursor.
  [[nodiscard]] std::uint64_t writable_left() const noexcept {
    return parts_->writable_bytes - parts_->written.passed;
  }

  /// What the used length will be.
  [[nodiscard]] std::uint64_t written() const noexcept { return parts_->written.passed; }

  /// Copies the next bytes out; how many there were.
  std::size_t read(gsl::span<std::byte> to) noexcept {
    std::byte* at = to.data();
    return static_cast<std::size_t>(parts_->read.walk(parts_->readable_segments(), to.size(),
                                                      [&](std::byte const* host, std::size_t n) {
                                                        std::memcpy(at, host, n);
                                                        at += n;
                                                      }));
  }

  /// A copy of the next value; nothing, and the cursor stays, if fewer bytes are left.
  template <class Value>
    requires std::is_trivially_copyable_v<Value>
  [[nodiscard]] std::optional<Value> read() noexcept {
    std::array<std::byte, sizeof(Value)> bytes;
    if (readable_left() < bytes.size()) return std::nullopt;
    read(gsl::span<std::byte>{bytes});
    detail::copied();
    return load<Value>(bytes.data());
  }

  /// Passes over up to `bytes`; how many there were.
  std::uint64_t skip_readable(std::uint64_t bytes) noexcept {
    return parts_->read.walk(parts_->readable_segments(), bytes, [](std::byte*, std::size_t) {});
  }

  /// Copies to the next bytes; how many there was room for.
  std::size_t write(gsl::span<std::byte const> from) noexcept {
    return copy_to(parts_->written, from);
  }

  /// Writes a value. False, and nothing written, if there is no room for all of it.
  template <class Value>
    requires(std::is_trivially_copyable_v<Value> &&
             !std::is_convertible_v<Value const&, gsl::span<std::byte const>>)
  [[nodiscard]] bool write(Value const& value) noexcept {
    if (writable_left() < sizeof(Value)) return false;
    write(gsl::as_bytes(gsl::span<Value const, 1>{&value, 1}));
    return true;
  }

  /// The next `bytes` were put straight into the writable segments (`readv`); up to what is left.
  void wrote(std::uint64_t bytes) noexcept {
    parts_->written.walk(parts_->writable_segments(), bytes, [](std::byte*, std::size_t) {});
  }

  /// Copies to the writable part from byte `offset` on, and leaves cursor and used length alone: a
  /// status behind data that failed. False, and nothing written, if it does not fit.
  [[nodiscard]] bool write_at(std::uint64_t offset, gsl::span<std::byte const> from) noexcept {
    if (offset > writable_bytes() || from.size() > writable_bytes() - offset) return false;
    detail::ChainCursor there;
    there.walk(parts_->writable_segments(), offset, [](std::byte*, std::size_t) {});
    copy_to(there, from);
    return true;
  }

  /// The next bytes to read, at most `most`, as vectors for `writev`; good until the next call, or
  /// as long as the chain.
  [[nodiscard]] gsl::span<iovec const> readable_vectors(std::uint64_t most = ~0ULL) {
    return vectors(parts_->readable_segments(), parts_->read, readable_left(), most,
                   parts_->read_window);
  }

  /// The next bytes to write, at most `most`, as vectors for `readv`; then say `wrote`.
  [[nodiscard]] gsl::span<iovec const> writable_vectors(std::uint64_t most = ~0ULL) {
    return vectors(parts_->writable_segments(), parts_->written, writable_left(), most,
                   parts_->write_window);
  }

 private:
  friend class VirtioQueue;

  VirtioChain(detail::ChainHome& home, std::unique_ptr<detail::ChainParts> parts) noexcept
      : home_{&home}, parts_{std::move(parts)} {}

  void give_back() noexcept {
    if (parts_ != nullptr) home_->take_back(std::move(parts_));
  }

  std::size_t copy_to(detail::ChainCursor& cursor, gsl::span<std::byte const> from) noexcept {
    std::byte const* at = from.data();
    return static_cast<std::size_t>(
        cursor.walk(parts_->writable_segments(), from.size(), [&](std::byte* host, std::size_t n) {
          std::memcpy(host, at, n);
          at += n;
        }));
  }

  static gsl::span<iovec const> vectors(gsl::span<iovec const> segments, detail::ChainCursor from,
                                        std::uint64_t left, std::uint64_t most,
                                        std::vector<iovec>& window) {
    if (from.offset == 0 && most >= left) return segments.subspan(from.segment);
    window.clear();
    from.walk(segments, most, [&](std::byte* host, std::size_t n) { window.push_back({host, n}); });
    return window;
  }

  detail::ChainHome* home_;
  std::unique_ptr<detail::ChainParts> parts_;
};

}  // namespace portico
