// A hypervisor for course guests: one or many flat images, each a virtual machine on a thread of
// its own, with a console at port 0xE9 and files at port 0x278. README.md beside this file says
// what guests can rely on.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <portico/devices/local_directory.hpp>
#include <portico/devices/raw_terminal.hpp>
#include <portico/devices/shared_files.hpp>

#include "../common/signals.hpp"
#include "guest.hpp"
#include "options.hpp"

namespace mini_hypervisor {
namespace {

using portico::Fd;

/// 500 guests need more descriptors than the soft limit.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

/// All guests of one call, and what they share.
class Session {
 public:
  explicit Session(Options const& options)
      : options_{options},
        shared_{options.files},
        directory_{::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)},
        input_{STDIN_FILENO, options.input} {
    if (!directory_) throw std::system_error{errno, std::system_category(), "working directory"};
    std::vector<portico::FlatImage> images;
    for (std::string const& path : options.images) {
      images.emplace_back(path);
      protect(portico::identity_of(images.back().fd()));
    }
    for (int const stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
      protect(portico::identity_of(stream));
    open_output();
    portico::kvm::System const system;
    for (unsigned id = 0; id < images.size(); ++id) {
      portico::LocalDirectory const local{directory_.get(), id, shared_, protected_};
      guests_.push_back(std::make_unique<Guest>(system, id, images[id], options, backend(id),
                                                portico::GuestFiles{shared_, local}));
    }
    // Only now: where no guest can start, the file stays as it was.
    if (options.console == ConsoleKind::file)
      portico::empty_console_file(output_->fd(), options.console_path);
  }

  [[nodiscard]] std::string map() const {
    return examples::map_text<Board>(guests_.front()->memory());
  }

  /// Runs every guest to its end; the exit status.
  int run(examples::Signals const& signals) {
    std::optional<portico::RawTerminal> raw;
    if (options_.raw) raw.emplace(STDIN_FILENO);
    start();
    if (!trouble_) watch(signals);
    for (std::thread& thread : threads_) thread.join();
    // A person's prompt begins a line; a file or a pipe gets what the guests wrote and no byte
    // more.
    if (output_ && (output_->terminal() || options_.prefix)) output_->end_line();
    if (raw) raw->restore();
    return report();
  }

 private:
  /// A file that no guest may overwrite.
  void protect(std::optional<portico::FileIdentity> const& file) {
    if (file) protected_.push_back(*file);
  }

  void open_output() {
    if (options_.console == ConsoleKind::stdio) {
      output_.emplace(STDOUT_FILENO);
    } else if (options_.console == ConsoleKind::file) {
      std::vector<portico::FileIdentity> refused = protected_;
      refused.insert(refused.end(), shared_.identities().begin(), shared_.identities().end());
      Fd file = portico::open_console_file(options_.console_path, refused,
                                           portico::ConsoleFileContent::kept);
      protect(portico::identity_of(file.get()));
      output_.emplace(std::move(file));
    }
  }

  portico::ConsoleBackend backend(unsigned id) {
    std::string label = options_.prefix ? "guest" + std::to_string(id) + ": " : std::string{};
    switch (options_.console) {
      case ConsoleKind::pty: {
        portico::PseudoTerminal terminal;
        std::fprintf(stderr, "guest %u (%s): console on %s\n", id, options_.images[id].c_str(),
                     terminal.name().c_str());
        return terminal;
      }
      case ConsoleKind::file:
        return portico::FileSink{*output_, id, std::move(label), &input_};
      case ConsoleKind::stdio:
        break;
    }
    return portico::StandardStreams{input_, *output_, id, std::move(label)};
  }

  void start() {
    done_ = Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!done_) throw std::system_error{errno, std::system_category(), "eventfd"};
    start_ = std::chrono::steady_clock::now();
    threads_.reserve(guests_.size());
    try {
      for (auto const& guest : guests_)
        threads_.emplace_back([this, &guest] {
          guest->run();
          std::uint64_t const one = 1;
          [[maybe_unused]] auto const written = ::write(done_.get(), &one, sizeof one);
        });
    } catch (std::system_error const& error) {
      if (threads_.empty()) throw;
      trouble_ = error.what();
      for (auto const& guest : guests_) guest->stop(Stopper::no_thread);
    }
  }

  /// Until all guests have ended: services consoles, keeps the time limit, and obeys signals.
  void watch(examples::Signals const& signals) {
    // A console's deadline is 40 ms after its first byte, and output is to be seen within 50.
    constexpr int tick_milliseconds = 8;
    while (!all_ended()) {
      pollfd watched[] = {{signals.fd(), POLLIN, 0}, {done_.get(), POLLIN, 0}};
      ::poll(watched, 2, tick_milliseconds);
      std::uint64_t count = 0;
      [[maybe_unused]] auto const drained = ::read(done_.get(), &count, sizeof count);
      if (signals.take())
        for (auto const& guest : guests_) guest->stop(Stopper::signal);
      std::chrono::duration<double> const elapsed = std::chrono::steady_clock::now() - start_;
      bool const too_long = options_.timeout > 0 && elapsed.count() >= options_.timeout;
      for (auto const& guest : guests_) {
        guest->service();
        if (too_long) guest->stop(Stopper::timeout);
      }
    }
  }

  [[nodiscard]] bool all_ended() const {
    for (auto const& guest : guests_)
      if (!guest->ended()) return false;
    return true;
  }

  /// What there is to say about how the guests ended.
  int report() {
    int status = 0;
    if (trouble_) {
      std::fprintf(stderr, "mini_hypervisor: a guest's thread: %s\n", trouble_->c_str());
      status = 1;
    }
    for (auto const& guest : guests_) {
      std::fputs(guest->statistics_text().c_str(), stderr);
      for (std::string const& line : {guest->report(options_.timeout), guest->loss()}) {
        if (line.empty()) continue;
        std::fprintf(stderr, "mini_hypervisor: %s\n", line.c_str());
        status = 1;
      }
    }
    return status;
  }

  Options const& options_;
  portico::SharedFiles shared_;
  Fd directory_;
  std::vector<portico::FileIdentity> protected_;
  portico::SharedInput input_;
  std::optional<portico::OutputSink> output_;
  std::vector<std::unique_ptr<Guest>> guests_;
  std::vector<std::thread> threads_;
  std::optional<std::string> trouble_;  // why not every guest was started
  Fd done_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace
}  // namespace mini_hypervisor

int main(int argc, char** argv) {
  using namespace mini_hypervisor;
  return examples::run_program("mini_hypervisor", parse(argc, argv), [](Options const& options) {
    raise_descriptor_limit();
    examples::Signals const signals{SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    Session session{options};
    if (options.watching.map) std::fputs(session.map().c_str(), stderr);
    return session.run(signals);
  });
}
