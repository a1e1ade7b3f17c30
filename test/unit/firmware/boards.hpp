// Boards of devices that only say what they are.
#pragma once

#include <cstdint>
#include <string_view>

#include <portico/device/acpi_role.hpp>
#include <portico/device/device_map.hpp>

namespace portico::test {

struct Silent {
  void write(std::uint8_t) {}
};

struct Uart : Silent {
  static constexpr std::string_view acpi_hid = "PNP0501";
};

struct Clock8 : Silent {
  static constexpr std::string_view acpi_hid = "PNP0B00";
};

struct Keyboard {
  static constexpr std::string_view acpi_hid = "PNP0303";

  void write(std::uint8_t) {}
};

struct Virtio {
  static constexpr std::string_view acpi_hid = "LNRO0005";

  void write(std::uint32_t) {}
};

struct Power {
  static constexpr AcpiPowerManagement acpi_power{
      .event = 0, .control = 4, .timer = 8, .power_button = true};
  static constexpr AcpiReset acpi_reset{.offset = 12, .value = 1};

  void write(std::uint16_t) {}
};

using FullBoard =
    DeviceMap<Port<0x3F8, Uart, Size<8>, Irq<4>, Named<"com1">>,
              Port<0x70, Clock8, Size<2>, Irq<8>>,
              On<Keyboard, Ranges<Ports<0x60>, Ports<0x64>>, Irq<1>>,
              Port<0x600, Power, Size<16>, Irq<9, Level>>,
              Mmio<0xD000'0000, Virtio, Size<0x1000>, Irq<5, Level>, Named<"disk">>,
              Mmio<0x10'0000'0000, Virtio, Size<0x1000>, Irq<16, Level>, Named<"net">>>;

using SmallBoard = DeviceMap<Port<0x3F8, Uart, Size<8>, Irq<4>>, Port<0x80, Silent>>;

}  // namespace portico::test
