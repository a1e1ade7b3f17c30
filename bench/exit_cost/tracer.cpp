#include "tracer.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>

#include "exit_name.hpp"

namespace exit_cost {
namespace {

constexpr std::uint32_t kKvmRun = 0xAE80;  // _IO(KVMIO, 0x80)

[[noreturn]] void fail(char const* call) {
  throw std::system_error(errno, std::generic_category(), call);
}

/// What the next step will execute, from the bytes at the program counter.
enum class Instruction { Plain, SystemCall, RepeatedString };

Instruction classify(std::array<std::uint8_t, 16> const& bytes) {
  bool repeated = false;
  std::size_t i = 0;
  for (; i < 8; ++i) {
    std::uint8_t const byte = bytes[i];
    bool const rep = byte == 0xF2 || byte == 0xF3;
    bool const other_prefix = byte == 0x66 || byte == 0x67 || (byte & 0xF0) == 0x40 ||
                              byte == 0x2E || byte == 0x36 || byte == 0x3E || byte == 0x26 ||
                              byte == 0x64 || byte == 0x65;
    if (!rep && !other_prefix) break;
    repeated = repeated || rep;
  }
  std::uint8_t const first = bytes[i];
  std::uint8_t const second = bytes[i + 1];
  if ((first == 0x0F && (second == 0x05 || second == 0x34)) || (first == 0xCD && second == 0x80)) {
    return Instruction::SystemCall;
  }
  bool const string = (first >= 0xA4 && first <= 0xA7) || (first >= 0xAA && first <= 0xAF);
  return repeated && string ? Instruction::RepeatedString : Instruction::Plain;
}

struct Thread {
  enum class Mode {
    Watched,  ///< stopped at each system call
    Free,     ///< not stopped: not, or no longer, of interest
    Stepped,  ///< between two KVM_RUNs, one instruction at a time
  };

  pid_t process = 0;
  Mode mode = Mode::Watched;
  std::optional<std::size_t> index;  ///< order of the first KVM_RUN
  std::uint64_t exits = 0;
  // of the step under way
  std::uint64_t at = 0;
  Instruction instruction = Instruction::Plain;
  Sample sample{};
  // of the system call under way
  std::uint64_t call = 0;
  std::array<std::uint64_t, 6> arguments{};
};

std::sig_atomic_t volatile interrupted = 0;

void on_signal(int) { interrupted = 1; }

class Tracer {
 public:
  explicit Tracer(Options const& options) : options_{options} {}

  Result run() {
    start();
    while (!threads_.empty() && !finished()) {
      int status = 0;
      pid_t const id = waitpid(-1, &status, __WALL);
      if (id < 0) {
        if (errno == EINTR) continue;
        if (errno == ECHILD) break;
        fail("waitpid");
      }
      handle(id, status);
    }
    if (options_.path) read_mappings();
    end();
    for (auto const& [id, thread] : threads_) note_exits(id, thread);
    return std::move(result_);
  }

 private:
  bool enough() const { return result_.samples.size() >= options_.count || interrupted != 0; }

  bool finished() const { return interrupted != 0 || (enough() && !options_.let_finish); }

  void note_exits(int id, Thread const& thread) {
    if (thread.exits != 0) result_.exits[id] = thread.exits;
  }

  void start() {
    std::array<int, 2> go{};
    std::array<int, 2> failure{};
    if (pipe2(go.data(), O_CLOEXEC) != 0 || pipe2(failure.data(), O_CLOEXEC) != 0) fail("pipe2");
    main_ = fork();
    if (main_ < 0) fail("fork");
    if (main_ == 0) {
      char byte = 0;
      if (read(go[0], &byte, 1) != 1) _exit(127);
      std::vector<char*> arguments;
      for (auto const& word : options_.program)
        arguments.push_back(const_cast<char*>(word.c_str()));
      arguments.push_back(nullptr);
      execvp(arguments[0], arguments.data());
      int const error = errno;
      if (write(failure[1], &error, sizeof error) < 0) _exit(126);
      _exit(127);
    }
    close(go[0]);
    close(failure[1]);
    if (ptrace(PTRACE_SEIZE, main_, nullptr,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) != 0) {
      int const error = errno;
      kill(main_, SIGKILL);
      waitpid(main_, nullptr, 0);
      throw std::system_error(error, std::generic_category(),
                              "this process may not trace others (PTRACE_SEIZE)");
    }
    // Stopped at system calls from the very beginning: where each kvm_run page is mapped must be
    // seen.
    ptrace(PTRACE_INTERRUPT, main_, nullptr, nullptr);
    add(main_, main_);
    if (write(go[1], "x", 1) != 1) fail("write");
    close(go[1]);
    failure_ = failure[0];

    struct sigaction action{};
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    if (options_.timeout != 0) {
      sigaction(SIGALRM, &action, nullptr);
      // Repeated, so that one that comes just before waitpid is not lost.
      itimerval const timer{{1, 0}, {static_cast<time_t>(options_.timeout), 0}};
      setitimer(ITIMER_REAL, &timer, nullptr);
    }
  }

  /// A program that could not be executed says so through the pipe that a successful exec closes.
  void check_started() {
    if (failure_ < 0) return;
    int error = 0;
    ssize_t const got = read(failure_, &error, sizeof error);
    close(failure_);
    failure_ = -1;
    if (got == static_cast<ssize_t>(sizeof error)) {
      throw std::system_error(error, std::generic_category(), "cannot run " + options_.program[0]);
    }
  }

  void end() {
    for (auto const& [id, thread] : threads_) kill(thread.process, SIGKILL);
    while (waitpid(-1, nullptr, __WALL) > 0 || errno == EINTR) {
    }
    check_started();
  }

  Thread& add(pid_t id, pid_t process) {
    auto const [where, fresh] = threads_.try_emplace(id);
    if (fresh) where->second.process = process;
    return where->second;
  }

  static pid_t process_of(pid_t thread) {
    std::ifstream status{"/proc/" + std::to_string(thread) + "/status"};
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("Tgid:")) return static_cast<pid_t>(std::stol(line.substr(5)));
    }
    return thread;
  }

  void handle(pid_t id, int status) {
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (id == main_) {
        result_.ending = WIFEXITED(status) ? "exit status " + std::to_string(WEXITSTATUS(status))
                                           : std::string{"signal "} + strsignal(WTERMSIG(status));
      }
      if (auto const found = threads_.find(id); found != threads_.end()) {
        note_exits(id, found->second);
        threads_.erase(found);
      }
      return;
    }
    if (!WIFSTOPPED(status)) return;
    auto const known = threads_.find(id);
    Thread& thread = known != threads_.end() ? known->second : add(id, process_of(id));
    int const signal = WSTOPSIG(status);
    int const event = status >> 16;
    if (signal == (SIGTRAP | 0x80)) {
      at_system_call(id, thread);
    } else if (event == PTRACE_EVENT_STOP) {
      bool const group_stop =
          signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
      if (group_stop) {
        ptrace(PTRACE_LISTEN, id, nullptr, nullptr);
      } else {
        resume(id, thread, 0);
      }
    } else if (event != 0) {
      if (event == PTRACE_EVENT_EXEC) check_started();
      resume(id, thread, 0);
    } else if (signal == SIGTRAP && thread.mode == Thread::Mode::Stepped) {
      trapped(id, thread);
    } else {
      resume(id, thread, signal);
    }
  }

  void resume(pid_t id, Thread const& thread, int signal) {
    auto const request = thread.mode == Thread::Mode::Stepped   ? PTRACE_SINGLESTEP
                         : thread.mode == Thread::Mode::Watched ? PTRACE_SYSCALL
                                                                : PTRACE_CONT;
    ptrace(request, id, nullptr, signal);  // ESRCH: killed meanwhile, waitpid will tell
  }

  bool chosen(Thread const& thread) const {
    return thread.index && (options_.thread.all || *thread.index == options_.thread.index);
  }

  /// PTRACE_SYSCALL stop: before or after a system call of a watched thread.
  void at_system_call(pid_t id, Thread& thread) {
    __ptrace_syscall_info info{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, id, sizeof info, &info) <= 0) return;  // gone
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      thread.call = info.entry.nr;
      std::copy(std::begin(info.entry.args), std::end(info.entry.args), thread.arguments.begin());
      bool const kvm_run =
          thread.call == SYS_ioctl && static_cast<std::uint32_t>(thread.arguments[1]) == kKvmRun;
      if (kvm_run && !thread.index) thread.index = vcpu_threads_++;
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
      if (thread.call == SYS_mmap && info.exit.is_error == 0 &&
          static_cast<int>(thread.arguments[4]) >= 0) {
        pages_[{thread.process, static_cast<int>(thread.arguments[4])}] =
            static_cast<std::uint64_t>(info.exit.rval);
      } else if (thread.call == SYS_ioctl &&
                 static_cast<std::uint32_t>(thread.arguments[1]) == kKvmRun) {
        after_kvm_run(id, thread, info.exit.is_error != 0 ? static_cast<int>(-info.exit.rval) : 0);
        return;
      }
    }
    let_go(thread);
    resume(id, thread, 0);
  }

  /// A thread that is of no interest any more runs at full speed.
  void let_go(Thread& thread) const {
    bool const found = !options_.thread.all && vcpu_threads_ > options_.thread.index;
    if (enough() || (found && !chosen(thread))) thread.mode = Thread::Mode::Free;
  }

  void after_kvm_run(pid_t id, Thread& thread, int error) {
    ++thread.exits;
    if (chosen(thread) && thread.exits > options_.skip && !enough()) {
      auto const page = pages_.find({thread.process, static_cast<int>(thread.arguments[0])});
      std::string name = error == EINTR ? "signal"
                         : error != 0
                             ? std::string{"error: "} + strerror(error)
                             : exit_name(thread.process, page == pages_.end() ? 0 : page->second);
      if (options_.only.empty() || name.find(options_.only) != std::string::npos) {
        begin(id, thread, std::move(name));
        return;
      }
    }
    let_go(thread);
    resume(id, thread, 0);
  }

  void begin(pid_t id, Thread& thread, std::string name) {
    thread.mode = Thread::Mode::Stepped;
    thread.sample = Sample{
        .thread = id, .exit = std::move(name), .instructions = 0, .system_calls = {}, .path = {}};
    // Two processes that take turns do so several times faster on one CPU than on two.
    cpu_set_t allowed;
    if (sched_getaffinity(id, sizeof allowed, &allowed) == 0) {
      int const here = sched_getcpu();
      if (CPU_ISSET(static_cast<std::size_t>(here), &allowed) && CPU_COUNT(&allowed) > 1) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<std::size_t>(here), &one);
        sched_setaffinity(0, sizeof one, &one);
        sched_setaffinity(id, sizeof one, &one);
        moved_.try_emplace(id, allowed);
      }
    }
    look(id, thread);
  }

  /// Looks at the instruction to come: KVM_RUN ends the sample, anything else is executed.
  void look(pid_t id, Thread& thread) {
    user_regs_struct registers{};
    if (ptrace(PTRACE_GETREGS, id, nullptr, &registers) != 0) return;  // gone
    std::array<std::uint8_t, 16> bytes{};
    std::size_t const in_page = std::min<std::size_t>(bytes.size(), 4096 - registers.rip % 4096);
    iovec to{bytes.data(), in_page};
    iovec from{reinterpret_cast<void*>(registers.rip), in_page};
    process_vm_readv(thread.process, &to, 1, &from, 1, 0);
    if (in_page < bytes.size()) {
      to = {bytes.data() + in_page, bytes.size() - in_page};
      from = {reinterpret_cast<void*>(registers.rip + in_page), bytes.size() - in_page};
      process_vm_readv(thread.process, &to, 1, &from, 1, 0);
    }
    thread.at = registers.rip;
    thread.instruction = classify(bytes);
    if (thread.instruction == Instruction::SystemCall) {
      if (registers.rax == SYS_ioctl && static_cast<std::uint32_t>(registers.rsi) == kKvmRun) {
        finish(id, thread);
        return;
      }
      thread.sample.system_calls.push_back(registers.rax);
    }
    resume(id, thread, 0);
  }

  /// SIGTRAP in a stepped thread: an instruction was executed, or a signal's handler was entered
  /// (its first instruction not yet executed), or the program sent itself that signal (int3).
  void trapped(pid_t id, Thread& thread) {
    siginfo_t info{};
    if (ptrace(PTRACE_GETSIGINFO, id, nullptr, &info) != 0) return;  // gone
    if (info.si_code == TRAP_TRACE || info.si_code == TRAP_BRKPT) {
      stepped(id, thread);
    } else if (info.si_code == SIGTRAP) {
      look(id, thread);
    } else {
      resume(id, thread, SIGTRAP);
    }
  }

  void stepped(pid_t id, Thread& thread) {
    user_regs_struct registers{};
    bool const again = thread.instruction == Instruction::RepeatedString &&
                       ptrace(PTRACE_GETREGS, id, nullptr, &registers) == 0 &&
                       registers.rip == thread.at;
    if (!again) {
      ++thread.sample.instructions;
      if (options_.path) thread.sample.path.push_back(thread.at);
    }
    look(id, thread);
  }

  void finish(pid_t id, Thread& thread) {
    if (!enough()) result_.samples.push_back(std::move(thread.sample));
    if (enough()) {
      if (options_.path && result_.mappings.empty()) read_mappings();
      if (auto const found = moved_.find(id); found != moved_.end()) {
        sched_setaffinity(id, sizeof found->second, &found->second);
      }
    }
    thread.mode = Thread::Mode::Watched;
    let_go(thread);
    resume(id, thread, 0);
  }

  void read_mappings() {
    if (!result_.mappings.empty() || result_.samples.empty()) return;
    std::ifstream maps{"/proc/" + std::to_string(result_.samples.back().thread) + "/maps"};
    std::map<std::string, std::uint64_t> bases;
    for (std::string line; std::getline(maps, line);) {
      std::istringstream fields{line};
      std::string range;
      std::string rights;
      std::string offset;
      std::string device;
      std::string inode;
      std::string file;
      fields >> range >> rights >> offset >> device >> inode >> file;
      auto const dash = range.find('-');
      std::uint64_t const begin = std::stoull(range.substr(0, dash), nullptr, 16);
      std::uint64_t const end = std::stoull(range.substr(dash + 1), nullptr, 16);
      std::uint64_t const base = bases.try_emplace(file, begin).first->second;
      if (rights.find('x') != std::string::npos)
        result_.mappings.push_back({begin, end, base, file});
    }
  }

  Options const& options_;
  Result result_;
  pid_t main_ = 0;
  int failure_ = -1;
  std::size_t vcpu_threads_ = 0;
  std::map<pid_t, Thread> threads_;
  std::map<pid_t, cpu_set_t> moved_;                      ///< former affinity
  std::map<std::pair<pid_t, int>, std::uint64_t> pages_;  ///< last mmap of a descriptor
};

}  // namespace

Result trace(Options const& options) { return Tracer{options}.run(); }

}  // namespace exit_cost
