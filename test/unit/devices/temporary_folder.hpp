/// A folder of the host for one test, gone afterwards.
///
///     TemporaryFolder folder;
///     folder.write("words.txt", "shared text");
///     EXPECT_EQ(folder.read("words.txt"), "shared text");
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>

#include <portico/base/fd.hpp>
#include <portico/devices/file_identity.hpp>

/// Made below the system's place for temporary files.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "portico-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw std::system_error{errno, std::system_category(), "mkdtemp"};
    path_ = name;
    directory_ = portico::Fd{::open(name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  }

  TemporaryFolder(TemporaryFolder const&) = delete;
  TemporaryFolder& operator=(TemporaryFolder const&) = delete;

  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] int descriptor() const { return directory_.get(); }

  [[nodiscard]] std::string path(std::string const& name) const { return (path_ / name).string(); }

  void write(std::string const& name, std::string const& text) const {
    std::ofstream{path_ / name, std::ios::binary} << text;
  }

  /// The whole file; nothing if it cannot be opened.
  [[nodiscard]] std::optional<std::string> read(std::string const& name) const {
    std::ifstream file{path_ / name, std::ios::binary};
    if (!file) return std::nullopt;
    return std::string{std::istreambuf_iterator<char>{file}, {}};
  }

  [[nodiscard]] portico::FileIdentity identity(std::string const& name) const {
    struct stat status{};
    if (::stat(path(name).c_str(), &status) != 0)
      throw std::system_error{errno, std::system_category(), name};
    return portico::identity_of(status);
  }

 private:
  std::filesystem::path path_;
  portico::Fd directory_;
};
