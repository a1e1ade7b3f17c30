// Accesses of any address, width and count, held against the rules of the bus, written once more in
// the plainest way: an access is its entry's that holds the first byte, and its register's with
// exactly that offset and width.

#include "input.hpp"

#include <array>
#include <string>
#include <vector>

#include <portico/device/device_map.hpp>

namespace {

using portico::Direction;
using portico::Space;
using portico::fuzz::Input;
using portico::fuzz::require;

/// What reached a device, in order: register, value.
struct Event {
  char where;
  std::uint64_t value;

  friend bool operator==(Event const&, Event const&) = default;
};

std::vector<Event> events;

struct Byte {
  void write(std::uint8_t value) { events.push_back({'b', value}); }

  std::uint8_t read() { return 0xB0; }
};

struct Several {
  void write_byte(std::uint8_t value) { events.push_back({'s', value}); }

  void write_word(std::uint16_t value) { events.push_back({'w', value}); }

  void write_dword(std::uint32_t value) { events.push_back({'d', value}); }

  std::uint32_t read_dword() { return 0xD0D1D2D3; }

  using registers = portico::Registers<
      portico::WriteOnly<0, &Several::write_byte>, portico::WriteOnly<0, &Several::write_dword>,
      portico::WriteOnly<1, &Several::write_word>, portico::ReadOnly<1, &Several::read_dword>>;
};

struct Wide {
  void write(std::uint64_t value) { events.push_back({'q', value}); }

  std::uint64_t read() { return 0x0102030405060708; }
};

using Board = portico::DeviceMap<
    portico::Port<0x20, Several>, portico::Port<0xE9, Byte>,
    portico::Port<0xFFFF, Byte, portico::Named<"last">>,
    portico::Mmio<0xD000'0000, Wide, portico::Named<"wide">>,
    portico::Mmio<0xD000'0100, Several, portico::Stride<8>, portico::Named<"strided">>>;

/// A register of the board, as a reader of its type would list it.
struct Row {
  Space space;
  std::uint64_t address;
  std::uint32_t width;
  char where;           ///< 0: not writable
  std::uint64_t reads;  ///< what it reads as
  bool readable;
};

constexpr std::array rows{
    Row{Space::port, 0x20, 1, 's', 0, false},
    Row{Space::port, 0x20, 4, 'd', 0, false},
    Row{Space::port, 0x21, 2, 'w', 0, false},
    Row{Space::port, 0x21, 4, 0, 0xD0D1D2D3, true},
    Row{Space::port, 0xE9, 1, 'b', 0xB0, true},
    Row{Space::port, 0xFFFF, 1, 'b', 0xB0, true},
    Row{Space::mmio, 0xD000'0000, 8, 'q', 0x0102030405060708, true},
    Row{Space::mmio, 0xD000'0100, 1, 's', 0, false},
    Row{Space::mmio, 0xD000'0100, 4, 'd', 0, false},
    Row{Space::mmio, 0xD000'0108, 2, 'w', 0, false},
    Row{Space::mmio, 0xD000'0108, 4, 0, 0xD0D1D2D3, true},
};

template <Space InSpace, Direction Way>
void access(Board& board, std::uint64_t address, std::uint32_t width, std::uint32_t count,
            std::vector<std::byte> data) {
  Row const* row = nullptr;
  for (Row const& candidate : rows) {
    bool const way = Way == Direction::write ? candidate.where != 0 : candidate.readable;
    if (candidate.space == InSpace && candidate.address == address && candidate.width == width &&
        way)
      row = &candidate;
  }
  std::vector<std::byte> expected_data = data;
  std::vector<Event> expected_events;
  for (std::uint32_t element = 0; element < count; ++element) {
    std::uint64_t value = 0;
    std::memcpy(&value, &data[std::size_t{element} * width], width);
    if (Way == Direction::write && row != nullptr) expected_events.push_back({row->where, value});
    value = row != nullptr ? row->reads : ~std::uint64_t{0};
    if (Way == Direction::read)
      std::memcpy(&expected_data[std::size_t{element} * width], &value, width);
  }

  events.clear();
  portico::Context<> context;
  portico::Claim const claim =
      board.access<InSpace, Way>(address, width, count, data.data(), context);
  require(claim.taken() == (row != nullptr), "a register takes exactly its own accesses");
  require(events == expected_events, "each element reaches the register, once and in order");
  require(data == expected_data, "a read gives the register's value, or all ones");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  Input input{data, size};
  Board board;
  while (!input.empty()) {
    bool const port = input.below(2) == 0;
    bool const write = input.below(2) == 0;
    std::uint64_t address = input.address_near(rows.at(input.below(rows.size())).address);
    if (port) address &= 0xFFFF;
    auto const width = static_cast<std::uint32_t>(port ? 1U << input.below(3) : 1 + input.below(8));
    auto const count = static_cast<std::uint32_t>(port ? 1 + input.below(5) : 1);
    std::vector<std::byte> bytes(std::size_t{width} * count);
    for (std::byte& byte : bytes) byte = input.take<std::byte>();
    if (port && write) access<Space::port, Direction::write>(board, address, width, count, bytes);
    if (port && !write) access<Space::port, Direction::read>(board, address, width, count, bytes);
    if (!port && write) access<Space::mmio, Direction::write>(board, address, width, count, bytes);
    if (!port && !write) access<Space::mmio, Direction::read>(board, address, width, count, bytes);
  }
  return 0;
}
