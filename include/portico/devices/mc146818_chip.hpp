/// The MC146818 chip: divider chain, update cycle, flags, and the bytes.
///
///     #include <portico/devices/mc146818_chip.hpp>
///     std::uint8_t minutes_in_bcd(std::int64_t since_1970, std::uint64_t now) {
///       portico::Chip146818 chip;
///       chip.settle(now, [&] { return since_1970; });     // nanoseconds, both
///       return chip.read(2, now);
///     }
///
/// Nothing ticks: date and flags are a function of the nanoseconds since the divider chain was
/// started, and are worked out at each access. Who has the chip calls `settle` first, and
/// `update_irqf` afterwards. Ports, the line, and what is emulated: devices/mc146818.hpp. Source:
/// Motorola MC146818A data sheet, by section.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <portico/devices/calendar.hpp>
#include <portico/devices/mc146818_format.hpp>

namespace portico {

/// The chip without its bus. No thread safety, no outside world. Times are nanoseconds of a clock
/// that never goes back.
class Chip146818 {
 public:
  static constexpr std::uint64_t never = ~std::uint64_t{0};
  static constexpr std::uint8_t century = 0x32;
  static constexpr std::uint8_t register_d = 0x0D;

  /// All that the chip remembers.
  struct State {
    std::array<std::uint8_t, 128> bytes{};  ///< those of time and calendar if it stands still
    std::int64_t ahead = 0;                 ///< seconds that it is ahead of the wall clock
    std::uint32_t ahead_nanoseconds = 0;    ///< and the rest
    std::int64_t weekday = 0;               ///< days that its day of the week is ahead of the date

    friend bool operator==(State const&, State const&) = default;
  };

  Chip146818() noexcept {
    byte(register_a) = 0x26;
    byte(register_b) = hours24;
  }

  /// Sets the flags of what has happened since the last look. `wall` tells the nanoseconds since
  /// 1970 at which the clock begins; it is asked once.
  template <class Wall>
  void settle(std::uint64_t now, Wall wall) noexcept {
    if (!started_) start(now, wall());
    if (!runs()) return;
    auto const chain = static_cast<std::int64_t>(now - origin_);
    std::int64_t const before = std::exchange(seen_, chain);
    unsigned flags = byte(register_c);
    if (rate() != 0 && periods(chain) > periods(before)) flags |= periodic;
    if (updates() && chain / second > before / second) {
      flags |= update_ended;
      if ((flags & alarm) == 0 &&
          alarm_time().next(base_ + before / second, format()) <= base_ + chain / second)
        flags |= alarm;
    }
    byte(register_c) = static_cast<std::uint8_t>(flags);
  }

  /// IRQF: a flag whose interrupt is enabled. True if it has risen.
  bool update_irqf() noexcept {
    unsigned const flags = byte(register_c) & 0x70;
    bool const was_high = (byte(register_c) & 0x80) != 0;
    bool const is_high = (flags & byte(register_b)) != 0;
    byte(register_c) = static_cast<std::uint8_t>(flags | (is_high ? 0x80U : 0U));
    return is_high && !was_high;
  }

  /// The next moment at which IRQF may rise, or `never`.
  [[nodiscard]] std::uint64_t next_event() const noexcept {
    unsigned const flags = byte(register_c);
    if ((flags & 0x80) != 0) return never;
    if ((flags & byte(register_b) & 0x70) != 0) return origin_ + static_cast<std::uint64_t>(seen_);
    if (!runs()) return never;
    std::int64_t next = INT64_MAX;
    if (enabled(periodic) && rate() != 0) next = std::min(next, end_of_period(periods(seen_) + 1));
    std::int64_t const seconds = seen_ / second;
    if (updates() && enabled(update_ended)) next = std::min(next, (seconds + 1) * second);
    if (updates() && enabled(alarm)) {
      std::int64_t const match = alarm_time().next(base_ + seconds, format());
      if (match != ClockAlarm::never) next = std::min(next, (match - base_) * second);
    }
    return next == INT64_MAX ? never : origin_ + static_cast<std::uint64_t>(next);
  }

  /// A byte as the guest reads it.
  [[nodiscard]] std::uint8_t read(std::uint8_t index, std::uint64_t now) noexcept {
    if (index == register_a && updates() && phase(now) >= second - update_time)
      return byte(register_a) | 0x80;
    if (index == register_c) return std::exchange(byte(register_c), std::uint8_t{0});
    if (index == register_d) return 0x80;
    if (is_time(index) && updates()) take_time(now);
    return byte(index);
  }

  /// The guest writes a byte.
  void write(std::uint8_t index, std::uint8_t value, std::uint64_t now) noexcept {
    if (index == register_c || index == register_d) return;
    if (index == register_a || index == register_b) {
      write_control(index, value, now);
    } else if (is_time(index) && updates()) {
      take_time(now);
      byte(index) = value;
      give_time(now);
    } else {
      byte(index) = value;
    }
  }

  /// A byte of memory, as the host sees it.
  [[nodiscard]] std::uint8_t& byte(std::uint8_t index) noexcept {
    return state_.bytes[index & 0x7FU];
  }

  [[nodiscard]] std::uint8_t byte(std::uint8_t index) const noexcept {
    return state_.bytes[index & 0x7FU];
  }

  /// `wall` is the wall clock's time now.
  [[nodiscard]] State save(std::uint64_t now, std::int64_t wall) const noexcept {
    State state = state_;
    std::int64_t const ahead = phase(now) - detail::floor_mod(wall, second);
    state.ahead = base_ + whole_seconds(now) - detail::floor_div(wall, second) +
                  detail::floor_div(ahead, second);
    state.ahead_nanoseconds = static_cast<std::uint32_t>(detail::floor_mod(ahead, second));
    return state;
  }

  /// The next `settle` goes on from the wall clock.
  void load(State const& state) noexcept {
    state_ = state;
    state_.ahead_nanoseconds %= static_cast<std::uint32_t>(second);
    started_ = false;
  }

 private:
  static constexpr std::int64_t second = 1'000'000'000;
  static constexpr std::uint8_t register_a = 0x0A;
  static constexpr std::uint8_t register_b = 0x0B;
  static constexpr std::uint8_t register_c = 0x0C;

  // Register B; the enable bits stand where register C has the flags.
  static constexpr unsigned set = 0x80;
  static constexpr unsigned periodic = 0x40;
  static constexpr unsigned alarm = 0x20;
  static constexpr unsigned update_ended = 0x10;
  static constexpr unsigned binary = 0x04;
  static constexpr unsigned hours24 = 0x02;

  /// Time between UIP's rise and the end of the update cycle: t_BUC + t_UC ("Update cycle").
  static constexpr std::int64_t update_time = 244'000 + 1'984'000;

  [[nodiscard]] bool enabled(unsigned bit) const noexcept { return (byte(register_b) & bit) != 0; }

  [[nodiscard]] ClockFormat format() const noexcept { return {enabled(binary), enabled(hours24)}; }

  /// Whether the divider chain counts.
  [[nodiscard]] bool runs() const noexcept { return (byte(register_a) & 0x70) <= 0x20; }

  /// Whether there are update cycles.
  [[nodiscard]] bool updates() const noexcept { return runs() && !enabled(set); }

  // --- Time: seconds of the date are base_ and what the divider chain has counted since origin_.

  [[nodiscard]] std::int64_t whole_seconds(std::uint64_t now) const noexcept {
    return static_cast<std::int64_t>(now - origin_) / second;
  }

  [[nodiscard]] std::int64_t phase(std::uint64_t now) const noexcept {
    return static_cast<std::int64_t>(now - origin_) % second;
  }

  [[nodiscard]] std::int64_t date_seconds(std::uint64_t now) const noexcept {
    return base_ + whole_seconds(now);
  }

  /// Periodic interrupts in a second; 0 for none ("Register A", for 32.768 kHz).
  [[nodiscard]] std::int64_t rate() const noexcept {
    unsigned const select = byte(register_a) & 0xF;
    return select == 0 ? 0 : select < 3 ? 512 >> select : 65536 >> select;
  }

  /// Periods that have ended at `chain` nanoseconds of the divider chain.
  [[nodiscard]] std::int64_t periods(std::int64_t chain) const noexcept {
    return chain / second * rate() + chain % second * rate() / second;
  }

  [[nodiscard]] ClockAlarm alarm_time() const noexcept { return {byte(1), byte(3), byte(5)}; }

  /// When period `number` ends, in nanoseconds of the divider chain.
  [[nodiscard]] std::int64_t end_of_period(std::int64_t number) const noexcept {
    // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): asked for only while the rate is not 0
    return number / rate() * second + (number % rate() * second + rate() - 1) / rate();
  }

  void start(std::uint64_t now, std::int64_t wall) noexcept {
    started_ = true;
    std::int64_t const nanoseconds = detail::floor_mod(wall, second) + state_.ahead_nanoseconds;
    base_ = detail::floor_div(wall, second) + state_.ahead + nanoseconds / second;
    seen_ = nanoseconds % second;
    origin_ = now - static_cast<std::uint64_t>(seen_);
  }

  static bool is_time(std::uint8_t index) noexcept {
    return index == 0 || index == 2 || index == 4 || (index >= 6 && index <= 9) || index == century;
  }

  void write_control(std::uint8_t index, std::uint8_t value, std::uint64_t now) noexcept {
    bool const ran = runs();
    bool const updated = updates();
    if (updated) take_time(now);
    if (index == register_a) {
      byte(register_a) = value & 0x7F;
      // "DV2, DV1, DV0": the first update comes half a second after the reset.
      if (runs() && !ran) {
        seen_ = second / 2;
        origin_ = now - static_cast<std::uint64_t>(seen_);
      }
    } else {
      // "UIE": SET clears it.
      byte(register_b) =
          static_cast<std::uint8_t>((value & set) != 0 ? value & ~update_ended : value);
    }
    if (updates() && !updated) give_time(now);
  }

  /// Writes the time into its bytes.
  void take_time(std::uint64_t now) noexcept {
    CalendarDate const date = date_of(date_seconds(now));
    ClockFormat const form = format();
    byte(0) = form.encode(date.second);
    byte(2) = form.encode(date.minute);
    byte(4) = form.encode_hour(date.hour);
    byte(6) = form.encode(detail::floor_mod(date.weekday + state_.weekday, 7) + 1);
    byte(7) = form.encode(date.day);
    byte(8) = form.encode(date.month);
    byte(9) = form.encode(detail::floor_mod(date.year, 100));
    byte(century) = form.encode(detail::floor_div(date.year, 100));
  }

  /// The bytes become the time; the divider chain goes on.
  void give_time(std::uint64_t now) noexcept {
    ClockFormat const form = format();
    std::int64_t const seconds =
        seconds_of({form.decode(byte(century)) * 100 + form.decode(byte(9)), form.decode(byte(8)),
                    form.decode(byte(7)), form.decode_hour(byte(4)), form.decode(byte(2)),
                    form.decode(byte(0))});
    base_ = seconds - whole_seconds(now);
    state_.weekday = detail::floor_mod(form.decode(byte(6)) - 1 - date_of(seconds).weekday, 7);
  }

  State state_{};
  bool started_ = false;
  std::uint64_t origin_ = 0;  // the clock's nanoseconds at which the divider chain began a second
  std::int64_t base_ = 0;     // the date at that moment
  std::int64_t seen_ = 0;     // nanoseconds of the chain whose flags are set
};

}  // namespace portico
