/// KVM's table of which line leads where, with messages beside the controllers' pins.
///
///     #include <portico/kvm/vm.hpp>
///     #include <portico/machine/gsi_routes.hpp>
///     std::uint32_t line_of(portico::kvm::Vm& vm, portico::detail::GsiRoutes& routes) {
///       return routes.add(vm, {0xFEE0'0000, 0x41});   // 24 or more: raise it with an irqfd
///     }
///
/// Internal to the library; MsiLine and the split controllers use it. KVM replaces its table as a
/// whole, and waits until no vCPU reads the old one: that may take milliseconds. Safe from any
/// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include <portico/device/interrupt_controller.hpp>
#include <portico/kvm/abi.hpp>

namespace portico::detail {

/// The routes of one machine.
class GsiRoutes {
 public:
  static constexpr std::uint32_t pins = 24;

  /// With `in_kernel` controllers, lines lead to their pins, as KVM itself sets it up: line n to
  /// pin n of the IOAPIC, and of the 8259A pair below 16.
  explicit GsiRoutes(bool in_kernel) : in_kernel_{in_kernel} {}

  /// Gives a message a line of its own. Throws std::system_error if KVM refuses the table.
  template <class Vm>
  std::uint32_t add(Vm& vm, MsiMessage const& message) {
    std::lock_guard const guard{mutex_};
    std::size_t index = 0;
    while (index < messages_.size() && is_route(messages_[index])) ++index;
    if (index == messages_.size()) messages_.push_back({});
    std::uint32_t const line = pins + static_cast<std::uint32_t>(index);
    messages_[index] = message_route(line, message);
    try {
      apply(vm);
    } catch (...) {
      messages_[index] = {};
      throw;
    }
    return line;
  }

  /// Gives the line of an `add` another message, or none, which makes the line free. Throws
  /// std::system_error.
  template <class Vm>
  void change(Vm& vm, std::uint32_t line, std::optional<MsiMessage> const& message) {
    std::lock_guard const guard{mutex_};
    messages_[line - pins] = message_route(line, message);
    apply(vm);
  }

  /// Tells local APICs what the IOAPIC's level lines `changed` send, so that they report its end.
  /// Throws std::system_error.
  template <class Vm, class IoApic>
  void change_levels(Vm& vm, IoApic& ioapic, std::uint32_t changed) {
    std::lock_guard const guard{mutex_};
    for (std::uint32_t pin = 0; pin < pins; ++pin)
      if ((changed >> pin & 1) != 0) levels_[pin] = message_route(pin, ioapic.level_message(pin));
    apply(vm);
  }

 private:
  template <class Vm>
  void apply(Vm& vm) {
    std::vector<kvm_irq_routing_entry> routes;
    for (std::uint32_t pin = 0; pin < pins; ++pin) {
      if (in_kernel_) {
        routes.push_back(pin_route(pin, KVM_IRQCHIP_IOAPIC, pin));
        if (pin < 16)
          routes.push_back(
              pin_route(pin, pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin % 8));
      }
      if (is_route(levels_[pin])) routes.push_back(levels_[pin]);
    }
    for (kvm_irq_routing_entry const& message : messages_)
      if (is_route(message)) routes.push_back(message);
    vm.set_gsi_routing(routes);
  }

  /// An entry of type 0, which KVM has none of, stands for no route.
  static bool is_route(kvm_irq_routing_entry const& entry) noexcept { return entry.type != 0; }

  static kvm_irq_routing_entry pin_route(std::uint32_t line, std::uint32_t chip,
                                         std::uint32_t pin) {
    kvm_irq_routing_entry route{};
    route.gsi = line;
    route.type = KVM_IRQ_ROUTING_IRQCHIP;
    route.u.irqchip.irqchip = chip;
    route.u.irqchip.pin = pin;
    return route;
  }

  /// No route for no message.
  static kvm_irq_routing_entry message_route(std::uint32_t line,
                                             std::optional<MsiMessage> const& message) {
    kvm_irq_routing_entry route{};
    if (!message) return route;
    route.gsi = line;
    route.type = KVM_IRQ_ROUTING_MSI;
    route.u.msi.address_lo = static_cast<std::uint32_t>(message->address);
    route.u.msi.address_hi = static_cast<std::uint32_t>(message->address >> 32);
    route.u.msi.data = message->data;
    return route;
  }

  std::mutex mutex_;
  bool in_kernel_;
  std::array<kvm_irq_routing_entry, pins> levels_{};
  std::vector<kvm_irq_routing_entry> messages_{};
};

}  // namespace portico::detail
