/// What a console stands on: standard streams, a file, a pseudo-terminal, or memory.
///
///     #include <portico/devices/console_backend.hpp>
///     portico::SharedInput input{STDIN_FILENO};
///     portico::OutputSink output{STDOUT_FILENO};
///     bool const wants_terminal = ::getenv("WANTS_TERMINAL") != nullptr;
///     portico::ConsoleBackend backend = portico::StandardStreams{input, output, 0, "guest0: "};
///     if (wants_terminal) backend = portico::PseudoTerminal{};
///
/// A backend answers `try_read()` without waiting, waits in `read(stop)` until there is a byte, the
/// input ends or the run does, and takes whole buffers in `write(bytes, limit)`. It never throws
/// because of what a guest does, and a host that fails costs output, which is counted, never the
/// guest. Any type with these functions is a console's backend; `ConsoleBackend` is the choice that
/// a program makes at run time. It may have `input_descriptor()` and `output_descriptor()` besides,
/// for devices that never block: what to wait for until `try_read` has a byte, or `write` takes one
/// (-1: nothing).
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/file_identity.hpp>
#include <portico/devices/output_sink.hpp>
#include <portico/devices/pseudo_terminal.hpp>
#include <portico/devices/shared_input.hpp>

namespace portico {

/// What a console needs from the host.
template <class Backend>
concept ByteStreams = requires(Backend backend, gsl::span<std::uint8_t const> bytes,
                               WaitLimit limit, StopToken stop) {
  { backend.try_read() } -> std::same_as<Input>;
  { backend.read(stop) } -> std::same_as<Input>;
  { backend.write(bytes, limit) } -> std::same_as<Written>;
  { backend.flushes_lines() } -> std::same_as<bool>;
};

/// A console's way into a sink that it shares with others. Used by one thread at a time.
class LabelledOutput {
 public:
  /// Every line begins with `label` if there is one, of at most OutputSink::max_label bytes. `sink`
  /// outlives the object.
  LabelledOutput(OutputSink& sink, std::string label) : sink_{&sink}, label_{std::move(label)} {
    Expects(label_.size() <= OutputSink::max_label);
  }

  /// Whether a finished line should be seen at once.
  [[nodiscard]] bool flushes_lines() const noexcept { return sink_->terminal() || !label_.empty(); }

  [[nodiscard]] int output_descriptor() const noexcept { return sink_->fd(); }

  /// As OutputSink::write.
  Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const& limit) noexcept {
    return sink_->write(label_, bytes, limit);
  }

 private:
  OutputSink* sink_;
  std::string label_;
};

/// The program's own streams, shared by its guests.
class StandardStreams : public LabelledOutput {
 public:
  /// For guest number `guest`. `input` and `output` outlive the backend.
  StandardStreams(SharedInput& input, OutputSink& output, unsigned guest, std::string label = {})
      : LabelledOutput{output, std::move(label)}, input_{input, guest} {}

  [[nodiscard]] Input try_read() { return input_.try_read(); }

  [[nodiscard]] Input read(StopToken stop) { return input_.read(stop); }

  [[nodiscard]] int input_descriptor() const noexcept { return input_.fd(); }

 private:
  SharedInput::Reader input_;
};

/// What becomes of an earlier session's console file as it is opened.
enum class ConsoleFileContent : std::uint8_t { emptied, kept };

/// Empties a console file if it is a plain one. Throws std::system_error with `path` in its text.
inline void empty_console_file(int file, std::string const& path) {
  struct stat status{};
  if (::fstat(file, &status) != 0 || (S_ISREG(status.st_mode) && ::ftruncate(file, 0) != 0))
    throw std::system_error{errno, std::system_category(), "console file " + path};
}

/// Opens the file that consoles write to, or creates it. A plain file is emptied, unless the program
/// keeps its content, to call `empty_console_file` when it is sure to write. Throws
/// std::system_error if that cannot be done, or if it is one of `refused` (images, shared files),
/// which stays as it was.
[[nodiscard]] inline Fd open_console_file(
    std::string const& path, gsl::span<FileIdentity const> refused = {},
    ConsoleFileContent content = ConsoleFileContent::emptied) {
  auto const fail = [&](int error, char const* why) {
    throw std::system_error{error, std::system_category(), "console file " + path + why};
  };
  // Without waiting for the reader of a pipe, and without emptying what may be refused.
  Fd file{::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666)};
  if (!file) fail(errno, "");
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) fail(errno, "");
  if (holds(refused, identity_of(status)))
    fail(EBUSY, ": is an image or a shared file; name another");
  if (content == ConsoleFileContent::emptied) empty_console_file(file.get(), path);
  int const flags = ::fcntl(file.get(), F_GETFL);
  if (flags < 0 || ::fcntl(file.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) fail(errno, "");
  return file;
}

/// Output to a file. Input comes from where the program says, or is at its end.
class FileSink : public LabelledOutput {
 public:
  /// For guest number `guest`. `file`, usually `OutputSink{open_console_file(path)}` for all
  /// guests, and `input` outlive the backend.
  FileSink(OutputSink& file, unsigned guest, std::string label = {}, SharedInput* input = nullptr)
      : LabelledOutput{file, std::move(label)} {
    if (input != nullptr) input_.emplace(*input, guest);
  }

  [[nodiscard]] Input try_read() { return input_ ? input_->try_read() : Input{}; }

  [[nodiscard]] Input read(StopToken stop) { return input_ ? input_->read(stop) : Input{}; }

  [[nodiscard]] int input_descriptor() const noexcept { return input_ ? input_->fd() : -1; }

 private:
  std::optional<SharedInput::Reader> input_;
};

/// Memory: the guest reads `input` to its end, and what it writes gathers in `output`. For tests;
/// look at it when the console is flushed and nobody writes.
struct MemoryStreams {
  std::string input{};
  std::string output{};
  std::size_t next = 0;  ///< the first byte of `input` that was not read yet

  [[nodiscard]] bool flushes_lines() const noexcept { return false; }

  Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const&) {
    output.append(bytes.begin(), bytes.end());
    return {bytes.size(), 0, 0};
  }

  [[nodiscard]] Input try_read() noexcept {
    if (next == input.size()) return {};
    return {InputStatus::byte, static_cast<std::uint8_t>(input[next++])};
  }

  [[nodiscard]] Input read(StopToken) noexcept { return try_read(); }
};

/// The choice that a program makes on its command line.
using ConsoleBackend = std::variant<StandardStreams, FileSink, PseudoTerminal, MemoryStreams>;

}  // namespace portico
