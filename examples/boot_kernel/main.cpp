// Boots a kernel on a small PC. README.md beside this file says what it finds there, and how the
// program ends.
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include <portico/devices/console_backend.hpp>
#include <portico/devices/file_identity.hpp>
#include <portico/devices/output_sink.hpp>
#include <portico/devices/shared_input.hpp>
#include <portico/firmware/kernel_arguments.hpp>

#include "../common/disk.hpp"
#include "../common/ending.hpp"
#include "../common/observers.hpp"
#include "console.hpp"
#include "disk_hold.hpp"
#include "kernel_image.hpp"
#include "options.hpp"
#include "pc.hpp"

namespace boot_kernel {
namespace {

using AnyPc = std::variant<Pc<InKernel, 1>, Pc<InKernel, max_cpus>, Pc<Split, 1>,
                           Pc<Split, max_cpus>, Pc<InBoard, 1>>;

/// The machine that the user chose, made in place: it cannot be moved.
std::unique_ptr<AnyPc> make_pc(Options const& options, Terminal const& terminal) {
  auto const make = [&]<class Chosen>(std::in_place_type_t<Chosen> chosen) {
    return std::make_unique<AnyPc>(chosen, options, terminal);
  };
  bool const one = options.cpus == 1;
  switch (options.irqchip) {
    case Irqchip::user:
      return make(std::in_place_type<Pc<InBoard, 1>>);
    case Irqchip::split:
      return one ? make(std::in_place_type<Pc<Split, 1>>)
                 : make(std::in_place_type<Pc<Split, max_cpus>>);
    case Irqchip::kernel:
      break;
  }
  return one ? make(std::in_place_type<Pc<InKernel, 1>>)
             : make(std::in_place_type<Pc<InKernel, max_cpus>>);
}

/// The threads beside the vCPUs: one takes what comes from outside, one hands the guest its input.
template <class Machine>
class Attendance {
 public:
  Attendance(Machine& machine, Console& console, DiskHold& disks)
      : machine_{machine},
        console_{console},
        disks_{disks},
        typing_{[this] { machine_.template get<"com1">().pump(ending_.token()); }},
        watching_{[this] { watch(); }} {}

  Attendance(Attendance const&) = delete;
  Attendance& operator=(Attendance const&) = delete;

  ~Attendance() { finish(); }

  /// Lets all output out; who reads slowly gets everything, until somebody loses patience.
  void flush() {
    machine_.template get<"com1">().flush({impatient_.token(), -1});
    if (auto* const console = machine_.template get<"console">().device().get())
      console->flush({impatient_.token(), -1});
  }

  void finish() {
    if (!watching_.joinable()) return;
    ending_.stop();
    console_.finish();
    watching_.join();
    typing_.join();
    console_.restore();
  }

  /// Whether the time limit was the first to stop the machine.
  [[nodiscard]] bool late() const { return stopper_ == Event::time_limit; }

 private:
  void watch() {
    for (;;) switch (Event const event = console_.next()) {
        case Event::over:
          return;
        case Event::quit:
        case Event::time_limit:
          if (stopper_ == Event::over) stopper_ = event;
          machine_.stop();
          impatient_.stop();
          break;
        case Event::power_button:
          machine_.template get<"acpi">().press_power_button();
          break;
        case Event::send_break:
          if (!machine_.template get<"com1">().receive_break())
            std::fputs("boot_kernel: no break was sent: the guest does not read\n", stderr);
          break;
        case Event::hold_disks:
          disks_.hold();
          break;
        case Event::let_disks_go:
          disks_.let_go();
          break;
        case Event::toggle_disks:
          disks_.toggle();
          break;
      }
  }

  Machine& machine_;
  Console& console_;
  DiskHold& disks_;
  portico::RunControl ending_;
  portico::RunControl impatient_;
  std::atomic<Event> stopper_ = Event::over;
  std::thread typing_;
  std::thread watching_;
};

/// The exit status, and a line that says why if there is something to say.
template <class Machine>
int report(Machine& machine, Options const& options, portico::Stop const& stop, bool late) {
  auto const tell = [&](std::string const& what, int value) {
    std::fprintf(stderr, "boot_kernel: %s: %s\n", options.kernel.c_str(), what.c_str());
    return value;
  };
  std::string const how =
      machine.vcpu_count() == 1 ? examples::how_it_ended(machine, stop) : portico::describe(stop);
  return portico::match(
      stop,
      [&](portico::GuestExit guest) {
        if (guest.code == status::powered_off) return status::powered_off;
        if (guest.code == status::panic) return tell("kernel panic", status::panic);
        return guest.code & 0xFF;
      },
      [&](portico::Reset) { return tell("reset by the guest", status::reset); },
      [&](portico::Shutdown) { return tell(how, status::triple_fault); },
      [&](portico::Halted) { return tell(how, status::halted); },
      [&](portico::Requested) {
        if (!late) return tell("stopped from outside", status::stopped);
        char text[64];
        std::snprintf(text, sizeof text, "stopped, did not end within %g s", options.timeout);
        return tell(text, status::time_limit);
      },
      [&](auto const&) { return tell(how, examples::failure); });
}

/// Says so if the host has failed in something that a disk was asked for; the guest knows already.
template <class Card>
void tell_of_disk(Card& card, Options const& options, unsigned index) {
  auto const* const disk = card.device().get();
  if (disk == nullptr || disk->counts().host_failed == 0) return;
  std::fprintf(stderr, "boot_kernel: %s: %llu requests failed, the last one: %s\n",
               options.disks[index].file.c_str(),
               static_cast<unsigned long long>(disk->counts().host_failed),
               std::strerror(disk->counts().last_error));
}

/// The machine's disks, for the user to hold.
template <class Machine>
DiskHold disks_of(Machine& machine, Options const& options) {
  DiskHold disks;
  auto const add = [&](auto* disk, unsigned index) {
    if (disk != nullptr) disks.add(disk->disk(), options.disks[index].file);
  };
  add(machine.template get<"disk0">().device().get(), 0);
  add(machine.template get<"disk1">().device().get(), 1);
  return disks;
}

/// From a loaded machine to an exit status.
template <class Machine>
int run(Machine& machine, Options const& options, Console& console, portico::OutputSink& output) {
  using Board = typename Machine::Board;
  using Statistics = std::conditional_t<Machine::max_vcpus == 1, portico::Statistics<Board>,
                                        examples::SharedStatistics<Board>>;
  if (options.watching.map) std::fputs(examples::map_text<Board>(machine.memory()).c_str(), stderr);
  examples::Observers<Board, Statistics> observers{options.watching, options.kernel + ": "};
  DiskHold disks = disks_of(machine, options);
  console.start(options.timeout);
  Attendance attendance{machine, console, disks};
  portico::Stop const stop = observers.run(machine);
  attendance.flush();
  attendance.finish();

  if (output.terminal()) output.end_line();
  std::fputs(observers.statistics_text().c_str(), stderr);
  int const ended = report(machine, options, stop, attendance.late());
  tell_of_disk(machine.template get<"disk0">(), options, 0);
  tell_of_disk(machine.template get<"disk1">(), options, 1);
  std::string loss = examples::loss_text(machine.template get<"com1">().lost());
  if (auto* const second = machine.template get<"console">().device().get(); second && loss.empty())
    loss = examples::loss_text(second->lost());
  if (loss.empty()) return ended;
  std::fprintf(stderr, "boot_kernel: %s\n", loss.c_str());
  return ended == status::powered_off ? examples::failure : ended;
}

/// A disk that the guest writes must not be another of its files too.
void refuse_a_file_that_is_two_things(Options const& options) {
  for (std::size_t index = 0; index < options.disks.size(); ++index) {
    Disk const& disk = options.disks[index];
    auto const refuse_if = [&](std::string const& other, char const* what) {
      auto const use = disk.read_only ? examples::DiskUse::read_only : examples::DiskUse::write;
      if (examples::overwrites_image(disk.file, use, other))
        throw std::runtime_error{disk.file + ": is also " + what +
                                 "; only a disk that is readonly may be"};
    };
    refuse_if(options.kernel, "the kernel");
    refuse_if(options.initrd, "the initial file system");
    for (std::size_t other = 0; other < options.disks.size(); ++other)
      if (other != index) refuse_if(options.disks[other].file, "the other disk");
  }
}

/// The file behind the virtio console, which none of the guest's other files may be.
portico::Fd console_file(Options const& options) {
  std::vector<portico::FileIdentity> others;
  auto const add = [&](std::string const& name) {
    struct stat about{};
    if (::stat(name.c_str(), &about) == 0) others.push_back(portico::identity_of(about));
  };
  add(options.kernel);
  add(options.initrd);
  for (std::string const& module : options.modules) add(module.substr(0, module.find(' ')));
  for (Disk const& disk : options.disks) add(disk.file);
  return portico::open_console_file(options.console, others);
}

int boot(Options const& options) {
  refuse_a_file_that_is_two_things(options);
  Console console;
  portico::SharedInput input{console.guest_input()};
  portico::OutputSink output{STDOUT_FILENO};
  std::optional<portico::OutputSink> file;
  if (!options.console.empty()) file.emplace(console_file(options));
  std::unique_ptr<AnyPc> const pc =
      make_pc(options, Terminal{input, output, file ? &*file : nullptr});
  return portico::match(*pc, [&](auto& machine) {
    std::string const usual = "console=ttyS0 panic=-1 " +
                              portico::kernel_arguments(portico::describe_board(machine.board()));
    portico::match(open_kernel(options, usual), [&](auto const& image) { machine.load(image); });
    return examples::started([&] { return run(machine, options, console, output); });
  });
}

}  // namespace
}  // namespace boot_kernel

int main(int argc, char** argv) {
  return examples::run_program("boot_kernel", boot_kernel::parse(argc, argv), boot_kernel::boot);
}
