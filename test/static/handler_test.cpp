// What a signature says about a handler, and what a register table makes of it.
#include <portico/device/clock.hpp>
#include <portico/device/device_map.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/run_control.hpp>
#include <portico/memory/guest_memory.hpp>

namespace handler_test {

using portico::HandlerTraits;
using Memory = portico::GuestMemory;

struct Device {
  void write8(std::uint8_t);
  void write16(std::uint16_t) noexcept;
  void write32(std::uint32_t) const;
  void write64(std::uint64_t) const noexcept;
  std::uint8_t read8();
  std::uint16_t read16() const;
  std::uint32_t read32() noexcept;
  std::uint64_t read64() const noexcept;
  void write_batch(gsl::span<std::uint16_t const>);
  void read_batch(gsl::span<std::uint16_t>);
  void write_bytes(std::uint64_t, gsl::span<std::byte const>);
  void read_bytes(std::uint64_t, gsl::span<std::byte>);
  void write_asking(std::uint64_t, portico::RunControl&, Memory const&, portico::IrqLine&);
  std::uint8_t read_asking(portico::Clock&, portico::IrqLine);
  void read_bytes_asking(std::uint64_t, gsl::span<std::byte>, Memory&);
  void write_signed(std::int32_t);
  int read_signed();
  int write_and_answer(std::uint8_t);
  static void write_static(std::uint8_t);
  std::uint8_t data = 0;
};

static_assert(HandlerTraits<&Device::write8>::writes && !HandlerTraits<&Device::write8>::reads);
static_assert(HandlerTraits<&Device::write8>::width == 1);
static_assert(HandlerTraits<&Device::write16>::width == 2);
static_assert(HandlerTraits<&Device::write32>::width == 4);
static_assert(HandlerTraits<&Device::write64>::width == 8 &&
              HandlerTraits<&Device::write64>::writes);
static_assert(HandlerTraits<&Device::read8>::reads && !HandlerTraits<&Device::read8>::writes);
static_assert(HandlerTraits<&Device::read8>::width == 1);
static_assert(HandlerTraits<&Device::read16>::width == 2);
static_assert(HandlerTraits<&Device::read32>::width == 4);
static_assert(HandlerTraits<&Device::read64>::width == 8);

static_assert(HandlerTraits<&Device::write_batch>::batch &&
              HandlerTraits<&Device::write_batch>::writes &&
              !HandlerTraits<&Device::write_batch>::reads &&
              HandlerTraits<&Device::write_batch>::width == 2);
static_assert(HandlerTraits<&Device::read_batch>::batch &&
              HandlerTraits<&Device::read_batch>::reads &&
              !HandlerTraits<&Device::read_batch>::writes &&
              HandlerTraits<&Device::read_batch>::width == 2);

// An offset comes first in both raw byte handlers; that of the reading one is no 64-bit value.
static_assert(HandlerTraits<&Device::write_bytes>::bytes &&
              HandlerTraits<&Device::write_bytes>::writes &&
              !HandlerTraits<&Device::write_bytes>::reads &&
              HandlerTraits<&Device::write_bytes>::width == 0);
static_assert(HandlerTraits<&Device::read_bytes>::bytes &&
              HandlerTraits<&Device::read_bytes>::reads &&
              !HandlerTraits<&Device::read_bytes>::writes &&
              HandlerTraits<&Device::read_bytes>::width == 0);
static_assert(HandlerTraits<&Device::read_bytes_asking>::bytes &&
              !HandlerTraits<&Device::read_bytes_asking>::writes);

static_assert(HandlerTraits<&Device::write_asking>::asks_for_control &&
              HandlerTraits<&Device::write_asking>::asks_for_line &&
              HandlerTraits<&Device::write_asking>::Services::size == 3);
static_assert(HandlerTraits<&Device::read_asking>::asks_for_line &&
              !HandlerTraits<&Device::read_asking>::asks_for_control &&
              HandlerTraits<&Device::read_asking>::Services::size == 2);

static_assert(!HandlerTraits<&Device::write_signed>::writes);
static_assert(!HandlerTraits<&Device::read_signed>::reads);
static_assert(!HandlerTraits<&Device::write_and_answer>::writes &&
              !HandlerTraits<&Device::write_and_answer>::reads);
static_assert(!HandlerTraits<&Device::write_static>::writes);
static_assert(!HandlerTraits<&Device::data>::reads && !HandlerTraits<&Device::data>::writes);

// --- Register tables

using Table =
    portico::Registers<portico::WriteOnly<0, &Device::write8>, portico::ReadOnly<0, &Device::read8>,
                       portico::ReadWrite<4, &Device::read16, &Device::write16>,
                       portico::Bytes<0x10, 0x20, &Device::read_bytes, &Device::write_bytes>>;
static_assert(Table::size == 4);
static_assert(Table::rows[0].offset == 0 && Table::rows[0].width == 1 && Table::rows[0].writes &&
              !Table::rows[0].reads);
static_assert(Table::rows[1].reads && !Table::rows[1].writes);
static_assert(Table::rows[2].offset == 4 && Table::rows[2].size == 2 && Table::rows[2].width == 2 &&
              Table::rows[2].reads && Table::rows[2].writes);
static_assert(Table::rows[3].offset == 0x10 && Table::rows[3].size == 0x20 &&
              Table::rows[3].width == 0 && Table::rows[3].reads && Table::rows[3].writes);
static_assert(Table::names[0] == "write8" && Table::names[1] == "read8" &&
              Table::names[2] == "write16" && Table::names[3] == "write_bytes");

// --- The table that read and write alone make

struct Writer {
  void write(std::uint16_t);
};

struct Both {
  void write(std::uint8_t);
  std::uint8_t read();
};

struct TwoWidths {
  void write(std::uint32_t);
  std::uint8_t read();
};

struct RawReader {
  void read(std::uint64_t, gsl::span<std::byte>);
};

struct Inherits : Both {};

template <class Device>
using TableOf = decltype(portico::detail::table_of<Device, 0>());

static_assert(
    std::is_same_v<TableOf<Writer>, portico::Registers<portico::WriteOnly<0, &Writer::write>>>);
static_assert(TableOf<Both>::size == 1 && TableOf<Both>::rows[0].reads &&
              TableOf<Both>::rows[0].writes);
static_assert(TableOf<TwoWidths>::size == 2 && TableOf<TwoWidths>::rows[0].width == 1 &&
              TableOf<TwoWidths>::rows[1].width == 4);
static_assert(TableOf<RawReader>::size == 1 && TableOf<RawReader>::rows[0].width == 0 &&
              TableOf<RawReader>::rows[0].reads && !TableOf<RawReader>::rows[0].writes);
static_assert(TableOf<Inherits>::size == 1 && TableOf<Inherits>::rows[0].width == 1);

}  // namespace handler_test
