/// A message-signalled interrupt as a line: KVM sends the message, no exit and no lock are needed.
///
///     #include <portico/machine.hpp>
///     #include <portico/machine/msi_line.hpp>
///     struct Serial { void write(std::uint8_t byte) { std::putchar(byte); } };
///     using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;
///     void interrupt(portico::Machine<Board, portico::KernelIrqchip>& machine) {
///       // Vector 0x41 to the local APIC with ID 0, at each pulse.
///       portico::MsiLine msi{machine, portico::MsiMessage{0xFEE0'0000, 0x41}};
///       msi.line().pulse();
///     }
///
/// An eventfd that KVM reads (irqfd), on a line beyond those of the controllers: so a device on
/// another thread, or in another process, may raise it by `descriptor()` too. Limits: for machines
/// with local APICs in the kernel; made and changed in milliseconds, because KVM replaces a table.
#pragma once

#include <cstdint>
#include <optional>
#include <system_error>

#include <portico/base/event_fd.hpp>
#include <portico/base/fd.hpp>
#include <portico/device/interrupt_controller.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/machine/gsi_routes.hpp>

namespace portico {

/// Owns the eventfd and the route; neither copied nor moved; goes before its machine does.
template <class Machine>
class MsiLine {
 public:
  /// Throws std::system_error if KVM refuses it, or the host has no descriptor left.
  MsiLine(Machine& machine, MsiMessage const& message)
      : machine_{machine}, event_{detail::make_event()}, pin_{event_.get()} {
    number_ = machine_.gsi_routes().add(machine_.vm(), message);
    try {
      machine_.vm().irqfd(request(0));
    } catch (...) {
      forget();
      throw;
    }
    wire_.connect(pin_);
  }

  MsiLine(MsiLine const&) = delete;
  MsiLine& operator=(MsiLine const&) = delete;

  ~MsiLine() {
    try {
      machine_.vm().irqfd(request(KVM_IRQFD_FLAG_DEASSIGN));
    } catch (std::system_error const&) {  // then KVM has forgotten it already
    }
    forget();
  }

  /// Each pulse is one message. The handle is good as long as this lives; from any thread.
  [[nodiscard]] IrqLine line() noexcept { return IrqLine{wire_}; }

  /// Another message from now on. Throws std::system_error if KVM refuses it.
  void change(MsiMessage const& message) {
    machine_.gsi_routes().change(machine_.vm(), number_, message);
  }

  /// The eventfd, still owned here: a write of 1 is a message.
  [[nodiscard]] int descriptor() const noexcept { return event_.get(); }

  /// KVM's number for the line, 24 or more.
  [[nodiscard]] std::uint32_t gsi() const noexcept { return number_; }

 private:
  [[nodiscard]] kvm_irqfd request(std::uint32_t flags) const noexcept {
    kvm_irqfd irqfd{};
    irqfd.fd = static_cast<std::uint32_t>(event_.get());
    irqfd.gsi = number_;
    irqfd.flags = flags;
    return irqfd;
  }

  void forget() noexcept {
    try {
      machine_.gsi_routes().change(machine_.vm(), number_, std::nullopt);
    } catch (std::exception const&) {  // a route too many does no harm
    }
  }

  Machine& machine_;
  Fd event_;
  std::uint32_t number_ = 0;
  IrqPin pin_;
  IrqWire wire_{};
};

}  // namespace portico
