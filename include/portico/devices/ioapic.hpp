/// The I/O APIC of a PC, 82093AA.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/ioapic.hpp>
///     using Board = portico::DeviceMap<portico::Mmio<0xFEC0'0000, portico::IoApic>>;
///     void test(Board& board, portico::Context<>& context) {
///       board.store(0xFEC0'0000, std::uint32_t{0x18}, context);   // IOREGSEL: IOREDTBL4, low half
///       board.store(0xFEC0'0010, std::uint32_t{0x31}, context);   // IOWIN: vector 0x31, unmasked
///       board.get<portico::IoApic>().set_input(4, true);
///       auto const message = board.get<portico::IoApic>().next_message();   // to 0xFEE0'0000: 0x31
///     }
///
/// A machine whose board has one puts local APICs into KVM and nothing else. The messages are taken
/// out, not pushed: whoever changed something takes them when no lock is held any more.
///
/// *Emulated*: all registers of the data sheet (Intel 290566-001, section 3), and the EOI register
/// that version 0x20 added (Intel 82801DB data sheet, section 9.5.5); 24 lines, edge and
/// level, masks, all delivery modes, physical and logical destinations. An edge on a masked line is
/// lost, a level is not.
///
/// *Not emulated*: the serial APIC bus, so no arbitration (IOAPICARB reads as the ID), and Delivery
/// Status is always idle. INTPOL is kept and has no effect: lines come asserted or not. ExtINT goes
/// out as a message, which local APICs of today ignore; the 8259A's own output is the machine's. A
/// message that no local APIC takes counts as taken.
///
/// *What a hostile guest can do*: send itself any interrupt on its own lines, and hold a level line
/// down for good by never ending it. State has a fixed size; an access costs one lock and no more
/// than 24 steps.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include <portico/device/entries.hpp>
#include <portico/device/interrupt_controller.hpp>
#include <portico/device/registers.hpp>

namespace portico {

/// Lines in, messages out. Neither copied nor moved: it has a lock, because lines come from
/// everywhere.
class IoApic {
 public:
  static constexpr auto threads = Threads::any;
  static constexpr unsigned lines = 24;

  /// What the guest can see, and what decides what it will see.
  struct State {
    std::uint32_t id = 0;       ///< IOAPICID, bits 27:24
    std::uint8_t selected = 0;  ///< IOREGSEL
    std::array<std::uint64_t, lines> redirection = [] {
      std::array<std::uint64_t, lines> entries{};
      entries.fill(masked);
      return entries;
    }();
    std::uint32_t levels = 0;  ///< of the lines
    std::uint32_t edges = 0;   ///< seen on unmasked lines, no message taken yet

    friend bool operator==(State const&, State const&) = default;
  };

  /// rw  IOREGSEL, offset 0x00: which register IOWIN is, bits 7:0; a dword or a byte.
  void select(std::uint32_t value) { select_byte(static_cast<std::uint8_t>(value)); }

  std::uint32_t selected() { return selected_byte(); }

  void select_byte(std::uint8_t value) {
    std::lock_guard const guard{mutex_};
    state_.selected = value;
  }

  std::uint8_t selected_byte() {
    std::lock_guard const guard{mutex_};
    return state_.selected;
  }

  /// rw  IOWIN, offset 0x10: the register that IOREGSEL names; others read 0 and drop writes.
  void write_window(std::uint32_t value) {
    std::lock_guard const guard{mutex_};
    if (state_.selected == id_register)
      state_.id = value & 0x0F00'0000;
    else if (unsigned const half = state_.selected - table; half < 2 * lines)
      redirect(half / 2, half % 2, value);
  }

  std::uint32_t read_window() {
    std::lock_guard const guard{mutex_};
    switch (state_.selected) {
      case id_register:
      case arbitration_register:
        return state_.id;
      case version_register:
        return (lines - 1) << 16 | version;
      default:
        break;
    }
    unsigned const half = state_.selected - table;  // wraps below the table: then it is too large
    if (half >= 2 * lines) return 0;
    std::uint64_t const entry = state_.redirection[half / 2];
    return static_cast<std::uint32_t>(half % 2 == 0 ? entry : entry >> 32);
  }

  /// -w  EOI, offset 0x40: ends the level interrupts of this vector, bits 7:0.
  void write_eoi(std::uint32_t value) { end_of_interrupt(static_cast<std::uint8_t>(value)); }

  using registers = Registers<ReadWrite<0x00, &IoApic::selected, &IoApic::select>,
                              ReadWrite<0x00, &IoApic::selected_byte, &IoApic::select_byte>,
                              ReadWrite<0x10, &IoApic::read_window, &IoApic::write_window>,
                              WriteOnly<0x40, &IoApic::write_eoi>>;

  /// A line is asserted or not. From any thread.
  void set_input(unsigned line, bool level) {
    if (line >= lines) return;
    std::lock_guard const guard{mutex_};
    std::uint32_t const bit = std::uint32_t{1} << line;
    bool const rises = level && (state_.levels & bit) == 0;
    state_.levels = level ? state_.levels | bit : state_.levels & ~bit;
    std::uint64_t const entry = state_.redirection[line];
    if (rises && (entry & masked) == 0 && !is_level(entry)) state_.edges |= bit;
  }

  /// A local APIC has ended this vector (its EOI message, or the EOI register). From any thread.
  void end_of_interrupt(std::uint8_t vector) {
    std::lock_guard const guard{mutex_};
    for (std::uint64_t& entry : state_.redirection)
      if (static_cast<std::uint8_t>(entry) == vector && is_level(entry)) entry &= ~remote_irr;
  }

  /// Takes the next message to send, lowest line first; nothing if there is none. A level line that
  /// was sent is not sent again before its end. From any thread.
  [[nodiscard]] std::optional<MsiMessage> next_message() {
    std::lock_guard const guard{mutex_};
    for (std::uint32_t left = state_.levels | state_.edges; left != 0; left &= left - 1) {
      auto const line = static_cast<unsigned>(std::countr_zero(left));
      std::uint64_t& entry = state_.redirection[line];
      std::uint32_t const bit = std::uint32_t{1} << line;
      bool const edge = (state_.edges & bit) != 0;
      bool const level =
          is_level(entry) && (state_.levels & bit) != 0 && (entry & (masked | remote_irr)) == 0;
      if (!edge && !level) continue;
      state_.edges &= ~bit;
      if (!is_known(entry)) continue;
      if (level) entry |= remote_irr;
      return message_of(entry);
    }
    return std::nullopt;
  }

  /// The lines whose level message may be another than at the last call: bit n for line n.
  [[nodiscard]] std::uint32_t take_changed_levels() {
    std::lock_guard const guard{mutex_};
    return std::exchange(changed_levels_, 0);
  }

  /// What line `line` sends if it is level-triggered, masked or not.
  [[nodiscard]] std::optional<MsiMessage> level_message(unsigned line) {
    std::lock_guard const guard{mutex_};
    std::uint64_t const entry = state_.redirection[line];
    if (!is_level(entry)) return std::nullopt;
    return message_of(entry);
  }

  [[nodiscard]] State save() const {
    std::lock_guard const guard{mutex_};
    return state_;
  }

  void load(State const& state) {
    std::lock_guard const guard{mutex_};
    state_ = state;
    changed_levels_ = (std::uint32_t{1} << lines) - 1;
  }

 private:
  static constexpr std::uint8_t id_register = 0x00;
  static constexpr std::uint8_t version_register = 0x01;
  static constexpr std::uint8_t arbitration_register = 0x02;
  static constexpr unsigned table = 0x10;  ///< IOREDTBL0, low half
  static constexpr std::uint32_t version = 0x20;

  // A redirection table entry (section 3.2.4).
  static constexpr std::uint64_t delivery_status = std::uint64_t{1} << 12;
  static constexpr std::uint64_t remote_irr = std::uint64_t{1} << 14;
  static constexpr std::uint64_t level_triggered = std::uint64_t{1} << 15;
  static constexpr std::uint64_t masked = std::uint64_t{1} << 16;
  static constexpr std::uint64_t writable = 0xFF00'0000'0001'FFFF & ~(delivery_status | remote_irr);

  static constexpr unsigned delivery_mode(std::uint64_t entry) { return entry >> 8 & 7; }

  /// Fixed, or lowest priority: of the others the data sheet says that they are edges.
  static constexpr bool is_level(std::uint64_t entry) {
    return (entry & level_triggered) != 0 && delivery_mode(entry) <= 1;
  }

  /// Delivery modes 3 and 6 are reserved.
  static constexpr bool is_known(std::uint64_t entry) {
    return delivery_mode(entry) != 3 && delivery_mode(entry) != 6;
  }

  static constexpr MsiMessage message_of(std::uint64_t entry) {
    bool const logical = (entry >> 11 & 1) != 0;
    std::uint32_t const trigger = is_level(entry) ? 0xC000 : 0;  // level, asserted
    return {0xFEE0'0000 | (entry >> 56) << 12 | (logical ? 4U : 0U),
            static_cast<std::uint32_t>(entry & 0x7FF) | trigger};
  }

  void redirect(unsigned line, unsigned half, std::uint32_t value) {
    std::uint64_t& entry = state_.redirection[line];
    std::uint64_t const before = entry;
    std::uint64_t const mine = half == 0 ? 0xFFFF'FFFF : 0xFFFF'FFFF'0000'0000;
    std::uint64_t const put = half == 0 ? value : std::uint64_t{value} << 32;
    entry = (entry & ~(mine & writable)) | (put & mine & writable);
    // Kernels clear Remote IRR by turning a line to edge and back, where there is no EOI register.
    if (!is_level(entry)) entry &= ~remote_irr;
    std::uint32_t const bit = std::uint32_t{1} << line;
    if ((entry & masked) != 0 || is_level(entry)) state_.edges &= ~bit;
    bool const routed = is_level(before) || is_level(entry);
    if (routed && (before ^ entry) & ~(masked | remote_irr)) changed_levels_ |= bit;
  }

  mutable std::mutex mutex_;
  State state_{};
  std::uint32_t changed_levels_ = 0;
};

static_assert(MessageController<IoApic>);

}  // namespace portico
