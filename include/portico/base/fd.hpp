/// An owned file descriptor.
///
///     #include <fcntl.h>
///     #include <portico/base/fd.hpp>
///     portico::Fd file{::open("disk.img", O_RDWR | O_CLOEXEC)};
///     if (!file) throw std::system_error{errno, std::system_category(), "open disk.img"};
///     char first = 0;
///     ::pread(file.get(), &first, 1, 0);      // closed when `file` goes
///
/// POSIX and no more: memory, KVM and the devices' backends share it.
#pragma once

#include <unistd.h>

#include <utility>

namespace portico {

/// Owns one descriptor, or none. Movable; closing reports nothing, so flush what must not be lost
/// first.
class Fd {
 public:
  Fd() = default;

  /// Takes ownership of `descriptor`; a negative one means none.
  explicit Fd(int descriptor) noexcept : descriptor_{descriptor} {}

  Fd(Fd&& other) noexcept : descriptor_{other.release()} {}

  Fd& operator=(Fd&& other) noexcept {
    reset(other.release());
    return *this;
  }

  Fd(Fd const&) = delete;
  Fd& operator=(Fd const&) = delete;

  ~Fd() { reset(); }

  /// The descriptor, which stays owned here; -1 for none.
  [[nodiscard]] int get() const noexcept { return descriptor_; }

  [[nodiscard]] explicit operator bool() const noexcept { return descriptor_ >= 0; }

  /// Gives the descriptor up to the caller.
  [[nodiscard]] int release() noexcept { return std::exchange(descriptor_, -1); }

  /// Closes what is owned and owns `descriptor` instead.
  void reset(int descriptor = -1) noexcept {
    if (descriptor_ >= 0 && descriptor_ != descriptor) ::close(descriptor_);
    descriptor_ = descriptor;
  }

 private:
  int descriptor_ = -1;
};

}  // namespace portico
