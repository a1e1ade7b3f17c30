// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// QEMU's device models, without a guest: QEMU's test protocol ("qtest") over a socket pair.
//
//   std::optional<std::string> program = portico::test::find_qemu();
//   portico::test::Qtest qemu{*program, {"-machine", "pc", "-nodefaults"}};
//   qemu.run({"irq_intercept_in ioapic"});
//   std::vector<portico::test::Reply> replies =
//       qemu.run({"outb 0x3f9 0x2", "clock_step 1000", "inb 0x3fa"});
//
// The processor stands in `cli; hlt`. Virtual time begins with 0 and stands still but for
// `clock_step`, which this class carries out itself (qemu_clock.cpp says why). Other commands are
// pipelined: in a batch each costs a few microseconds, a step of time some tens.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <portico/base/fd.hpp>

namespace portico::test {

/// QEMU by its path: what PORTICO_QEMU names (the laboratory's, which `./dev lab prepare` fetches),
/// or the system's; nothing if there is none.
inline std::optional<std::string> find_qemu() {
  if (char const* const named = std::getenv("PORTICO_QEMU"))
    if (::access(named, X_OK) == 0) return std::string{named};
  char const* const path = std::getenv("PATH");
  std::string_view folders = path != nullptr ? path : "";
  while (!folders.empty()) {
    std::size_t const end = folders.find(':');
    std::string program = std::string{folders.substr(0, end)} + "/qemu-system-x86_64";
    if (::access(program.c_str(), X_OK) == 0) return program;
    folders = end == std::string_view::npos ? std::string_view{} : folders.substr(end + 1);
  }
  return std::nullopt;
}

/// What QEMU said to one command.
struct Reply {
  std::uint64_t value = 0;   ///< what was read; of a clock command, the time
  std::uint32_t lines = 0;   ///< the intercepted interrupt lines that are high after it
  std::uint32_t raised = 0;  ///< how often one of those that are counted went up during it
};

/// A QEMU that is our child, and dies with us. Throws std::runtime_error if it ends, answers FAIL,
/// or keeps silent for a minute.
class Qtest {
 public:
  Qtest(std::string const& program, std::vector<std::string> const& arguments) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail("socketpair");
    socket_ = Fd{ends[0]};
    Fd const theirs{ends[1]};
    Fd const clock = make_clock();
    Fd const bios = make_bios();
    std::string const image = "/proc/self/fd/" + std::to_string(bios.get());
    std::vector<std::string> words{program,     "-qtest",          "stdio",      "-qtest-log",
                                   "/dev/null", "-display",        "none",       "-bios",
                                   image,       "-no-user-config", "-nodefaults"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    pointers.reserve(words.size() + 1);
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    std::string const descriptor = std::to_string(clock.get());
    ::pid_t const parent = ::getpid();
    child_ = ::fork();
    if (child_ < 0) fail("fork");
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::setenv("PORTICO_CLOCK_FD", descriptor.c_str(), 1);
      ::setenv("LD_PRELOAD", PORTICO_QEMU_CLOCK, 1);
      ::fcntl(clock.get(), F_SETFD, 0);
      ::fcntl(bios.get(), F_SETFD, 0);
      if (::getppid() == parent && ::dup2(theirs.get(), 0) == 0 && ::dup2(theirs.get(), 1) == 1)
        ::execv(pointers[0], pointers.data());
      ::_exit(127);
    }
    ::fcntl(socket_.get(), F_SETFL, ::fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
  }

  Qtest(Qtest const&) = delete;
  Qtest& operator=(Qtest const&) = delete;

  ~Qtest() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    if (time_ != nullptr) ::munmap(time_, sizeof *time_);
  }

  /// The lines that `Reply::raised` counts; all if nothing is said.
  void count_raised(std::uint32_t lines) { counted_ = lines; }

  /// Virtual time, in nanoseconds.
  [[nodiscard]] std::uint64_t now() const { return time_->load() - first_time; }

  /// Carries out commands; one reply each, in order.
  std::vector<Reply> run(std::vector<std::string> const& commands) {
    constexpr std::string_view step = "clock_step ";
    std::vector<Reply> replies;
    replies.reserve(commands.size());
    raised_ = 0;
    std::string text;
    for (std::string const& command : commands) {
      if (!command.starts_with(step)) {
        text.append(command).push_back('\n');
        continue;
      }
      exchange(std::exchange(text, {}), replies);
      step_clock(std::strtoull(command.c_str() + step.size(), nullptr, 0), replies);
    }
    exchange(text, replies);
    return replies;
  }

 private:
  // What CLOCK_MONOTONIC says as QEMU starts: not 0, which QEMU takes for no time at all.
  static constexpr std::uint64_t first_time = 1'000'000'000;

  [[noreturn]] static void fail(char const* call) {
    throw std::system_error{errno, std::system_category(), call};
  }

  Fd make_clock() {
    Fd clock{::memfd_create("clock", MFD_CLOEXEC)};
    if (!clock || ::ftruncate(clock.get(), sizeof *time_) != 0) fail("memfd_create");
    void* const page =
        ::mmap(nullptr, sizeof *time_, PROT_READ | PROT_WRITE, MAP_SHARED, clock.get(), 0);
    if (page == MAP_FAILED) fail("mmap");
    time_ = static_cast<std::atomic<std::uint64_t>*>(page);
    time_->store(first_time);
    return clock;
  }

  /// A BIOS that stops the processor: cli; hlt; jmp to the hlt, at the reset vector.
  static Fd make_bios() {
    Fd bios{::memfd_create("bios", MFD_CLOEXEC)};
    std::array<unsigned char, 65536> image{};
    std::array<unsigned char, 4> const code{0xFA, 0xF4, 0xEB, 0xFD};
    std::copy(code.begin(), code.end(), image.end() - 16);
    if (!bios ||
        ::write(bios.get(), image.data(), image.size()) != static_cast<ssize_t>(image.size()))
      fail("memfd_create");
    return bios;
  }

  /// QEMU's main loop carries out commands and then looks at its timers: once the second command
  /// that does nothing is answered, every timer that is due has run.
  void step_clock(std::uint64_t nanoseconds, std::vector<Reply>& replies) {
    time_->fetch_add(nanoseconds);
    std::vector<Reply> nothing;
    exchange("endianness\n", nothing);
    exchange("endianness\n", nothing);
    replies.push_back({now(), lines_, nothing[0].raised + nothing[1].raised});
  }

  /// Sends commands, each with its newline, and takes a reply for each.
  void exchange(std::string_view commands, std::vector<Reply>& replies) {
    std::size_t const count = replies.size() + static_cast<std::size_t>(std::count(
                                                   commands.begin(), commands.end(), '\n'));
    while (replies.size() < count) {
      pollfd watched{socket_.get(),
                     static_cast<short>(commands.empty() ? POLLIN : POLLIN | POLLOUT), 0};
      if (::poll(&watched, 1, 60'000) == 0) throw std::runtime_error{"QEMU keeps silent"};
      if ((watched.revents & POLLOUT) != 0) send(commands);
      if ((watched.revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive(replies);
    }
  }
  [[noreturn]] static void ended() {
    throw std::runtime_error{"QEMU has ended; what it said is above"};
  }

  void send(std::string_view& commands) {
    ssize_t const sent = ::send(socket_.get(), commands.data(), commands.size(), MSG_NOSIGNAL);
    if (sent > 0) commands.remove_prefix(static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EAGAIN && errno != EINTR) ended();
  }

  void receive(std::vector<Reply>& replies) {
    std::array<char, 65536> buffer;
    ssize_t const got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) ended();
    pending_.append(buffer.data(), static_cast<std::size_t>(got));
    std::size_t start = 0;
    for (std::size_t end; (end = pending_.find('\n', start)) != std::string::npos; start = end + 1)
      line(std::string_view{pending_}.substr(start, end - start), replies);
    pending_.erase(0, start);
  }

  void line(std::string_view text, std::vector<Reply>& replies) {
    if (text.starts_with("IRQ raise ")) {
      lines_ |= bit(text);
      if ((bit(text) & counted_) != 0) ++raised_;
    } else if (text.starts_with("IRQ lower ")) {
      lines_ &= ~bit(text);
    } else if (text.starts_with("OK")) {
      std::string const value{text.substr(2)};
      replies.push_back(
          {std::strtoull(value.c_str(), nullptr, 0), lines_, std::exchange(raised_, 0)});
    } else {
      throw std::runtime_error{"QEMU says: " + std::string{text}};
    }
  }

  static std::uint32_t bit(std::string_view text) {
    unsigned long const number = std::strtoul(std::string{text.substr(10)}.c_str(), nullptr, 10);
    return number < 32 ? 1U << number : 0;
  }

  ::pid_t child_ = -1;
  Fd socket_;
  std::atomic<std::uint64_t>* time_ = nullptr;  // shared with QEMU
  std::string pending_;
  std::uint32_t lines_ = 0;
  std::uint32_t raised_ = 0;
  std::uint32_t counted_ = ~0U;
};

}  // namespace portico::test
