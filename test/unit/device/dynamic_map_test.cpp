// A map whose addresses are known at run time: what it refuses, and what the machine asks it.
// Its dispatch is held against DeviceMap's in random_maps_test.cpp.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <portico/device/clock.hpp>
#include <portico/device/dynamic_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/locked.hpp>

namespace portico {
namespace {

struct Serial {
  void write(std::uint8_t value) { last = value; }

  int last = -1;
};

struct Disk {
  void sector(std::uint32_t value) { sum += value; }

  void execute(std::uint8_t value) { sum += 100U * value; }

  using registers = Registers<WriteOnly<0, &Disk::sector>, WriteOnly<4, &Disk::execute>>;
  std::uint32_t sum = 0;
};

struct Wide {
  void write(std::uint64_t) {}
};

struct Raw {
  void write(std::uint64_t offset, gsl::span<std::byte const>) { last = offset; }

  std::uint64_t last = 0;
};

struct Raiser {
  void write(std::uint8_t, IrqLine& line) { line.pulse(); }
};

struct Pinned {
  explicit Pinned(std::unique_ptr<int> given) : owned{std::move(given)} {}

  Pinned(Pinned const&) = delete;
  Pinned& operator=(Pinned const&) = delete;
  ~Pinned() = default;

  void write(std::uint8_t) {}

  void deadline(Clock& clock) { clock.arm(7); }

  std::unique_ptr<int> owned;
};

using Board = DynamicMap<Serial, Disk, Wide, Raw, Pinned, Locked<Serial>>;
using BoardWithLines = DynamicMap<Serial, Raiser, Pinned>;

Context<> nothing;

template <class Device, class Map>
std::string refusal(Map& board, Placement const& placement) {
  std::size_t const before = board.placements().size();
  try {
    board.template place<Device>(placement);
  } catch (std::invalid_argument const& error) {
    EXPECT_EQ(board.placements().size(), before);  // nothing was placed
    return error.what();
  }
  return "accepted";
}

bool has(std::string const& text, std::string const& part) {
  return text.find(part) != std::string::npos;
}

TEST(DynamicMap, PlacesDevicesThatStay) {
  Board board;
  auto& serial = board.place<Serial>({.base = 0xE9, .name = "console"});
  auto& pinned = board.place<Pinned>({.base = 0x10}, std::make_unique<int>(4));
  for (std::uint64_t base = 0x100; base < 0x110; ++base)
    board.place<Serial>({.base = base, .name = std::to_string(base)});
  EXPECT_TRUE(board.out(0xE9, std::uint8_t{5}, nothing));
  EXPECT_EQ(serial.last, 5);
  EXPECT_EQ(*pinned.owned, 4);
  EXPECT_EQ(board.find<Serial>("console"), &serial);
  EXPECT_EQ(board.find<Pinned>("Pinned"), &pinned);  // named after its type
  EXPECT_EQ(board.find<Disk>("console"), nullptr);
  EXPECT_EQ(board.find<Serial>("nobody"), nullptr);
}

TEST(DynamicMap, FindsTheDeviceBehindALock) {
  Board board;
  Serial& serial = board.place<Locked<Serial>>({.base = 1});
  EXPECT_EQ(board.find<Locked<Serial>>("Serial"), &serial);
  EXPECT_TRUE(board.out(1, std::uint8_t{3}, nothing));
  EXPECT_EQ(serial.last, 3);
}

TEST(DynamicMap, TakesSizesFromTheRegisterTables) {
  Board board;
  board.place<Disk>({.base = 0x20, .name = "ports"});
  board.place<Disk>({.space = Space::mmio, .base = 0x1000, .name = "mmio"});
  board.place<Disk>({.space = Space::mmio, .base = 0x2000, .stride = 8, .name = "apart"});
  board.place<Disk>({.space = Space::mmio, .base = 0x3000, .size = 64, .name = "large"});
  board.place<Raw>({.base = 0x40, .size = 9});
  std::vector<std::uint64_t> sizes;
  for (Placement const& placement : board.placements()) sizes.push_back(placement.size);
  EXPECT_EQ(sizes, (std::vector<std::uint64_t>{5, 5, 33, 64, 9}));
}

TEST(DynamicMap, RefusesAnOverlapAndNamesBoth) {
  Board board;
  board.place<Disk>({.base = 0x20, .name = "disk"});
  std::string const text = refusal<Serial>(board, {.base = 0x24, .name = "serial"});
  EXPECT_TRUE(has(text, "overlap")) << text;
  EXPECT_TRUE(has(text, "'serial' (ports 0x24 to 0x24)")) << text;
  EXPECT_TRUE(has(text, "'disk' (ports 0x20 to 0x24)")) << text;
  EXPECT_EQ(refusal<Serial>(board, {.base = 0x25, .name = "behind"}), "accepted");
  EXPECT_EQ(refusal<Serial>(board, {.base = 0x1F, .name = "before"}), "accepted");
  EXPECT_EQ(refusal<Serial>(board, {.space = Space::mmio, .base = 0x24, .name = "mmio"}),
            "accepted");
}

TEST(DynamicMap, RefusesWhatDoesNotFit) {
  Board board;
  EXPECT_TRUE(has(refusal<Raw>(board, {.base = 1}), "needs a size"));
  EXPECT_TRUE(has(refusal<Disk>(board, {.base = 1, .size = 4}), "need 5 addresses"));
  EXPECT_TRUE(has(refusal<Disk>(board, {.base = 0xFFFC}), "ends past the last port, 0xffff"));
  EXPECT_TRUE(has(refusal<Disk>(board, {.base = 0x1'0000}), "ends past"));
  EXPECT_TRUE(has(refusal<Disk>(board, {.space = Space::mmio, .base = ~std::uint64_t{0}}),
                  "ends past the last address, 0xfffffffffffff"));
  EXPECT_TRUE(has(refusal<Disk>(board, {.base = 1, .stride = 0}), "stride must not be 0"));
  EXPECT_TRUE(has(refusal<Disk>(board, {.base = 1, .stride = ~std::uint64_t{0}}), "stride"));
  EXPECT_TRUE(has(refusal<Raw>(board, {.base = 1, .size = 8, .stride = 2}), "stride"));
  EXPECT_TRUE(has(refusal<Wide>(board, {.base = 1}), "8 bytes"));
  EXPECT_EQ(refusal<Wide>(board, {.space = Space::mmio, .base = 1}), "accepted");
}

TEST(DynamicMap, RefusesNamesAndLinesThatAreTaken) {
  BoardWithLines board;
  board.place<Raiser>({.base = 1, .name = "one", .irq = 4, .level = true, .shared = true});
  EXPECT_TRUE(has(refusal<Serial>(board, {.base = 2, .name = "one"}), "name is taken"));
  EXPECT_TRUE(has(refusal<Raiser>(board, {.base = 2}), "needs an interrupt line"));
  EXPECT_TRUE(has(refusal<Raiser>(board, {.base = 2, .irq = 24}), "0 to 23"));
  EXPECT_TRUE(has(refusal<Raiser>(board, {.base = 2, .irq = 4}), "belongs to 'one'"));
  EXPECT_TRUE(has(refusal<Raiser>(board, {.base = 2, .irq = 4, .shared = true}), "trigger mode"));
  EXPECT_EQ(refusal<Raiser>(board, {.base = 2, .irq = 4, .level = true, .shared = true}),
            "accepted");
  EXPECT_EQ(board.irq_of(0), 4U);
  EXPECT_EQ(board.irq_of(63), std::nullopt);
}

TEST(DynamicMap, HoldsSixtyFourDevices) {
  Board board;
  for (std::uint64_t base = 0; base < Board::size; ++base)
    board.place<Serial>({.base = base, .name = std::to_string(base)});
  EXPECT_TRUE(has(refusal<Serial>(board, {.base = 100, .name = "more"}), "64 devices"));
  for (std::uint16_t port = 0; port < Board::size; ++port)
    EXPECT_TRUE(board.out(port, std::uint8_t{1}, nothing));
  EXPECT_FALSE(board.out(Board::size, std::uint8_t{1}, nothing));
}

TEST(DynamicMap, TellsItsRanges) {
  Board board;
  board.place<Disk>({.base = 0x20});
  board.place<Serial>({.space = Space::mmio, .base = 0x1000, .size = 16, .name = "far"});
  std::vector<std::string> told;
  board.for_each_range(
      [&](Space space, std::uint64_t base, std::uint64_t size, std::string_view name) {
        told.push_back((space == Space::port ? "port " : "mmio ") + std::to_string(base) + " " +
                       std::to_string(size) + " " + std::string{name});
      });
  EXPECT_EQ(told, (std::vector<std::string>{"port 32 5 Disk", "mmio 4096 16 far"}));
}

/// What an access at each edge of three places finds.
void expect_edges(std::array<std::uint64_t, 3> const& bases) {
  struct Place {
    std::uint64_t base;
    std::uint64_t size;
  };
  detail::PlaceIndex<Place> index;
  EXPECT_EQ(index.find(0), nullptr);
  for (std::size_t const last : {1U, 2U, 0U}) {
    index.add({bases[last], 3});
    EXPECT_EQ(index.find(bases[last] - 1), nullptr);
    EXPECT_EQ(index.find(bases[last] + 3), nullptr);
    EXPECT_EQ(index.find(0), nullptr);
    EXPECT_EQ(index.find(~std::uint64_t{0}), nullptr);
    for (std::uint64_t const offset : {0U, 1U, 2U}) {
      ASSERT_NE(index.find(bases[last] + offset), nullptr);
      EXPECT_EQ(index.find(bases[last] + offset)->base, bases[last]);
    }
  }
  for (std::uint64_t const base : bases) EXPECT_EQ(index.find(base + 1)->base, base);
}

TEST(DynamicMap, FindsPlacesOnAGridAndFarApart) {
  expect_edges({0x10, 0x20, 0xFFF0});
  expect_edges({0x10, 0x2'0001, 0x30'0000'0003});
  expect_edges({1, 0x2000'0000'0001, 0xF'FFFF'FFFF'FFF0});
}

TEST(DynamicMap, AnEmptyOneClaimsNothing) {
  Board board;
  EXPECT_EQ(board.in<std::uint32_t>(0x20, nothing), 0xFFFF'FFFFU);
  EXPECT_FALSE(board.store(0x20, std::uint8_t{1}, nothing));
}

/// A context that knows the entry, as the machine's does.
struct ByEntry {
  TimeSource time = TimeSource::manual();
  std::array<IrqWire, 4> wires{};
  std::array<IrqLine, 4> lines{IrqLine{wires[0]}, IrqLine{wires[1]}, IrqLine{wires[2]},
                               IrqLine{wires[3]}};
  std::array<Clock, 4> clock{Clock{time}, Clock{time}, Clock{time}, Clock{time}};

  template <class Wanted>
  Wanted& service_at(std::size_t entry) noexcept {
    if constexpr (std::is_same_v<Wanted, Clock>)
      return clock[entry];
    else
      return lines[entry];
  }
};

TEST(DynamicMap, EachEntryHasItsOwnServices) {
  BoardWithLines board;
  board.place<Serial>({.base = 1});
  board.place<Raiser>({.base = 2, .irq = 1});
  board.place<Pinned>({.base = 3}, nullptr);
  ByEntry context;
  board.out(2, std::uint8_t{1}, context);
  EXPECT_EQ(context.wires[1].raised(), 1U);
  EXPECT_EQ(context.wires[0].raised(), 0U);
  board.call_deadline(2, context);
  board.call_deadline(0, context);  // has none
  board.call_deadline(3, context);  // is none
  EXPECT_EQ(context.clock[2].deadline(), 7U);
  EXPECT_EQ(context.clock[0].deadline(), Clock::never);
}

TEST(DynamicMap, KnowsWhetherThreadsAreSafe) {
  static_assert(!Board::safe_for_threads && Board::has_deadlines && Board::has_irq);
  static_assert(DynamicMap<Locked<Serial>>::safe_for_threads);
  static_assert(!DynamicMap<Locked<Serial>>::has_deadlines);
}

}  // namespace
}  // namespace portico
