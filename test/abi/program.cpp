// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
#include "program.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <stdexcept>
#include <system_error>

#include "support/requires.hpp"

namespace portico::abi {
namespace {

#if defined(__has_feature)
constexpr bool thread_sanitized = __has_feature(thread_sanitizer);
#else
constexpr bool thread_sanitized = false;
#endif

int checked(int result, char const* call) {
  if (result < 0) throw std::system_error{errno, std::generic_category(), call};
  return result;
}

std::string environment(char const* name) {
  char const* const value = std::getenv(name);
  if (value == nullptr) throw std::runtime_error{std::string{name} + " is not set"};
  return value;
}

std::string read_all(std::filesystem::path const& path) {
  std::ifstream stream{path, std::ios::binary};
  if (!stream) throw std::runtime_error{"cannot read " + path.string()};
  return {std::istreambuf_iterator<char>{stream}, {}};
}

struct Pipe {
  int read = -1;
  int write = -1;
};

Pipe make_pipe() {
  int ends[2];
  checked(::pipe2(ends, O_CLOEXEC), "pipe2");
  return {ends[0], ends[1]};
}

void close_if_open(int& descriptor) {
  if (descriptor >= 0) ::close(descriptor);
  descriptor = -1;
}

Pipe make_terminal() {
  int const ours = checked(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), "posix_openpt");
  checked(::grantpt(ours), "grantpt");
  checked(::unlockpt(ours), "unlockpt");
  char name[128];
  checked(::ptsname_r(ours, name, sizeof name) == 0 ? 0 : -1, "ptsname_r");
  return {checked(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC), "open terminal"), ours};
}

/// What the child does between fork and exec; returns only if it fails.
void become(std::string const& program, std::vector<std::string> const& arguments,
            Folder const& folder, Surroundings const& surroundings, int in, int out, int error) {
  if (::chdir((folder / surroundings.directory).c_str()) != 0) return;
  if (surroundings.input == Surroundings::Input::terminal &&
      (::setsid() < 0 || ::ioctl(in, TIOCSCTTY, 0) != 0)) {
    return;
  }
  if (::dup2(out, 1) < 0 || ::dup2(error, 2) < 0) return;
  if (in < 0) {
    ::close(0);
  } else if (::dup2(in, 0) < 0) {
    return;
  }
  if (surroundings.outputs_closed) {
    ::close(1);
    ::close(2);
  }
  if (surroundings.soft_descriptors) {
    rlimit limit;
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = *surroundings.soft_descriptors;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  }
  if (surroundings.file_bytes) {
    // Clang's thread sanitizer writes a file of its own before main.
    if (thread_sanitized) ::signal(SIGXFSZ, SIG_IGN);
    rlimit const limit{*surroundings.file_bytes, *surroundings.file_bytes};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return;
  }
  if (surroundings.root_is_nobody && ::geteuid() == 0 &&
      (::prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE) != 0 ||
       ::prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH) != 0)) {
    return;
  }
  ::signal(SIGPIPE, SIG_DFL);
  std::vector<char*> pointers;
  pointers.push_back(const_cast<char*>(program.c_str()));
  for (std::string const& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  ::execv(program.c_str(), pointers.data());
}

}  // namespace

Folder::Folder() {
  std::string name = (std::filesystem::temp_directory_path() / "portico-abi-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::system_error{errno, std::generic_category(), "mkdtemp"};
  }
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Folder::take(std::string_view image, std::string_view as) const {
  write(as.empty() ? image : as, image_bytes(image));
}

void Folder::write(std::string_view name, std::string_view content) const {
  std::filesystem::create_directories((path_ / name).parent_path());
  std::ofstream stream{path_ / name, std::ios::binary | std::ios::trunc};
  stream << content;
  if (!stream.flush()) throw std::runtime_error{"cannot write " + (path_ / name).string()};
}

std::optional<std::string> Folder::read(std::string_view name) const {
  if (!std::filesystem::exists(path_ / name)) return std::nullopt;
  return read_all(path_ / name);
}

std::vector<std::string> Folder::names(std::string_view below) const {
  std::vector<std::string> found;
  for (auto const& entry : std::filesystem::directory_iterator{path_ / below}) {
    found.push_back(entry.path().filename().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string image_bytes(std::string_view image) {
  return read_all(std::filesystem::path{environment("PORTICO_ABI_GUESTS")} / image);
}

Program::Program(Folder const& folder, std::vector<std::string> const& arguments,
                 Surroundings const& surroundings)
    : deadline_{std::chrono::steady_clock::now() + std::chrono::seconds{120} * test::time_scale()} {
  using Input = Surroundings::Input;
  static bool const quiet = [] {
    return ::signal(SIGPIPE, SIG_IGN) != SIG_ERR;  // a program may end without reading its input
  }();
  (void)quiet;
  std::string const program = environment("PORTICO_EXAMPLES") + "/" + surroundings.program;
  Pipe in;
  switch (surroundings.input) {
    case Input::text:
    case Input::open:
      in = make_pipe();
      break;
    case Input::closed:
      break;
    case Input::folder:
      in.read = checked(::open(folder.path().c_str(), O_RDONLY | O_CLOEXEC), "open folder");
      break;
    case Input::terminal:
      in = make_terminal();
      break;
  }
  is_terminal_ = surroundings.input == Input::terminal;
  Pipe out = make_pipe();
  Pipe error = make_pipe();
  if (surroundings.pipe_bytes)
    checked(::fcntl(out.write, F_SETPIPE_SZ, *surroundings.pipe_bytes), "F_SETPIPE_SZ");
  int out_target = is_terminal_ ? in.read : out.write;
  int file = -1;
  if (surroundings.out_file) {
    file = checked(::open((folder / *surroundings.out_file).c_str(),
                          O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644),
                   "open output file");
    out_target = file;
  }

  process_ = checked(::fork(), "fork");
  if (process_ == 0) {
    become(program, arguments, folder, surroundings, in.read, out_target, error.write);
    ::_exit(126);
  }
  close_if_open(in.read);
  close_if_open(out.write);
  close_if_open(error.write);
  close_if_open(file);
  to_ = in.write;
  if (to_ >= 0) checked(::fcntl(to_, F_SETFL, O_NONBLOCK), "fcntl");
  if (is_terminal_) {
    close_if_open(out.read);
    from_ = checked(::fcntl(to_, F_DUPFD_CLOEXEC, 0), "fcntl");
  } else {
    from_ = out.read;
  }
  errors_ = error.read;
  if (surroundings.input == Input::text) {
    send(surroundings.text);
    end_input();
  }
}

Program::~Program() {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  close_if_open(to_);
  close_if_open(from_);
  close_if_open(errors_);
}

void Program::send(std::string_view text) { unsent_ += text; }

void Program::end_input() { close_when_sent_ = true; }

void Program::signal(int number) const {
  if (process_ > 0) ::kill(process_, number);
}

/// One round: hands over input, takes output. False when there is nothing left to take.
bool Program::exchange(std::chrono::milliseconds patience) {
  if (unsent_.empty() && close_when_sent_ && !is_terminal_) close_if_open(to_);
  pollfd watched[3] = {
      {from_, POLLIN, 0}, {errors_, POLLIN, 0}, {unsent_.empty() ? -1 : to_, POLLOUT, 0}};
  if (from_ < 0 && errors_ < 0) return false;
  ::poll(watched, 3, static_cast<int>(patience.count()));
  auto const take = [](int& descriptor, short events, std::string& into) {
    if (descriptor < 0 || events == 0) return;
    char buffer[65536];
    ssize_t const count = ::read(descriptor, buffer, sizeof buffer);
    if (count > 0) {
      into.append(buffer, static_cast<std::size_t>(count));
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      close_if_open(descriptor);  // EIO: the last one has left the terminal
    }
  };
  take(from_, watched[0].revents, result_.out);
  take(errors_, watched[1].revents, result_.error);
  if (watched[2].revents != 0) {
    ssize_t const count = ::write(to_, unsent_.data(), unsent_.size());
    if (count >= 0) unsent_.erase(0, static_cast<std::size_t>(count));
    if (count < 0 && errno != EAGAIN && errno != EINTR) unsent_.clear();
  }
  return true;
}

bool Program::overdue() {
  if (std::chrono::steady_clock::now() < deadline_) return false;
  ADD_FAILURE() << "the program hangs; so far it said\n" << result_.out << "\n" << result_.error;
  signal(SIGKILL);
  deadline_ = std::chrono::steady_clock::time_point::max();
  return true;
}

bool Program::wait_for_output(std::string_view text) { return wait_for(text, result_.out); }

bool Program::wait_for_error(std::string_view text) { return wait_for(text, result_.error); }

bool Program::wait_for(std::string_view text, std::string const& said) {
  using namespace std::chrono_literals;
  while (said.find(text) == std::string::npos) {
    if (!exchange(100ms) || overdue()) return false;
  }
  return true;
}

void Program::go_on_for(std::chrono::milliseconds time) {
  using namespace std::chrono_literals;
  auto const end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end && exchange(10ms)) continue;
}

bool Program::ends_unread() {
  siginfo_t info{};
  while (info.si_pid == 0) {
    if (overdue()) return false;
    ::usleep(10'000);
    checked(::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT),
            "waitid");
  }
  return true;
}

Result Program::finish() {
  using namespace std::chrono_literals;
  while (exchange(100ms)) overdue();
  int status = 0;
  for (;;) {
    pid_t const ended = checked(::waitpid(process_, &status, WNOHANG), "waitpid");
    if (ended == process_) break;
    overdue();
    ::usleep(1000);
  }
  process_ = -1;
  result_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  return result_;
}

Result run(Folder const& folder, std::vector<std::string> const& arguments,
           Surroundings const& surroundings) {
  return Program{folder, arguments, surroundings}.finish();
}

std::vector<std::string> lines(std::string_view text) {
  std::vector<std::string> found;
  while (!text.empty()) {
    std::size_t const end = std::min(text.find('\n'), text.size());
    found.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

bool names_guest(std::string_view error, unsigned id, std::string_view image) {
  if (error.find(image) != std::string_view::npos) return true;
  std::regex const number{"guest[ #]*" + std::to_string(id) + "([^0-9]|$)",
                          std::regex::icase | std::regex::ECMAScript};
  return std::regex_search(std::string{error}, number);
}

}  // namespace portico::abi
