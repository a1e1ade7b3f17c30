// The keys that are for the program and not for the guest: those after Ctrl-A.
#pragma once

#include <string_view>

namespace boot_kernel {

/// What somebody at the terminal asks for.
enum class Wish { help, quit, power_button, send_break, hold_disks, window_size, suspend };

/// The text of Ctrl-A h.
inline constexpr std::string_view key_help =
    "Ctrl-A h  this help\n"
    "Ctrl-A x  end the machine\n"
    "Ctrl-A p  press the power button\n"
    "Ctrl-A b  send a break\n"
    "Ctrl-A d  hold the disks for a copy of their files, and let them go on\n"
    "Ctrl-A w  type `stty rows R cols C` with this window's size\n"
    "Ctrl-A z  suspend\n"
    "Ctrl-A a  send Ctrl-A\n";

/// Tells them apart; remembers an escape whose key has not come yet.
class EscapeKeys {
 public:
  static constexpr char escape = '\x01';

  /// Calls `send(char)` for each key that is the guest's and `ask(Wish)` for each wish, in the order
  /// in which they were struck. A key that means nothing after the escape is dropped.
  template <class Send, class Ask>
  void hear(std::string_view keys, Send send, Ask ask) {
    for (char const key : keys) {
      bool const escaped = escaped_;
      escaped_ = !escaped && key == escape;
      if (escaped_) continue;
      if (!escaped)
        send(key);
      else
        command(key, send, ask);
    }
  }

 private:
  template <class Send, class Ask>
  static void command(char key, Send& send, Ask& ask) {
    switch (key) {
      case escape:
      case 'a':
        send(escape);
        break;
      case 'h':
      case '?':
        ask(Wish::help);
        break;
      case 'x':
        ask(Wish::quit);
        break;
      case 'p':
        ask(Wish::power_button);
        break;
      case 'b':
        ask(Wish::send_break);
        break;
      case 'd':
        ask(Wish::hold_disks);
        break;
      case 'w':
        ask(Wish::window_size);
        break;
      case 'z':
        ask(Wish::suspend);
        break;
      default:
        break;
    }
  }

  bool escaped_ = false;
};

}  // namespace boot_kernel
