/// The 8254 interval timer of a PC, with port 0x61.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/i8254.hpp>
///     using Timer = portico::On<portico::Pit8254,
///         portico::Ranges<portico::Ports<0x40, 4>, portico::Ports<0x61, 1>>, portico::Irq<0>>;
///     void tick_100_times_a_second(portico::DeviceMap<Timer>& board, auto& context) {
///       board.out(0x43, std::uint8_t{0x34}, context);    // counter 0, mode 2
///       board.out(0x40, std::uint8_t{0x9C}, context);
///       board.out(0x40, std::uint8_t{0x2E}, context);    // 11932 ticks of 838 ns
///     }
///
/// *Emulated*: three counters at 1,193,182 Hz: modes 0 to 5, binary and BCD, each way to read and
/// write a count, latch and read-back commands with null count; GATE 2 and OUT 2 at port 0x61.
/// Whenever OUT 0 rises the line gets a pulse. Ticks are counted from one origin, without drift.
///
/// | register | range, offset | access | |
/// | --- | --- | --- | --- |
/// | counter 0, 1, 2 | 0, 0 to 2 | rw | w: count; r: status, latched count, count |
/// | control word | 0, 3 | -w | |
/// | port 61 | 1, 0 | rw | bits 0 GATE 2 (rw), 1 speaker (rw), 4 refresh (r-), 5 OUT 2 (r-) |
///
/// The other bits of port 61 are 0; refresh toggles every 15.1 µs.
///
/// *Not emulated*: sound; DRAM refresh by counter 1 (bit 4 of port 61 goes on whatever it does);
/// parity and channel checks at port 61. A count of 1 in modes 2 and 3, which the data sheet
/// forbids, is taken for 2. Before it is programmed no counter counts.
///
/// Late deadlines: one pulse for all the rises that have passed, the others are counted in
/// `missed()`; none is delivered later. In modes 2 and 3 a deadline comes no sooner than 200 µs
/// after the last (5 kHz, as in KVM's timer), so that a wave at its highest rate, 597 kHz, costs
/// the host no more than that.
///
/// *What a hostile guest can do*: cause one deadline for each of its own writes, and 5,000 in a
/// second beside.
///
/// Sources: Intel 8254 (order number 231164); port 61: Intel 82371AB (290562), "NMI status and
/// control register".
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>

#include <portico/device/clock.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/registers.hpp>
#include <portico/devices/i8254_counter.hpp>

namespace portico {

/// The timer. Its handlers lock; the line is pulsed without the lock.
class Pit8254 {
 public:
  static constexpr auto threads = Threads::any;

  /// Ticks in a second.
  static constexpr std::uint64_t frequency = 1'193'182;

  /// Nanoseconds between two deadlines of a periodic counter 0.
  static constexpr std::uint64_t shortest_period = 200'000;

  /// The tick that has begun last at `nanoseconds`.
  [[nodiscard]] static constexpr std::uint64_t tick_at(std::uint64_t nanoseconds) noexcept {
    return nanoseconds / second * frequency + nanoseconds % second * frequency / second;
  }

  /// When a tick begins, rounded up to nanoseconds.
  [[nodiscard]] static constexpr std::uint64_t time_of(std::uint64_t tick) noexcept {
    return tick / frequency * second + (tick % frequency * second + frequency - 1) / frequency;
  }

  /// What the guest can see.
  struct State {
    std::array<Counter8254::State, 3> counters{};
    bool speaker = false;     ///< port 61, bit 1; bit 0 is counter 2's gate
    bool rise_waits = false;  ///< OUT 0 has risen, and nobody was told yet

    friend bool operator==(State const&, State const&) = default;
  };

  Pit8254() noexcept { counters_[2].set_gate(false, 0); }

  /// r-  Counter 0: status, latched count, or the count, as the control word has it.
  [[nodiscard]] std::uint8_t read_counter0(Clock const& clock) { return read(0, clock); }

  /// r-  Counter 1.
  [[nodiscard]] std::uint8_t read_counter1(Clock const& clock) { return read(1, clock); }

  /// r-  Counter 2.
  [[nodiscard]] std::uint8_t read_counter2(Clock const& clock) { return read(2, clock); }

  /// -w  Counter 0: a byte of the count.
  void write_counter0(std::uint8_t value, Clock& clock, IrqLine const& line) {
    change_counter0(clock, line,
                    [&](Counter8254& counter, std::uint64_t now) { counter.write(value, now); });
  }

  /// -w  Counter 1.
  void write_counter1(std::uint8_t value, Clock const& clock) { write(1, value, clock); }

  /// -w  Counter 2.
  void write_counter2(std::uint8_t value, Clock const& clock) { write(2, value, clock); }

  /// -w  A control word, a latch or a read-back command.
  void write_control(std::uint8_t value, Clock& clock, IrqLine const& line) {
    unsigned const which = value >> 6;
    bool const latches = (value & 0x30) == 0;
    if (which == 0 && !latches) {
      change_counter0(clock, line, [&](Counter8254& counter, std::uint64_t now) {
        counter.write_control(value, now);
      });
      return;
    }
    std::lock_guard const guard{mutex_};
    std::uint64_t const now = tick_at(clock.now());
    if (which == 3)
      read_back(value, now);
    else if (latches)
      counters_[which].latch_count(now);
    else
      counters_[which].write_control(value, now);
  }

  /// rw  Port 61.
  [[nodiscard]] std::uint8_t read_port61(Clock const& clock) {
    std::lock_guard const guard{mutex_};
    std::uint64_t const now = tick_at(clock.now());
    unsigned const refresh = now / ticks_per_refresh % 2;
    return static_cast<std::uint8_t>((gate2_ ? 1U : 0U) | (speaker_ ? 2U : 0U) | refresh << 4 |
                                     (counters_[2].output(now) ? 0x20U : 0U));
  }

  /// rw  Port 61.
  void write_port61(std::uint8_t value, Clock const& clock) {
    std::lock_guard const guard{mutex_};
    gate2_ = (value & 1) != 0;
    speaker_ = (value & 2) != 0;
    counters_[2].set_gate(gate2_, tick_at(clock.now()));
  }

  /// OUT 0 has risen, or so it was thought when the deadline was armed.
  void deadline(Clock& clock, IrqLine const& line) {
    change_counter0(clock, line, [](Counter8254&, std::uint64_t) {});
  }

  using banks = Banks<Registers<ReadWrite<0, &Pit8254::read_counter0, &Pit8254::write_counter0>,
                                ReadWrite<1, &Pit8254::read_counter1, &Pit8254::write_counter1>,
                                ReadWrite<2, &Pit8254::read_counter2, &Pit8254::write_counter2>,
                                WriteOnly<3, &Pit8254::write_control>>,
                      Registers<ReadWrite<0, &Pit8254::read_port61, &Pit8254::write_port61>>>;

  /// Rises of OUT 0 for which there was no pulse of their own.
  [[nodiscard]] std::uint64_t missed() const {
    std::lock_guard const guard{mutex_};
    return missed_;
  }

  [[nodiscard]] State save(Clock const& clock) const {
    std::lock_guard const guard{mutex_};
    std::uint64_t const now = tick_at(clock.now());
    return {{counters_[0].save(now), counters_[1].save(now), counters_[2].save(now)},
            speaker_,
            rise_ <= now};
  }

  /// Goes on where a device was saved, and arms the deadline.
  void load(State const& state, Clock& clock) {
    std::lock_guard const guard{mutex_};
    std::uint64_t const now = tick_at(clock.now());
    for (std::size_t index = 0; index < 3; ++index)
      counters_[index].load(state.counters[index], now);
    gate2_ = state.counters[2].gate;
    speaker_ = state.speaker;
    rise_ = state.rise_waits ? now : counters_[0].next_rise(now);
    quiet_until_ = 0;
    arm(clock);
  }

 private:
  static constexpr std::uint64_t second = 1'000'000'000;
  static constexpr std::uint64_t ticks_per_refresh = 18;

  std::uint8_t read(std::size_t counter, Clock const& clock) {
    std::lock_guard const guard{mutex_};
    return counters_[counter].read(tick_at(clock.now()));
  }

  void write(std::size_t counter, std::uint8_t value, Clock const& clock) {
    std::lock_guard const guard{mutex_};
    counters_[counter].write(value, tick_at(clock.now()));
  }

  /// "Read-back command": bits 1 to 3 name counters; bit 5 low latches counts, bit 4 low statuses.
  void read_back(unsigned value, std::uint64_t now) noexcept {
    for (unsigned counter = 0; counter < 3; ++counter) {
      if ((value >> (counter + 1) & 1) == 0) continue;
      if ((value & 0x20) == 0) counters_[counter].latch_count(now);
      if ((value & 0x10) == 0) counters_[counter].latch_status(now);
    }
  }

  /// Changes counter 0 after what has happened until now; then, without the lock, the pulse.
  template <class Change>
  void change_counter0(Clock& clock, IrqLine const& line, Change change) {
    bool rises = false;
    {
      std::lock_guard const guard{mutex_};
      Counter8254& counter = counters_[0];
      std::uint64_t const time = clock.now();
      std::uint64_t const now = tick_at(time);
      bool const was_high = counter.output(now);
      if (rise_ <= now) {
        rises = true;
        if (counter.is_periodic()) missed_ += (now - rise_) / counter.period();
        quiet_until_ = time + shortest_period;
      }
      change(counter, now);
      if (!was_high && counter.output(now)) {
        if (rises) ++missed_;
        rises = true;
      }
      rise_ = counter.next_rise(now);
      arm(clock);
    }
    if (rises) line.pulse();
  }

  void arm(Clock& clock) noexcept {
    if (rise_ == Counter8254::never)
      clock.cancel();
    else
      clock.arm(std::max(time_of(rise_), counters_[0].is_periodic() ? quiet_until_ : 0));
  }

  mutable std::mutex mutex_;
  std::array<Counter8254, 3> counters_{};
  std::uint64_t rise_ = Counter8254::never;  // the next of OUT 0 that nobody was told of
  std::uint64_t quiet_until_ = 0;
  std::uint64_t missed_ = 0;
  bool gate2_ = false;
  bool speaker_ = false;
};

}  // namespace portico
