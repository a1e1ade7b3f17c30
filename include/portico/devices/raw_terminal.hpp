/// A terminal in raw mode, for as long as an object lives.
///
///     #include <portico/devices/raw_terminal.hpp>
///     portico::RawTerminal const raw{STDIN_FILENO};     // keys reach the guest as they are struck
///     char key = 0;
///     bool const struck = ::read(STDIN_FILENO, &key, 1) == 1;
///     // cooked again where `raw` ends, also after an exception
///
/// Signal keys stay on, so that Ctrl-C still stops the program, unless the guest is to have them;
/// output is left alone, so that the program's own lines end as usual. A program that is killed, or
/// ends without unwinding, leaves the terminal raw: catch Ctrl-C, stop the machines, and return from
/// `main`.
#pragma once

#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace portico {

/// Who gets Ctrl-C, Ctrl-Z and Ctrl-\: the program, as signals, or the guest.
enum class SignalKeys : std::uint8_t { program, guest };

/// Puts a terminal into raw mode and restores what it found.
class RawTerminal {
 public:
  /// Does nothing if `descriptor`, which must stay open, is not a terminal. Throws
  /// std::system_error if a terminal refuses.
  explicit RawTerminal(int descriptor, SignalKeys keys = SignalKeys::program)
      : descriptor_{descriptor} {
    if (::isatty(descriptor) == 0) return;
    if (::tcgetattr(descriptor, &cooked_) != 0)
      throw std::system_error{errno, std::system_category(), "raw terminal: tcgetattr"};
    raw_ = cooked_;
    raw_.c_iflag &=
        ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw_.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN);
    if (keys == SignalKeys::guest) raw_.c_lflag &= ~static_cast<tcflag_t>(ISIG);
    raw_.c_cc[VMIN] = 1;
    raw_.c_cc[VTIME] = 0;
    if (::tcsetattr(descriptor, TCSANOW, &raw_) != 0)
      throw std::system_error{errno, std::system_category(), "raw terminal: tcsetattr"};
    active_ = was_terminal_ = true;
  }

  RawTerminal(RawTerminal const&) = delete;
  RawTerminal& operator=(RawTerminal const&) = delete;

  ~RawTerminal() { restore(); }

  /// Back to what it was; again is harmless. In the background nothing is done, as the shell has set
  /// its own mode. Not for a signal handler's thread while another one may destroy the object.
  void restore() noexcept {
    if (active_ && is_in_foreground()) ::tcsetattr(descriptor_, TCSANOW, &cooked_);
    active_ = false;
  }

  /// Raw again, for a program that was suspended: a shell has set its own mode meanwhile. In the
  /// background nothing is done: SIGCONT comes once more with the foreground.
  void resume() noexcept {
    if (was_terminal_ && is_in_foreground())
      active_ = ::tcsetattr(descriptor_, TCSANOW, &raw_) == 0;
  }

  /// Whether the terminal is ours to use: not while it is our controlling terminal with another
  /// process group in the foreground. Who uses it then is stopped (SIGTTIN, SIGTTOU).
  [[nodiscard]] bool is_in_foreground() const noexcept { return is_in_foreground(descriptor_); }

  [[nodiscard]] static bool is_in_foreground(int descriptor) noexcept {
    pid_t const group = ::tcgetpgrp(descriptor);
    return group < 0 || group == ::getpgrp();
  }

  /// Whether a terminal is in raw mode because of this object.
  [[nodiscard]] bool active() const noexcept { return active_; }

 private:
  int descriptor_;
  termios cooked_{};
  termios raw_{};
  bool active_ = false;
  bool was_terminal_ = false;
};

}  // namespace portico
