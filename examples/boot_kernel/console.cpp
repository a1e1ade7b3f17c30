#include "console.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <system_error>
#include <utility>

namespace boot_kernel {

namespace {

using Clock = std::chrono::steady_clock;

termios terminal_before;

/// A fault of the program's own: it ends as it would have, on a terminal as it was.
void restore_and_end(int number) {
  if (portico::RawTerminal::is_in_foreground(STDIN_FILENO))
    ::tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
  ::raise(number);  // its default action, now that the handler is gone
}

void restore_on_faults() {
  if (::tcgetattr(STDIN_FILENO, &terminal_before) != 0) return;
  struct sigaction action{};
  action.sa_handler = restore_and_end;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (int const number : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGTRAP})
    ::sigaction(number, &action, nullptr);
}

}  // namespace

Console::Console()
    : signals_{SIGINT,  SIGTERM, SIGHUP,    SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM,
               SIGXCPU, SIGPROF, SIGVTALRM, SIGIO,   SIGPWR,  SIGTSTP, SIGCONT},
      over_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
  if (!over_) throw std::system_error{errno, std::system_category(), "eventfd"};
  if (::isatty(STDIN_FILENO) == 0) return;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0)
    throw std::system_error{errno, std::system_category(), "pipe2"};
  keys_.reset(ends[0]);
  to_guest_.reset(ends[1]);
}

Console::~Console() = default;

int Console::guest_input() const { return keys_ ? keys_.get() : STDIN_FILENO; }

void Console::start(double timeout) {
  if (timeout > 0)
    deadline_ = Clock::now() +
                std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>{timeout});
  if (!keys_) return;
  restore_on_faults();
  raw_.emplace(STDIN_FILENO, portico::SignalKeys::guest);
}

void Console::finish() {
  std::uint64_t const one = 1;
  [[maybe_unused]] auto const written = ::write(over_.get(), &one, sizeof one);
}

void Console::restore() {
  if (raw_) raw_->restore();
}

Event Console::next() {
  if (!break_waits_ && !held_.empty()) {
    unsent_ += std::exchange(held_, {});
    pass_on();
  }
  while (events_.empty()) wait();
  Event const event = events_.front();
  events_.pop_front();
  return event;
}

void Console::wait() {
  int milliseconds = -1;
  if (deadline_) {
    auto const left =
        std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
    milliseconds = static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000));
  }
  // While the guest does not read, what is typed waits where it is; and in the background, it is
  // another's.
  bool const listens =
      to_guest_ && unsent_.empty() && !break_waits_ && raw_ && raw_->is_in_foreground();
  if (break_waits_) milliseconds = milliseconds < 0 ? 10 : std::min(milliseconds, 10);
  std::array<pollfd, 4> watched{{{over_.get(), POLLIN, 0},
                                 {signals_.fd(), POLLIN, 0},
                                 {listens ? STDIN_FILENO : -1, POLLIN, 0},
                                 {unsent_.empty() ? -1 : to_guest_.get(), POLLOUT, 0}}};
  ::poll(watched.data(), watched.size(), milliseconds);
  if (watched[1].revents != 0) {
    while (auto const number = signals_.take()) obey_signal(*number);
    return;  // while the program was stopped, somebody else may have read the keys
  }
  if (watched[2].revents != 0) take_keys();
  if (watched[3].revents != 0) pass_on();
  if (break_waits_) send_break();
  if (deadline_ && Clock::now() >= *deadline_) {
    deadline_.reset();
    events_.push_back(Event::time_limit);
  }
  if (watched[0].revents != 0) events_.push_back(Event::over);
}

void Console::take_keys() {
  std::array<char, 4096> keys{};
  ssize_t const count = ::read(STDIN_FILENO, keys.data(), keys.size());
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (count <= 0) {
    to_guest_.reset();  // the terminal is gone: the guest's input is at its end
    return;
  }
  escape_keys_.hear(
      {keys.data(), static_cast<std::size_t>(count)},
      [&](char key) { (break_waits_ ? held_ : unsent_) += key; }, [&](Wish wish) { obey(wish); });
  pass_on();
}

/// Hands the guest what the pipe has room for.
void Console::pass_on() {
  if (unsent_.empty() || !to_guest_) return;
  ssize_t const count = ::write(to_guest_.get(), unsent_.data(), unsent_.size());
  if (count > 0) unsent_.erase(0, static_cast<std::size_t>(count));
}

/// A break comes behind the keys before it, and before those behind it.
void Console::send_break() {
  int waiting = 0;
  if (!unsent_.empty() || ::ioctl(keys_.get(), FIONREAD, &waiting) != 0 || waiting != 0) return;
  break_waits_ = false;
  events_.push_back(Event::send_break);
}

void Console::obey(Wish wish) {
  switch (wish) {
    case Wish::help:
      std::fwrite(key_help.data(), 1, key_help.size(), stderr);
      break;
    case Wish::quit:
      events_.push_back(Event::quit);
      break;
    case Wish::power_button:
      events_.push_back(Event::power_button);
      break;
    case Wish::send_break:
      break_waits_ = true;
      break;
    case Wish::hold_disks:
      events_.push_back(Event::toggle_disks);
      break;
    case Wish::window_size:
      type_window_size();
      break;
    case Wish::suspend:
      suspend();
      break;
  }
}

void Console::obey_signal(int number) {
  if (number == SIGTSTP)
    suspend();
  else if (number == SIGCONT)
    resume();
  else if (number == SIGUSR1)
    events_.push_back(Event::hold_disks);
  else if (number == SIGUSR2)
    events_.push_back(Event::let_disks_go);
  else
    events_.push_back(Event::quit);
}

/// The whole program stops here, until somebody continues it.
void Console::suspend() {
  restore();
  ::raise(SIGSTOP);  // to this thread: another's would stop it somewhere below
  resume();
}

void Console::resume() {
  if (raw_) raw_->resume();
}

void Console::type_window_size() {
  winsize size{};
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return;
  (break_waits_ ? held_ : unsent_) +=
      "stty rows " + std::to_string(size.ws_row) + " cols " + std::to_string(size.ws_col) + "\r";
}

}  // namespace boot_kernel
