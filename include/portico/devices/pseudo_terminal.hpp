/// A console on a pseudo-terminal: the guest at one end, any terminal program at the other.
///
///     #include <portico/devices/pseudo_terminal.hpp>
///     portico::PseudoTerminal terminal;
///     std::fprintf(stderr, "guest 0: %s\n", terminal.name().c_str());   // screen /dev/pts/7
///     std::array<std::uint8_t, 3> const bytes{'h', 'i', 10};
///     terminal.write(bytes, {});
///
/// The other end begins in raw mode. Who is not there yet finds the first few KiB of output when he
/// comes; what does not fit while nobody is attached is lost, and counted. A reader who is attached
/// and does not read holds the guest up, as a full pipe would.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>
#include <portico/devices/output_sink.hpp>
#include <portico/devices/shared_input.hpp>
#include <portico/devices/wait.hpp>

namespace portico {

/// The master end of a pseudo-terminal. Movable while nobody uses it; one thread reads, and one at
/// a time writes.
class PseudoTerminal {
 public:
  /// Opens a new one. Throws std::system_error if the host has none left.
  PseudoTerminal() : master_{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)} {
    if (!master_) fail("posix_openpt");
    if (::grantpt(master_.get()) != 0) fail("grantpt");
    if (::unlockpt(master_.get()) != 0) fail("unlockpt");
    std::array<char, 64> name{};
    if (int const error = ::ptsname_r(master_.get(), name.data(), name.size()); error != 0) {
      errno = error;
      fail("ptsname_r");
    }
    name_ = name.data();
    Fd const other_end{::open(name_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
    termios mode{};
    if (!other_end || ::tcgetattr(other_end.get(), &mode) != 0) fail(name_.c_str());
    ::cfmakeraw(&mode);
    if (::tcsetattr(other_end.get(), TCSANOW, &mode) != 0) fail("tcsetattr");
    sink_ = std::make_unique<OutputSink>(master_.get());
  }

  PseudoTerminal(PseudoTerminal&&) noexcept = default;
  PseudoTerminal& operator=(PseudoTerminal&&) noexcept = default;
  PseudoTerminal(PseudoTerminal const&) = delete;
  PseudoTerminal& operator=(PseudoTerminal const&) = delete;

  /// Closing would take from an attached reader what he has not read yet, so he gets a moment.
  ~PseudoTerminal() {
    if (master_ && attached()) let_reader_finish();
  }

  /// The path of the end to attach to, as /dev/pts/7.
  [[nodiscard]] std::string const& name() const noexcept { return name_; }

  /// Whether anybody has the other end open.
  [[nodiscard]] bool attached() const noexcept {
    return wait_for(master_.get(), 0, {{}, 0}) != Wait::hung_up;
  }

  /// A finished line should be seen at once.
  [[nodiscard]] bool flushes_lines() const noexcept { return true; }

  Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const& limit) noexcept {
    return sink_->write({}, bytes, limit);
  }

  [[nodiscard]] Input try_read() noexcept {
    if (next_ == filled_) refill();
    if (next_ == filled_) return {InputStatus::would_wait};
    return {InputStatus::byte, buffer_[next_++]};
  }

  /// Both ways lead to the other end.
  [[nodiscard]] int input_descriptor() const noexcept { return master_.get(); }

  [[nodiscard]] int output_descriptor() const noexcept { return master_.get(); }

  /// A pseudo-terminal has no end of input: whoever leaves may come back.
  [[nodiscard]] Input read(StopToken stop) noexcept {
    for (;;) {
      if (Input const got = try_read(); got.status == InputStatus::byte) return got;
      Wait wait = wait_for(master_.get(), POLLIN, {stop, -1});
      // With nobody attached, poll reports that again and again: look now and then.
      if (wait == Wait::hung_up) wait = wait_for(-1, 0, {stop, attach_milliseconds});
      if (wait == Wait::stopped) return {InputStatus::cancelled};
    }
  }

 private:
  static constexpr int attach_milliseconds = 50;
  static constexpr int finish_milliseconds = 1000;

  [[noreturn]] static void fail(char const* call) {
    throw std::system_error{errno, std::system_category(), std::string{"pseudo-terminal: "} + call};
  }

  void refill() noexcept {
    ssize_t const count = ::read(master_.get(), buffer_.data(), buffer_.size());
    next_ = 0;
    filled_ = count > 0 ? static_cast<std::size_t>(count) : 0;
  }

  void let_reader_finish() const noexcept {
    Fd const other_end{::open(name_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
    // The kernel hands output over behind our back, so that one look at an empty queue says little.
    int empty_looks = 0;
    for (int waited = 0; waited < finish_milliseconds && empty_looks < 5; waited += 10) {
      (void)wait_for(-1, 0, {{}, 10});
      int unread = 0;
      if (::ioctl(other_end.get(), FIONREAD, &unread) != 0) return;
      empty_looks = unread == 0 ? empty_looks + 1 : 0;
    }
  }

  Fd master_;
  std::string name_;
  std::unique_ptr<OutputSink> sink_;
  std::array<std::uint8_t, 256> buffer_{};
  std::size_t next_ = 0;
  std::size_t filled_ = 0;
};

}  // namespace portico
