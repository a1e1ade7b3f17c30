/// Which file a descriptor or a name stands for, whatever it is called.
///
///     #include <fcntl.h>
///     #include <portico/base/fd.hpp>
///     #include <portico/devices/file_identity.hpp>
///     portico::Fd const image{::open("guest.img", O_RDONLY | O_CLOEXEC)};
///     portico::Fd const file{::open("notes.txt", O_RDONLY | O_CLOEXEC)};
///     auto const found = portico::identity_of(file.get());
///     bool const same = found && found == portico::identity_of(image.get());   // or hard links
///
/// Device and inode number: equal for every hard link of one file.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include <portico/base/contracts.hpp>

namespace portico {

/// A file of this host, for as long as it exists or is held open.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;

  friend bool operator==(FileIdentity const&, FileIdentity const&) = default;
};

/// From what `stat` and its kin report.
[[nodiscard]] inline FileIdentity identity_of(struct stat const& status) noexcept {
  return {status.st_dev, status.st_ino};
}

/// The file behind an open descriptor, or nothing if there is none.
[[nodiscard]] inline std::optional<FileIdentity> identity_of(int descriptor) noexcept {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) return std::nullopt;
  return identity_of(status);
}

/// Whether `file` is one of `files`.
[[nodiscard]] inline bool holds(gsl::span<FileIdentity const> files,
                                FileIdentity const& file) noexcept {
  return std::find(files.begin(), files.end(), file) != files.end();
}

}  // namespace portico
