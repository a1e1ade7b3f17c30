// What a device map derives from its entries.
#include <array>
#include <utility>

#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/locked.hpp>

namespace map_test {

using namespace portico;

struct Serial {
  void write(std::uint8_t);
  std::uint8_t read();
};

struct Disk {
  void set_sector(std::uint32_t);
  void set_address(std::uint32_t);
  void execute(std::uint8_t);
  using registers = Registers<WriteOnly<0, &Disk::set_sector>, WriteOnly<1, &Disk::set_address>,
                              WriteOnly<2, &Disk::execute>>;
};

struct Wide {
  void write(std::uint64_t);
};

struct Raw {
  void write(std::uint64_t, gsl::span<std::byte const>);
};

struct Timer {
  static constexpr auto threads = Threads::any;
  void write(std::uint8_t, Clock&);
  void deadline(IrqLine&);
};

struct Pic {
  void first(std::uint8_t);
  void second(std::uint8_t);
  void third(std::uint16_t);
  using banks = Banks<Registers<WriteOnly<0, &Pic::first>, WriteOnly<1, &Pic::second>>,
                      Registers<WriteOnly<3, &Pic::third>>>;
};

// --- Sizes come from the register tables, or from Size; strides spread the registers.

using Sizes = DeviceMap<Port<0x20, Disk>, Port<0x100, Disk, Size<16>>, Port<0x200, Disk, Stride<4>>,
                        Mmio<0x1000, Disk>, Mmio<0x2000, Disk, Stride<0x100>>, Mmio<0x3000, Wide>,
                        Port<0x300, Raw, Size<5>>, Mmio<0x4000, Raw, Size<0x1000>>>;
static_assert(Sizes::size == 8 && Sizes::ranges.size() == 8);
static_assert(Sizes::ranges[0].size == 3);  // a port register takes the port it is reached by
static_assert(Sizes::ranges[1].size == 16);
static_assert(Sizes::ranges[2].size == 9);
static_assert(Sizes::ranges[3].size == 5);  // the second register's bytes end last
static_assert(Sizes::ranges[4].size == 0x201);
static_assert(Sizes::ranges[5].size == 8);
static_assert(Sizes::ranges[6].size == 5);
static_assert(Sizes::ranges[7].size == 0x1000);
static_assert(Sizes::ranges[3].base == 0x1000 && Sizes::ranges[3].space == Space::mmio);
static_assert(Sizes::ranges[0].base == 0x20 && Sizes::ranges[0].space == Space::port);
static_assert(Sizes::registers_of<4, 0>[2].offset == 0x200 &&
              Sizes::registers_of<4, 0>[2].width == 1);
static_assert(Sizes::registers_of<7, 0>[0].size == 0x1000 &&
              Sizes::registers_of<7, 0>[0].width == 0);
static_assert(Sizes::lowest_address == 0x1000);
static_assert(DeviceMap<Port<0x20, Disk>>::lowest_address == std::uint64_t{1} << 52);

// --- Names, lines, and the rest of EntryInfo

using Named1 = DeviceMap<Port<0xE9, Serial, Named<"console">>, Port<0x40, Timer, Irq<0>>,
                         Mmio<0x1000, Locked<Serial>, Irq<5, Shared, Level>>,
                         On<Timer, Ranges<Ports<0x50>, Ports<0x60, 4>, Addresses<0x2000, 8>>,
                            Irq<5, Level, Shared>, Named<"second">>>;
static_assert(Named1::entries[0].name == "console" && Named1::entries[0].device == "Serial");
static_assert(!Named1::entries[0].has_irq);
static_assert(Named1::entries[1].name == "Timer" && Named1::entries[1].has_irq &&
              Named1::entries[1].irq == 0 && !Named1::entries[1].level &&
              !Named1::entries[1].shared);
static_assert(Named1::entries[2].name == "Serial" && Named1::entries[2].device == "Serial");
static_assert(Named1::entries[2].irq == 5 && Named1::entries[2].level && Named1::entries[2].shared);
static_assert(Named1::entries[3].first_range == 3 && Named1::entries[3].range_count == 3);
static_assert(Named1::ranges[3].entry == 3 && Named1::ranges[3].range == 0 &&
              Named1::ranges[5].range == 2 && Named1::ranges[5].space == Space::mmio);
static_assert(Named1::ranges[3].size == 1 && Named1::ranges[4].size == 4);
static_assert(Named1::has_irq && Named1::has_deadlines && !Named1::safe_for_threads);
static_assert(!DeviceMap<Port<0xE9, Serial>>::has_irq &&
              !DeviceMap<Port<0xE9, Serial>>::has_deadlines);
static_assert(DeviceMap<Port<0xE9, Locked<Serial>>, Port<0x40, Timer, Irq<0>>>::safe_for_threads);

static_assert(Named1::registers_of<0, 0>[0].name == "write" &&
              Named1::registers_of<0, 0>[0].reads && Named1::registers_of<0, 0>[0].writes);

// --- Banks: each range has a table of its own

using Pair = DeviceMap<On<Pic, Ranges<Ports<0x20>, Ports<0xA0>>>>;
static_assert(Pair::size == 1 && Pair::ranges.size() == 2);
static_assert(Pair::ranges[0].size == 2 && Pair::ranges[1].size == 4);
static_assert(Pair::registers_of<0, 0>.size() == 2 && Pair::registers_of<0, 1>.size() == 1);
static_assert(Pair::registers_of<0, 1>[0].offset == 3 &&
              Pair::registers_of<0, 1>[0].name == "third");

// --- The order of options does not matter.

static_assert(DeviceMap<Port<0x20, Disk, Stride<2>, Irq<3>, Size<8>, Named<"d">>>::ranges[0].size ==
              DeviceMap<Port<0x20, Disk, Named<"d">, Size<8>, Irq<3>, Stride<2>>>::ranges[0].size);

// --- The ends of both spaces are usable.

using Ends = DeviceMap<Port<0, Serial>, Port<0xFFFF, Serial>, Mmio<0xF'FFFF'FFFF'FFF8, Wide>>;
static_assert(Ends::ranges[1].base == 0xFFFF && Ends::ranges[2].size == 8);

// --- A map may be empty, and it may have 256 entries.

static_assert(DeviceMap<>::size == 0 && !DeviceMap<>::has_irq && !DeviceMap<>::has_deadlines &&
              DeviceMap<>::safe_for_threads && DeviceMap<>::entries.empty());

template <std::uint64_t Number>
struct Numbered {
  void write(std::uint8_t);
};

template <class Indices>
struct LargeMap;

template <std::size_t... Index>
struct LargeMap<std::index_sequence<Index...>> {
  // From the last port down, so that the map has something to sort.
  using type = DeviceMap<Port<0x1000 - 4 * Index, Numbered<Index>, Size<4>>...>;
};

using Large = LargeMap<std::make_index_sequence<256>>::type;
static_assert(Large::size == 256 && Large::ranges[255].base == 0x1000 - 4 * 255);

// --- Devices that have no say in what the map is: empty, final, not default constructible.

struct Final final {
  explicit Final(int);
  void write(std::uint8_t);
};

using WithFinal = DeviceMap<Port<1, Final>>;
static_assert(!std::is_default_constructible_v<WithFinal>);
static_assert(std::is_constructible_v<WithFinal, int>);
static_assert(std::is_constructible_v<WithFinal, Final>);
static_assert(std::is_default_constructible_v<DeviceMap<Port<1, Serial>>>);
static_assert(std::is_copy_constructible_v<DeviceMap<Port<1, Serial>>>);
static_assert(!std::is_move_constructible_v<DeviceMap<Port<1, Locked<Serial>>>>);
static_assert(!std::is_convertible_v<int, WithFinal>);

}  // namespace map_test
