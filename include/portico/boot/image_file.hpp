/// The file, or the bytes in memory, that an image comes from; every read is checked against its
/// end.
///
///     #include <portico/boot/image_file.hpp>
///     #include <portico/memory/guest_memory.hpp>
///
///     /// Copies the second sector to address 0x7E00.
///     void load_second(portico::GuestMemory& ram) {
///       portico::ImageFile const disk{"disk.img", "disk image"};
///       disk.read("the second sector", 512, *ram.span(0x7E00, 512));  // ImageError if too short
///     }
///
/// Limits: regular files only. The file is opened once, and what changes it afterwards is not
/// noticed unless it becomes shorter.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/base/hex.hpp>

namespace portico {

/// A guest image that cannot be used; what() is one line that names the file and says what would be
/// right.
class ImageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An open image; move-only. Reads may come from any thread.
class ImageFile {
 public:
  /// Opens the file; an ImageError if it is missing, unreadable, empty or no regular file. `kind`
  /// is what it should be, for messages: "flat binary".
  explicit ImageFile(std::string path, std::string_view kind) : name_{std::move(path)} {
    // Without O_NONBLOCK a pipe nobody writes to would hang here instead of being refused below.
    file_ = Fd{::open(name_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
    if (!file_) fail("cannot be opened: " + std::generic_category().message(errno));
    struct stat about{};
    if (::fstat(file_.get(), &about) != 0)
      fail("cannot be examined: " + std::generic_category().message(errno));
    std::string const wanted{kind};
    if (S_ISDIR(about.st_mode)) fail("is a directory; a " + wanted + " file is needed");
    if (!S_ISREG(about.st_mode)) fail("is not a regular file; a " + wanted + " file is needed");
    if (about.st_size == 0) fail("is empty; a " + wanted + " of at least one byte is needed");
    size_ = static_cast<std::uint64_t>(about.st_size);
  }

  /// An image that is in memory already, and stays there; `name` stands in messages.
  ImageFile(std::string name, gsl::span<std::byte const> bytes)
      : name_{std::move(name)}, size_{bytes.size()}, bytes_{bytes.data()} {}

  /// The name as given.
  [[nodiscard]] std::string const& name() const noexcept { return name_; }

  /// Bytes, when it was opened.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// The open file, still owned here; -1 for an image in memory.
  [[nodiscard]] int fd() const noexcept { return file_.get(); }

  /// Whether `length` bytes from `offset` on are there.
  [[nodiscard]] bool holds(std::uint64_t offset, std::uint64_t length) const noexcept {
    return offset <= size_ && length <= size_ - offset;
  }

  /// Fills `to` from `offset` on; an ImageError that names `what` if it is not all there.
  void read(std::string_view what, std::uint64_t offset, gsl::span<std::byte> to) const {
    if (!holds(offset, to.size()))
      fail("is truncated: " + std::string{what} + " needs " + std::to_string(to.size()) +
           " bytes at offset " + hex(offset) + ", but the file ends at " + hex(size_));
    if (bytes_ != nullptr) {
      if (!to.empty()) std::memcpy(to.data(), bytes_ + offset, to.size());
      return;
    }
    read_file(offset, to);
  }

  /// The value at `offset`; an ImageError that names `what` if it is not all there.
  template <class Value>
    requires std::is_trivially_copyable_v<Value>
  [[nodiscard]] Value get(std::string_view what, std::uint64_t offset) const {
    std::array<std::byte, sizeof(Value)> bytes{};
    read(what, offset, bytes);
    return load<Value>(bytes.data());
  }

  /// Throws an ImageError: the name, and what is wrong.
  [[noreturn, gnu::cold]] void fail(std::string const& reason) const {
    throw ImageError{name_ + ": " + reason};
  }

 private:
  void read_file(std::uint64_t offset, gsl::span<std::byte> to) const {
    for (std::size_t done = 0; done < to.size();) {
      ssize_t const got = ::pread(file_.get(), to.data() + done, to.size() - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("cannot be read: " + std::generic_category().message(errno));
      if (got == 0)
        fail("became shorter while it was read; it was " + std::to_string(size_) + " bytes long");
      done += static_cast<std::size_t>(got);
    }
  }

  std::string name_;
  Fd file_;
  std::uint64_t size_ = 0;
  std::byte const* bytes_ = nullptr;
};

}  // namespace portico
