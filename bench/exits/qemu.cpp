// Group qemu: one guest image, run by QEMU and by a monitor of ours in turns, which measures its own
// round trips.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/base/fd.hpp>
#include <portico/boot/flat_image.hpp>
#include <portico/device/device_map.hpp>
#include <portico/machine.hpp>
#include <portico/x86/cpu_state.hpp>

#include "groups.hpp"
#include "rig.hpp"

namespace exits {
namespace {

char const* const group = "qemu";

/// What the guest measures, in its order; the first is what all others have beside their access.
constexpr std::array<char const*, 6> names{"empty",    "out 0x3FF",  "in 0x3FF",
                                           "out 0xE9", "out 0x5678", "in 0x5678"};

/// What its sums must be: 272 rounds of the byte that is moved.
constexpr std::array<std::uint64_t, 6> sums{272,       272 * 0x5A, 272 * 0x5A,
                                            272 * '.', 272 * 0xA5, 272 * 0xFF};

// --- Our monitor ----------------------------------------------------------------------------------

/// Of a UART nothing but its scratch register: QEMU's is also no more than a byte.
struct Scratch {
  std::uint8_t read() { return value; }
  void write(std::uint8_t byte) { value = byte; }
  using registers = portico::Registers<portico::ReadWrite<7, &Scratch::read, &Scratch::write>>;
  std::uint8_t value = 0;
};

struct Console {
  void write(std::uint8_t byte) { text->push_back(static_cast<char>(byte)); }
  std::string* text;
};

struct End {
  void write(std::uint8_t, portico::RunControl& control) { control.exit(0); }
};

using Board = portico::DeviceMap<portico::Port<0x3F8, Scratch>, portico::Port<0xE9, Console>,
                                 portico::Port<0xF4, End>>;

/// The state that Multiboot promises: 32-bit protected mode, flat, no paging.
struct FlatProtectedMode {
  std::uint32_t entry;

  [[nodiscard]] portico::x86::CpuState cpu_state() const {
    namespace x86 = portico::x86;
    x86::CpuState state;
    x86::Segment const data{.limit = 0xFFFF'FFFF, .selector = 0x10, .db = true, .g = true};
    state.cs = data;
    state.cs.selector = 0x8;
    state.cs.type = x86::SegmentType::code;
    state.ds = state.es = state.fs = state.gs = state.ss = data;
    state.rip = entry;
    state.rax = 0x2BAD'B002;
    state.cr0 = x86::cr0::pe | x86::cr0::et;
    return state;
  }
};

/// Where a flat Multiboot image wants to be, from the address fields of its header.
struct Places {
  std::uint32_t load = 0;
  std::uint32_t entry = 0;
};

Places places_of(std::string const& path) {
  std::array<std::uint32_t, 8> header{};
  portico::Fd const file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) throw std::system_error{errno, std::system_category(), path};
  if (::read(file.get(), header.data(), sizeof header) != sizeof header ||
      header[0] != 0x1BAD'B002 || header[1] != 0x1'0000) {
    throw std::runtime_error{path + ": no flat Multiboot image"};
  }
  return {header[4], header[7]};
}

std::string run_ours(portico::kvm::System const& system, std::string const& path, double& ghz) {
  std::string text;
  text.reserve(64 * 1024);
  portico::Machine machine{system, portico::GuestMemory{2 * portico::MiB},
                           Board{Scratch{}, Console{&text}, End{}}};
  Places const places = places_of(path);
  machine.load(portico::FlatImage{path}, FlatProtectedMode{places.entry},
               portico::Start{.address = places.load});
  int const khz = portico::kvm::try_call(machine.vcpu().fd(), KVM_GET_TSC_KHZ);
  if (khz > 0) ghz = khz / 1e6;
  portico::Stop const stop = machine.run();
  if (!std::holds_alternative<portico::GuestExit>(stop)) {
    throw Lacking{"our monitor: " + portico::describe(stop)};
  }
  return text;
}

// --- QEMU -----------------------------------------------------------------------------------------

/// Runs a program to its end; its exit status, -1 if it could not be started or took too long.
int run_program(std::vector<std::string> words, char const* output, int seconds) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files{};
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_TRUNC,
                                   0600);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  pid_t child = 0;
  int const error =
      ::posix_spawnp(&child, arguments[0], &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return -1;
  std::int64_t const end = now() + std::int64_t{seconds} * 1'000'000'000;
  int status = 0;
  for (;;) {
    pid_t const ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) break;
    if (now() > end) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      return -1;
    }
    ::usleep(5000);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string contents(std::string const& path) {
  std::string text;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file{std::fopen(path.c_str(), "rbe"),
                                                             &std::fclose};
  std::array<char, 4096> part{};
  while (file) {
    std::size_t const got = std::fread(part.data(), 1, part.size(), file.get());
    if (got == 0) break;
    text.append(part.data(), got);
  }
  return text;
}

/// A folder for what QEMU says, gone with this.
class Folder {
 public:
  Folder() {
    char const* const temporary = std::getenv("TMPDIR");
    path_ = std::string{temporary != nullptr ? temporary : "/tmp"} + "/portico-exits-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) {
      throw std::system_error{errno, std::system_category(), "mkdtemp"};
    }
  }

  Folder(Folder const&) = delete;
  Folder& operator=(Folder const&) = delete;

  ~Folder() {
    for (char const* const name : {"/console", "/messages"}) ::unlink((path_ + name).c_str());
    ::rmdir(path_.c_str());
  }

  [[nodiscard]] std::string operator/(char const* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

char const* const qemu = "qemu-system-x86_64";

std::string run_qemu(std::string const& path, Folder const& folder) {
  // PVM cannot hide what this hides; without it, QEMU 7.2 aborts there.
  bool const on_pvm = ::access("/sys/module/kvm_pvm", F_OK) == 0;
  std::string const console = folder / "console";
  std::string const messages = folder / "messages";
  int const status = run_program({qemu,
                                  "-M",
                                  "microvm,rtc=off,pit=off,pic=off,isa-serial=on",
                                  "-accel",
                                  "kvm",
                                  "-cpu",
                                  on_pvm ? "host,-arch-capabilities" : "host",
                                  "-m",
                                  "64",
                                  "-nodefaults",
                                  "-no-user-config",
                                  "-display",
                                  "none",
                                  "-serial",
                                  "null",
                                  "-kernel",
                                  path,
                                  "-chardev",
                                  "file,path=" + console + ",id=console",
                                  "-device",
                                  "isa-debugcon,iobase=0xe9,chardev=console",
                                  "-device",
                                  "isa-debug-exit,iobase=0xf4,iosize=4"},
                                 messages.c_str(), 60);
  // The device that ends it makes its status odd.
  if (status < 0 || status % 2 == 0) {
    std::string said = contents(messages);
    std::replace(said.begin(), said.end(), '\n', ' ');
    throw Lacking{std::string{qemu} + " ended with " + std::to_string(status) + " " +
                  said.substr(0, 120)};
  }
  return contents(console);
}

// --- What they say --------------------------------------------------------------------------------

using Cycles = std::map<std::string, Samples>;

std::uint64_t hexadecimal(std::string_view text) {
  std::uint64_t value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw Mismatch{"no number: " + std::string{text}};
  }
  return value;
}

/// The guest's lines; throws Mismatch unless all are there and their sums right.
Cycles parse(std::string const& text) {
  constexpr std::size_t digits = 8;
  Cycles cycles;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::string const head = std::string{"@"} + names[i] + " ";
    std::size_t place = text.find(head);
    if (place == std::string::npos) throw Mismatch{std::string{"no line "} + names[i]};
    place += head.size();
    std::string_view line{text};
    line = line.substr(place, text.find('\n', place) - place);
    if (line.size() <= digits || hexadecimal(line.substr(0, digits)) != sums[i]) {
      throw Mismatch{std::string{names[i]} + ": the guest's sum is wrong"};
    }
    for (line.remove_prefix(digits + 1); line.size() > digits; line.remove_prefix(digits + 1)) {
      cycles[names[i]].push_back(static_cast<double>(hexadecimal(line.substr(1, digits))));
    }
    if (cycles[names[i]].size() != 256) throw Mismatch{std::string{names[i]} + ": samples missing"};
  }
  if (text.find("@end") == std::string::npos) throw Mismatch{"no end"};
  auto const dots = std::count(text.begin(), text.end(), '.');
  if (dots != 272) throw Mismatch{std::to_string(dots) + " bytes came to the console of 272"};
  return cycles;
}

/// Nanoseconds of each access less the median of the empty one.
Samples nanoseconds(Cycles& cycles, char const* name, double ghz) {
  double const empty = median(cycles[names[0]]);
  Samples result = cycles[name];
  for (double& sample : result) sample = (sample - empty) / ghz;
  return result;
}

void compare(Bench& bench, std::string const& path) {
  Folder const folder;
  double ghz = 0;
  std::int64_t const start = now();
  std::size_t const least = bench.options.runs == 0 ? enough_groups + 1 : 2;
  std::size_t const most = bench.options.runs == 0 ? 60 : least;
  auto const goes_on = [&](std::size_t turn) {
    return turn < least ||
           (turn < most && static_cast<double>(now() - start) < bench.options.seconds * 25e9);
  };
  std::map<std::string, std::array<Samples, 2>> all;
  std::map<std::string, std::array<std::vector<Samples>, 2>> groups;  // ratios, differences
  for (std::size_t turn = 0; goes_on(turn); ++turn) {
    std::array<Cycles, 2> cycles;
    for (std::size_t step = 0; step < 2; ++step) {
      bool const ours = (turn + step) % 2 == 0;
      cycles[ours ? 0 : 1] =
          parse(ours ? run_ours(bench.system, path, ghz) : run_qemu(path, folder));
    }
    if (turn == 0) continue;  // files are read, caches filled
    if (ghz == 0) throw Lacking{"KVM_GET_TSC_KHZ", EIO};
    for (std::size_t i = 1; i < names.size(); ++i) {
      std::array<double, 2> medians{};
      for (std::size_t who = 0; who < 2; ++who) {
        Samples samples = nanoseconds(cycles[who], names[i], ghz);
        auto& sum = all[names[i]][who];
        sum.insert(sum.end(), samples.begin(), samples.end());
        medians[who] = median(samples);
      }
      groups[names[i]][0].push_back({medians[0] / medians[1]});
      groups[names[i]][1].push_back({medians[0] - medians[1]});
    }
  }
  for (std::size_t i = 1; i < names.size(); ++i) {
    for (std::size_t who = 0; who < 2; ++who) {
      Figure figure{
          .group = group, .name = names[i], .ring = 0, .variant = who == 0 ? "portico" : "qemu"};
      figure.summary = summarize(std::move(all[names[i]][who]));
      figure.note = "by rdtsc in the guest, 32-bit protected mode, less an empty measurement";
      bench.report.add(std::move(figure));
    }
    Ratio ratio{
        .group = group, .name = names[i], .ring = 0, .variant = "portico", .versus = "qemu"};
    ratio.ratio = median_of_groups(groups[names[i]][0]);
    ratio.difference_ns = median_of_groups(groups[names[i]][1]);
    ratio.samples = groups[names[i]][0].size();
    ratio.claim = "costs less";
    ratio.verdict = "undecided";
    if (ratio.samples >= enough_groups && ratio.ratio.high < 1) ratio.verdict = "holds";
    if (ratio.samples >= enough_groups && ratio.ratio.low > 1) ratio.verdict = "missed";
    bench.report.add(std::move(ratio));
  }
}

}  // namespace

void compare_with_qemu(Bench& bench) {
  if (!bench.wants(group, "round trips", 0)) return;
  try {
    if (run_program({qemu, "--version"}, "/dev/null", 20) != 0) {
      throw Lacking{std::string{qemu} + " is not installed", ENOENT};
    }
    compare(bench, bench.options.folder + "/rdtsc.img");
  } catch (Lacking const& lacking) {
    bench.report.add(Missing{group, "round trips", 0, lacking.what(), lacking.error});
  } catch (Mismatch const& mismatch) {
    bench.report.fail(std::string{"round trips beside QEMU: "} + mismatch.what());
  }
}

}  // namespace exits
