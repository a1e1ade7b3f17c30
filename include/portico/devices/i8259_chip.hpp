/// One 8259A interrupt controller: eight inputs, one output, two registers.
///
///     #include <portico/devices/i8259_chip.hpp>
///     int vector_of_input_3() {
///       portico::Chip8259A chip;                  // no slaves
///       chip.write_command(0x13);                 // ICW1: single, ICW4 follows
///       chip.write_data(0x20);                    // ICW2: vectors 0x20 to 0x27
///       chip.write_data(0x01);                    // ICW4: 8086 mode
///       chip.set_input(3, true);
///       return chip.output() ? chip.vector(chip.acknowledge()) : -1;
///     }
///
/// A PC has two of them, with registers of their own for edge and level: devices/i8259.hpp, which
/// also says what is emulated. Sources: Intel 8259A (order number 231468), by section.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>

namespace portico {

/// The chip without its bus. No thread safety, no outside world.
class Chip8259A {
 public:
  /// All that the chip remembers.
  struct State {
    std::uint8_t inputs = 0;        ///< the levels of IR0 to IR7
    std::uint8_t edges = 0;         ///< requests of edge-triggered inputs, until acknowledged
    std::uint8_t level = 0;         ///< inputs that are level-triggered (ELCR)
    std::uint8_t mask = 0xFF;       ///< IMR; nothing gets through before the first ICW1
    std::uint8_t in_service = 0;    ///< ISR
    std::uint8_t base = 0;          ///< ICW2: the vector of IR0
    std::uint8_t first = 0;         ///< the input with the highest priority
    std::uint8_t next_icw = 0;      ///< 2, 3, 4 while initialisation goes on, else 0
    bool all_level = false;         ///< ICW1, LTIM
    bool single = false;            ///< ICW1, SNGL: there is no ICW3
    bool needs_icw4 = false;        ///< ICW1, IC4
    bool fully_nested = false;      ///< ICW4, SFNM: special fully nested mode
    bool auto_eoi = false;          ///< ICW4, AEOI
    bool rotates = false;           ///< OCW2: rotation in automatic EOI mode
    bool special_mask = false;      ///< OCW3, SMM
    bool reads_in_service = false;  ///< OCW3, RIS: the command port reads ISR, not IRR
    bool polled = false;            ///< OCW3, P: the next read acknowledges

    friend bool operator==(State const&, State const&) = default;
  };

  /// `slaves`: the inputs, a bit each, on which another 8259A stands.
  explicit Chip8259A(std::uint8_t slaves = 0) noexcept : slaves_{slaves} {}

  /// Drives input `number` (0 to 7).
  void set_input(unsigned number, bool high) noexcept {
    std::uint8_t const bit = bit_of(number);
    bool const was_high = (state_.inputs & bit) != 0;
    set_bits(state_.inputs, bit, high);
    if (high && !was_high && (level_triggered() & bit) == 0) set_bits(state_.edges, bit, true);
  }

  /// The INT pin.
  [[nodiscard]] bool output() const noexcept { return pending().has_value(); }

  /// INTA: the input that is served now, and in service from now on; 7 if the request is gone
  /// ("Edge and level triggered modes": default IR7), of which the chip remembers nothing.
  std::uint8_t acknowledge() noexcept {
    std::optional<unsigned> const input = pending();
    if (!input) return 7;
    serve(*input);
    return static_cast<std::uint8_t>(*input);
  }

  /// The vector of an input.
  [[nodiscard]] std::uint8_t vector(unsigned input) const noexcept {
    return static_cast<std::uint8_t>(state_.base | input);
  }

  /// IRR: what is requested, masked or not.
  [[nodiscard]] std::uint8_t requests() const noexcept {
    std::uint8_t const level = level_triggered();
    return static_cast<std::uint8_t>((state_.inputs & level) | (state_.edges & ~level));
  }

  /// Address 0: ICW1, OCW2 or OCW3.
  void write_command(std::uint8_t value) noexcept {
    if ((value & 0x10) != 0)
      initialise(value);
    else if ((value & 0x08) != 0)
      write_ocw3(value);
    else
      write_ocw2(value);
  }

  /// Address 1: ICW2 to ICW4 while initialisation goes on, else OCW1.
  void write_data(std::uint8_t value) noexcept {
    switch (state_.next_icw) {
      case 2:
        state_.base = value & 0xF8;
        state_.next_icw = !state_.single ? 3 : state_.needs_icw4 ? 4 : 0;
        break;
      case 3:
        state_.next_icw = state_.needs_icw4 ? 4 : 0;
        break;
      case 4:
        state_.fully_nested = (value & 0x10) != 0;
        state_.auto_eoi = (value & 0x02) != 0;
        state_.next_icw = 0;
        break;
      default:
        state_.mask = value;
    }
  }

  /// Address 0: IRR or ISR, or the answer to a poll.
  std::uint8_t read_command() noexcept {
    if (state_.polled) return answer_poll();
    return state_.reads_in_service ? state_.in_service : requests();
  }

  /// Address 1: IMR, or the answer to a poll.
  std::uint8_t read_data() noexcept { return state_.polled ? answer_poll() : state_.mask; }

  /// Which inputs are level-triggered, a bit each (ELCR). What an input had requested in the other
  /// mode is forgotten.
  void set_level_triggered(std::uint8_t inputs) noexcept {
    state_.level = inputs;
    set_bits(state_.edges, inputs, false);
  }

  [[nodiscard]] State const& state() const noexcept { return state_; }

  void load(State const& state) noexcept {
    state_ = state;
    state_.first &= 7;
  }

 private:
  static std::uint8_t bit_of(unsigned number) noexcept {
    return static_cast<std::uint8_t>(1U << (number & 7));
  }

  static void set_bits(std::uint8_t& where, std::uint8_t bits, bool on) noexcept {
    where = static_cast<std::uint8_t>(on ? where | bits : where & ~bits);
  }

  [[nodiscard]] std::uint8_t level_triggered() const noexcept {
    return state_.all_level ? 0xFF : state_.level;
  }

  /// The rank of the first of these inputs: 0 the highest priority, 8 if there is none.
  [[nodiscard]] unsigned rank(unsigned inputs) const noexcept {
    auto const turned = std::rotr(static_cast<std::uint8_t>(inputs), state_.first);
    return static_cast<unsigned>(std::countr_zero(turned));
  }

  [[nodiscard]] unsigned input_at(unsigned rank) const noexcept {
    return (rank + state_.first) & 7;
  }

  /// Inputs in service that count: special mask mode passes over those that are masked.
  [[nodiscard]] std::uint8_t serving() const noexcept {
    return static_cast<std::uint8_t>(state_.in_service & (state_.special_mask ? ~state_.mask : ~0));
  }

  /// The input that is to be served next: the first request, if it comes before all that is in
  /// service.
  [[nodiscard]] std::optional<unsigned> pending() const noexcept {
    unsigned const wanted = rank(requests() & ~unsigned{state_.mask});
    if (wanted == 8) return std::nullopt;
    unsigned const served = rank(serving());
    // "Special fully nested mode": a slave that is in service may interrupt itself.
    bool const nested =
        wanted == served && state_.fully_nested && (slaves_ & bit_of(input_at(wanted))) != 0;
    if (wanted < served || nested) return input_at(wanted);
    return std::nullopt;
  }

  void serve(unsigned input) noexcept {
    set_bits(state_.edges, bit_of(input), false);
    if (!state_.auto_eoi)
      set_bits(state_.in_service, bit_of(input), true);
    else if (state_.rotates)
      make_lowest(input);
  }

  void make_lowest(unsigned input) noexcept {
    state_.first = static_cast<std::uint8_t>((input + 1) & 7);
  }

  std::uint8_t answer_poll() noexcept {
    state_.polled = false;
    std::optional<unsigned> const input = pending();
    if (!input) return 0;
    serve(*input);
    return static_cast<std::uint8_t>(0x80 | *input);
  }

  /// "Initialization command words": an input that is high has to fall and rise again.
  void initialise(std::uint8_t icw1) noexcept {
    State fresh;
    fresh.inputs = state_.inputs;
    fresh.level = state_.level;
    fresh.mask = 0;
    fresh.all_level = (icw1 & 0x08) != 0;
    fresh.single = (icw1 & 0x02) != 0;
    fresh.needs_icw4 = (icw1 & 0x01) != 0;
    fresh.next_icw = 2;
    state_ = fresh;
  }

  /// "Operation command word 2": R, SL and EOI are the upper three bits.
  void write_ocw2(std::uint8_t value) noexcept {
    unsigned const named = value & 7;
    switch (value >> 5) {
      case 0:
      case 4:
        state_.rotates = (value & 0x80) != 0;
        break;
      case 1:
      case 5:
        // In special mask mode this leaves the masked ones in service ("End of interrupt").
        if (unsigned const served = rank(serving()); served < 8)
          end_of_interrupt(input_at(served), (value & 0x80) != 0);
        break;
      case 3:
      case 7:
        end_of_interrupt(named, (value & 0x80) != 0);
        break;
      case 6:
        make_lowest(named);
        break;
      default:  // 2: no operation
        break;
    }
  }

  void end_of_interrupt(unsigned input, bool rotate) noexcept {
    set_bits(state_.in_service, bit_of(input), false);
    if (rotate) make_lowest(input);
  }

  void write_ocw3(std::uint8_t value) noexcept {
    if ((value & 0x40) != 0) state_.special_mask = (value & 0x20) != 0;
    if ((value & 0x04) != 0) state_.polled = true;
    if ((value & 0x02) != 0) state_.reads_in_service = (value & 0x01) != 0;
  }

  State state_{};
  std::uint8_t slaves_;
};

}  // namespace portico
