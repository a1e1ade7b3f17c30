// What is said about the end of a run.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <variant>

#include <portico/base/hex.hpp>
#include <portico/devices/output_sink.hpp>
#include <portico/machine/stop.hpp>

namespace examples {

/// Where the guest was, as " at rip 0x...". After a triple fault AMD's module has reset the vCPU,
/// and rip with it.
template <class Machine>
std::string where(Machine& machine, portico::Stop const& stop) {
  std::uint64_t const rip = machine.vcpu().regs().rip;
  bool const reset = std::holds_alternative<portico::Shutdown>(stop) && rip == 0xFFF0;
  return " at rip " + portico::hex(rip) +
         (reset ? " (the processor's reset value: KVM has reset it)" : "");
}

/// Why the run ended, and where if that is known.
template <class Machine>
std::string how_it_ended(Machine& machine, portico::Stop const& stop) {
  bool const told = std::holds_alternative<portico::InternalError>(stop);
  return portico::describe(stop) + (told ? std::string{} : where(machine, stop));
}

/// Output that the host did not take, as a line; empty if there is none.
inline std::string loss_text(portico::OutputLoss const& lost) {
  if (lost.bytes == 0) return {};
  return "console: " + std::to_string(lost.bytes) +
         " bytes of output were lost: " + std::generic_category().message(lost.error);
}

}  // namespace examples
