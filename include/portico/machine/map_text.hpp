/// The device map as text, derived from the type.
///
///     #include <portico/machine/map_text.hpp>
///     #include <portico/machine.hpp>
///     template <class Board>
///     void print(portico::Machine<Board>& machine) {
///       std::fputs(portico::map_text<Board>().c_str(), stdout);
///       std::fputs(portico::memory_text(machine.memory()).c_str(), stdout);
///     }
///
/// One line for each range, then one for each of its registers, with the handler's name, offset,
/// width and access as manuals give them (rw, r-, -w).
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include <portico/device/device_map.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

namespace detail {

template <class... Values>
void append(std::string& text, char const* format, Values... values) {
  char line[160];
  int const length = std::snprintf(line, sizeof line, format, values...);
  if (length > 0)
    text.append(line, static_cast<std::size_t>(length) < sizeof line
                          ? static_cast<std::size_t>(length)
                          : sizeof line - 1);
}

inline void append_name(std::string& text, std::string_view name, std::size_t width) {
  text += name;
  if (name.size() < width) text.append(width - name.size(), ' ');
}

}  // namespace detail

/// The map of a board: a table of several lines.
template <class Board>
std::string map_text() {
  std::string text;
  for (std::size_t index = 0; index < Board::ranges.size(); ++index) {
    auto const& range = Board::ranges[index];
    EntryInfo const& entry = Board::entries[range.entry];
    if (range.space == Space::port)
      detail::append(text, "port  0x%04llx-0x%04llx          ",
                     static_cast<unsigned long long>(range.base),
                     static_cast<unsigned long long>(range.base + range.size - 1));
    else
      detail::append(text, "mmio  0x%010llx-0x%010llx ",
                     static_cast<unsigned long long>(range.base),
                     static_cast<unsigned long long>(range.base + range.size - 1));
    detail::append_name(text, entry.name, 16);
    text += ' ';
    text += entry.device;
    if (entry.has_irq)
      detail::append(text, "  irq %u %s%s", entry.irq, entry.level ? "level" : "edge",
                     entry.shared ? " shared" : "");
    if (entry.offloaded) text += "  offloaded";
    if (entry.coalesced) text += "  coalesced";
    text += '\n';
    for (RegisterInfo const& reg : Board::registers_at(index)) {
      detail::append(text, "        +0x%02llx  %s%s  ", static_cast<unsigned long long>(reg.offset),
                     reg.reads ? "r" : "-", reg.writes ? "w" : "-");
      if (reg.width == 0)
        detail::append(text, "any width, %llu bytes  ", static_cast<unsigned long long>(reg.size));
      else
        detail::append(text, "%2u bit  ", reg.width * 8);
      text += reg.name;
      text += '\n';
    }
  }
  return text;
}

/// Where RAM stands: one line for each region.
inline std::string memory_text(GuestMemory const& memory) {
  std::string text;
  for (Region const& region : memory.regions())
    detail::append(text, "ram   0x%010llx-0x%010llx %llu KiB\n",
                   static_cast<unsigned long long>(region.base),
                   static_cast<unsigned long long>(region.base + region.size - 1),
                   static_cast<unsigned long long>(region.size / KiB));
  return text;
}

}  // namespace portico
