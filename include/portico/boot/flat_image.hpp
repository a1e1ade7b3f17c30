/// A flat binary: a file whose bytes are copied into RAM as they are, and run from the first one.
///
///     #include <portico/boot/flat_image.hpp>
///     #include <portico/memory/guest_memory.hpp>
///
///     int load(char const* path, portico::GuestMemory& ram) {
///       try {
///         portico::FlatImage{path}.load(ram, 0, ram.size() - 4 * portico::KiB);  // room for a stack
///         return 0;
///       } catch (portico::ImageError const& error) {
///         std::fprintf(stderr, "%s\n", error.what());  // "guest.img: is empty; ..."
///         return 2;
///       }
///     }
///
/// Limits: regular files only. An ELF file is refused with the command that makes it flat. The file
/// is opened once, and read into RAM with no copy in between; what changes it afterwards is not
/// seen.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// A guest image that cannot be used; what() is one line that names the file and says what would be
/// right.
class ImageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An open flat binary; move-only.
class FlatImage {
 public:
  /// Opens the file and looks at what it is; an ImageError if it is missing, unreadable, empty, no
  /// regular file, or an ELF file.
  explicit FlatImage(std::string path) : path_{std::move(path)} {
    // Without O_NONBLOCK a pipe nobody writes to would hang here instead of being refused below.
    file_ = Fd{::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
    if (!file_) fail("cannot be opened: " + std::generic_category().message(errno));
    struct stat about{};
    if (::fstat(file_.get(), &about) != 0)
      fail("cannot be examined: " + std::generic_category().message(errno));
    if (S_ISDIR(about.st_mode)) fail("is a directory; a flat binary file is needed");
    if (!S_ISREG(about.st_mode)) fail("is not a regular file; a flat binary file is needed");
    if (about.st_size == 0) fail("is empty; a flat binary of at least one byte is needed");
    size_ = static_cast<std::uint64_t>(about.st_size);
    refuse_elf();
  }

  /// The name as given.
  [[nodiscard]] std::string const& path() const noexcept { return path_; }

  /// The file's size when it was opened, in bytes; never 0.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// The open file, still owned here: which file it is, and that no guest overwrites it, can be
  /// asked of it.
  [[nodiscard]] int fd() const noexcept { return file_.get(); }

  /// Copies the image to guest address `address`; an ImageError if it is longer than `limit` bytes,
  /// or does not lie in RAM, or cannot be read.
  void load(GuestMemory& memory, std::uint64_t address = 0,
            std::uint64_t limit = std::numeric_limits<std::uint64_t>::max()) const {
    std::uint64_t room = 0;
    for (Region const& region : memory.regions()) {
      std::uint64_t const offset = address - region.base;  // wraps below the base, past every size
      if (offset < region.size) room = std::min(limit, region.size - offset);
    }
    auto const target = memory.span(address, size_);
    if (size_ > room || !target) fail_for_room(memory.size(), address, room);
    read(*target);
  }

 private:
  [[noreturn, gnu::cold]] void fail(std::string const& reason) const {
    throw ImageError{path_ + ": " + reason};
  }

  [[noreturn, gnu::cold]] void fail_for_room(std::uint64_t memory_size, std::uint64_t address,
                                             std::uint64_t room) const {
    std::string text = "is too large: " + std::to_string(size_) + " bytes, but guest memory of " +
                       std::to_string(memory_size) + " bytes has room for at most " +
                       std::to_string(room);
    if (address != 0) {
      std::array<char, 32> hex{};
      std::snprintf(hex.data(), hex.size(), " from 0x%llx on",
                    static_cast<unsigned long long>(address));
      text += hex.data();
    }
    fail(text);
  }

  /// Fills `target` from the file's beginning.
  void read(gsl::span<std::byte> target) const {
    for (std::size_t done = 0; done < target.size();) {
      ssize_t const got = ::pread(file_.get(), target.data() + done, target.size() - done,
                                  static_cast<off_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("cannot be read: " + std::generic_category().message(errno));
      if (got == 0)
        fail("became shorter while it was read; it was " + std::to_string(size_) + " bytes long");
      done += static_cast<std::size_t>(got);
    }
  }

  void refuse_elf() const {
    std::array<std::byte, 4> start{};
    if (size_ < start.size()) return;
    read(start);
    if (std::memcmp(start.data(), "\177ELF", start.size()) != 0) return;
    fail(
        "is an ELF file; a flat binary is needed, from: ld --oformat binary -T guest.ld -o "
        "guest.img guest.o, or: "
        "objcopy -O binary " +
        path_ + " " + path_ + ".img");
  }

  std::string path_;
  Fd file_;
  std::uint64_t size_ = 0;
};

}  // namespace portico
