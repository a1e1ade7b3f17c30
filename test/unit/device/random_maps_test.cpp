// Maps whose layout is drawn by lot, against a model that looks at one row after the other.
//
// A map is a type, so its layout is drawn while it is compiled, from a number; the accesses are
// drawn while the test runs. The same devices stand in a DynamicMap with the same addresses.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/device/dynamic_map.hpp>

namespace portico {
namespace {

// --- Devices: each notes which of its handlers was called with what, and answers accordingly.

struct Call {
  std::string handler;
  std::uint64_t value = 0;
  std::uint64_t offset = 0;

  friend bool operator==(Call const&, Call const&) = default;
};

struct Log {
  template <class Value>
  Value read(char const* handler) {
    calls.push_back({handler});
    return static_cast<Value>(0x1122'3344'5566'7788 + calls.size());
  }

  void write(char const* handler, std::uint64_t value, std::uint64_t offset = 0) {
    calls.push_back({handler, value, offset});
  }

  std::vector<Call> calls{};
};

struct Byte : Log {
  void write8(std::uint8_t value) { write("write8", value); }

  std::uint8_t read8() { return read<std::uint8_t>("read8"); }

  using registers = Registers<ReadWrite<0, &Byte::read8, &Byte::write8>>;
};

/// Several widths on one offset, offsets with gaps, one-way registers, not in order.
struct Table : Log {
  void write8(std::uint8_t value) { write("write8", value); }

  void write16(std::uint16_t value) { write("write16", value); }

  void write32(std::uint32_t value) { write("write32", value); }

  void other32(std::uint32_t value) { write("other32", value); }

  std::uint8_t read8() { return read<std::uint8_t>("read8"); }

  std::uint16_t read16() { return read<std::uint16_t>("read16"); }

  std::uint32_t read32() { return read<std::uint32_t>("read32"); }

  using registers =
      Registers<WriteOnly<5, &Table::other32>, ReadWrite<0, &Table::read8, &Table::write8>,
                ReadOnly<0, &Table::read16>, WriteOnly<0, &Table::write32>,
                WriteOnly<2, &Table::write16>, ReadOnly<3, &Table::read32>>;
};

struct Raw : Log {
  void write_bytes(std::uint64_t offset, gsl::span<std::byte const> bytes) {
    write("write_bytes", std::to_integer<std::uint64_t>(bytes[0]), offset);
  }

  void read_bytes(std::uint64_t offset, gsl::span<std::byte> bytes) {
    write("read_bytes", bytes.size(), offset);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(0x40 + offset++);
  }

  void control(std::uint16_t value) { write("control", value); }

  using registers = Registers<Bytes<4, 12, &Raw::read_bytes, &Raw::write_bytes>,
                              WriteOnly<0, &Raw::control>, WriteOnly<6, &Raw::control>>;
};

// --- A layout drawn by lot

/// A generator that the compiler can run (xorshift64*).
constexpr std::uint64_t draw(std::uint64_t& state) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545'F491'4F6C'DD1D;
}

enum class Kind { byte, table, raw };

struct Place {
  Kind kind;
  Space space;
  std::uint64_t base;
  std::uint64_t stride;
};

/// Ascending, with small gaps or none, then shuffled; a place takes at most 64 addresses.
template <std::uint64_t Seed, std::size_t Count>
constexpr std::array<Place, Count> places = [] {
  std::array<Place, Count> result{};
  std::uint64_t state = Seed * 0x9E37'79B9'7F4A'7C15 + 1;
  std::uint64_t next = draw(state) % 64;
  for (Place& place : result) {
    place.kind = static_cast<Kind>(draw(state) % 3);
    place.space = draw(state) % 2 == 0 ? Space::port : Space::mmio;
    place.stride = place.kind == Kind::table ? 1 + draw(state) % 4 : 1;
    place.base = next;
    std::uint64_t const taken = place.kind == Kind::byte  ? 1
                                : place.kind == Kind::raw ? 16
                                                          : 5 * place.stride + 4;
    next += taken + (draw(state) % 2 == 0 ? 0 : draw(state) % 8);
  }
  for (std::size_t index = Count - 1; index > 0; --index) {
    std::size_t const other = draw(state) % (index + 1);
    std::swap(result[index], result[other]);
  }
  return result;
}();

template <Kind Which>
struct DeviceOfKind;

template <>
struct DeviceOfKind<Kind::byte> {
  using type = Byte;
};

template <>
struct DeviceOfKind<Kind::table> {
  using type = Table;
};

template <>
struct DeviceOfKind<Kind::raw> {
  using type = Raw;
};

template <Kind Which, Space InSpace, std::uint64_t Base, std::uint64_t Apart>
using EntryAt = std::conditional_t<InSpace == Space::port,
                                   Port<Base, typename DeviceOfKind<Which>::type, Stride<Apart>>,
                                   Mmio<Base, typename DeviceOfKind<Which>::type, Stride<Apart>>>;

template <std::uint64_t Seed, std::size_t Count, class = std::make_index_sequence<Count>>
struct Drawn;

template <std::uint64_t Seed, std::size_t Count, std::size_t... Index>
struct Drawn<Seed, Count, std::index_sequence<Index...>> {
  using Board =
      DeviceMap<EntryAt<places<Seed, Count>[Index].kind, places<Seed, Count>[Index].space,
                        places<Seed, Count>[Index].base, places<Seed, Count>[Index].stride>...>;

  /// The calls of the entry's device.
  static std::vector<Call> calls_of(Board& board, std::size_t entry) {
    std::vector<Call> calls;
    ((Index == entry ? void(calls = std::exchange(board.template at<Index>().calls, {})) : void()),
     ...);
    return calls;
  }

  static std::size_t calls_left(Board& board) {
    return (board.template at<Index>().calls.size() + ... + 0);
  }
};

// --- The model

struct Expected {
  Claim claim{};
  std::string handler{};
  std::uint64_t offset = 0;  ///< within a block of raw bytes
};

/// Who is to get an access: from the printed form of the map, one row after the other.
template <class Board>
Expected expect(Space space, Direction way, std::uint64_t address, std::uint32_t width) {
  for (std::size_t index = 0; index < Board::ranges.size(); ++index) {
    auto const& range = Board::ranges[index];
    if (range.space != space || address < range.base || address - range.base >= range.size)
      continue;
    Expected expected;
    expected.claim.entry = static_cast<std::int32_t>(range.entry);
    expected.claim.range = static_cast<std::int32_t>(range.range);
    std::uint64_t const offset = address - range.base;
    auto const rows = Board::registers_at(index);
    for (bool const raw : {false, true})
      for (std::size_t row = 0; row < rows.size(); ++row) {
        bool const there = way == Direction::read ? rows[row].reads : rows[row].writes;
        bool const fits = raw ? rows[row].width == 0 && offset >= rows[row].offset &&
                                    offset + width <= rows[row].offset + rows[row].size
                              : rows[row].width == width && rows[row].offset == offset;
        if (!there || !fits) continue;
        expected.claim.row = static_cast<std::int32_t>(row);
        expected.offset = raw ? offset - rows[row].offset : 0;
        std::string name{rows[row].name};
        // A row for both ways is named after its writer.
        if (way == Direction::read && name.starts_with("write")) name.replace(0, 5, "read");
        expected.handler = name;
        return expected;
      }
    return expected;
  }
  return {};
}

std::uint64_t low_bytes(std::uint64_t value, std::uint32_t width) {
  return width >= 8 ? value : value & ((std::uint64_t{1} << (8 * width)) - 1);
}

std::string describe(Space space, Direction way, std::uint64_t address, std::uint32_t width) {
  return std::string{space == Space::port ? "port " : "address "} + std::to_string(address) +
         (way == Direction::read ? " read " : " write ") + std::to_string(width);
}

/// What the device was called with, against what the model expects.
void check_call(Expected const& expected, Direction way, std::uint32_t width, std::uint64_t sent,
                std::uint64_t received, std::vector<Call> const& calls) {
  if (!expected.claim.taken()) {
    EXPECT_TRUE(calls.empty());
    EXPECT_EQ(received, way == Direction::read ? low_bytes(~std::uint64_t{0}, width) : sent);
    return;
  }
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].handler, expected.handler);
  if (expected.handler == "read_bytes") {
    EXPECT_EQ(calls[0], (Call{"read_bytes", width, expected.offset}));
    EXPECT_EQ(received & 0xFF, 0x40 + expected.offset);
  } else if (expected.handler == "write_bytes") {
    EXPECT_EQ(calls[0], (Call{"write_bytes", sent & 0xFF, expected.offset}));
  } else if (way == Direction::write) {
    EXPECT_EQ(calls[0].value, low_bytes(sent, width));
  } else {
    EXPECT_EQ(received, low_bytes(0x1122'3344'5566'7789, width));
  }
}

Context<> nothing;

template <class Board>
Claim access(Board& board, Space space, Direction way, std::uint64_t address, std::uint32_t width,
             std::uint64_t& data) {
  auto* const bytes = reinterpret_cast<std::byte*>(&data);
  if (space == Space::port)
    return way == Direction::read ? board.template access<Space::port, Direction::read>(
                                        address, width, 1, bytes, nothing)
                                  : board.template access<Space::port, Direction::write>(
                                        address, width, 1, bytes, nothing);
  return way == Direction::read ? board.template access<Space::mmio, Direction::read>(
                                      address, width, 1, bytes, nothing)
                                : board.template access<Space::mmio, Direction::write>(
                                      address, width, 1, bytes, nothing);
}

/// Each address in and around the map, in each way and width.
template <class Each>
void for_each_access(std::uint64_t end, Each each) {
  std::mt19937_64 random{end};
  for (Space const space : {Space::port, Space::mmio})
    for (Direction const way : {Direction::read, Direction::write})
      for (std::uint64_t address = 0; address < end; ++address)
        for (std::uint32_t width = 1; width <= 8; ++width) {
          if (space == Space::port && width != 1 && width != 2 && width != 4) continue;
          each(space, way, address, width, low_bytes(random(), width));
        }
}

template <std::size_t Count>
std::uint64_t end_of(std::array<Place, Count> const& drawn) {
  std::uint64_t end = 0;
  for (Place const& place : drawn) end = std::max(end, place.base);
  return end + 80;
}

template <std::uint64_t Seed, std::size_t Count>
void check_static() {
  using Map = Drawn<Seed, Count>;
  typename Map::Board board;
  std::size_t taken = 0;
  for_each_access(
      end_of(places<Seed, Count>), [&](Space space, Direction way, std::uint64_t address,
                                       std::uint32_t width, std::uint64_t sent) {
        SCOPED_TRACE(describe(space, way, address, width));
        Expected const expected = expect<typename Map::Board>(space, way, address, width);
        std::uint64_t data = way == Direction::read ? 0 : sent;
        Claim const claim = access(board, space, way, address, width, data);
        ASSERT_EQ(claim.entry, expected.claim.entry);
        ASSERT_EQ(claim.range, expected.claim.range);
        ASSERT_EQ(claim.row, expected.claim.row);
        check_call(expected, way, width, sent, data,
                   claim.entry < 0 ? std::vector<Call>{}
                                   : Map::calls_of(board, static_cast<std::size_t>(claim.entry)));
        ASSERT_EQ(Map::calls_left(board), 0U);  // and nobody else was called
        taken += claim.taken() ? 1U : 0U;
      });
  EXPECT_GE(taken, 2 * Count);
}

template <std::uint64_t Seed, std::size_t Count>
void check_dynamic() {
  using Map = Drawn<Seed, Count>;
  DynamicMap<Byte, Table, Raw> board;
  std::vector<Log*> logs;
  for (Place const& place : places<Seed, Count>) {
    Placement const placement{.space = place.space,
                              .base = place.base,
                              .stride = place.stride,
                              .name = std::to_string(logs.size())};
    if (place.kind == Kind::byte)
      logs.push_back(&board.place<Byte>(placement));
    else if (place.kind == Kind::table)
      logs.push_back(&board.place<Table>(placement));
    else
      logs.push_back(&board.place<Raw>(placement));
  }
  for_each_access(
      end_of(places<Seed, Count>), [&](Space space, Direction way, std::uint64_t address,
                                       std::uint32_t width, std::uint64_t sent) {
        SCOPED_TRACE(describe(space, way, address, width));
        Expected const expected = expect<typename Map::Board>(space, way, address, width);
        std::uint64_t data = way == Direction::read ? 0 : sent;
        Claim const claim = access(board, space, way, address, width, data);
        ASSERT_EQ(claim.entry, expected.claim.entry);
        // Between strided registers there is no range to tell.
        if (expected.claim.taken()) {
          ASSERT_EQ(claim.row, expected.claim.row);
        }
        ASSERT_EQ(claim.taken(), expected.claim.taken());
        check_call(expected, way, width, sent, data,
                   claim.entry < 0
                       ? std::vector<Call>{}
                       : std::exchange(logs[static_cast<std::size_t>(claim.entry)]->calls, {}));
        for (Log const* const log : logs) ASSERT_TRUE(log->calls.empty());
      });
}

TEST(RandomMaps, OfOneEntry) { check_static<1, 1>(); }

TEST(RandomMaps, OfTwoEntries) { check_static<2, 2>(); }

TEST(RandomMaps, OfFiveEntries) { check_static<3, 5>(); }

TEST(RandomMaps, OfSixteenEntries) { check_static<4, 16>(); }

TEST(RandomMaps, OfFortyEntries) { check_static<5, 40>(); }

TEST(RandomDynamicMaps, OfOneEntry) { check_dynamic<1, 1>(); }

TEST(RandomDynamicMaps, OfFiveEntries) { check_dynamic<3, 5>(); }

TEST(RandomDynamicMaps, OfSixteenEntries) { check_dynamic<4, 16>(); }

TEST(RandomDynamicMaps, OfFortyEntries) { check_dynamic<5, 40>(); }

}  // namespace
}  // namespace portico
