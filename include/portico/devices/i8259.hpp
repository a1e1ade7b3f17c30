/// The two 8259A interrupt controllers of a PC, for a machine whose interrupts are not KVM's.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/i8259.hpp>
///     using Pics = portico::On<portico::Pic8259A, portico::Ranges<
///         portico::Ports<0x20, 2>, portico::Ports<0xA0, 2>, portico::Ports<0x4D0, 2>>>;
///     int interrupt(portico::DeviceMap<Pics>& board) {
///       auto& pics = board.get<portico::Pic8259A>();
///       pics.set_input(4, true);                          // the serial port's line
///       return pics.output() ? pics.acknowledge() : -1;   // the vector, once the vCPU takes it
///     }
///
/// The device locks nothing and calls nobody: whoever owns the vCPU puts a lock around it, drives
/// the inputs, looks at `output()` after each of these and after each access to a register (which
/// may change it either way), and calls `acknowledge()` when it injects.
///
/// *Emulated*: all of the command words ICW1 to ICW4 and OCW1 to OCW3: edge and level, the vector's
/// base, automatic EOI, special fully nested mode; masks, specific and other EOI, rotation, set
/// priority, special mask mode, poll, IRR and ISR; spurious interrupts (IRQ 7, and IRQ 15, which
/// leaves the master's IR2 in service); the ELCR of EISA and PCI chip sets. Between power-on and
/// ICW1 all inputs are masked.
///
/// | register | range, offset | access | |
/// | --- | --- | --- | --- |
/// | master command | 0, 0 | rw | w: ICW1, OCW2, OCW3; r: IRR, ISR, poll |
/// | master data | 0, 1 | rw | w: ICW2 to ICW4, OCW1; r: IMR, poll |
/// | slave command, data | 1, 0 and 1 | rw | the same |
/// | ELCR1, ELCR2 | 2, 0 and 1 | rw | level-triggered inputs; bits 0 to 2, and 0 and 5, are 0 |
///
/// *Not emulated*, as in a PC's chip set: MCS-80 vectors, buffered mode; ICW3 and SNGL are taken
/// and change no wire: the slave is on IR2. An edge is kept until it is acknowledged, although its
/// line has fallen again, so that a pulse is an interrupt (as with KVM's and QEMU's controllers;
/// the data sheet's chip makes it IRQ 7). A poll looks at the requests when it is read.
///
/// *What a hostile guest can do*: mix up its own interrupts.
///
/// Sources: Intel 8259A (order number 231468); ELCR: Intel 82371AB (290562), "Edge/level control".
#pragma once

#include <cstdint>

#include <portico/base/contracts.hpp>
#include <portico/device/registers.hpp>
#include <portico/devices/i8259_chip.hpp>

namespace portico {

/// The pair. For one thread at a time.
class Pic8259A {
 public:
  /// What both remember.
  struct State {
    Chip8259A::State master{};
    Chip8259A::State slave{};

    friend bool operator==(State const&, State const&) = default;
  };

  /// Drives line `line` (0 to 15). Line 2 is the slave's, and stays so.
  void set_input(unsigned line, bool level) {
    Expects(line < 16);
    if (line >= 8)
      slave_.set_input(line - 8, level);
    else if (line != cascade)
      master_.set_input(line, level);
    connect();
  }

  /// The master's INT pin: whether the vCPU is to be interrupted.
  [[nodiscard]] bool output() const noexcept { return master_.output(); }

  /// Both INTA cycles: the vector. Where nothing is requested any more, the master's or the slave's
  /// IR7, which is then not in service.
  std::uint8_t acknowledge() noexcept {
    // A default IR7 names the cascade as little as IR2 names a line of the master.
    std::uint8_t const input = master_.acknowledge();
    if (input != cascade) return master_.vector(input);
    std::uint8_t const vector = slave_.vector(slave_.acknowledge());
    reconnect();
    return vector;
  }

  /// -w  ICW1, OCW2, OCW3.
  void write_master_command(std::uint8_t value) noexcept { master_.write_command(value); }

  /// -w  ICW2 to ICW4, OCW1.
  void write_master_data(std::uint8_t value) noexcept { master_.write_data(value); }

  /// -w  ICW1, OCW2, OCW3.
  void write_slave_command(std::uint8_t value) noexcept {
    slave_.write_command(value);
    connect();
  }

  /// -w  ICW2 to ICW4, OCW1.
  void write_slave_data(std::uint8_t value) noexcept {
    slave_.write_data(value);
    connect();
  }

  /// r-  IRR or ISR; the answer to a poll.
  [[nodiscard]] std::uint8_t read_master_command() noexcept { return master_.read_command(); }

  /// r-  IMR; the answer to a poll.
  [[nodiscard]] std::uint8_t read_master_data() noexcept { return master_.read_data(); }

  /// r-  IRR or ISR; the answer to a poll.
  [[nodiscard]] std::uint8_t read_slave_command() noexcept {
    return read_slave(&Chip8259A::read_command);
  }

  /// r-  IMR; the answer to a poll.
  [[nodiscard]] std::uint8_t read_slave_data() noexcept {
    return read_slave(&Chip8259A::read_data);
  }

  /// rw  ELCR1: bits 3 to 7.
  [[nodiscard]] std::uint8_t read_elcr1() noexcept { return master_.state().level; }

  /// rw  ELCR1: bits 3 to 7.
  void write_elcr1(std::uint8_t value) noexcept { master_.set_level_triggered(value & 0xF8); }

  /// rw  ELCR2: bits 1 to 4, 6 and 7.
  [[nodiscard]] std::uint8_t read_elcr2() noexcept { return slave_.state().level; }

  /// rw  ELCR2: bits 1 to 4, 6 and 7.
  void write_elcr2(std::uint8_t value) noexcept {
    slave_.set_level_triggered(value & 0xDE);
    connect();
  }

  using banks =
      Banks<Registers<ReadWrite<0, &Pic8259A::read_master_command, &Pic8259A::write_master_command>,
                      ReadWrite<1, &Pic8259A::read_master_data, &Pic8259A::write_master_data>>,
            Registers<ReadWrite<0, &Pic8259A::read_slave_command, &Pic8259A::write_slave_command>,
                      ReadWrite<1, &Pic8259A::read_slave_data, &Pic8259A::write_slave_data>>,
            Registers<ReadWrite<0, &Pic8259A::read_elcr1, &Pic8259A::write_elcr1>,
                      ReadWrite<1, &Pic8259A::read_elcr2, &Pic8259A::write_elcr2>>>;

  [[nodiscard]] State save() const { return {master_.state(), slave_.state()}; }

  void load(State const& state) {
    master_.load(state.master);
    slave_.load(state.slave);
  }

 private:
  static constexpr unsigned cascade = 2;

  /// The slave's INT pin drives the master's IR2.
  void connect() noexcept { master_.set_input(cascade, slave_.output()); }

  /// The same when the slave was acknowledged: INT falls, and rises again if there is more. Without
  /// that edge a slave in automatic EOI mode would be heard once only.
  void reconnect() noexcept {
    master_.set_input(cascade, false);
    connect();
  }

  std::uint8_t read_slave(std::uint8_t (Chip8259A::*read)()) noexcept {
    bool const acknowledges = slave_.state().polled;
    std::uint8_t const value = (slave_.*read)();
    if (acknowledges) reconnect();
    return value;
  }

  Chip8259A master_{1U << cascade};
  Chip8259A slave_{};
};

}  // namespace portico
