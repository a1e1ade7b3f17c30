/// The real-time clock of a PC with its CMOS memory: Motorola's MC146818A, as IBM's AT has it.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/mc146818.hpp>
///     using Rtc = portico::Mc146818<>;                         // shows the host's time, in UTC
///     using Board = portico::DeviceMap<portico::Port<0x70, Rtc, portico::Irq<8>>>;
///     void tell_memory(Board& board) {
///       board.get<Rtc>().set_memory(3 * 1024 * 1024 * 1024ULL, 1024 * 1024 * 1024ULL);
///     }
///
/// *Emulated*: time, calendar, century; BCD and binary, 12 and 24 hours; alarm with its "don't
/// care"; update cycle with UIP, SET and divider reset; periodic, alarm and update-ended flags and
/// interrupts; 114 bytes of memory. The line gets a pulse when IRQF rises; there is no other until
/// register C has been read.
///
/// | register | offset | access | |
/// | --- | --- | --- | --- |
/// | index | 0 | -w | bits 0 to 6: the byte that `data` is; bit 7: NMI is masked |
/// | data | 1 | rw | |
///
/// | byte | access | |
/// | --- | --- | --- |
/// | 0x00, 0x02, 0x04 | rw | seconds, minutes, hours |
/// | 0x01, 0x03, 0x05 | rw | the alarm's |
/// | 0x06 to 0x09, 0x32 | rw | day of the week, day, month, year, century |
/// | 0x0A | rw | A: UIP (r-), DV2 to DV0, RS3 to RS0 |
/// | 0x0B | rw | B: SET, PIE, AIE, UIE, SQWE, DM, 24/12, DSE |
/// | 0x0C | r- | C: IRQF, PF, AF, UF; reading clears it |
/// | 0x0D | r- | D: VRT |
/// | others | rw | memory |
///
/// The time is the host's when the device is first used, and goes on with the machine's clock: a
/// host whose own clock is set later, or that sleeps, is not followed. The guest's day of the week
/// is what it was set to.
///
/// *Not emulated*: square wave, daylight saving (their bits are kept); crystals other than 32.768
/// kHz: divider settings 000 to 010 all run alike, 011 to 101 stop the clock. A format that changes
/// while the clock runs changes the time's bytes, not the time. Bit 7 of the index is kept, and
/// masks nothing.
///
/// *What a hostile guest can do*: show itself a wrong time; cause one deadline for each of its own
/// accesses.
///
/// Sources: Motorola MC146818A data sheet; memory: Intel 82371AB (290562), "Real time clock"; the
/// sizes as in the AT and in other virtual machines.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/registers.hpp>
#include <portico/devices/mc146818_chip.hpp>
#include <portico/devices/wall_clock.hpp>

namespace portico {

/// The clock over anything with the `now()` of HostWallClock. Its handlers lock; the line is pulsed
/// without the lock.
template <class WallClock = HostWallClock>
class Mc146818 {
 public:
  static constexpr auto threads = Threads::any;
  static constexpr std::string_view acpi_hid = "PNP0B00";

  /// What the guest can see.
  struct State {
    Chip146818::State chip{};
    std::uint8_t index = 0;
    bool nmi_masked = false;

    friend bool operator==(State const&, State const&) = default;
  };

  explicit Mc146818(WallClock wall = {}) : wall_{std::move(wall)} {}

  /// -w  The byte that `data` is, and the mask of NMI.
  void write_index(std::uint8_t value) {
    std::lock_guard const guard{mutex_};
    index_ = value & 0x7F;
    nmi_masked_ = (value & 0x80) != 0;
  }

  /// rw  The byte that the index names.
  [[nodiscard]] std::uint8_t read_data(Clock& clock, IrqLine const& line) {
    std::uint8_t value = 0;
    access(clock, line, [&](std::uint64_t now) { value = chip_.read(index_, now); });
    return value;
  }

  /// rw  The byte that the index names.
  void write_data(std::uint8_t value, Clock& clock, IrqLine const& line) {
    access(clock, line, [&](std::uint64_t now) { chip_.write(index_, value, now); });
  }

  /// The time has come for an interrupt, or so it was thought when the deadline was armed.
  void deadline(Clock& clock, IrqLine const& line) {
    access(clock, line, [](std::uint64_t) {});
  }

  using registers = Registers<WriteOnly<0, &Mc146818::write_index>,
                              ReadWrite<1, &Mc146818::read_data, &Mc146818::write_data>>;

  /// Writes the sizes of RAM as firmware does, in bytes: below 4 GiB from address 0 on (0x15 to
  /// 0x18, 0x30, 0x31, 0x34, 0x35), and from 4 GiB on (0x5B to 0x5D).
  void set_memory(std::uint64_t below_4gib, std::uint64_t above_4gib) {
    constexpr std::uint64_t kib = 1024;
    auto const past = [&](std::uint64_t start) {
      return below_4gib > start ? below_4gib - start : 0;
    };
    std::lock_guard const guard{mutex_};
    put(0x15, 2, std::min<std::uint64_t>(below_4gib / kib, 640));
    for (std::uint8_t const index : {std::uint8_t{0x17}, std::uint8_t{0x30}})
      put(index, 2, past(1024 * kib) / kib);
    put(0x34, 2, past(16 * 1024 * kib) / (64 * kib));
    put(0x5B, 3, above_4gib / (64 * kib));
    add_up();
  }

  /// Sets a byte of memory (0x0E to 0x7F, but for the century), before the guest runs.
  void set_byte(std::uint8_t index, std::uint8_t value) {
    Expects(index > Chip146818::register_d && index < 128 && index != Chip146818::century);
    std::lock_guard const guard{mutex_};
    chip_.byte(index) = value;
    add_up();
  }

  /// Whether the guest has asked for NMI to be masked.
  [[nodiscard]] bool nmi_masked() const {
    std::lock_guard const guard{mutex_};
    return nmi_masked_;
  }

  [[nodiscard]] State save(Clock const& clock) {
    std::lock_guard const guard{mutex_};
    std::uint64_t const now = clock.now();
    settle(now);
    return {chip_.save(now, wall_.now()), index_, nmi_masked_};
  }

  /// The clock goes on as if it had run meanwhile, unless it was stopped.
  void load(State const& state, Clock& clock) {
    std::lock_guard const guard{mutex_};
    chip_.load(state.chip);
    index_ = state.index & 0x7F;
    nmi_masked_ = state.nmi_masked;
    settle(clock.now());
    clock.arm(chip_.next_event());
  }

 private:
  void settle(std::uint64_t now) {
    chip_.settle(now, [this] { return wall_.now(); });
  }

  /// Something that may change the flags, after what has happened until now; then, without the
  /// lock, the pulse.
  template <class Action>
  void access(Clock& clock, IrqLine const& line, Action action) {
    bool rises = false;
    {
      std::lock_guard const guard{mutex_};
      std::uint64_t const now = clock.now();
      settle(now);
      rises = chip_.update_irqf();
      action(now);
      rises = chip_.update_irqf() || rises;
      clock.arm(chip_.next_event());
    }
    if (rises) line.pulse();
  }

  /// A number of `bytes` bytes; the largest if it is too large.
  void put(std::uint8_t index, unsigned bytes, std::uint64_t value) noexcept {
    std::uint64_t const largest = (std::uint64_t{1} << (8 * bytes)) - 1;
    value = std::min(value, largest);
    for (; bytes > 0; --bytes, ++index, value >>= 8)
      chip_.byte(index) = static_cast<std::uint8_t>(value);
  }

  /// The AT's checksum over 0x10 to 0x2D.
  void add_up() noexcept {
    unsigned sum = 0;
    for (std::uint8_t index = 0x10; index < 0x2E; ++index) sum += chip_.byte(index);
    chip_.byte(0x2E) = static_cast<std::uint8_t>(sum >> 8);
    chip_.byte(0x2F) = static_cast<std::uint8_t>(sum);
  }

  mutable std::mutex mutex_;
  WallClock wall_;
  Chip146818 chip_;
  std::uint8_t index_ = 0;
  bool nmi_masked_ = false;
};

}  // namespace portico
