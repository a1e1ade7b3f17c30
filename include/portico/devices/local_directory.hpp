/// Where a guest's own files stand on the host, and how they are made without harm to others.
///
///     #include <portico/devices/local_directory.hpp>
///     portico::SharedFiles const shared;
///     portico::Fd const directory{::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)};
///     portico::LocalDirectory const local{directory.get(), 7, shared};
///     portico::LocalFile const made = local.create("notes.txt");   // notes.txt.local7, empty
///     portico::Fd const again = local.open("notes.txt", made.identity, O_RDONLY);
///
/// A name has one component. What an earlier session left under it is removed, never opened; what
/// is not a plain file, or is a protected file under any name, is left alone and refused.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/file_identity.hpp>
#include <portico/devices/open_beneath.hpp>
#include <portico/devices/shared_files.hpp>

namespace portico {

/// A local file, just created and open for writing; no descriptor if that failed.
struct LocalFile {
  Fd file{};
  FileIdentity identity{};
};

/// The files `<base name>.local<guest>` of one directory.
class LocalDirectory {
 public:
  /// `directory` is a descriptor, O_PATH will do. It, `shared` and `out_of_bounds` outlive the
  /// object; the files of both are protected.
  LocalDirectory(int directory, unsigned guest, SharedFiles const& shared,
                 gsl::span<FileIdentity const> out_of_bounds = {},
                 Resolution resolution = Resolution::beneath)
      : directory_{directory},
        suffix_{".local" + std::to_string(guest)},
        shared_{&shared},
        out_of_bounds_{out_of_bounds},
        resolution_{resolution} {}

  /// Makes an empty file in place of one left earlier. On failure errno tells why; EEXIST:
  /// something that must stay has the name.
  [[nodiscard]] LocalFile create(std::string const& base_name) const {
    std::string const name = base_name + suffix_;
    if (auto const left = status(name)) {
      if (!replaceable(*left)) {
        errno = EEXIST;
        return {};
      }
      if (::unlinkat(directory_, name.c_str(), 0) != 0) return {};
    } else if (errno != ENOENT) {
      return {};
    }
    LocalFile made{
        open_beneath(directory_, name, O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY, 0666, resolution_)};
    if (auto const identity = made.file ? identity_of(made.file.get()) : std::nullopt)
      made.identity = *identity;
    return made;
  }

  /// Opens a file created here before. None if it is gone (ENOENT) or the name stands for another
  /// one now (ESTALE).
  [[nodiscard]] Fd open(std::string const& base_name, FileIdentity const& created,
                        int flags) const {
    Fd file = open_beneath(directory_, base_name + suffix_, flags | O_NONBLOCK | O_NOCTTY, 0,
                           resolution_);
    if (file && identity_of(file.get()) != created) {
      file.reset();
      errno = ESTALE;
    }
    return file;
  }

  /// The plain, unprotected file that has the name now: when a saved guest is taken up again.
  [[nodiscard]] std::optional<FileIdentity> find(std::string const& base_name) const {
    auto const found = status(base_name + suffix_);
    if (!found || !replaceable(*found)) return std::nullopt;
    return identity_of(*found);
  }

 private:
  [[nodiscard]] std::optional<struct stat> status(std::string const& name) const {
    struct stat found{};
    if (::fstatat(directory_, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
    return found;
  }

  /// No session leaves links, folders or pipes behind: such a thing is somebody else's.
  [[nodiscard]] bool replaceable(struct stat const& found) const {
    return S_ISREG(found.st_mode) && !holds(shared_->identities(), identity_of(found)) &&
           !holds(out_of_bounds_, identity_of(found));
  }

  int directory_;
  std::string suffix_;
  SharedFiles const* shared_;
  gsl::span<FileIdentity const> out_of_bounds_;
  Resolution resolution_;
};

}  // namespace portico
