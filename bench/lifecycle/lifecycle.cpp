// lifecycle [--rounds N] [--alive N,N,...]
//
// The life of a machine, by Portico and by bare system calls in C: made, first instruction, first
// exit, destroyed; then so many alive at once, one after the other on one thread and with a thread
// each. Prints JSON with every single figure, in nanoseconds and KiB; the reading is the report's.
//
// The first instruction stores to guest memory; another thread spins on that byte. As that thread
// takes a CPU, rounds with it and without it are separate, and all kinds take turns. A guest that
// did not do what it should ends the program.
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <portico/portico.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bare.h"
#include "guest.h"

namespace {

std::int64_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

[[noreturn]] void fail(char const* what) {
  std::fprintf(stderr, "lifecycle: %s\n", what);
  std::exit(1);
}

/// When this thread's guest made its first exit; 0 before.
thread_local std::int64_t first_exit_at = 0;

void first_exit(std::uint8_t value) {
  if (value != kExitValue || first_exit_at != 0) fail("a guest wrote what it should not");
  first_exit_at = now();
}

struct ExitPort {
  void write(std::uint8_t value) { first_exit(value); }
};

struct Image {
  void load(portico::GuestMemory& memory, std::uint64_t address, std::uint64_t) const {
    if (!memory.copy_out(address, gsl::as_bytes(gsl::span{kGuest}))) fail("no room for the image");
  }
};

class Portico {
 public:
  static constexpr char const* name = "portico";

  Portico() { machine_.load(Image{}, portico::LongMode{portico::PageSize::k2MiB}); }

  void run() {
    auto const stop = machine_.run();
    if (!std::holds_alternative<portico::Halted>(stop)) fail(portico::describe(stop).c_str());
  }

  [[nodiscard]] std::byte volatile* ram() { return machine_.memory().regions()[0].host; }

 private:
  using Board = portico::DeviceMap<portico::Port<kExitPort, ExitPort>>;
  portico::Machine<Board> machine_{portico::GuestMemory{kRam}, Board{ExitPort{}}};
};

class Bare {
 public:
  static constexpr char const* name = "bare";

  Bare() = default;
  Bare(Bare const&) = delete;
  Bare& operator=(Bare const&) = delete;
  ~Bare() { bare_destroy(&machine_); }

  void run() { bare_run(&machine_, first_exit); }

  [[nodiscard]] std::byte volatile* ram() { return reinterpret_cast<std::byte*>(machine_.ram); }

 private:
  bare_machine machine_ = bare_create();
};

/// Sees a guest's first instruction from another CPU.
class Watcher {
 public:
  Watcher() = default;
  Watcher(Watcher const&) = delete;
  Watcher& operator=(Watcher const&) = delete;

  ~Watcher() {
    end_ = true;
    thread_.join();
  }

  void watch(std::byte volatile* place) {
    seen_ = 0;
    place_ = place;
  }

  std::int64_t seen() {
    while (seen_ == 0) {
    }
    return seen_;
  }

 private:
  void spin() {
    while (!end_) {
      std::byte volatile* const place = place_;
      if (place == nullptr) {
        std::this_thread::yield();
        continue;
      }
      while (*place == std::byte{0}) {
      }
      place_ = nullptr;
      seen_ = now();
    }
  }

  std::atomic<bool> end_{false};
  std::atomic<std::byte volatile*> place_{nullptr};
  std::atomic<std::int64_t> seen_{0};
  std::thread thread_{[this] { spin(); }};
};

/// What one kind of machine took, from just before it was made, round by round.
struct Times {
  std::vector<std::int64_t> created;
  std::vector<std::int64_t> first_instruction;
  std::vector<std::int64_t> first_exit;
  std::vector<std::int64_t> destroyed;  ///< alone: from the end of the run
};

template <class Machine>
void live(Times& times, Watcher* watcher) {
  first_exit_at = 0;
  std::int64_t const start = now();
  auto machine = std::make_unique<Machine>();
  std::int64_t const created = now();
  if (watcher != nullptr) watcher->watch(machine->ram() + kFlag);
  machine->run();
  if (first_exit_at == 0 || machine->ram()[kFlag] != std::byte{1}) fail("a guest did not run");
  if (watcher != nullptr) {
    times.first_instruction.push_back(watcher->seen() - start);
    return;
  }
  std::int64_t const ended = now();
  machine.reset();
  std::int64_t const destroyed = now();
  times.created.push_back(created - start);
  times.first_exit.push_back(first_exit_at - start);
  times.destroyed.push_back(destroyed - ended);
}

void print(char const* name, std::vector<std::int64_t> const& values, char const* after) {
  std::printf("   \"%s\": [", name);
  for (std::size_t i = 0; i < values.size(); ++i)
    std::printf("%s%lld", i == 0 ? "" : ", ", static_cast<long long>(values[i]));
  std::printf("]%s\n", after);
}

void print(char const* name, Times const& times, char const* after) {
  std::printf("  \"%s\": {\n", name);
  print("created", times.created, ",");
  print("first_instruction", times.first_instruction, ",");
  print("first_exit", times.first_exit, ",");
  print("destroyed", times.destroyed, "");
  std::printf("  }%s\n", after);
}

void lives(std::size_t rounds) {
  Times portico;
  Times bare;
  std::optional<Watcher> watcher;
  for (std::size_t round = 0; round < rounds + 4; ++round) {
    if (round == 4) portico = bare = {};  // the first rounds fault the code in
    // P B, B P, and every other pair of rounds watched.
    bool const watched = round % 4 >= 2;
    if (watched && !watcher) watcher.emplace();
    if (!watched) watcher.reset();
    Watcher* const who = watched ? &*watcher : nullptr;
    if (round % 2 == 0) {
      live<Portico>(portico, who);
      live<Bare>(bare, who);
    } else {
      live<Bare>(bare, who);
      live<Portico>(portico, who);
    }
  }
  std::puts(" \"lives\": {");
  print("portico", portico, ",");
  print("bare", bare, "");
  std::puts(" },");
}

/// A number from /proc/self/status, in its own unit.
long status_of(std::string_view wanted) {
  std::ifstream file{"/proc/self/status"};
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(wanted)) return std::atol(line.c_str() + wanted.size());
  fail("/proc/self/status lacks a line");
}

long resident() { return status_of("RssAnon:") + status_of("RssFile:") + status_of("RssShmem:"); }

struct Alive {
  std::int64_t start = now();
  std::int64_t created = 0;
  std::int64_t ran = 0;
  std::int64_t destroying = 0;
  long resident_before = resident();
  long resident_with = 0;
  long threads = 0;
};

template <class Machine>
void one_after_the_other(Alive& alive, std::size_t count) {
  std::vector<std::unique_ptr<Machine>> machines(count);
  for (auto& machine : machines) machine = std::make_unique<Machine>();
  alive.created = now();
  for (auto& machine : machines) {
    first_exit_at = 0;
    machine->run();
    if (first_exit_at == 0 || machine->ram()[kFlag] != std::byte{1}) fail("a guest did not run");
  }
  alive.ran = now();
  alive.threads = status_of("Threads:");
  alive.resident_with = resident();
  alive.destroying = now();
}

template <class Machine>
void thread_each(Alive& alive, std::size_t count) {
  auto const parties = static_cast<std::ptrdiff_t>(count) + 1;
  std::barrier made{parties};
  std::barrier ran{parties};
  std::barrier end{parties};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      Machine machine;
      made.arrive_and_wait();
      machine.run();
      if (first_exit_at == 0 || machine.ram()[kFlag] != std::byte{1}) fail("a guest did not run");
      ran.arrive_and_wait();
      end.arrive_and_wait();
    });
  }
  made.arrive_and_wait();
  alive.created = now();
  ran.arrive_and_wait();
  alive.ran = now();
  alive.threads = status_of("Threads:");
  alive.resident_with = resident();
  alive.destroying = now();
  end.arrive_and_wait();
  for (std::thread& thread : threads) thread.join();
}

/// In a process of its own, so that nothing of the one before counts.
template <class Machine>
void many(std::size_t count, bool threaded, bool last) {
  std::fflush(stdout);
  pid_t const child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    Alive alive;
    if (threaded)
      thread_each<Machine>(alive, count);
    else
      one_after_the_other<Machine>(alive, count);
    std::int64_t const destroyed = now();
    std::printf(
        "  {\"who\": \"%s\", \"count\": %zu, \"threads_each\": %s, \"create_ns\": %lld, "
        "\"run_ns\": "
        "%lld, \"destroy_ns\": %lld, \"resident_kib\": %ld, \"threads\": %ld}%s\n",
        Machine::name, count, threaded ? "true" : "false",
        static_cast<long long>(alive.created - alive.start),
        static_cast<long long>(alive.ran - alive.created),
        static_cast<long long>(destroyed - alive.destroying),
        alive.resident_with - alive.resident_before, alive.threads, last ? "" : ",");
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail("machines alive: a child failed");
}

/// Three descriptors a machine.
void allow_descriptors(std::size_t machines) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < machines * 4 + 64) fail("ulimit -n is too small for so many machines");
}

struct Options {
  std::size_t rounds = 100;
  std::vector<std::size_t> alive{1, 10, 100};
};

bool parse_number(std::string_view text, std::size_t& number) {
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number > 0;
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) return false;
    std::string_view const name = argv[i];
    std::string_view value = argv[i + 1];
    if (name == "--rounds") {
      if (!parse_number(value, options.rounds)) return false;
    } else if (name == "--alive") {
      options.alive.clear();
      while (!value.empty()) {
        std::string_view const word = value.substr(0, value.find(','));
        value.remove_prefix(std::min(value.size(), word.size() + 1));
        if (!parse_number(word, options.alive.emplace_back())) return false;
      }
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs("usage: lifecycle [--rounds N] [--alive N,N,...]\n", stderr);
    return 2;
  }
  if (!options.alive.empty())
    allow_descriptors(*std::max_element(options.alive.begin(), options.alive.end()));
  std::puts("{");
  lives(options.rounds);
  std::puts(" \"alive\": [");
  for (std::size_t const count : options.alive) {
    bool const last = count == options.alive.back();
    many<Portico>(count, false, false);
    many<Bare>(count, false, false);
    many<Bare>(count, true, false);
    many<Portico>(count, true, last);
  }
  std::puts(" ]\n}");
  return 0;
} catch (std::exception const& error) {
  std::fprintf(stderr, "lifecycle: %s\n", error.what());
  return 1;
}
