/// What a disk stands on: a file that is written, a file that is not, or memory.
///
///     #include <portico/devices/disk_backend.hpp>
///     bool const keep = ::getenv("KEEP") != nullptr;
///     portico::create_disk("disk.img", 8 * 1024);      // refuses to overwrite
///     portico::DiskBackend disk = portico::MemoryDisk{std::vector<std::byte>(8 * 1024)};
///     if (keep) disk = portico::WriteBackFile{"disk.img", portico::Durability::power_loss};
///     else disk = portico::ReadOnlyFile{"disk.img"};
///
/// A backend has a size in whole sectors, says whether it is writable, and moves whole sectors that
/// lie inside its size. It throws std::system_error when it is made; later the host's errors are
/// return values, for the device to report in its own protocol. All three carry out operations on
/// scattered memory too (block_operation.hpp), flush, discard and write_zeroes among them.
///
/// **What a completed write is worth.** WriteBackFile hands every sector to the kernel before
/// `write` returns, in the order of the calls and without a buffer of its own: whatever becomes of
/// this process then, a kill included, the file has it. With `Durability::power_loss` it also waits
/// until the drive says that it is on the medium (`fdatasync`), so that it survives the machine's
/// crash. Limits: regular files only; nobody else should write the file meanwhile.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/block_operation.hpp>
#include <portico/devices/file_operation.hpp>

namespace portico {

/// Bytes of a sector.
inline constexpr std::size_t sector_bytes = 512;

/// What a disk device needs from the host. Offsets and lengths are whole sectors inside size().
template <class Backend>
concept SectorStore = requires(Backend& backend, Backend const& constant, std::uint64_t sector,
                               gsl::span<std::byte> to, gsl::span<std::byte const> from) {
  { constant.size() } -> std::same_as<std::uint64_t>;
  { constant.writable() } -> std::same_as<bool>;
  { backend.read(sector, to) } -> std::same_as<bool>;
  { backend.write(sector, from) } -> std::same_as<bool>;
};

namespace detail {

[[noreturn, gnu::cold]] inline void refuse_disk(std::string const& path, int error,
                                                char const* why = nullptr) {
  throw std::system_error{error, std::system_category(),
                          "disk " + path + (why != nullptr ? std::string{": "} + why : "")};
}

/// Carries `call(done)`, which gives what pread or pwrite give, on to `length` bytes.
template <class Call>
[[nodiscard]] bool transfer_all(std::size_t length, Call call) noexcept {
  for (std::size_t done = 0; done < length;) {
    ssize_t const moved = call(done);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return false;  // 0: the file became shorter
    done += static_cast<std::size_t>(moved);
  }
  return true;
}

/// An open disk file.
class DiskFile {
 public:
  DiskFile(std::string const& path, int access) {
    // Without O_NONBLOCK a pipe nobody writes to would hang here instead of being refused below.
    file_ = Fd{::open(path.c_str(), access | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
    if (!file_) refuse_disk(path, errno);
    struct stat about{};
    if (::fstat(file_.get(), &about) != 0) refuse_disk(path, errno);
    if (!S_ISREG(about.st_mode)) refuse_disk(path, EINVAL, "is not a regular file");
    size_ = static_cast<std::uint64_t>(about.st_size);
    if (size_ % sector_bytes != 0)
      refuse_disk(
          path, EINVAL,
          ("its size is " + std::to_string(size_) + " bytes, and a disk's is a multiple of 512")
              .c_str());
  }

  /// Bytes, as the file was when it was opened.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// The open file, still owned here.
  [[nodiscard]] int fd() const noexcept { return file_.get(); }

  /// Fills `to` from `sector` on; false if the host fails.
  [[nodiscard]] bool read(std::uint64_t sector, gsl::span<std::byte> to) noexcept {
    return transfer_all(to.size(), [&](std::size_t done) {
      return ::pread(file_.get(), to.data() + done, to.size() - done,
                     static_cast<off_t>(sector * sector_bytes + done));
    });
  }

  /// 0, or the errno of a host that fails; then a part may have been done.
  [[nodiscard]] int carry_out(BlockOperation& operation) noexcept {
    return detail::carry_out(file_.get(), operation);
  }

 private:
  Fd file_;
  std::uint64_t size_ = 0;
};

}  // namespace detail

/// What a completed write survives.
enum class Durability : std::uint8_t {
  process_crash,  ///< the end of this process, however it comes
  power_loss      ///< the end of the machine too
};

/// A file that is written.
class WriteBackFile : public detail::DiskFile {
 public:
  explicit WriteBackFile(std::string const& path, Durability durability = Durability::process_crash)
      : DiskFile{path, O_RDWR}, durability_{durability} {}

  [[nodiscard]] static bool writable() noexcept { return true; }

  [[nodiscard]] static bool discards() noexcept { return true; }

  /// 0, or the errno of a host that fails; then a part may have been done.
  [[nodiscard]] int carry_out(BlockOperation& operation) noexcept {
    if (durability_ == Durability::power_loss) operation.durable = true;
    return DiskFile::carry_out(operation);
  }

  /// Writes from `sector` on; false if the host fails, and then part of it may have been written.
  [[nodiscard]] bool write(std::uint64_t sector, gsl::span<std::byte const> from) noexcept {
    bool const written = detail::transfer_all(from.size(), [&](std::size_t done) {
      return ::pwrite(fd(), from.data() + done, from.size() - done,
                      static_cast<off_t>(sector * sector_bytes + done));
    });
    return written && (durability_ == Durability::process_crash || ::fdatasync(fd()) == 0);
  }

 private:
  Durability durability_;
};

/// A file that is never written; it need not be writable.
class ReadOnlyFile : public detail::DiskFile {
 public:
  explicit ReadOnlyFile(std::string const& path) : DiskFile{path, O_RDONLY} {}

  [[nodiscard]] static bool writable() noexcept { return false; }

  [[nodiscard]] static bool discards() noexcept { return false; }

  [[nodiscard]] static bool write(std::uint64_t, gsl::span<std::byte const>) noexcept {
    return false;
  }
};

/// Memory: what is written is gone with the disk.
class MemoryDisk {
 public:
  /// `content` is a whole number of sectors.
  explicit MemoryDisk(std::vector<std::byte> content) : content_{std::move(content)} {
    Expects(content_.size() % sector_bytes == 0);
  }

  /// A copy of a disk file, which stays as it is. Throws as ReadOnlyFile does, and if it cannot be
  /// read.
  explicit MemoryDisk(std::string const& path) {
    ReadOnlyFile file{path};
    content_.resize(static_cast<std::size_t>(file.size()));
    if (!file.read(0, content_)) detail::refuse_disk(path, EIO, "cannot be read");
  }

  [[nodiscard]] std::uint64_t size() const noexcept { return content_.size(); }

  [[nodiscard]] static bool writable() noexcept { return true; }

  [[nodiscard]] bool read(std::uint64_t sector, gsl::span<std::byte> to) noexcept {
    std::memcpy(to.data(), at(sector, to.size()), to.size());
    return true;
  }

  [[nodiscard]] bool write(std::uint64_t sector, gsl::span<std::byte const> from) noexcept {
    std::memcpy(at(sector, from.size()), from.data(), from.size());
    return true;
  }

  [[nodiscard]] static bool discards() noexcept { return true; }

  /// Always 0.
  [[nodiscard]] int carry_out(BlockOperation& operation) noexcept {
    using Kind = BlockOperation::Kind;
    operation.error = 0;
    if (operation.kind == Kind::flush) return 0;
    std::byte* at =
        this->at(operation.offset / sector_bytes, static_cast<std::size_t>(operation.length));
    if (operation.kind == Kind::discard || operation.kind == Kind::write_zeroes)
      std::memset(at, 0, static_cast<std::size_t>(operation.length));
    for (iovec const& piece : operation.memory) {
      if (operation.kind == Kind::read)
        std::memcpy(piece.iov_base, at, piece.iov_len);
      else
        std::memcpy(at, piece.iov_base, piece.iov_len);
      at += piece.iov_len;
    }
    return 0;
  }

  /// All bytes, for the program when the guest does not run.
  [[nodiscard]] std::vector<std::byte> const& content() const noexcept { return content_; }

 private:
  [[nodiscard]] std::byte* at(std::uint64_t sector, std::size_t length) {
    std::uint64_t const offset = sector * sector_bytes;
    Expects(offset <= content_.size() && length <= content_.size() - offset);
    return content_.data() + offset;
  }

  std::vector<std::byte> content_;
};

/// The choice that a program makes on its command line.
using DiskBackend = std::variant<WriteBackFile, ReadOnlyFile, MemoryDisk>;

static_assert(SectorStore<WriteBackFile> && SectorStore<ReadOnlyFile> && SectorStore<MemoryDisk>);
static_assert(SynchronousBlockStore<WriteBackFile> && SynchronousBlockStore<ReadOnlyFile> &&
              SynchronousBlockStore<MemoryDisk>);

/// Makes a disk file of `size` bytes, a multiple of 512, all of them 0. Throws std::system_error if
/// the file is there already (it stays as it is) or cannot be made (then nothing is left of it).
inline void create_disk(std::string const& path, std::uint64_t size) {
  if (size % sector_bytes != 0)
    detail::refuse_disk(path, EINVAL, "a disk's size is a multiple of 512 bytes");
  Fd const file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
  if (!file) detail::refuse_disk(path, errno);
  if (::ftruncate(file.get(), static_cast<off_t>(size)) == 0) return;
  int const error = errno;
  ::unlink(path.c_str());
  detail::refuse_disk(path, error);
}

}  // namespace portico
