/// One of the three counters of an 8254, in ticks of its clock input.
///
///     #include <portico/devices/i8254_counter.hpp>
///     bool is_up_after_1194_ticks() {
///       portico::Counter8254 counter;
///       counter.write_control(0x30, 0);      // LSB, MSB; mode 0: interrupt on terminal count
///       counter.write(0xA9, 0);
///       counter.write(0x04, 0);              // 1193, loaded at tick 1
///       return !counter.output(1193) && counter.output(1194);
///     }
///
/// Nothing is simulated tick by tick: what the counter does is a function of the ticks since its
/// count was loaded, so each call costs the same however much time has passed. Times never go
/// backwards. The chip, and what is emulated: devices/i8254.hpp. Sources: Intel 8254 (order number
/// 231164), by section.
#pragma once

#include <algorithm>
#include <cstdint>

namespace portico {

/// Counter element, count register and latches. No thread safety.
class Counter8254 {
 public:
  static constexpr std::uint64_t never = ~std::uint64_t{0};

  /// All that the counter remembers. Its times are ticks from when it was saved.
  struct State {
    std::uint8_t control = 0x36;      ///< RW, mode and BCD as written
    std::uint16_t initial = 0;        ///< the count register
    std::uint16_t shown = 0;          ///< what reads as the count until one is loaded
    std::uint32_t period = 0x1'0000;  ///< the count that was loaded
    std::uint64_t elapsed = 0;        ///< ticks counted since then
    std::uint64_t load_in = never;    ///< ticks until the count register is loaded
    bool loads_low = false;           ///< ... in mode 3, for the low half of the wave
    bool loaded = false;              ///< counts since the control word
    bool written = false;             ///< a count has been written since the control word
    bool null_count = true;           ///< the count register is not loaded yet
    bool gate = true;
    bool halted = false;        ///< does not count: its gate is low, or half a count written
    bool half_written = false;  ///< the second byte is to follow
    bool half_read = false;     ///< the same
    bool status_latched = false;
    std::uint8_t first_byte = 0;
    std::uint8_t status = 0;
    std::uint8_t latched_bytes = 0;  ///< how many of `latched` are still to be read
    std::uint16_t latched = 0;

    friend bool operator==(State const&, State const&) = default;
  };

  /// A control word for this counter, but not one that latches: OUT takes its first level, and what
  /// was latched is gone.
  void write_control(std::uint8_t value, std::uint64_t now) noexcept {
    State fresh;
    fresh.shown = count(now);
    fresh.gate = state_.gate;
    fresh.control = value & 0x3F;
    state_ = fresh;
    load_at_ = never;
  }

  /// A byte of the count.
  void write(std::uint8_t byte, std::uint64_t now) noexcept {
    settle(now);
    if (access() == 3 && !state_.half_written) {
      state_.first_byte = byte;
      state_.half_written = true;
      // "Mode 0": the first byte stops the counting, and OUT goes low.
      if (mode() == 0 && state_.loaded) halt(now);
      return;
    }
    unsigned const high = access() == 1 ? 0 : byte;
    unsigned const low = access() == 1 ? byte : access() == 2 ? 0 : state_.first_byte;
    state_.initial = static_cast<std::uint16_t>(high << 8 | low);
    state_.half_written = false;
    state_.written = true;
    state_.null_count = true;
    schedule_load(now);
  }

  /// A byte of the status, the latched count, or the count as it is, whichever is to be read.
  std::uint8_t read(std::uint64_t now) noexcept {
    if (state_.status_latched) {
      state_.status_latched = false;
      return state_.status;
    }
    if (state_.latched_bytes > 0) {
      bool const low = access() == 1 || state_.latched_bytes == 2;
      --state_.latched_bytes;
      return byte_of(state_.latched, !low);
    }
    bool const second = state_.half_read;
    state_.half_read = access() == 3 && !second;
    return byte_of(count(now), access() == 2 || second);
  }

  /// Keeps the count until it is read; one that is kept already stays.
  void latch_count(std::uint64_t now) noexcept {
    if (state_.latched_bytes > 0) return;
    state_.latched = count(now);
    state_.latched_bytes = access() == 3 ? 2 : 1;
  }

  /// The same for the status: OUT, null count, and the control word.
  void latch_status(std::uint64_t now) noexcept {
    if (state_.status_latched) return;
    bool const high = output(now);
    state_.status = static_cast<std::uint8_t>((high ? 0x80U : 0U) |
                                              (state_.null_count ? 0x40U : 0U) | state_.control);
    state_.status_latched = true;
  }

  /// Drives GATE.
  void set_gate(bool high, std::uint64_t now) noexcept {
    settle(now);
    if (high == state_.gate) return;
    state_.gate = high;
    if (is_periodic())
      high ? trigger(now) : hold(now);
    else if (mode() == 1 || mode() == 5)
      high ? trigger(now) : void();
    else if (state_.loaded && !(mode() == 0 && state_.half_written))
      high ? resume(now) : halt(now);
  }

  /// OUT.
  bool output(std::uint64_t now) noexcept {
    settle(now);
    if (!state_.loaded) return mode() != 0;
    std::uint64_t const ticks = elapsed(now);
    switch (mode()) {
      case 0:
        return !state_.null_count && !state_.half_written && ticks >= state_.period;
      case 1:
        return ticks >= state_.period;
      case 2:
        return state_.halted || ticks % state_.period != state_.period - 1;
      case 3:
        return state_.halted || ticks % state_.period < high_half();
      default:  // 4, 5
        return ticks != state_.period;
    }
  }

  /// What is read as the count.
  std::uint16_t count(std::uint64_t now) noexcept {
    settle(now);
    if (!state_.loaded) return state_.shown;
    std::uint64_t const ticks = elapsed(now);
    std::uint64_t const left = is_periodic() ? 0 : state_.period - ticks % wrap();
    if (!is_periodic()) return encode((left + wrap()) % wrap());
    std::uint64_t const into = ticks % state_.period;
    if (mode() == 2) return encode(state_.period - into);
    // "Mode 3": counts by two, in odd periods from one less, each half from the start.
    std::uint64_t const half = into < high_half() ? into : into - high_half();
    return encode((state_.period & ~1U) - 2 * half);
  }

  /// The first tick after `now` at which OUT rises, if nothing is written until then; or never.
  [[nodiscard]] std::uint64_t next_rise(std::uint64_t now) const noexcept {
    Counter8254 counter{*this};
    counter.settle(now);
    std::uint64_t const rise = counter.rise_without_load(now);
    std::uint64_t const load = counter.load_at_;
    if (rise < load || load == never) return rise;
    bool const was_high = counter.output(load - 1);
    if (!was_high && counter.output(load)) return load;
    counter.settle(load);
    return counter.rise_without_load(load);
  }

  /// Whether OUT rises again and again.
  [[nodiscard]] bool is_periodic() const noexcept { return mode() == 2 || mode() == 3; }

  /// Ticks from one rise to the next, where it is periodic.
  [[nodiscard]] std::uint32_t period() const noexcept { return state_.period; }

  [[nodiscard]] State save(std::uint64_t now) const noexcept {
    Counter8254 counter{*this};
    counter.settle(now);
    State state = counter.state_;
    state.elapsed = counter.elapsed(now);
    if (counter.load_at_ != never) state.load_in = counter.load_at_ - now;
    return state;
  }

  void load(State const& state, std::uint64_t now) noexcept {
    state_ = state;
    state_.period = std::clamp(state.period, is_periodic() ? 2U : 1U, 0x1'0000U);
    state_.latched_bytes = std::min<std::uint8_t>(state.latched_bytes, access() == 3 ? 2 : 1);
    start_ = now - state.elapsed;
    load_at_ = state.load_in == never ? never : now + std::max<std::uint64_t>(state.load_in, 1);
    state_.load_in = never;
  }

 private:
  /// RW1, RW0: 1 the low byte, 2 the high one, 3 the low one and then the high one.
  [[nodiscard]] unsigned access() const noexcept { return state_.control >> 4 & 3; }

  /// 0 to 5: the highest bit of modes 2 and 3 does not matter.
  [[nodiscard]] unsigned mode() const noexcept {
    unsigned const mode = state_.control >> 1 & 7;
    return mode > 5 ? mode & 3 : mode;
  }

  [[nodiscard]] bool is_bcd() const noexcept { return (state_.control & 1) != 0; }

  [[nodiscard]] std::uint64_t wrap() const noexcept { return is_bcd() ? 10'000 : 0x1'0000; }

  /// "Mode 3": the high half is the longer one of odd counts.
  [[nodiscard]] std::uint32_t high_half() const noexcept { return (state_.period + 1) / 2; }

  [[nodiscard]] std::uint64_t elapsed(std::uint64_t now) const noexcept {
    return state_.halted ? state_.elapsed : now - start_;
  }

  static std::uint8_t byte_of(std::uint16_t value, bool high) noexcept {
    return static_cast<std::uint8_t>(high ? value >> 8 : value);
  }

  /// A number as the counter shows it.
  [[nodiscard]] std::uint16_t encode(std::uint64_t value) const noexcept {
    if (!is_bcd()) return static_cast<std::uint16_t>(value);
    std::uint16_t digits = 0;
    for (unsigned shift = 0; shift < 16; shift += 4, value /= 10)
      digits = static_cast<std::uint16_t>(digits | value % 10 << shift);
    return digits;
  }

  /// The count that is written: 0 is the largest, and 1 ("minimum count 2") counts as 2 where it
  /// makes a wave; a BCD digit above 9 by its weight.
  [[nodiscard]] std::uint32_t decode() const noexcept {
    std::uint32_t value = 0;
    for (unsigned shift = 16; shift > 0; shift -= 4)
      value = value * (is_bcd() ? 10 : 16) + (state_.initial >> (shift - 4) & 0xF);
    if (value == 0) return static_cast<std::uint32_t>(wrap());
    return is_periodic() ? std::max(value, 2U) : value;
  }

  /// Carries out a load whose tick has come.
  void settle(std::uint64_t now) noexcept {
    if (load_at_ > now) return;
    state_.period = decode();
    start_ = load_at_ - (state_.loads_low ? high_half() : 0);
    load_at_ = never;
    state_.loads_low = false;
    state_.loaded = true;
    state_.null_count = false;
    state_.halted = !state_.gate && mode() != 1 && mode() != 5;
    state_.elapsed = 0;
  }

  /// When the count that was written is loaded: by the next tick, or by the one that ends what is
  /// counted now; or by a trigger.
  void schedule_load(std::uint64_t now) noexcept {
    if (mode() == 1 || mode() == 5) return;
    if (!is_periodic() || !state_.loaded) {
      load_at_ = now + 1;
    } else if (!state_.halted && load_at_ == never) {
      std::uint64_t const into = elapsed(now) % state_.period;
      state_.loads_low = mode() == 3 && into < high_half();
      load_at_ = now + (state_.loads_low ? high_half() : state_.period) - into;
    }
  }

  /// GATE has risen: the next tick loads the count.
  void trigger(std::uint64_t now) noexcept {
    if (!state_.written) return;
    state_.loads_low = false;
    load_at_ = now + 1;
  }

  /// GATE has fallen in mode 2 or 3: the end that a new count waited for does not come.
  void hold(std::uint64_t now) noexcept {
    if (!state_.loaded) return;
    if (load_at_ != now + 1) load_at_ = never;
    halt(now);
  }

  void halt(std::uint64_t now) noexcept {
    if (state_.halted) return;
    state_.elapsed = elapsed(now);
    state_.halted = true;
  }

  void resume(std::uint64_t now) noexcept {
    if (!state_.halted) return;
    start_ = now - state_.elapsed;
    state_.halted = false;
  }

  [[nodiscard]] std::uint64_t rise_without_load(std::uint64_t now) const noexcept {
    if (!state_.loaded || state_.halted) return never;
    std::uint64_t const ticks = elapsed(now);
    if (is_periodic()) return now + state_.period - ticks % state_.period;
    if (mode() == 0 && (state_.null_count || state_.half_written)) return never;
    std::uint64_t const last = mode() >= 4 ? state_.period + std::uint64_t{1} : state_.period;
    return ticks < last ? now + last - ticks : never;
  }

  State state_{};  // but for its times, which are these
  std::uint64_t start_ = 0;
  std::uint64_t load_at_ = never;
};

}  // namespace portico
