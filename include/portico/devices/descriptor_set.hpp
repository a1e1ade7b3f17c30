/// Several descriptors of the host as one: for a device that waits for its input, for room in its
/// output, for the time to try again, and for the program, and has one watch.
///
///     #include <portico/device/watch.hpp>
///     #include <portico/devices/descriptor_set.hpp>
///     void begin(portico::DescriptorSet& set, portico::Watch& watch) {
///       (void)set.add_input(STDIN_FILENO);
///       watch.arm(set.descriptor());
///     }
///     void event(portico::DescriptorSet& set, portico::Watch& watch) {
///       set.drain();                                  // then look at all of them
///       watch.arm(set.descriptor());
///     }
///
/// Each tells once that it has become ready, not that it is: who is told reads or writes until the
/// host has no more. So a terminal that nobody is attached to, or an input at its end, does not
/// tell again and again. Source: epoll(7), EPOLLET; an epoll descriptor can be waited for itself.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include <portico/base/fd.hpp>

namespace portico {

/// Movable while nobody uses it. `wake` is safe from any thread, the rest for one at a time.
class DescriptorSet {
 public:
  /// Throws std::system_error if the host has no descriptors left.
  DescriptorSet()
      : set_{::epoll_create1(EPOLL_CLOEXEC)},
        wake_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)},
        timer_{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)} {
    if (!set_ || !wake_ || !timer_ || !add(wake_.get(), EPOLLIN) || !add(timer_.get(), EPOLLIN))
      throw std::system_error{errno, std::system_category(), "descriptor set"};
  }

  /// Readable when one of those that were added has become ready.
  [[nodiscard]] int descriptor() const noexcept { return set_.get(); }

  /// Takes back that any is ready.
  void drain() noexcept {
    std::array<epoll_event, 8> ready{};
    (void)::epoll_wait(set_.get(), ready.data(), static_cast<int>(ready.size()), 0);
  }

  /// Tells when `input` has something to read, from what it has now on. Added again, nothing
  /// changes. False if it cannot be waited for, as a file, which always has something. It stays
  /// the caller's, and open as long as it is in the set.
  bool add_input(int input) noexcept {
    if (input < 0) return false;
    if (input_ == input) return true;
    if (input_ >= 0) remove(input_);
    input_ = add(input, EPOLLIN) ? input : -1;
    return input_ >= 0;
  }

  /// Tells when `output` has room, if it has now at once. Likewise.
  bool add_output(int output) noexcept {
    if (output < 0) return false;
    if (output_) return true;
    // A copy: it may be the input too, and that is in the set already.
    output_ = Fd{::dup(output)};
    if (output_ && !add(output_.get(), EPOLLOUT)) output_.reset();
    return static_cast<bool>(output_);
  }

  /// It is not waited for any more.
  void remove_output() noexcept {
    if (!output_) return;
    remove(output_.get());
    output_.reset();
  }

  /// Tells in so many milliseconds, from 1 on; what was asked for before is forgotten.
  void tell_in(unsigned milliseconds) noexcept {
    itimerspec when{};
    when.it_value.tv_sec = milliseconds / 1000;
    when.it_value.tv_nsec = static_cast<long>(milliseconds % 1000) * 1'000'000;
    (void)::timerfd_settime(timer_.get(), 0, &when, nullptr);
  }

  /// Tells now.
  void wake() const noexcept {
    std::uint64_t const one = 1;
    [[maybe_unused]] auto const written = ::write(wake_.get(), &one, sizeof one);
  }

 private:
  [[nodiscard]] bool add(int descriptor, std::uint32_t events) const noexcept {
    epoll_event wanted{};
    wanted.events = events | EPOLLET;
    return ::epoll_ctl(set_.get(), EPOLL_CTL_ADD, descriptor, &wanted) == 0;
  }

  void remove(int descriptor) const noexcept {
    epoll_event unused{};
    (void)::epoll_ctl(set_.get(), EPOLL_CTL_DEL, descriptor, &unused);
  }

  Fd set_;
  Fd wake_;
  Fd timer_;
  int input_ = -1;
  Fd output_;
};

}  // namespace portico
