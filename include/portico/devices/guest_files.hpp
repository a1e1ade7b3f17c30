/// One guest's view of the host's files: shared ones to read, local ones of its own.
///
///     #include <portico/devices/guest_files.hpp>
///     portico::SharedFiles const shared{{"words.txt"}};
///     portico::Fd const directory{::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)};
///     portico::GuestFiles files{shared, portico::LocalDirectory{directory.get(), 0, shared}};
///     auto const in = files.open_to_read("words.txt");     // the shared file
///     auto const out = files.open_to_write("words.txt");   // words.txt.local0; `in` is void
///
/// A guest reads shared files, by path as given or base name, and the local files that it created.
/// What it opens for writing is a local file, which stands for the name from then on; the shared
/// file is never changed. Opened for writing again, a local file is emptied under the descriptors
/// that are open, as POSIX has it. Names reach nothing else: none with a slash that is not a shared
/// file's, no symbolic link, nothing left by an earlier session, which is removed when the guest
/// creates the name.
///
/// One guest has at most 16,384 descriptors, 64 files open on the host (one for each file and
/// direction, however many descriptors share it), and 16,384 local files; beyond, -1. How much it
/// writes is limited by the file system, quotas, or RLIMIT_FSIZE (with SIGXFSZ ignored).
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/descriptor_table.hpp>
#include <portico/devices/file_identity.hpp>
#include <portico/devices/local_directory.hpp>
#include <portico/devices/shared_files.hpp>

namespace portico {

/// The files of one guest on the host. Movable while unused; for one thread at a time.
class GuestFiles {
 public:
  static constexpr std::size_t max_name = 300;
  static constexpr std::size_t max_host_files = 64;
  static constexpr std::size_t max_local_files = 16'384;

  /// What the guest can tell: which local files are its own, and its descriptors.
  struct State {
    /// Where a descriptor leads.
    enum class Kind : std::uint8_t { invalid, shared_reader, local_reader, local_writer };

    struct Descriptor {
      std::int32_t number = 0;
      Kind kind = Kind::invalid;
      std::string base_name{};
      std::uint64_t offset = 0;

      friend bool operator==(Descriptor const&, Descriptor const&) = default;
    };

    std::vector<std::string> local_files{};  ///< base names
    std::vector<Descriptor> descriptors{};   ///< in ascending order

    friend bool operator==(State const&, State const&) = default;
  };

  /// Calls to the host that failed for the host's reasons.
  struct HostErrors {
    std::uint64_t count = 0;
    int last = 0;  ///< as errno
  };

  /// `shared` outlives the object.
  GuestFiles(SharedFiles const& shared, LocalDirectory local)
      : shared_{&shared}, local_{std::move(local)} {}

  /// A descriptor at the file's first byte, or -1.
  [[nodiscard]] std::int32_t open_to_read(std::string_view name) {
    auto const target = resolve(name);
    if (!target || descriptors_.full()) return -1;
    if (created_.find(target->base_name) != created_.end())
      return describe(acquire(Kind::local_reader, target->base_name));
    if (target->is_shared) return describe(acquire(Kind::shared_reader, target->base_name));
    return -1;
  }

  /// A descriptor at the first byte of a local file, which is now empty; or -1.
  [[nodiscard]] std::int32_t open_to_write(std::string_view name) {
    auto const target = resolve(name);
    if (!target || descriptors_.full()) return -1;
    std::string const& base_name = target->base_name;
    bool const ours = created_.find(base_name) != created_.end();
    if (ours) {
      std::int32_t const file = acquire(Kind::local_writer, base_name);
      if (file >= 0) return empty(file) ? describe(file) : -1;
      // Somebody removed it, or put another file in its place: it is made anew.
      if (errno != ENOENT && errno != ESTALE) return -1;
    } else if (created_.size() == max_local_files) {
      return -1;
    }
    std::int32_t const slot = free_slot();
    if (slot < 0) return -1;
    LocalFile made = local_.create(base_name);
    if (!made.file) return fail(errno);
    // What is open under the name stays open, but the name stands for the new file.
    for (HostFile& file : host_files_)
      if (file.kind != Kind::shared_reader && file.base_name == base_name) file.base_name.clear();
    if (target->is_shared) revoke_shared(base_name);
    created_[base_name] = made.identity;
    int const descriptor = made.file.get();
    host_files_[index(slot)] = {Kind::local_writer, base_name, descriptor, std::move(made.file), 0};
    return describe(slot);
  }

  /// Whether there was such a descriptor. One that was made invalid counts as none, and its number
  /// is free from then on.
  bool close(std::int32_t descriptor) {
    auto const* const entry = descriptors_.find(descriptor);
    if (entry == nullptr) return false;
    std::int32_t const file = entry->file;
    descriptors_.remove(descriptor);
    if (file == DescriptorTable::Entry::revoked) return false;
    --host_files_[index(file)].users;
    forget_unused(file);
    return true;
  }

  /// Fills `buffer` from the descriptor's offset on as far as the file goes; the bytes read, 0 at
  /// its end, or -1.
  [[nodiscard]] std::int64_t read(std::int32_t descriptor, gsl::span<std::byte> buffer) {
    return move_bytes(descriptor, false, buffer.size(),
                      [&](int file, std::size_t done, std::size_t count, off_t offset) {
                        return ::pread(file, buffer.data() + done, count, offset);
                      });
  }

  /// Writes `bytes` at the descriptor's offset; how many the host took, or -1 if none.
  [[nodiscard]] std::int64_t write(std::int32_t descriptor, gsl::span<std::byte const> bytes) {
    return move_bytes(descriptor, true, bytes.size(),
                      [&](int file, std::size_t done, std::size_t count, off_t offset) {
                        return ::pwrite(file, bytes.data() + done, count, offset);
                      });
  }

  [[nodiscard]] HostErrors host_errors() const noexcept { return host_errors_; }

  [[nodiscard]] State save() const {
    State state;
    for (auto const& [base_name, identity] : created_) state.local_files.push_back(base_name);
    descriptors_.for_each([&](std::int32_t number, DescriptorTable::Entry const& entry) {
      State::Descriptor saved{number, Kind::invalid, {}, entry.offset};
      if (entry.file >= 0 && !host_files_[index(entry.file)].base_name.empty()) {
        saved.kind = host_files_[index(entry.file)].kind;
        saved.base_name = host_files_[index(entry.file)].base_name;
      }
      state.descriptors.push_back(std::move(saved));
    });
    return state;
  }

  /// Takes up a saved state, on this or another host with the same files. Descriptors of files that
  /// are not there become invalid.
  void load(State const& state) {
    host_files_ = {};
    descriptors_ = {};
    created_.clear();
    for (std::string const& base_name : state.local_files)
      if (auto const found = is_one_name(base_name) ? local_.find(base_name) : std::nullopt)
        if (created_.size() < max_local_files) created_[base_name] = *found;
    for (State::Descriptor const& saved : state.descriptors) {
      std::int32_t const file =
          saved.kind == Kind::invalid ? none : acquire(saved.kind, saved.base_name);
      auto const held = file < 0 ? DescriptorTable::Entry::revoked : file;
      bool const put = descriptors_.put(saved.number, {held, saved.offset}) >= 0;
      if (file >= 0 && put) ++host_files_[index(file)].users;
      if (file >= 0 && !put) forget_unused(file);
    }
  }

 private:
  using Kind = State::Kind;

  /// A file open on the host, for all descriptors of one file and direction. Its number is its
  /// place in host_files_; a free one has the kind `invalid`.
  struct HostFile {
    Kind kind = Kind::invalid;
    std::string base_name{};  ///< empty once the name stands for another file
    int descriptor = -1;
    Fd owned{};  ///< none for a shared file, which stays open for all guests
    std::uint32_t users = 0;
  };

  struct Target {
    std::string base_name;
    bool is_shared;
  };

  static constexpr std::int32_t none = -1;

  static std::size_t index(std::int32_t file) noexcept { return static_cast<std::size_t>(file); }

  /// Whether a name can stand in a directory.
  static bool is_one_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= max_name && name != "." && name != ".." &&
           name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
  }

  /// Which file a guest means; nothing for a name that reaches out.
  [[nodiscard]] std::optional<Target> resolve(std::string_view name) const {
    if (auto const found = shared_->find(name); found && name.size() <= max_name)
      return Target{shared_->base_name(*found), true};
    if (!is_one_name(name)) return std::nullopt;
    return Target{std::string{name}, false};
  }

  [[nodiscard]] std::int32_t free_slot() const noexcept {
    for (std::size_t file = 0; file < host_files_.size(); ++file)
      if (host_files_[file].kind == Kind::invalid) return static_cast<std::int32_t>(file);
    return none;
  }

  /// The host file for a name and kind, opened if it is not open yet; `none`, with errno set, if
  /// that cannot be.
  [[nodiscard]] std::int32_t acquire(Kind kind, std::string const& base_name) {
    for (std::size_t file = 0; file < host_files_.size(); ++file)
      if (host_files_[file].kind == kind && host_files_[file].base_name == base_name)
        return static_cast<std::int32_t>(file);
    std::int32_t const slot = free_slot();
    if (slot < 0) return unavailable(EMFILE);
    HostFile opened{kind, base_name};
    if (kind == Kind::shared_reader) {
      auto const shared = shared_->find(base_name);
      if (!shared) return unavailable(ENOENT);
      opened.descriptor = shared_->fd(*shared);
    } else {
      auto const created = created_.find(base_name);
      if (created == created_.end()) return unavailable(ENOENT);
      opened.owned =
          local_.open(base_name, created->second, kind == Kind::local_writer ? O_WRONLY : O_RDONLY);
      if (!opened.owned) return fail(errno);
      opened.descriptor = opened.owned.get();
    }
    host_files_[index(slot)] = std::move(opened);
    return slot;
  }

  static std::int32_t unavailable(int error) noexcept {
    errno = error;
    return none;
  }

  /// Empties a local file; false if the host does not.
  bool empty(std::int32_t file) noexcept {
    if (::ftruncate(host_files_[index(file)].descriptor, 0) == 0) return true;
    note(errno);
    forget_unused(file);
    return false;
  }

  void forget_unused(std::int32_t file) noexcept {
    if (host_files_[index(file)].users == 0) host_files_[index(file)] = {};
  }

  /// A new descriptor of a host file.
  std::int32_t describe(std::int32_t file) {
    if (file < 0) return -1;
    ++host_files_[index(file)].users;
    return descriptors_.add(file);
  }

  /// Makes the descriptors of a shared file invalid: the guest has a local one of that name now.
  void revoke_shared(std::string const& base_name) {
    for (std::size_t file = 0; file < host_files_.size(); ++file) {
      if (host_files_[file].kind != Kind::shared_reader || host_files_[file].base_name != base_name)
        continue;
      descriptors_.for_each([&](std::int32_t, DescriptorTable::Entry& entry) {
        if (entry.file == static_cast<std::int32_t>(file))
          entry.file = DescriptorTable::Entry::revoked;
      });
      host_files_[file] = {};
    }
  }

  template <class Move>
  std::int64_t move_bytes(std::int32_t descriptor, bool writes, std::size_t size, Move move) {
    DescriptorTable::Entry* const entry = descriptors_.find(descriptor);
    if (entry == nullptr || entry->file < 0) return -1;
    HostFile const& file = host_files_[index(entry->file)];
    if ((file.kind == Kind::local_writer) != writes) return -1;
    std::size_t done = 0;
    while (done < size) {
      // One host call moves a little less than 2 GiB at most.
      std::size_t const count = std::min(size - done, std::size_t{1} << 30);
      ssize_t const moved = move(file.descriptor, done, count, static_cast<off_t>(entry->offset));
      if (moved < 0 && errno == EINTR) continue;
      if (moved < 0) note(errno);
      if (moved < 0 && done == 0) return -1;
      if (moved <= 0) break;
      done += static_cast<std::size_t>(moved);
      entry->offset += static_cast<std::uint64_t>(moved);
    }
    return static_cast<std::int64_t>(done);
  }

  void note(int error) noexcept {
    // These are a guest's names, not the host's failures.
    if (error == EEXIST || error == ENAMETOOLONG) return;
    ++host_errors_.count;
    host_errors_.last = error;
  }

  /// Counts an error, and gives the guest's answer to it. Keeps errno.
  std::int32_t fail(int error) noexcept {
    note(error);
    errno = error;
    return -1;
  }

  SharedFiles const* shared_;
  LocalDirectory local_;
  std::array<HostFile, max_host_files> host_files_{};
  DescriptorTable descriptors_;
  std::map<std::string, FileIdentity, std::less<>> created_;
  HostErrors host_errors_;
};

}  // namespace portico
