/// A terminal in raw mode, for as long as an object lives.
///
///     #include <portico/devices/raw_terminal.hpp>
///     portico::RawTerminal const raw{STDIN_FILENO};     // keys reach the guest as they are struck
///     char key = 0;
///     bool const struck = ::read(STDIN_FILENO, &key, 1) == 1;
///     // cooked again where `raw` ends, also after an exception
///
/// Signal keys stay on, so that Ctrl-C still stops the program; output is left alone, so that the
/// program's own lines end as usual. A program that is killed, or ends without unwinding, leaves
/// the terminal raw: catch Ctrl-C, stop the machines, and return from `main`.
#pragma once

#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace portico {

/// Puts a terminal into raw mode and restores what it found.
class RawTerminal {
 public:
  /// Does nothing if `descriptor`, which must stay open, is not a terminal. Throws
  /// std::system_error if a terminal refuses.
  explicit RawTerminal(int descriptor) : descriptor_{descriptor} {
    if (::isatty(descriptor) == 0) return;
    if (::tcgetattr(descriptor, &cooked_) != 0)
      throw std::system_error{errno, std::system_category(), "raw terminal: tcgetattr"};
    termios raw = cooked_;
    raw.c_iflag &=
        ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (::tcsetattr(descriptor, TCSANOW, &raw) != 0)
      throw std::system_error{errno, std::system_category(), "raw terminal: tcsetattr"};
    active_ = true;
  }

  RawTerminal(RawTerminal const&) = delete;
  RawTerminal& operator=(RawTerminal const&) = delete;

  ~RawTerminal() { restore(); }

  /// Back to what it was; again is harmless. Not for a signal handler's thread while another one
  /// may destroy the object.
  void restore() noexcept {
    if (!active_) return;
    ::tcsetattr(descriptor_, TCSANOW, &cooked_);
    active_ = false;
  }

  /// Whether a terminal is in raw mode because of this object.
  [[nodiscard]] bool active() const noexcept { return active_; }

 private:
  int descriptor_;
  termios cooked_{};
  bool active_ = false;
};

}  // namespace portico
