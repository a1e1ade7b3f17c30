#include "report.hpp"

#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <utility>

namespace exit_cost {
namespace {

std::string call_name(std::uint64_t number) {
  // Those that a monitor is likely to make; any other by its number.
  static std::map<std::uint64_t, char const*> const names = {
      {SYS_read, "read"},
      {SYS_write, "write"},
      {SYS_readv, "readv"},
      {SYS_writev, "writev"},
      {SYS_pread64, "pread64"},
      {SYS_pwrite64, "pwrite64"},
      {SYS_poll, "poll"},
      {SYS_ppoll, "ppoll"},
      {SYS_select, "select"},
      {SYS_pselect6, "pselect6"},
      {SYS_epoll_wait, "epoll_wait"},
      {SYS_futex, "futex"},
      {SYS_ioctl, "ioctl"},
      {SYS_openat, "openat"},
      {SYS_openat2, "openat2"},
      {SYS_close, "close"},
      {SYS_lseek, "lseek"},
      {SYS_mmap, "mmap"},
      {SYS_munmap, "munmap"},
      {SYS_madvise, "madvise"},
      {SYS_brk, "brk"},
      {SYS_rt_sigprocmask, "rt_sigprocmask"},
      {SYS_rt_sigreturn, "rt_sigreturn"},
      {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
      {SYS_rt_sigpending, "rt_sigpending"},
      {SYS_tgkill, "tgkill"},
      {SYS_kill, "kill"},
      {SYS_getpid, "getpid"},
      {SYS_gettid, "gettid"},
      {SYS_clock_gettime, "clock_gettime"},
      {SYS_clock_nanosleep, "clock_nanosleep"},
      {SYS_timerfd_settime, "timerfd_settime"},
      {SYS_timer_settime, "timer_settime"},
      {SYS_sched_yield, "sched_yield"},
      {SYS_io_uring_enter, "io_uring_enter"},
      {SYS_exit, "exit"},
      {SYS_exit_group, "exit_group"}};
  auto const found = names.find(number);
  return found != names.end() ? found->second : "system call " + std::to_string(number);
}

using Calls = std::map<std::string, std::uint64_t>;

Calls calls_of(std::vector<Sample const*> const& samples) {
  Calls calls;
  for (Sample const* sample : samples) {
    for (std::uint64_t const number : sample->system_calls) ++calls[call_name(number)];
  }
  return calls;
}

std::string list(Calls const& calls) {
  std::string text;
  for (auto const& [name, count] : calls) {
    text += (text.empty() ? "" : ", ") + name + " x " + std::to_string(count);
  }
  return text.empty() ? "none" : text;
}

/// Samples of one kind of exit, by rising cost.
struct Kind {
  std::string exit;
  std::vector<Sample const*> samples;

  // The lower of the two in the middle, so that it is always a count that was seen.
  Sample const& median() const { return *samples[(samples.size() - 1) / 2]; }
};

std::vector<Kind> kinds_of(Result const& result) {
  std::map<std::string, std::vector<Sample const*>> by_name;
  for (Sample const& sample : result.samples) by_name[sample.exit].push_back(&sample);
  std::vector<Kind> kinds;
  for (auto& [name, samples] : by_name) {
    std::sort(samples.begin(), samples.end(), [](Sample const* a, Sample const* b) {
      return std::pair{a->instructions, a} < std::pair{b->instructions, b};
    });
    kinds.push_back({name, std::move(samples)});
  }
  std::sort(kinds.begin(), kinds.end(), [](Kind const& a, Kind const& b) {
    return std::pair{b.samples.size(), a.exit} < std::pair{a.samples.size(), b.exit};
  });
  return kinds;
}

std::map<std::uint64_t, std::vector<Sample const*>> distinct_of(Kind const& kind) {
  std::map<std::uint64_t, std::vector<Sample const*>> distinct;
  for (Sample const* sample : kind.samples) distinct[sample->instructions].push_back(sample);
  return distinct;
}

[[gnu::format(printf, 2, 3)]] void print(std::string& text, char const* format, ...) {
  std::array<char, 512> line{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line.data(), line.size(), format, arguments);
  va_end(arguments);
  text += line.data();
}

std::string place(Result const& result, std::uint64_t address) {
  std::string text;
  for (Mapping const& mapping : result.mappings) {
    if (address < mapping.begin || address >= mapping.end) continue;
    auto const slash = mapping.file.rfind('/');
    print(text, "%s+0x%llx",
          mapping.file.substr(slash == std::string::npos ? 0 : slash + 1).c_str(),
          static_cast<unsigned long long>(address - mapping.base));
    return text;
  }
  print(text, "0x%llx", static_cast<unsigned long long>(address));
  return text;
}

/// Program and library names may hold anything.
std::string quoted(std::string const& text) {
  std::string result = "\"";
  for (char const c : text) {
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      print(result, "\\u%04x", static_cast<unsigned>(c));
    } else {
      result += c;
    }
  }
  return result + "\"";
}

unsigned long long number(std::uint64_t value) { return value; }

}  // namespace

std::string as_text(Options const& options, Result const& result) {
  std::string text;
  std::string program;
  for (auto const& word : options.program) program += (program.empty() ? "" : " ") + word;
  print(text, "user-space instructions from one KVM_RUN's return to the next one's start\n");
  text += "program: " + program + "\n";
  print(text, "%zu exits counted after skipping %llu; %zu thread%s called KVM_RUN\n",
        result.samples.size(), number(options.skip), result.exits.size(),
        result.exits.size() == 1 ? "" : "s");
  for (Kind const& kind : kinds_of(result)) {
    print(text,
          "\n%s: %zu times; instructions: median %llu, min %llu, max %llu; system calls: %s\n",
          kind.exit.c_str(), kind.samples.size(), number(kind.median().instructions),
          number(kind.samples.front()->instructions), number(kind.samples.back()->instructions),
          list(calls_of(kind.samples)).c_str());
    print(text, "  instructions    times  system calls\n");
    for (auto const& [count, samples] : distinct_of(kind)) {
      print(text, "  %12llu %8zu  %s\n", number(count), samples.size(),
            list(calls_of(samples)).c_str());
    }
    if (options.path) {
      print(text, "  path of an exit of median cost:\n");
      for (std::uint64_t const address : kind.median().path) {
        text += "    " + place(result, address) + "\n";
      }
    }
  }
  return text;
}

std::string as_json(Options const& options, Result const& result) {
  std::string text = "{\"program\": [";
  for (std::size_t i = 0; i < options.program.size(); ++i) {
    text += (i == 0 ? "" : ", ") + quoted(options.program[i]);
  }
  print(text, "],\n \"skip\": %llu, \"counted\": %zu, \"threads\": {", number(options.skip),
        result.samples.size());
  bool first = true;
  for (auto const& [thread, exits] : result.exits) {
    print(text, "%s\"%d\": %llu", first ? "" : ", ", thread, number(exits));
    first = false;
  }
  text += "},\n \"exits\": [";
  first = true;
  for (Kind const& kind : kinds_of(result)) {
    text += first ? "\n" : ",\n";
    first = false;
    text += "  {\"exit\": " + quoted(kind.exit);
    print(text,
          ", \"times\": %zu, \"median\": %llu, \"min\": %llu, \"max\": %llu, \"system_calls\": {",
          kind.samples.size(), number(kind.median().instructions),
          number(kind.samples.front()->instructions), number(kind.samples.back()->instructions));
    bool first_call = true;
    for (auto const& [name, count] : calls_of(kind.samples)) {
      print(text, "%s\"%s\": %llu", first_call ? "" : ", ", name.c_str(), number(count));
      first_call = false;
    }
    text += "}, \"distinct\": {";
    bool first_count = true;
    for (auto const& [count, samples] : distinct_of(kind)) {
      print(text, "%s\"%llu\": %zu", first_count ? "" : ", ", number(count), samples.size());
      first_count = false;
    }
    text += "}";
    if (options.path) {
      text += ", \"path\": [";
      bool first_address = true;
      for (std::uint64_t const address : kind.median().path) {
        text += (first_address ? "" : ", ") + quoted(place(result, address));
        first_address = false;
      }
      text += "]";
    }
    text += "}";
  }
  text += "],\n \"samples\": [";
  first = true;
  for (Sample const& sample : result.samples) {
    print(text, "%s[%llu, %zu]", first ? "" : ", ", number(sample.instructions),
          sample.system_calls.size());
    first = false;
  }
  return text + "]}\n";
}

}  // namespace exit_cost
