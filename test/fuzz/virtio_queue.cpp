// A virtio device under a driver that writes anything to its registers, rings and tables, in any order: each chain that the
// device gets lies in RAM, and a device that needs a reset does nothing until it gets one.

#include "input.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/virtio/mmio.hpp>

namespace {

using portico::detail::VirtioDescriptor;
using portico::fuzz::Input;
using portico::fuzz::require;

constexpr std::uint64_t page = portico::GuestMemory::page_bytes;
constexpr std::uint64_t base = 0xD000'0000;

// Two regions that adjoin, one apart.
constexpr std::array<portico::RegionPlace, 3> places{
    {{0, 2 * page}, {2 * page, 2 * page}, {8 * page, page}}};

/// Where the driver likes to put things.
constexpr std::array<std::uint64_t, 8> points{0,        page,     page + 0x100, page + 0x200,
                                              2 * page, 4 * page, 8 * page,     9 * page};

struct Device {
  static constexpr std::uint32_t virtio_id = 63;
  static constexpr std::array<std::uint16_t, 2> queue_sizes{8, 4};

  portico::GuestMemory const* ram;
  Input* input;
  bool may_work = true;
  std::vector<portico::VirtioChain> held{};

  void notified(std::size_t index, portico::VirtioQueues& queues) {
    while (auto chain = queues[index].take()) {
      require(may_work, "no chain comes from a device that needs a reset");
      check(chain->readable_vectors(), chain->readable_bytes());
      check(chain->writable_vectors(), chain->writable_bytes());
      switch (input->below(6)) {
        case 0:
          held.push_back(std::move(*chain));
          break;
        case 1:
          queues[index].put_back(std::move(*chain));
          return;
        case 2:
          return;
        case 3:
          if (!held.empty())
            held.erase(held.begin() + static_cast<std::ptrdiff_t>(input->below(held.size())));
          break;
        default:
          use(*chain);
      }
    }
  }

  void use(portico::VirtioChain& chain) const {
    std::array<std::byte, 300> bytes{};
    chain.skip_readable(input->below(40));
    chain.read(gsl::span{bytes}.first(input->below(bytes.size())));
    chain.write(gsl::span{bytes}.first(input->below(bytes.size())));
    check(chain.readable_vectors(input->below(1000)), std::nullopt);
    check(chain.writable_vectors(input->below(1000)), std::nullopt);
    chain.wrote(input->below(1000));
    (void)chain.write_at(input->below(1000), gsl::span{bytes}.first(input->below(9)));
    require(chain.written() + chain.writable_left() == chain.writable_bytes(),
            "what was written and what is left are all");
  }

  void check(gsl::span<iovec const> vectors, std::optional<std::uint64_t> bytes) const {
    std::uint64_t total = 0;
    for (iovec const& each : vectors) {
      auto const* const at = static_cast<std::byte*>(each.iov_base);
      require(each.iov_len > 0 &&
                  std::any_of(ram->regions().begin(), ram->regions().end(),
                              [&](portico::Region const& region) {
                                return at >= region.host && at < region.host + region.size &&
                                       each.iov_len <= region.size - static_cast<std::uint64_t>(
                                                                         at - region.host);
                              }),
              "a segment lies in a region of RAM");
      total += each.iov_len;
    }
    if (bytes) require(total == *bytes, "segments are as long as the chain says");
  }

  void reset() { held.clear(); }
};

using Board = portico::DeviceMap<portico::Mmio<base, portico::VirtioMmio<Device>, portico::Irq<5>>>;

struct Rig {
  explicit Rig(Input& from) : input{from} {}

  void write(std::uint64_t offset, std::uint32_t value) {
    (void)board.store(base + offset, value, context);
    if (offset == 0x070 && value == 0) device().may_work = true;
    bool const needs_reset = (read(0x070) & portico::VirtioStatus::needs_reset) != 0;
    if (needs_reset) device().may_work = false;
    for (auto const& queue : board.get<portico::VirtioMmio<Device>>().save().queues)
      require(!queue.broken || needs_reset, "a broken queue makes its device need a reset");
  }

  std::uint32_t read(std::uint64_t offset) {
    return board.load<std::uint32_t>(base + offset, context);
  }

  Device& device() { return board.get<portico::VirtioMmio<Device>>().device(); }

  /// A legal beginning, so that the rest is reached.
  void start() {
    write(0x070, 0);
    write(0x070, 3);
    write(0x024, 0);
    write(0x020, static_cast<std::uint32_t>(input.below(4)) << 28);
    write(0x024, 1);
    write(0x020, 1);
    write(0x070, 11);
    for (std::uint32_t const index : {0U, 1U}) {
      write(0x030, index);
      write(0x038, 1U << input.below(4));
      write(0x080, static_cast<std::uint32_t>(page));
      write(0x090, static_cast<std::uint32_t>(page + 0x100 + 0x40 * index));
      write(0x0A0, static_cast<std::uint32_t>(page + 0x200 + 0x80 * index));
      write(0x044, 1);
    }
    write(0x070, 15);
  }

  std::uint64_t address() { return input.address_near(points.at(input.below(points.size()))); }

  void describe() {
    VirtioDescriptor const descriptor{
        address(),
        static_cast<std::uint32_t>(input.below(3) == 0 ? input.take<std::uint32_t>()
                                                       : input.below(64)),
        static_cast<std::uint16_t>(input.below(8)), static_cast<std::uint16_t>(input.below(9))};
    (void)ram.write((input.below(2) == 0 ? page : 3 * page) + 16 * input.below(8), descriptor);
  }

  /// A head, and the index one further.
  void offer(std::uint64_t queue, std::uint64_t head) const {
    std::uint64_t const ring = page + 0x100 + 0x40 * queue;
    auto const index = ram.read<std::uint16_t>(ring + 2).value_or(0);
    (void)ram.write(ring + 4 + 2 * (index & 7U), static_cast<std::uint16_t>(head));
    (void)ram.write(ring + 2, static_cast<std::uint16_t>(index + 1));
  }

  /// A chain of one to three at indices 0 to 2, which may be good, and a notification.
  void send() {
    std::uint64_t const count = 1 + input.below(3);
    for (std::uint64_t index = 0; index < count; ++index) {
      auto const choice = input.take<std::uint8_t>();
      std::uint16_t const flags = (index + 1 < count ? 1 : 0) | ((choice & 1) != 0 ? 2 : 0);
      (void)ram.write(page + 16 * index,
                      VirtioDescriptor{points.at(choice >> 5) - (choice & 6), 1U + (choice & 30),
                                       flags, static_cast<std::uint16_t>(index + 1)});
    }
    offer(0, 0);
    write(0x050, 0);
  }

  void step() {
    switch (input.below(13)) {
      case 0:
      case 1:
      case 2:
        return describe();
      case 3:
      case 4:
        return offer(input.below(2), input.below(9));
      case 5:
      case 6:
        return write(0x050, static_cast<std::uint32_t>(input.below(3)));
      case 7:
        (void)ram.write(address(), input.take<std::uint32_t>());
        return;
      case 8:
      case 9:
      case 10:
        return send();
      case 11:
        return write(4 * input.below(0x80),
                     static_cast<std::uint32_t>(input.below(2) == 0 ? input.below(32) : address()));
      default:
        if (input.below(4) == 0) start();
    }
  }

  Input& input;
  portico::GuestMemory ram{places[0], places[1], places[2]};
  portico::IrqWire wire{};
  portico::IrqLine line{wire};
  portico::Context<portico::GuestMemory, portico::IrqLine> context{ram, line};
  Board board{Device{&ram, &input}};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  Input input{data, size};
  Rig rig{input};
  rig.start();
  while (!input.empty()) rig.step();
  return 0;
}
