/// A PS/2 keyboard, as a controller meets it: bytes in, bytes out.
///
///     #include <portico/devices/ps2_keyboard.hpp>
///     portico::Ps2Keyboard keyboard;
///     keyboard.receive(0xF2);                                    // who are you?
///     while (!keyboard.empty()) std::printf("%02X ", keyboard.take());   // FA AB 83
///
/// *Emulated* (IBM PS/2 Hardware Interface Technical Reference, "Keyboards"): reset, identify, echo,
/// resend, LEDs, typematic rate, scan code set, defaults, enable and disable.
///
/// *Not emulated*: scan code sets 1 and 3, which are remembered and not sent; repetition, which is
/// the business of whoever types; the lights.
///
/// *What a hostile guest can do*: nothing beyond its own keyboard. The queue is of fixed size.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <portico/base/contracts.hpp>

namespace portico {

/// One keyboard. For one thread.
class Ps2Keyboard {
 public:
  /// Bytes that it keeps until they are taken.
  static constexpr std::size_t queue_bytes = 16;

  /// What the guest can see.
  struct State {
    std::uint8_t waits_for_data = 0;  ///< a command whose data byte comes next, or 0
    std::uint8_t scan_code_set = 2;
    std::uint8_t last_sent = 0;  ///< for a resend
    bool scanning = true;
    std::uint8_t count = 0;
    std::array<std::uint8_t, queue_bytes> queue{};  ///< what it has to send, the oldest first

    friend bool operator==(State const&, State const&) = default;
  };

  /// A byte from the controller. What the keyboard had to say before is dropped.
  void receive(std::uint8_t value) noexcept {
    state_.count = 0;
    std::uint8_t const command = std::exchange(state_.waits_for_data, std::uint8_t{0});
    if (command != 0 && value < first_command) {
      send(acknowledge);
      if (command == 0xF0) choose_set(value);
      return;
    }
    carry_out(value);
  }

  /// Keys, in scan code set 2; all of them or, if there is no room or scanning is off, none.
  bool type(gsl::span<std::uint8_t const> codes) noexcept {
    if (!state_.scanning || codes.size() > queue_bytes - state_.count) return false;
    for (std::uint8_t const code : codes) send(code);
    return true;
  }

  [[nodiscard]] bool empty() const noexcept { return state_.count == 0; }

  /// The next byte; there is one.
  std::uint8_t take() noexcept {
    std::uint8_t const code = state_.queue[0];
    std::copy(state_.queue.begin() + 1, state_.queue.end(), state_.queue.begin());
    if (state_.count > 0) --state_.count;
    state_.last_sent = code;
    return code;
  }

  [[nodiscard]] State const& save() const noexcept { return state_; }

  void load(State const& state) noexcept {
    state_ = state;
    if (state_.count > queue_bytes) state_.count = queue_bytes;
  }

 private:
  static constexpr std::uint8_t acknowledge = 0xFA;
  static constexpr std::uint8_t first_command = 0xED;

  void carry_out(std::uint8_t command) noexcept {
    switch (command) {
      case 0xEE:
        send(0xEE);
        break;
      case 0xFE:
        send(state_.last_sent);
        break;
      case 0xED:  // LEDs, scan code set, typematic rate: a byte follows
      case 0xF0:
      case 0xF3:
        state_.waits_for_data = command;
        send(acknowledge);
        break;
      case 0xF2:
        send({acknowledge, 0xAB, 0x83});
        break;
      case 0xF4:
        state_.scanning = true;
        send(acknowledge);
        break;
      case 0xF5:
      case 0xF6:
        defaults(command == 0xF6);
        send(acknowledge);
        break;
      case 0xFF:
        defaults(true);
        send({acknowledge, 0xAA});  // its own test has passed
        break;
      default:
        send(command >= 0xF7 ? acknowledge : 0xFE);
        break;  // of set 3, or unknown
    }
  }

  void choose_set(std::uint8_t value) noexcept {
    if (value == 0) send(state_.scan_code_set);
    if (value >= 1 && value <= 3) state_.scan_code_set = value;
  }

  void defaults(bool scanning) noexcept {
    state_.scan_code_set = 2;
    state_.scanning = scanning;
  }

  void send(std::uint8_t code) noexcept {
    if (state_.count < queue_bytes) state_.queue[state_.count++] = code;
  }

  template <std::size_t Count>
  void send(std::uint8_t const (&codes)[Count]) noexcept {
    for (std::uint8_t const code : codes) send(code);
  }

  State state_{};
};

}  // namespace portico
