/// A board as its tables see it: each device that a guest is told about, where it stands and how it
/// interrupts. It is derived from the map, so there is no second list. An entry whose device is not
/// there (acpi_role.hpp) is left out.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/firmware/described_board.hpp>
///
///     struct Uart {
///       static constexpr std::string_view acpi_hid = "PNP0501";
///       void write(std::uint8_t) {}
///     };
///     using Board = portico::DeviceMap<portico::Port<0x3F8, Uart, portico::Irq<4>>>;
///     bool has_uart(Board const& board) {
///       return portico::describe_board(board).find("PNP0501") != nullptr;
///     }
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <portico/device/access.hpp>
#include <portico/device/acpi_role.hpp>
#include <portico/device/callbacks.hpp>

namespace portico {

/// Consecutive ports or guest-physical addresses.
struct DescribedRange {
  Space space = Space::port;
  std::uint64_t base = 0;
  std::uint64_t size = 0;
};

/// One entry of the map.
struct DescribedDevice {
  std::string name{};
  AcpiRole role{};
  std::vector<DescribedRange> ranges{};
  std::optional<std::uint32_t> irq{};
  bool level = false;
  bool shared = false;
};

/// All entries that are there, in the map's order.
struct DescribedBoard {
  std::vector<DescribedDevice> devices{};

  /// The first device with this hardware ID, or null.
  [[nodiscard]] DescribedDevice const* find(std::string_view hid) const noexcept {
    for (DescribedDevice const& device : devices)
      if (device.role.hid == hid) return &device;
    return nullptr;
  }

  /// The device with the fixed power-management registers, or null.
  [[nodiscard]] DescribedDevice const* power() const noexcept {
    for (DescribedDevice const& device : devices)
      if (device.role.power && !device.ranges.empty()) return &device;
    return nullptr;
  }

  /// The device that resets the machine, or null.
  [[nodiscard]] DescribedDevice const* reset() const noexcept {
    for (DescribedDevice const& device : devices)
      if (device.role.reset && !device.ranges.empty()) return &device;
    return nullptr;
  }

  /// Whether any entry has an interrupt line.
  [[nodiscard]] bool interrupts() const noexcept {
    for (DescribedDevice const& device : devices)
      if (device.irq) return true;
    return false;
  }
};

namespace detail {

template <class Board, std::size_t... Index>
std::vector<AcpiRole> roles([[maybe_unused]] Board const& board, std::index_sequence<Index...>) {
  return {acpi_role_of(device_in(board.template held<Index>()))...};
}

}  // namespace detail

/// Describes a DeviceMap or a DynamicMap.
template <class Board>
DescribedBoard describe_board([[maybe_unused]] Board const& board) {
  DescribedBoard described;
  if constexpr (requires { Board::entries; }) {
    auto const roles = detail::roles(board, std::make_index_sequence<Board::size>{});
    for (std::size_t index = 0; index < Board::size; ++index) {
      if (!roles[index].present) continue;
      auto const& entry = Board::entries[index];
      DescribedDevice device{
          std::string{entry.name}, roles[index], {}, {}, entry.level, entry.shared};
      if (entry.has_irq) device.irq = entry.irq;
      for (std::size_t range = 0; range < entry.range_count; ++range) {
        auto const& where = Board::ranges[entry.first_range + range];
        device.ranges.push_back({where.space, where.base, where.size});
      }
      described.devices.push_back(std::move(device));
    }
  } else {
    for (std::size_t index = 0; index < board.placements().size(); ++index) {
      auto const& where = board.placements()[index];
      AcpiRole const role = board.acpi_role_of(index);
      if (!role.present) continue;
      described.devices.push_back({where.name,
                                   role,
                                   {{where.space, where.base, where.size}},
                                   where.irq,
                                   where.level,
                                   where.shared});
    }
  }
  return described;
}

}  // namespace portico
