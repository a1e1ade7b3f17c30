// Guest memory with arbitrary addresses and lengths, held against a plain map of bytes.

#include "input.hpp"

#include <array>
#include <map>
#include <optional>
#include <vector>

#include <portico/memory/guest_memory.hpp>

namespace {

using portico::fuzz::Input;
using portico::fuzz::require;

constexpr std::uint64_t page = portico::GuestMemory::page_bytes;

// Two regions that adjoin, one apart, and one near the end of all addresses.
constexpr std::array<portico::RegionPlace, 4> places{
    {{0, page}, {page, 2 * page}, {8 * page, page}, {0 - 2 * page, page}}};

constexpr std::array edges{places[0].base,
                           places[1].base,
                           places[1].base + places[1].size,
                           places[2].base,
                           places[2].base + places[2].size,
                           places[3].base,
                           places[3].base + places[3].size};

int region_of(std::uint64_t address) {
  for (int index = 0; portico::RegionPlace const& place : places) {
    if (address >= place.base && address - place.base < place.size) return index;
    ++index;
  }
  return -1;
}

/// The slow truth: each byte is looked up by itself. Lengths beyond all RAM need no loop.
bool all_ram(std::uint64_t address, std::uint64_t length) {
  if (length > 16 * page) return false;
  for (std::uint64_t i = 0; i < length; ++i)
    if (region_of(address + i) < 0) return false;
  return true;
}

void check_span(portico::GuestMemory const& memory, std::uint64_t address, std::uint64_t length) {
  bool const one_region = length > 0 && all_ram(address, length) &&
                          region_of(address) == region_of(address + length - 1);
  auto const span = memory.span(address, length);
  if (length > 0) require(span.has_value() == one_region, "span() is there for RAM of one region");
  if (span) require(span->size() == length, "span() has the length that was asked for");
  require(memory.contains(address, length) == all_ram(address, length) || length == 0,
          "contains() knows what is RAM");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  Input input{data, size};
  portico::GuestMemory const memory{places[0], places[1], places[2], places[3]};
  std::map<std::uint64_t, std::byte> truth;

  while (!input.empty()) {
    std::uint64_t const address = input.address_near(edges.at(input.below(edges.size())));
    std::uint64_t const length =
        input.below(3) == 0 ? input.take<std::uint64_t>() : input.below(3 * page);
    check_span(memory, address, length);
    if (length > 4 * page) continue;

    std::vector<std::byte> bytes(length, input.take<std::byte>());
    bool const expected = all_ram(address, length);
    if (input.below(2) == 0) {
      require(memory.copy_out(address, bytes) == expected || length == 0, "copy_out() of all RAM");
      for (std::uint64_t i = 0; expected && i < length; ++i) truth[address + i] = bytes[i];
    } else {
      std::vector<std::byte> const before = bytes;
      require(memory.copy_in(address, bytes) == expected || length == 0, "copy_in() of all RAM");
      for (std::uint64_t i = 0; i < length; ++i) {
        auto const known = truth.find(address + i);
        std::byte const held = known == truth.end() ? std::byte{} : known->second;
        require(bytes[i] == (expected ? held : before[i]), "copy_in() gives what was written");
      }
    }
  }
  return 0;
}
