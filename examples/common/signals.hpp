// Signals as something to poll for, beside everything else that a program waits for.
#pragma once

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <optional>
#include <system_error>

#include <portico/base/fd.hpp>

namespace examples {

/// A descriptor that tells of signals; from its construction on they reach nobody in any other way,
/// in no thread. Made before the first thread is.
class Signals {
 public:
  Signals(std::initializer_list<int> numbers) {
    sigset_t set;
    ::sigemptyset(&set);
    for (int const number : numbers) ::sigaddset(&set, number);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    fd_ = portico::Fd{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (!fd_) throw std::system_error{errno, std::system_category(), "signalfd"};
  }

  [[nodiscard]] int fd() const { return fd_.get(); }

  /// Takes one signal off: its number, if there was one.
  [[nodiscard]] std::optional<int> take() const {
    signalfd_siginfo info{};
    if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
    return static_cast<int>(info.ssi_signo);
  }

 private:
  portico::Fd fd_;
};

}  // namespace examples
