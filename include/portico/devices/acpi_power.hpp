/// ACPI's fixed hardware: power-off, the power button, and the power management timer.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/acpi_power.hpp>
///     using Board = portico::DeviceMap<
///         portico::Port<0x600, portico::AcpiPower, portico::Irq<9, portico::Level>>>;
///     Board board{[] { return portico::AcpiPower{}; }};
///     board.get<portico::AcpiPower>().press_power_button();      // the guest may shut down
///
/// *Emulated* (ACPI 6.5, sections 4.8.3.1 to 4.8.3.3): PM1a status and enable, PM1a control, and
/// the timer of 24 bits and 3.579545 MHz, in the layout of Intel's PIIX4. The interrupt (SCI) is a
/// level. Sleep type `soft_off` with SLP_EN ends the run with GuestExit{0}. ACPI mode is always on:
/// tables give no SMI command port, and SCI_EN reads 1.
///
/// *Not emulated*: other sleep types, which do nothing; general purpose events; the sleep button,
/// the alarm of the clock, the global lock, whose status bits stay 0. A reset is ResetControl's,
/// which tables name as the reset register.
///
/// *What a hostile guest can do*: power its own machine off. The timer costs one deadline every
/// 2.3 s.
#pragma once

#include <cstdint>
#include <mutex>

#include <portico/device/acpi_role.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/registers.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/line_level.hpp>

namespace portico {

/// One block of registers. Everything is safe from any thread.
class AcpiPower {
 public:
  static constexpr auto threads = Threads::any;

  /// SLP_TYPa of S5, which the tables' \_S5 object has to name.
  static constexpr std::uint8_t soft_off = 5;
  /// Ticks of the timer in a second.
  static constexpr std::uint64_t frequency = 3'579'545;
  /// Where the blocks stand, for the tables (FADT): PM1a_EVT_BLK has 4 bytes, PM1a_CNT_BLK 2,
  /// PM_TMR_BLK 4.
  static constexpr std::uint16_t event_block = 0;
  static constexpr std::uint16_t control_block = 4;
  static constexpr std::uint16_t timer_block = 8;
  static constexpr AcpiPowerManagement acpi_power{.event = event_block,
                                                  .control = control_block,
                                                  .timer = timer_block,
                                                  .power_button = true,
                                                  .soft_off = soft_off};

  /// What the guest can see.
  struct State {
    std::uint16_t status = 0;
    std::uint16_t enable = 0;
    std::uint16_t control = control_default;
    std::uint64_t ticks = 0;  ///< the timer, with the bits above its 24th
    std::uint64_t carry = 0;  ///< the tick at which bit 23 changes next

    friend bool operator==(State const&, State const&) = default;
  };

  AcpiPower() = default;
  AcpiPower(AcpiPower const&) = delete;
  AcpiPower& operator=(AcpiPower const&) = delete;
  ~AcpiPower() = default;

  /// rw  PM1_STS: what has happened; writing 1 clears. TMR_STS bit 0, PWRBTN_STS bit 8.
  std::uint16_t read_status(IrqLine& line, Clock& clock) {
    std::uint16_t value = 0;
    change(line, clock, [&] { value = state_.status; });
    return value;
  }

  void write_status(std::uint16_t value, IrqLine& line, Clock& clock) {
    change(line, clock, [&] { state_.status &= static_cast<std::uint16_t>(~value); });
  }

  /// rw  PM1_EN: what of it interrupts.
  [[nodiscard]] std::uint16_t read_enable() const {
    std::lock_guard const lock{mutex_};
    return state_.enable;
  }

  void write_enable(std::uint16_t value, IrqLine& line, Clock& clock) {
    change(line, clock, [&] { state_.enable = value & writable_enable; });
  }

  /// rw  PM1_CNT: SLP_TYP bits 10 to 12, SLP_EN bit 13 (-w), SCI_EN bit 0 (r-).
  [[nodiscard]] std::uint16_t read_control() const {
    std::lock_guard const lock{mutex_};
    return state_.control;
  }

  void write_control(std::uint16_t value, RunControl& control) {
    {
      std::lock_guard const lock{mutex_};
      state_.control = static_cast<std::uint16_t>((value & writable_control) | control_default);
    }
    if ((value & sleep_enable) != 0 && (value >> 10 & 7) == soft_off) control.exit(0);
  }

  /// r-  PM_TMR: ticks since an arbitrary start, 24 bits.
  std::uint32_t read_timer(Clock& clock) {
    std::lock_guard const lock{mutex_};
    begin(clock);
    return static_cast<std::uint32_t>(ticks() & 0xFF'FFFF);
  }

  using registers =
      Registers<ReadWrite<event_block, &AcpiPower::read_status, &AcpiPower::write_status>,
                ReadWrite<event_block + 2, &AcpiPower::read_enable, &AcpiPower::write_enable>,
                ReadWrite<control_block, &AcpiPower::read_control, &AcpiPower::write_control>,
                ReadOnly<timer_block, &AcpiPower::read_timer>>;

  /// Bit 23 of the timer has changed.
  void deadline(IrqLine& line, Clock& clock) {
    change(line, clock, [] {});
  }

  /// The power button: interrupts the guest if it has enabled that.
  void press_power_button() {
    std::unique_lock lock{mutex_};
    state_.status |= power_button;
    settle(lock);
  }

  [[nodiscard]] State save() const {
    std::lock_guard const lock{mutex_};
    State state = state_;
    state.ticks = ticks();
    return state;
  }

  /// For a machine that does not run; the line follows with the guest's next access or `deadline`,
  /// for which the clock is armed then.
  void load(State const& state) {
    std::unique_lock lock{mutex_};
    state_ = state;
    loaded_ = true;
    if (clock_ != nullptr) begin(*clock_);
    settle(lock);
  }

 private:
  static constexpr std::uint16_t timer_status = 0x0001;
  static constexpr std::uint16_t power_button = 0x0100;
  static constexpr std::uint16_t writable_enable = 0x0721;
  static constexpr std::uint16_t sleep_enable = 0x2000;
  static constexpr std::uint16_t control_default = 0x0001;
  static constexpr std::uint16_t writable_control = 0x1C02;
  static constexpr std::uint64_t half_period = 0x80'0000;
  static constexpr std::uint64_t second = 1'000'000'000;

  /// The clock is known from the first access on. A loaded timer goes on from there.
  void begin(Clock& clock) noexcept {
    clock_ = &clock;
    if (loaded_) start_ = clock.now();
    loaded_ = false;
    if (state_.carry == 0) state_.carry = next_carry();
  }

  [[nodiscard]] std::uint64_t next_carry() const noexcept {
    return (ticks() / half_period + 1) * half_period;
  }

  [[nodiscard]] std::uint64_t ticks() const noexcept {
    if (clock_ == nullptr || loaded_) return state_.ticks;
    std::uint64_t const passed = clock_->now() - start_;
    return state_.ticks + passed / second * frequency + passed % second * frequency / second;
  }

  /// The first nanosecond at which `ticks()` is `tick` or more.
  [[nodiscard]] std::uint64_t time_of(std::uint64_t tick) const noexcept {
    std::uint64_t const left = tick > state_.ticks ? tick - state_.ticks : 0;
    return start_ + left / frequency * second +
           (left % frequency * second + frequency - 1) / frequency;
  }

  /// A change by the guest or by time, under the lock, and what follows from it.
  template <class Change>
  void change(IrqLine const& line, Clock& clock, Change make) {
    std::unique_lock lock{mutex_};
    line_ = line;
    begin(clock);
    if (ticks() >= state_.carry) {
      state_.status |= timer_status;
      state_.carry = next_carry();
    }
    make();
    settle(lock);
  }

  /// The deadline is needed only where the guest is to be interrupted by it.
  void settle(std::unique_lock<std::mutex>& lock) noexcept {
    level_.want((state_.status & state_.enable & writable_enable) != 0);
    if (clock_ != nullptr) {
      bool const waits = (state_.enable & ~state_.status & timer_status) != 0;
      clock_->arm(waits ? time_of(state_.carry) : Clock::never);
    }
    level_.settle(lock, line_);
  }

  mutable std::mutex mutex_;
  State state_{};
  detail::LineLevel level_;
  IrqLine line_;
  Clock* clock_ = nullptr;
  std::uint64_t start_ = 0;  // when state_.ticks was right: at first, when the clock began
  bool loaded_ = false;      // state_.ticks is right when the clock is seen next
};

}  // namespace portico
