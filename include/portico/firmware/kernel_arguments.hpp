/// What a Linux kernel has to be told on its command line about a board.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/firmware/kernel_arguments.hpp>
///
///     /// "console=ttyS0 pci=off reboot=t": there is no PCI bus and no register that resets.
///     template <class Board>
///     std::string command_line(Board const& board) {
///       return "console=ttyS0 " + portico::kernel_arguments(portico::describe_board(board));
///     }
///
/// Source: Linux, Documentation/admin-guide/kernel-parameters.txt.
#pragma once

#include <cstdint>
#include <string>

#include <portico/base/hex.hpp>
#include <portico/firmware/described_board.hpp>

namespace portico {

/// `virtio_mmio.device=` for each virtio device in MMIO ("LNRO0005"): for kernels that have
/// CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES and no ACPI. With both, a kernel would see each device twice.
inline std::string virtio_mmio_arguments(DescribedBoard const& board) {
  std::string text;
  for (DescribedDevice const& device : board.devices) {
    if (device.role.hid != "LNRO0005" || !device.irq || device.ranges.empty()) continue;
    DescribedRange const& range = device.ranges[0];
    if (!text.empty()) text += ' ';
    text += "virtio_mmio.device=" + hex(range.size) + "@" + hex(range.base) + ":" +
            std::to_string(*device.irq);
  }
  return text;
}

/// What spares a kernel the search for what the map does not have, and makes it reboot.
///
/// Linux 6.1 makes 33,000 accesses to PCI's configuration ports before it knows that there is no
/// bus. Where there are no power-management registers it believes that only EFI can reboot.
inline std::string kernel_arguments(DescribedBoard const& board) {
  std::string text;
  if (board.find("PNP0A03") == nullptr && board.find("PNP0A08") == nullptr) text = "pci=off";
  if (board.power() != nullptr) return text;
  return text + (text.empty() ? "" : " ") + (board.reset() != nullptr ? "reboot=a" : "reboot=t");
}

}  // namespace portico
