/// The serial port of a PC: a 16550A UART.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/uart16550.hpp>
///     using Board = portico::DeviceMap<
///         portico::Port<0x3F8, portico::Uart16550<>, portico::Irq<4>, portico::Named<"com1">>>;
///     portico::SharedInput input{STDIN_FILENO};
///     portico::OutputSink output{STDOUT_FILENO};
///     Board board{[&] {
///       return portico::Uart16550<>{portico::StandardStreams{input, output, 0}};
///     }};
///     portico::RunControl control;
///     std::thread typing{[&] { board.get<"com1">().pump(control.token()); }};   // keys
///     control.stop();
///     typing.join();
///
/// *Emulated* (National Semiconductor PC16550D): all registers; character mode (8250, 16450) and
/// FIFO mode with its trigger levels and the character timeout; the five interrupts with their
/// priorities; overrun, break, parity and framing errors with the character that has them; modem
/// lines and their changes; loopback. A character is sent in no time, so THR is always empty; each
/// write to it is followed by the THRE interrupt. A string instruction's batch is sent as one.
/// Input is taken only while there is room for it: what a user pastes waits in the host's terminal
/// until the guest has read what came before, and nothing is lost.
///
/// *Not emulated*: the line itself. Word length, parity, speed and a break that the guest sends
/// reach nobody; characters keep their eight bits. DMA modes, whose pins no PC connects. OUT2 does
/// not hold the interrupt back, as it does on a PC's card outside of the chip.
///
/// *What a hostile guest can do*: write any bytes, escape sequences included, to the terminal or
/// file it was given, as fast as that takes them; not read its input, which then waits. Memory is
/// fixed. Another guest is not delayed by more than one write that the host takes at once.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>
#include <portico/device/clock.hpp>
#include <portico/device/entries.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/registers.hpp>
#include <portico/device/run_control.hpp>
#include <portico/devices/backend.hpp>
#include <portico/devices/console_backend.hpp>
#include <portico/devices/gathered_output.hpp>
#include <portico/devices/line_level.hpp>
#include <portico/devices/uart16550_registers.hpp>
#include <portico/devices/wait.hpp>

namespace portico {

/// One serial port. Everything is safe from any thread; `Backend` is as ConsoleBackend describes.
template <class Backend = ConsoleBackend>
class Uart16550 {
 public:
  static constexpr auto threads = Threads::any;
  static constexpr std::string_view acpi_hid = "PNP0501";

  using State = Uart16550Registers::State;

  /// Throws std::system_error if the host has no descriptor left.
  explicit Uart16550(Backend backend) : output_{std::move(backend)} {}

  Uart16550(Uart16550 const&) = delete;
  Uart16550& operator=(Uart16550 const&) = delete;
  ~Uart16550() = default;

  // --- Registers. With DLAB (LCR bit 7) the first two are the divisor latch.

  /// r-  RBR, receiver buffer; DLL, divisor latch low.
  void read_rbr(gsl::span<std::uint8_t> bytes, IrqLine& line, Clock& clock) {
    change(line, clock, [&] {
      for (std::uint8_t& byte : bytes)
        byte = registers_.divisor_access() ? static_cast<std::uint8_t>(registers_.state().divisor)
                                           : registers_.read_rbr();
    });
  }

  /// -w  THR, transmitter holding; DLL, divisor latch low. Waits for a slow reader once the
  /// output's buffer is full, until the run is to end.
  void write_thr(gsl::span<std::uint8_t const> bytes, IrqLine& line, Clock& clock,
                 RunControl& control) {
    if (bytes.empty()) return;
    std::unique_lock lock{mutex_};
    attach_locked(line, clock);
    if (registers_.divisor_access()) {
      std::uint16_t& divisor = registers_.state().divisor;
      divisor = static_cast<std::uint16_t>((divisor & 0xFF00) | bytes.back());
      return;
    }
    if (!registers_.loopback()) send(lock, bytes, clock, control);
    // The interrupt goes away with the write and comes back with the empty transmitter.
    registers_.state().transmitter_empty = false;
    if (!registers_.interrupts()) level_.fall_first();
    for (std::uint8_t const byte : bytes) registers_.write_thr(byte);
    settle(lock);
  }

  /// rw  IER, interrupt enable; DLM, divisor latch high.
  [[nodiscard]] std::uint8_t read_ier() const {
    std::lock_guard const lock{mutex_};
    State const& state = registers_.state();
    return registers_.divisor_access() ? static_cast<std::uint8_t>(state.divisor >> 8) : state.ier;
  }

  void write_ier(std::uint8_t value, IrqLine& line, Clock& clock) {
    change(line, clock, [&] {
      std::uint16_t& divisor = registers_.state().divisor;
      if (registers_.divisor_access())
        divisor = static_cast<std::uint16_t>((divisor & 0x00FF) | value << 8);
      else
        registers_.write_ier(value);
    });
  }

  /// r-  IIR, interrupt identification.
  std::uint8_t read_iir(IrqLine& line, Clock& clock) {
    std::uint8_t value = 0;
    change(line, clock, [&] { value = registers_.read_iir(); });
    return value;
  }

  /// -w  FCR, FIFO control.
  void write_fcr(std::uint8_t value, IrqLine& line, Clock& clock) {
    change(line, clock, [&] { registers_.write_fcr(value); });
  }

  /// rw  LCR, line control.
  [[nodiscard]] std::uint8_t read_lcr() const { return look(&State::lcr); }

  void write_lcr(std::uint8_t value) {
    std::lock_guard const lock{mutex_};
    registers_.write_lcr(value);
  }

  /// rw  MCR, modem control.
  [[nodiscard]] std::uint8_t read_mcr() const { return look(&State::mcr); }

  void write_mcr(std::uint8_t value, IrqLine& line, Clock& clock) {
    change(line, clock, [&] { registers_.write_mcr(value); });
  }

  /// r-  LSR, line status. Writing, which the data sheet keeps for the factory, does nothing.
  std::uint8_t read_lsr(IrqLine& line, Clock& clock) {
    std::uint8_t value = 0;
    change(line, clock, [&] { value = registers_.read_lsr(); });
    return value;
  }

  /// r-  MSR, modem status.
  std::uint8_t read_msr(IrqLine& line, Clock& clock) {
    std::uint8_t value = 0;
    change(line, clock, [&] { value = registers_.read_msr(); });
    return value;
  }

  /// rw  SCR, scratch.
  [[nodiscard]] std::uint8_t read_scr() const { return look(&State::scratch); }

  void write_scr(std::uint8_t value) {
    std::lock_guard const lock{mutex_};
    registers_.state().scratch = value;
  }

  using registers =
      Registers<ReadOnly<0, &Uart16550::read_rbr>, WriteOnly<0, &Uart16550::write_thr>,
                ReadWrite<1, &Uart16550::read_ier, &Uart16550::write_ier>,
                ReadOnly<2, &Uart16550::read_iir>, WriteOnly<2, &Uart16550::write_fcr>,
                ReadWrite<3, &Uart16550::read_lcr, &Uart16550::write_lcr>,
                ReadWrite<4, &Uart16550::read_mcr, &Uart16550::write_mcr>,
                ReadOnly<5, &Uart16550::read_lsr>, ReadOnly<6, &Uart16550::read_msr>,
                ReadWrite<7, &Uart16550::read_scr, &Uart16550::write_scr>>;

  /// The character timeout, and output that has been kept for its time. Never waits: what the host
  /// does not take now is tried again.
  void deadline(IrqLine& line, Clock& clock) {
    std::unique_lock lock{mutex_};
    attach_locked(line, clock);
    std::uint64_t const now = clock.now();
    if (registers_.deadline() <= now) registers_.expire();
    bool const flushes = flush_at_ <= now;
    if (flushes) flush_at_ = Clock::never;
    settle(lock);
    if (!flushes) return;
    lock.unlock();
    bool const done = output_.try_flush();
    lock.lock();
    if (!done && flush_at_ == Clock::never) flush_at_ = now + output_.keep();
    arm();
  }

  // --- The outside world

  /// What the guest will be interrupted by, before it has touched a register: for a UART whose
  /// state was loaded. `clock` outlives the UART.
  void attach(IrqLine const& line, Clock& clock) {
    std::unique_lock lock{mutex_};
    attach_locked(line, clock);
    settle(lock);
  }

  /// Characters for the guest; returns how many of them it had room for. The rest is for
  /// `wait_for_room` and another call.
  std::size_t receive(gsl::span<std::uint8_t const> bytes) {
    std::unique_lock lock{mutex_};
    std::size_t const count = std::min(bytes.size(), registers_.room());
    for (std::uint8_t const byte : bytes.first(count)) registers_.receive(byte);
    if (count > 0) settle(lock);
    return count;
  }

  /// A break on the line, which arrives as a zero with an error. False if there is no room for it.
  bool receive_break() {
    std::unique_lock lock{mutex_};
    if (registers_.room() == 0) return false;
    registers_.receive(0, LineError::break_signal);
    settle(lock);
    return true;
  }

  /// The modem's lines; all but RI are on if nothing is said.
  void set_modem(ModemInputs const& inputs) {
    std::unique_lock lock{mutex_};
    registers_.set_modem(inputs);
    settle(lock);
  }

  /// How many characters `receive` would take.
  [[nodiscard]] std::size_t room() const {
    std::lock_guard const lock{mutex_};
    return registers_.room();
  }

  /// Waits until there is room for a character. False if `limit` came first. For one thread.
  bool wait_for_room(WaitLimit const& limit) {
    for (;;) {
      {
        std::lock_guard const lock{mutex_};
        if (registers_.room() > 0) return true;
        room_is_wanted_ = true;
      }
      Wait const wait = wait_for(room_.get(), POLLIN, limit);
      if (wait == Wait::stopped || wait == Wait::timed_out) return false;
      std::uint64_t count = 0;
      [[maybe_unused]] auto const drained = ::read(room_.get(), &count, sizeof count);
    }
  }

  /// Takes input from the backend as the guest reads it, until the input ends or the run is to end.
  /// Give it a thread of its own.
  void pump(StopToken stop) {
    detail::with_backend(output_.backend(), [&](auto& chosen) {
      std::array<std::uint8_t, Uart16550Registers::fifo_bytes> bytes{};
      while (wait_for_room({stop, -1})) {
        std::size_t const wanted = std::max<std::size_t>(room(), 1);
        Input got = chosen.read(stop);
        if (got.status != InputStatus::byte) return;
        std::size_t count = 0;
        bytes[count++] = got.value;
        while (count < wanted && (got = chosen.try_read()).status == InputStatus::byte)
          bytes[count++] = got.value;
        // The guest may have made the FIFO smaller meanwhile.
        for (gsl::span<std::uint8_t const> rest{bytes.data(), count}; !rest.empty();) {
          rest = rest.subspan(receive(rest));
          if (!rest.empty() && !wait_for_room({stop, -1})) return;
        }
      }
    });
  }

  /// Writes out all output; GatheredOutput::flush.
  void flush(WaitLimit const& limit = {{}, GatheredOutput<Backend>::patience_milliseconds}) {
    output_.flush(limit);
  }

  /// Output that was lost so far.
  [[nodiscard]] OutputLoss lost() const { return output_.lost(); }

  /// For the program: a pseudo-terminal's name, a test's output.
  [[nodiscard]] Backend& backend() noexcept { return output_.backend(); }

  [[nodiscard]] State save() const {
    std::lock_guard const lock{mutex_};
    return registers_.save();
  }

  /// Then `attach`, so that the line is as the state says.
  void load(State const& state) {
    std::unique_lock lock{mutex_};
    registers_.load(state);
    settle(lock);
  }

 private:
  void attach_locked(IrqLine const& line, Clock& clock) noexcept {
    line_ = line;
    clock_ = &clock;
    registers_.use(clock);
  }

  /// A change by the guest, under the lock, and what follows from it.
  template <class Change>
  void change(IrqLine const& line, Clock& clock, Change make) {
    std::unique_lock lock{mutex_};
    attach_locked(line, clock);
    make();
    bool const wake = room_is_wanted_ && registers_.room() > 0;
    if (wake) room_is_wanted_ = false;
    settle(lock);
    if (!wake) return;
    lock.unlock();
    std::uint64_t const one = 1;
    [[maybe_unused]] auto const written = ::write(room_.get(), &one, sizeof one);
  }

  /// Bytes for the backend. Where that would wait, the lock is let go.
  void send(std::unique_lock<std::mutex>& lock, gsl::span<std::uint8_t const> bytes, Clock& clock,
            RunControl& control) {
    auto const gathered = output_.gather(bytes);
    if (!gathered.complete()) {
      lock.unlock();
      output_.write(bytes.subspan(gathered.taken), control.token());
      lock.lock();
    } else if (flush_at_ == Clock::never) {
      flush_at_ = clock.now() + output_.keep();
    }
  }

  /// Brings line and deadline to what the registers say. Lets the lock go while it drives the line.
  void settle(std::unique_lock<std::mutex>& lock) noexcept {
    level_.want(registers_.interrupts());
    arm();
    level_.settle(lock, line_);
  }

  void arm() noexcept {
    if (clock_ == nullptr) return;
    std::uint64_t const next = std::min(registers_.deadline(), flush_at_);
    if (next != clock_->deadline()) clock_->arm(next);
  }

  [[nodiscard]] std::uint8_t look(std::uint8_t State::* member) const {
    std::lock_guard const lock{mutex_};
    return registers_.state().*member;
  }

  mutable std::mutex mutex_;
  Uart16550Registers registers_;
  detail::LineLevel level_;
  IrqLine line_;            // as the last handler had it
  Clock* clock_ = nullptr;  // likewise
  std::uint64_t flush_at_ = Clock::never;
  bool room_is_wanted_ = false;
  GatheredOutput<Backend> output_;
  Fd room_ = detail::make_event();  // readable when there is room again
};

}  // namespace portico
