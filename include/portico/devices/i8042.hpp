/// The keyboard controller of a PC, with a keyboard.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/i8042.hpp>
///     using Board = portico::DeviceMap<portico::On<
///         portico::I8042, portico::Ranges<portico::Ports<0x60>, portico::Ports<0x64>>,
///         portico::Irq<1>>>;
///     Board board{[] { return portico::I8042{}; }};
///     std::array<std::uint8_t, 3> const letter{0x1C, 0xF0, 0x1C};   // "a" goes down, and up
///     bool const taken = board.get<portico::I8042>().type(letter);
///
/// *Emulated* (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
/// Controller"): command byte, self-test, interface tests, output port with the reset line and A20,
/// the pulse that resets (0xFE), translation to scan code set 1; a Ps2Keyboard. A second port at
/// which nothing is connected: its loopback (0xD3) and test work, and a byte for the mouse (0xD4)
/// is answered with a time-out.
///
/// *Not emulated*: the mouse; the input port's jumpers; A20 itself, which is always on; the
/// controller's memory but for the command byte; parity errors; a password. An entry has one line,
/// the keyboard's: `second_line` gives the second port one.
///
/// *What a hostile guest can do*: reset its own machine. Keys wait in a queue of fixed size.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/registers.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/i8042_translation.hpp>
#include <portico/devices/line_level.hpp>
#include <portico/devices/ps2_keyboard.hpp>

namespace portico {

/// Controller and keyboard. Everything is safe from any thread.
class I8042 {
 public:
  static constexpr auto threads = Threads::any;
  static constexpr std::string_view acpi_hid = "PNP0303";

  /// What the guest can see.
  struct State {
    std::uint8_t status = 0x18;   ///< bits 2 to 7 of the status register
    std::uint8_t command = 0x03;  ///< the command byte
    std::uint8_t output_port = 0xCF;
    std::uint8_t waits_for_data = 0;             ///< a command whose data byte comes next, or 0
    std::uint8_t buffer = 0;                     ///< the output buffer
    bool full = false;                           ///< it holds a byte that was not read
    bool second = false;                         ///< which is the second port's
    bool interrupts = false;                     ///< the keyboard was not switched off when it came
    std::optional<std::uint8_t> reply{};         ///< the controller's, which waits for the buffer
    std::optional<std::uint8_t> second_reply{};  ///< likewise, from the second port
    bool key_up = false;  ///< translation has seen the prefix of a key that goes up
    Ps2Keyboard::State keyboard{};

    friend bool operator==(State const&, State const&) = default;
  };

  I8042() = default;
  I8042(I8042 const&) = delete;
  I8042& operator=(I8042 const&) = delete;
  ~I8042() = default;

  // --- Port 0x60

  /// r-  Output buffer: the next byte, or the last one again if there is none.
  std::uint8_t read_data(IrqLine& line) {
    std::uint8_t value = 0;
    change(line, [&] {
      value = state_.buffer;
      state_.full = false;
    });
    return value;
  }

  /// -w  Input buffer: the data byte of a command, or a byte for the keyboard.
  void write_data(std::uint8_t value, IrqLine& line, RunControl& control) {
    bool resets = false;
    change(line, [&] {
      state_.status &= static_cast<std::uint8_t>(~command_last);
      std::uint8_t const command = std::exchange(state_.waits_for_data, std::uint8_t{0});
      if (command == 0) to_keyboard(value);
      if (command == 0x60) write_command_byte(value);
      if (command == 0xD1) resets = write_output_port(value);
      if (command == 0xD2) state_.reply = value;
      if (command == 0xD3) state_.second_reply = value;
      if (command == 0xD4) nobody_answers();
    });
    if (resets) control.reset();
  }

  // --- Port 0x64

  /// r-  Status: bit 0 output buffer full, 2 system flag, 3 last write was a command, 4 not locked,
  /// 5 the byte is the second port's, 6 time-out.
  std::uint8_t read_status(IrqLine& line) {
    std::uint8_t value = 0;
    change(line, [&] {
      value = static_cast<std::uint8_t>(state_.status | (state_.full ? 0x01 : 0x00) |
                                        (state_.full && state_.second ? 0x20 : 0x00));
    });
    return value;
  }

  /// -w  Command.
  void write_command(std::uint8_t command, IrqLine& line, RunControl& control) {
    bool resets = false;
    change(line, [&] {
      state_.status |= command_last;
      resets = carry_out(command);
    });
    if (resets) control.reset();
  }

  using banks =
      Banks<Registers<ReadOnly<0, &I8042::read_data>, WriteOnly<0, &I8042::write_data>>,
            Registers<ReadOnly<0, &I8042::read_status>, WriteOnly<0, &I8042::write_command>>>;

  // --- The outside world

  /// Keys, as a keyboard sends them in scan code set 2; all of them or, if there is no room or the
  /// guest has switched scanning off, none.
  bool type(gsl::span<std::uint8_t const> codes) {
    std::unique_lock lock{mutex_};
    if (!keyboard_.type(codes)) return false;
    settle(lock);
    return true;
  }

  /// The line of the second port, IRQ 12 on a PC. Before the machine runs.
  void second_line(IrqLine const& line) {
    std::lock_guard const lock{mutex_};
    second_line_ = line;
  }

  [[nodiscard]] State save() const {
    std::lock_guard const lock{mutex_};
    State state = state_;
    state.keyboard = keyboard_.save();
    return state;
  }

  /// The lines follow with the guest's next access.
  void load(State const& state) {
    std::lock_guard const lock{mutex_};
    state_ = state;
    keyboard_.load(state.keyboard);
  }

 private:
  static constexpr std::uint8_t system_flag = 0x04;
  static constexpr std::uint8_t command_last = 0x08;
  static constexpr std::uint8_t time_out = 0x40;
  static constexpr std::uint8_t keyboard_off = 0x10;
  static constexpr std::uint8_t second_off = 0x20;
  static constexpr std::uint8_t translates = 0x40;

  /// A controller's command; true if it resets the machine.
  bool carry_out(std::uint8_t command) noexcept {
    switch (command) {
      case 0x20:
        state_.reply = state_.command;
        break;
      case 0x60:
      case 0xD1:
      case 0xD2:
      case 0xD3:
      case 0xD4:
        state_.waits_for_data = command;
        break;
      case 0xA7:
        state_.command |= second_off;
        break;
      case 0xA8:
        state_.command &= static_cast<std::uint8_t>(~second_off);
        break;
      case 0xA9:  // the second port's test, and the first's: no error
      case 0xAB:
        state_.reply = std::uint8_t{0x00};
        break;
      case 0xAA:
        state_.status |= system_flag;
        state_.command |= system_flag;
        state_.reply = std::uint8_t{0x55};
        break;
      case 0xAD:
        state_.command |= keyboard_off;
        break;
      case 0xAE:
        state_.command &= static_cast<std::uint8_t>(~keyboard_off);
        break;
      case 0xC0:
        state_.reply = std::uint8_t{0x80};
        break;
      case 0xD0:
        state_.reply = output_port();
        break;
      case 0xDD:
        state_.output_port &= 0xFD;
        break;
      case 0xDF:
        state_.output_port |= 0x02;
        break;
      default:
        return command >= 0xF0 && (command & 0x01) == 0;  // pulses: bit 0 is the reset line
    }
    return false;
  }

  void write_command_byte(std::uint8_t value) noexcept {
    state_.command = value;
    state_.interrupts = interrupts();
    state_.status =
        static_cast<std::uint8_t>((state_.status & ~system_flag) | (value & system_flag));
  }

  /// The output port's bits 4 and 5 are the buffer's two interrupts.
  [[nodiscard]] std::uint8_t output_port() const noexcept {
    unsigned value = state_.output_port & 0xCFU;
    if (state_.full) value |= state_.second ? 0x20U : 0x10U;
    return static_cast<std::uint8_t>(value);
  }

  bool write_output_port(std::uint8_t value) noexcept {
    state_.output_port = value | 0x01;
    return (value & 0x01) == 0;
  }

  /// Nothing is connected to the second port.
  void nobody_answers() noexcept {
    state_.command &= static_cast<std::uint8_t>(~second_off);
    state_.status |= time_out;
    state_.second_reply = std::uint8_t{0xFE};
  }

  /// A byte for the keyboard, which is let speak for its answer.
  void to_keyboard(std::uint8_t value) noexcept {
    state_.command &= static_cast<std::uint8_t>(~keyboard_off);
    state_.status &= static_cast<std::uint8_t>(~time_out);
    keyboard_.receive(value);
  }

  // --- The output buffer

  /// The next byte moves into the buffer once that is free: the controller's own replies first,
  /// then the keyboard's if it is not held.
  void fill() noexcept {
    while (!state_.full) {
      if (auto& reply = state_.reply ? state_.reply : state_.second_reply) {
        state_.second = !state_.reply;
        state_.buffer = *reply;
        reply.reset();
        state_.full = true;
      } else if (!keyboard_.empty() && (state_.command & keyboard_off) == 0) {
        take_from_keyboard();
      } else {
        return;
      }
    }
  }

  void take_from_keyboard() noexcept {
    std::uint8_t const code = keyboard_.take();
    std::optional<std::uint8_t> byte = code;
    if ((state_.command & translates) != 0) {
      detail::ScanCodeTranslation translation{state_.key_up};
      byte = translation.translate(code);
      state_.key_up = translation.up;
    }
    if (!byte) return;
    state_.buffer = *byte;
    state_.second = false;
    state_.full = true;
  }

  /// While the keyboard is switched off, replies to commands come without interrupts.
  [[nodiscard]] bool interrupts() const noexcept { return (state_.command & keyboard_off) == 0; }

  /// A change by the guest, under the lock, and what follows from it.
  template <class Change>
  void change(IrqLine const& line, Change make) {
    std::unique_lock lock{mutex_};
    line_ = line;
    make();
    settle(lock);
  }

  void settle(std::unique_lock<std::mutex>& lock) noexcept {
    bool const was_full = state_.full;
    fill();
    if (!was_full) state_.interrupts = interrupts();
    unsigned const enabled = state_.command;
    level_.want(state_.full && !state_.second && state_.interrupts && (enabled & 0x01) != 0);
    second_level_.want(state_.full && state_.second && (enabled & 0x02) != 0);
    if (!was_full && state_.full) (state_.second ? second_level_ : level_).fall_first();
    level_.settle(lock, line_);
    second_level_.settle(lock, second_line_);
  }

  mutable std::mutex mutex_;
  State state_{};  // but for the keyboard's, which is in keyboard_
  Ps2Keyboard keyboard_;
  detail::LineLevel level_;
  detail::LineLevel second_level_;
  IrqLine line_;  // as the last handler had it
  IrqLine second_line_;
};

}  // namespace portico
