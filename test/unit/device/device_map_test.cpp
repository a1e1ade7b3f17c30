// How a map owns its devices: made from what, found by what.
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include <portico/device/device_map.hpp>
#include <portico/device/locked.hpp>

namespace portico {
namespace {

struct Serial {
  void write(std::uint8_t byte) { last = byte; }

  int last = -1;
};

struct Named8 {
  explicit Named8(std::string text) : name{std::move(text)} {}

  void write(std::uint8_t) {}

  std::string name;
};

/// Neither copied nor moved, and it knows where it was made.
struct Pinned {
  Pinned() = default;

  explicit Pinned(int start) : value{start} {}

  Pinned(Pinned const&) = delete;
  Pinned& operator=(Pinned const&) = delete;
  ~Pinned() = default;

  void write(std::uint8_t byte) {
    std::lock_guard const guard{mutex};
    value = byte;
  }

  Pinned const* self = this;
  std::mutex mutex{};
  int value = 0;
};

/// Moved only.
struct Owner {
  explicit Owner(std::unique_ptr<int> given) : owned{std::move(given)} {}

  std::uint8_t read() { return static_cast<std::uint8_t>(*owned); }

  std::unique_ptr<int> owned;
};

Context<> nothing;

TEST(DeviceMap, IsMadeFromValues) {
  DeviceMap<Port<1, Serial>, Port<2, Named8>> board{Serial{5}, Named8{"two"}};
  EXPECT_EQ(board.get<Serial>().last, 5);
  EXPECT_EQ(board.get<Named8>().name, "two");
}

TEST(DeviceMap, IsMadeFromWhatDevicesAreConstructedFrom) {
  DeviceMap<Port<1, Named8>, Port<2, Pinned>> board{std::string{"from text"}, 7};
  EXPECT_EQ(board.get<Named8>().name, "from text");
  EXPECT_EQ(board.get<Pinned>().value, 7);
}

TEST(DeviceMap, IsMadeFromCallables) {
  int calls = 0;
  DeviceMap<Port<1, Pinned>, Port<2, Owner>> board{[&] {
                                                     ++calls;
                                                     return Pinned{3};
                                                   },
                                                   [] { return Owner{std::make_unique<int>(9)}; }};
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(board.get<Pinned>().value, 3);
  EXPECT_EQ(board.get<Pinned>().self, &board.get<Pinned>());  // built in place
  EXPECT_EQ(board.in<std::uint8_t>(2, nothing), 9);
}

TEST(DeviceMap, IsMadeInPlaceByLambdasWithoutCaptures) {
  // On these GCC 12 would break down, if the map called them itself.
  using Board = DeviceMap<Port<1, Pinned>>;
  auto const make = []() -> Board { return Board{[] { return Pinned{3}; }}; };
  Board board = make();
  EXPECT_EQ(board.get<Pinned>().value, 3);
}

TEST(DeviceMap, IsMadeFromOneArgumentIfItHasOneEntry) {
  using Board = DeviceMap<Port<1, Owner>>;
  Board first{std::make_unique<int>(1)};
  Board second{std::move(first)};
  EXPECT_EQ(second.in<std::uint8_t>(1, nothing), 1);
  DeviceMap<Port<1, Serial>> const original{Serial{4}};
  DeviceMap<Port<1, Serial>> copy{original};
  EXPECT_EQ(copy.get<Serial>().last, 4);
}

TEST(DeviceMap, ACallableMayReturnTheWholeBoard) {
  using Board = DeviceMap<Port<1, Pinned>, Port<2, Locked<Serial>>>;
  auto const make = [] { return Board{8, Serial{2}}; };
  Board board = make();
  EXPECT_EQ(board.get<Pinned>().value, 8);
  EXPECT_EQ(board.get<Serial>().last, 2);
}

TEST(DeviceMap, MakesDevicesInOrder) {
  struct Counted {
    explicit Counted(int& count) : number{count++} {}

    void write(std::uint8_t) {}

    int number;
  };

  int count = 0;
  DeviceMap<Port<3, Counted>, Port<2, Counted>, Port<1, Counted>> board{
      [&] { return Counted{count}; }, [&] { return Counted{count}; },
      [&] { return Counted{count}; }};
  EXPECT_EQ(board.at<0>().number, 0);
  EXPECT_EQ(board.at<2>().number, 2);
}

TEST(DeviceMap, FindsDevicesByNameTypeAndIndex) {
  DeviceMap<Port<0x3F8, Serial, Named<"com1">>, Port<0x2F8, Serial, Named<"com2">>, Port<1, Pinned>>
      board;
  EXPECT_TRUE(board.out(0x2F8, std::uint8_t{2}, nothing));
  EXPECT_EQ(board.get<"com1">().last, -1);
  EXPECT_EQ(board.get<"com2">().last, 2);
  EXPECT_EQ(&board.at<1>(), &board.get<"com2">());
  EXPECT_EQ(&board.get<Pinned>(), &board.at<2>());
}

TEST(DeviceMap, FindsTheDeviceBehindALock) {
  DeviceMap<Port<1, Locked<Serial>, Named<"s">>> board{Serial{3}};
  static_assert(std::is_same_v<decltype(board.get<"s">()), Serial&>);
  EXPECT_EQ(board.get<Serial>().last, 3);
  EXPECT_TRUE(board.out(1, std::uint8_t{6}, nothing));
  EXPECT_EQ(board.get<"s">().last, 6);
}

}  // namespace
}  // namespace portico
