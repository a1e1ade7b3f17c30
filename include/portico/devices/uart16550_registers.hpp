/// The 16550A's registers, FIFO and interrupts as a state machine: no lock, no line, no host.
///
///     #include <portico/devices/uart16550_registers.hpp>
///     portico::TimeSource time;
///     portico::Clock clock{time};
///     portico::Uart16550Registers uart;
///     uart.use(clock);
///     uart.write_ier(0x01);              // received data available
///     if (uart.room() > 0) uart.receive('x');
///     bool const interrupts = uart.interrupts();
///
/// Uart16550 is the device; this is what it keeps under its lock. Sections are those of the data
/// sheet, National Semiconductor PC16550D (June 1995).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <portico/device/clock.hpp>

namespace portico {

/// The modem's outputs, which the UART sees as inputs. A terminal is always ready.
struct ModemInputs {
  bool cts = true;  ///< clear to send
  bool dsr = true;  ///< data set ready
  bool ri = false;  ///< ring indicator
  bool dcd = true;  ///< data carrier detect

  friend bool operator==(ModemInputs const&, ModemInputs const&) = default;
};

/// What is wrong with a received character: bits of the line status register.
struct LineError {
  static constexpr std::uint8_t none = 0x00;
  static constexpr std::uint8_t parity = 0x04;
  static constexpr std::uint8_t framing = 0x08;
  static constexpr std::uint8_t break_signal = 0x10;
};

/// One UART. For one thread.
class Uart16550Registers {
 public:
  static constexpr std::size_t fifo_bytes = 16;

  /// What the guest can see.
  struct State {
    std::uint16_t divisor = 12;  ///< DLL and DLM: 9600 baud, as a PC's firmware leaves it
    std::uint8_t ier = 0;
    std::uint8_t fcr = 0;  ///< bits 0, 3, 6 and 7
    std::uint8_t lcr = 0;
    std::uint8_t mcr = 0;
    std::uint8_t scratch = 0;
    std::uint8_t line_status = 0;    ///< OE; in character mode also PE, FE and BI
    std::uint8_t modem_status = 0;   ///< MSR: lines in bits 4 to 7, changes in bits 0 to 3
    bool transmitter_empty = false;  ///< the THRE interrupt is pending
    bool timeout = false;            ///< the character timeout is pending
    std::uint64_t timeout_in = 0;    ///< nanoseconds until it is; 0: it does not run
    std::uint8_t count = 0;          ///< characters received and not read
    std::uint8_t last = 0;           ///< what RBR reads in character mode when there is none
    std::array<std::uint8_t, fifo_bytes> characters{};  ///< the oldest first
    std::array<std::uint8_t, fifo_bytes> errors{};      ///< LineError of each
    ModemInputs modem{};

    friend bool operator==(State const&, State const&) = default;
  };

  Uart16550Registers() {
    update_modem();
    state_.modem_status &= 0xF0;
  }

  /// The clock for the character timeout; without one there is none.
  void use(Clock const& clock) noexcept {
    clock_ = &clock;
    if (state_.timeout_in != 0) timeout_at_ = now() + std::exchange(state_.timeout_in, 0);
  }

  // --- Registers, by the data sheet's names

  /// r-  RBR, receiver buffer: the oldest character.
  std::uint8_t read_rbr() noexcept {
    if (!fifo_mode()) {
      state_.count = 0;
      return state_.last;
    }
    if (state_.count == 0) return 0;
    std::uint8_t const character = state_.characters[0];
    std::copy(state_.characters.begin() + 1, state_.characters.end(), state_.characters.begin());
    std::copy(state_.errors.begin() + 1, state_.errors.end(), state_.errors.begin());
    --state_.count;
    state_.timeout = false;
    start_timeout();
    return character;
  }

  /// -w  THR, transmitter holding, when its character has left, which takes no time. In loopback it
  /// is received (section 8.8).
  void write_thr(std::uint8_t character) noexcept {
    if (loopback()) receive(character);
    state_.transmitter_empty = true;
  }

  /// rw  IER, interrupt enable. A transmitter that is empty interrupts when that is enabled.
  void write_ier(std::uint8_t value) noexcept {
    std::uint8_t const changed = (state_.ier ^ value) & 0x0F;
    state_.ier = value & 0x0F;
    if ((changed & transmit_enable) != 0)
      state_.transmitter_empty = (state_.ier & transmit_enable) != 0;
  }

  /// r-  IIR, interrupt identification: reading takes back the THRE interrupt if it is the one
  /// shown (section 8.6).
  std::uint8_t read_iir() noexcept {
    std::uint8_t const source = interrupt();
    if (source == transmitter_source) state_.transmitter_empty = false;
    return static_cast<std::uint8_t>(source | (fifo_mode() ? 0xC0 : 0x00));
  }

  /// -w  FCR, FIFO control. Without bit 0 nothing else is programmed; changing it clears both FIFOs
  /// and is followed by a THRE interrupt (sections 8.5 and 8.11).
  void write_fcr(std::uint8_t value) noexcept {
    bool const enable = (value & fifo_enable) != 0;
    bool const changes = enable != fifo_mode();
    if (changes || (enable && (value & 0x02) != 0)) {
      state_.count = 0;
      state_.timeout = false;
      stop_timeout();
    }
    if (changes || (enable && (value & 0x04) != 0)) state_.transmitter_empty = true;
    state_.fcr = enable ? value & 0xC9 : 0;
  }

  /// rw  LCR, line control.
  void write_lcr(std::uint8_t value) noexcept { state_.lcr = value; }

  /// rw  MCR, modem control.
  void write_mcr(std::uint8_t value) noexcept {
    state_.mcr = value & 0x1F;
    update_modem();
  }

  /// r-  LSR, line status: reading clears the errors (section 8.4).
  std::uint8_t read_lsr() noexcept {
    std::uint8_t const status = line_status();
    state_.line_status = 0;
    if (fifo_mode()) state_.errors[0] = LineError::none;
    return status;
  }

  /// r-  MSR, modem status: reading clears the changes.
  std::uint8_t read_msr() noexcept {
    std::uint8_t const status = state_.modem_status;
    state_.modem_status &= 0xF0;
    return status;
  }

  [[nodiscard]] bool divisor_access() const noexcept { return (state_.lcr & 0x80) != 0; }

  [[nodiscard]] bool loopback() const noexcept { return (state_.mcr & 0x10) != 0; }

  // --- The line

  /// Characters that a sender may send without an overrun; none in loopback, where the line is cut.
  [[nodiscard]] std::size_t room() const noexcept { return loopback() ? 0 : free(); }

  /// A character arrives, with a LineError. Without room it is an overrun: in character mode the
  /// newer character stays, in the FIFO the older ones do (section 8.4).
  void receive(std::uint8_t character, std::uint8_t error = LineError::none) noexcept {
    if (free() == 0) state_.line_status |= overrun;
    if (!fifo_mode()) {
      state_.last = character;
      state_.line_status |= error;
      state_.count = 1;
      return;
    }
    if (free() > 0) {
      state_.characters[state_.count] = character;
      state_.errors[state_.count] = error;
      ++state_.count;
    }
    start_timeout();
  }

  /// The modem's lines change.
  void set_modem(ModemInputs const& inputs) noexcept {
    state_.modem = inputs;
    update_modem();
  }

  // --- Interrupts

  /// Whether any enabled interrupt is pending.
  [[nodiscard]] bool interrupts() const noexcept { return interrupt() != no_source; }

  /// When `expire` is to be called: nanoseconds of the clock, or Clock::never.
  [[nodiscard]] std::uint64_t deadline() const noexcept { return timeout_at_; }

  /// Nothing was received or read for four characters' time (section 8.11).
  void expire() noexcept {
    stop_timeout();
    state_.timeout = state_.count > 0;
  }

  /// Nanoseconds that a character takes on the line: start, data, parity and stop bits at 1.8432
  /// MHz / 16 / divisor.
  [[nodiscard]] std::uint64_t character_nanoseconds() const noexcept {
    std::uint64_t const data = 5 + (state_.lcr & 0x03U);
    std::uint64_t const parity = (state_.lcr & 0x08U) != 0 ? 1 : 0;
    std::uint64_t half_bits = 2 * (1 + data + parity + 1);
    if ((state_.lcr & 0x04U) != 0) half_bits += data == 5 ? 1 : 2;
    std::uint64_t const divisor = state_.divisor != 0 ? state_.divisor : 0x1'0000;
    return half_bits * divisor * 1'000'000'000 / (2 * 115'200);
  }

  [[nodiscard]] State const& state() const noexcept { return state_; }

  [[nodiscard]] State& state() noexcept { return state_; }

  [[nodiscard]] State save() const noexcept {
    State state = state_;
    std::uint64_t const time = now();
    if (timeout_at_ != Clock::never) state.timeout_in = timeout_at_ > time ? timeout_at_ - time : 1;
    return state;
  }

  /// Any state, even one that no UART can be in, is made one that can be.
  void load(State const& state) noexcept {
    state_ = state;
    state_.count = static_cast<std::uint8_t>(std::min<std::size_t>(state.count, capacity()));
    timeout_at_ = Clock::never;
    if (clock_ != nullptr) use(*clock_);
  }

 private:
  static constexpr std::uint8_t overrun = 0x02;
  static constexpr std::uint8_t any_error = 0x1E;
  static constexpr std::uint8_t fifo_enable = 0x01;
  static constexpr std::uint8_t transmit_enable = 0x02;
  static constexpr std::uint8_t no_source = 0x01;
  static constexpr std::uint8_t transmitter_source = 0x02;

  [[nodiscard]] std::uint64_t now() const noexcept { return clock_ != nullptr ? clock_->now() : 0; }

  [[nodiscard]] bool fifo_mode() const noexcept { return (state_.fcr & fifo_enable) != 0; }

  [[nodiscard]] std::size_t capacity() const noexcept { return fifo_mode() ? fifo_bytes : 1; }

  [[nodiscard]] std::size_t free() const noexcept { return capacity() - state_.count; }

  [[nodiscard]] std::size_t trigger() const noexcept {
    constexpr std::array<std::uint8_t, 4> levels{1, 4, 8, 14};
    return levels[state_.fcr >> 6];
  }

  /// LSR without the effect of reading it. An error in the FIFO shows when its character is the
  /// next to be read.
  [[nodiscard]] std::uint8_t line_status() const noexcept {
    unsigned status = state_.line_status | 0x60U;  // THRE and TEMT: nothing stays to be sent
    if (state_.count > 0) status |= 0x01U;
    if (!fifo_mode()) return static_cast<std::uint8_t>(status);
    for (std::size_t index = 0; index < state_.count; ++index)
      if (state_.errors[index] != LineError::none) status |= 0x80U;
    if (state_.count > 0) status |= state_.errors[0];
    return static_cast<std::uint8_t>(status);
  }

  /// The pending interrupt of highest priority, as IIR shows it (section 8.6, table IV).
  [[nodiscard]] std::uint8_t interrupt() const noexcept {
    unsigned const enabled = state_.ier;
    if ((enabled & 0x04U) != 0 && (line_status() & any_error) != 0) return 0x06;
    if ((enabled & 0x01U) != 0 && state_.timeout) return 0x0C;
    if ((enabled & 0x01U) != 0 && state_.count >= (fifo_mode() ? trigger() : 1)) return 0x04;
    if ((enabled & transmit_enable) != 0 && state_.transmitter_empty) return transmitter_source;
    if ((enabled & 0x08U) != 0 && (state_.modem_status & 0x0F) != 0) return 0x00;
    return no_source;
  }

  void start_timeout() noexcept {
    bool const runs = fifo_mode() && state_.count > 0 && clock_ != nullptr;
    timeout_at_ = runs ? now() + 4 * character_nanoseconds() : Clock::never;
  }

  void stop_timeout() noexcept { timeout_at_ = Clock::never; }

  /// In loopback the four outputs are the inputs (section 8.8); of RI only the end counts (8.9).
  void update_modem() noexcept {
    unsigned const mcr = state_.mcr;
    unsigned const lines =
        loopback() ? (mcr & 0x02U) << 3 | (mcr & 0x01U) << 5 | (mcr & 0x0CU) << 4
                   : (state_.modem.cts ? 0x10U : 0U) | (state_.modem.dsr ? 0x20U : 0U) |
                         (state_.modem.ri ? 0x40U : 0U) | (state_.modem.dcd ? 0x80U : 0U);
    unsigned const before = state_.modem_status;
    unsigned changes = (lines ^ before) >> 4 & 0x0B;
    if ((before & 0x40U) != 0 && (lines & 0x40U) == 0) changes |= 0x04;
    state_.modem_status = static_cast<std::uint8_t>(lines | (before & 0x0FU) | changes);
  }

  State state_{};
  Clock const* clock_ = nullptr;
  std::uint64_t timeout_at_ = Clock::never;
};

}  // namespace portico
