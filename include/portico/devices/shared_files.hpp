/// The files of the host that every guest may read, and none may change.
///
///     #include <portico/devices/shared_files.hpp>
///     portico::SharedFiles const shared{{"data/words.txt", "logo.png"}};
///     auto const index = shared.find("words.txt");
///     char first = 0;
///     bool const got = index && ::pread(shared.fd(*index), &first, 1, 0) == 1;
///
/// A file answers to its path as given and to its base name. All are opened at once, for reading
/// only, so that what is missing shows before any guest starts, and guests see these very files
/// even if the names are given to others meanwhile.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/file_identity.hpp>

namespace portico {

/// A program's shared files. Fixed once built; safe from any thread.
class SharedFiles {
 public:
  SharedFiles() = default;

  /// Opens the files at `paths`. Throws std::system_error if one cannot be opened, and
  /// std::invalid_argument if one is not a plain file or two have one base name: one line that
  /// names them.
  explicit SharedFiles(std::vector<std::string> const& paths) {
    for (std::string const& path : paths) add(path);
  }

  /// The file that answers to `name`.
  [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const {
    auto const found = names_.find(name);
    if (found == names_.end()) return std::nullopt;
    return found->second;
  }

  [[nodiscard]] std::size_t size() const noexcept { return files_.size(); }

  /// The name without its directories; what a guest's local copy is called after.
  [[nodiscard]] std::string const& base_name(std::size_t index) const {
    return files_.at(index).base_name;
  }

  /// A descriptor for reading, owned here; offsets are the caller's affair (pread).
  [[nodiscard]] int fd(std::size_t index) const { return files_.at(index).fd.get(); }

  /// Which files these are.
  [[nodiscard]] gsl::span<FileIdentity const> identities() const noexcept { return identities_; }

 private:
  struct File {
    std::string path;
    std::string base_name;
    Fd fd;
  };

  void add(std::string const& path) {
    std::string const what = "shared file " + path;
    // Not waiting for a writer, should it be a pipe.
    Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
    if (!file) throw std::system_error{errno, std::system_category(), what};
    struct stat status{};
    if (::fstat(file.get(), &status) != 0)
      throw std::system_error{errno, std::system_category(), what};
    if (!S_ISREG(status.st_mode))
      throw std::invalid_argument{what + ": not a plain file (a " + kind_of(status.st_mode) + ")"};
    std::string base = path.substr(path.rfind('/') + 1);
    if (auto const other = find(base))
      throw std::invalid_argument{"shared files " + files_[*other].path + " and " + path +
                                  ": both are called " + base + " by the guests; rename one"};
    names_.emplace(path, files_.size());
    names_.emplace(base, files_.size());
    identities_.push_back(identity_of(status));
    files_.push_back({path, std::move(base), std::move(file)});
  }

  static char const* kind_of(mode_t mode) noexcept {
    if (S_ISDIR(mode)) return "directory";
    if (S_ISFIFO(mode)) return "pipe";
    if (S_ISSOCK(mode)) return "socket";
    return "device";
  }

  std::vector<File> files_;
  std::vector<FileIdentity> identities_;
  std::map<std::string, std::size_t, std::less<>> names_;
};

}  // namespace portico
