/// How a type of device is described to a guest. All else that a guest is told about a device
/// (addresses, interrupt line) comes from its entry in the map.
///
///     #include <portico/device/acpi_role.hpp>
///
///     struct Uart {
///       static constexpr std::string_view acpi_hid = "PNP0501";     // 16550A: the guest finds it
///       void write(std::uint8_t);
///     };
///     struct PowerButton {
///       static constexpr portico::AcpiPowerManagement acpi_power{.event = 0, .control = 4};
///       static constexpr portico::AcpiReset acpi_reset{.offset = 8, .value = 1};
///       void write(std::uint8_t);
///     };
///     static_assert(portico::acpi_role_of<Uart>().hid == "PNP0501");
///
/// A device that says nothing is in no table; neither is one whose `is_present()` is false: a place
/// that this machine leaves empty. Sources: ACPI specification 6.4, sections 4.8.3 and
/// 6.1.5.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace portico {

/// Where the fixed power-management registers stand, as offsets in the device's first range.
struct AcpiPowerManagement {
  std::uint32_t event = 0;               ///< PM1 status and enable, 2 bytes each
  std::uint32_t control = 4;             ///< PM1 control, 2 bytes
  std::optional<std::uint32_t> timer{};  ///< PM timer, 4 bytes
  bool timer_has_32_bits = false;        ///< otherwise 24
  bool power_button = false;             ///< there is one in PM1 status
  std::uint8_t soft_off = 5;             ///< SLP_TYP that powers the machine off
};

/// A register that resets the machine: offset in the device's first range, and what to write.
struct AcpiReset {
  std::uint32_t offset = 0;
  std::uint8_t value = 0;
};

/// All that a device says about itself.
struct AcpiRole {
  std::string_view hid{};  ///< hardware ID: "PNP0501", "LNRO0005"; empty: no device object
  std::optional<AcpiPowerManagement> power{};
  std::optional<AcpiReset> reset{};
  bool present = true;  ///< otherwise the guest is told nothing of the whole entry
};

/// What `Device` says in its members acpi_hid, acpi_power and acpi_reset.
template <class Device>
constexpr AcpiRole acpi_role_of() {
  AcpiRole role;
  if constexpr (requires { Device::acpi_hid; }) role.hid = Device::acpi_hid;
  if constexpr (requires { Device::acpi_power; }) role.power = Device::acpi_power;
  if constexpr (requires { Device::acpi_reset; }) role.reset = Device::acpi_reset;
  return role;
}

/// The same, and whether it is there.
template <class Device>
AcpiRole acpi_role_of([[maybe_unused]] Device const& device) {
  AcpiRole role = acpi_role_of<Device>();
  if constexpr (requires { device.is_present(); }) role.present = device.is_present();
  return role;
}

}  // namespace portico
