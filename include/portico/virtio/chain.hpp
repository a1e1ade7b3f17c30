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
/// for long, and chains may be completed in any order. After a reset of the device an old chain
/// does nothing any more; its memory is still guest RAM, but belongs to somebody else in the
/// guest. A chain is used under the same lock as its queue, and does not outlive the device.
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
#include <portico/virtio/chain_home.hpp>
#include <portico/virtio/ring.hpp>

namespace portico {

class VirtioQueue;

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
