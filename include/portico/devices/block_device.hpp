/// A block device with DMA and an interrupt: any number of sectors at each command.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/block_device.hpp>
///     using Disk = portico::BlockDevice<>;
///     using Board = portico::DeviceMap<
///         portico::Mmio<0xD000'0000, Disk, portico::Irq<5, portico::Level>>>;
///     Board board{[] { return Disk{portico::ReadOnlyFile{"disk.img"}}; }};    // made in place
///
/// *Emulated*: the example device of a lecture on device virtualization, whose command and status
/// register has the bits I, R, B, RW, S and E.
///
/// | register | offset | width | access | |
/// | --- | --- | --- | --- | --- |
/// | command and status | 0 | u32 | rw | the bits below |
/// | acknowledge | 4 | u32 | -w | takes the interrupt back, whatever is written |
/// | address | 8 | u64 | rw | guest-physical, of the first byte |
/// | sector | 16 | u64 | rw | the first |
/// | count | 24 | u32 | rw | of sectors of 512 bytes |
///
/// Bit 0 I: initialise; 1 R: ready, read only; 2 B: busy, read only; 3 RW: 0 from disk to memory, 1
/// from memory to disk; 4 S: start; 5 E: error, cleared by writing 1.
///
/// I and S are commands and read as 0; RW reads as last written. One write may have several bits:
/// E is cleared first, then I is obeyed, then S.
///
///  +---------+
///  |  reset  | <-- S: E, interrupt
///  |    0    |
///  +---------+
///    | I
///    v
///  +---------+ <-- S, bad range: E, interrupt
///  |  ready  | <-- I
///  |    R    | <------------------------------------------+
///  +---------+                                            |
///    | S, good range                                      |
///    v                                                    |
///  +---------+ --- done: interrupt ---------------------> |
///  |  busy   | --- the host failed: E, interrupt -------> |
///  |    B    | <-- S: E, interrupt                        |
///  +---------+                                            |
///    | I                                                  |
///    v                                                    |
///  +---------+ --- done, or the host failed: nothing -----+
///  | dropped | <-- I
///  |    B    | <-- S: E, interrupt
///  +---------+
///
/// I clears E and the interrupt in every state, and leaves address, sector and count alone. A
/// transfer cannot be called back: after I it goes on unseen, and R comes when the last byte has
/// moved. RW, address, sector and count are taken over with S. A range is bad if it has no sectors,
/// reaches past the disk, past RAM or past the last address, or is to be written on a disk that may
/// not be. E stays until it is cleared, and hinders nothing. The interrupt is level-triggered and
/// high until acknowledged: a handler acknowledges first and then looks at R and E.
///
/// The work is done by the `Worker`: InlineWorker, in the vCPU's thread, completes a transfer
/// before S's own store is complete, and B is never seen; WorkerThread does it while the vCPU runs
/// or halts. In an entry that is Offload<...> (device/offload.hpp) the guest does not even leave for S:
/// InlineWorker works in the entry's thread then, and whoever reads a register meanwhile waits for
/// it. On ports use BlockDeviceOnPorts.
///
/// *Not emulated*: the disk's size, a queue of commands, the call back of a transfer.
///
/// *What a hostile guest can do*: read and write any sector of its own disk, keep the host's
/// storage busy, change what is being written, and hold its own interrupt line. It reaches no byte
/// outside the disk and its RAM, and has one transfer under way at most.
#pragma once

#include <cstdint>
#include <utility>

#include <portico/device/doorbell.hpp>
#include <portico/device/irq_line.hpp>
#include <portico/device/registers.hpp>
#include <portico/devices/backend.hpp>
#include <portico/devices/disk_backend.hpp>
#include <portico/devices/sector_dma.hpp>
#include <portico/devices/status_word.hpp>
#include <portico/devices/worker.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// The command and status register's bits, three more that only the device knows, and how they
/// change.
struct BlockBits {
  static constexpr std::uint32_t initialise = 1U << 0;  ///< I
  static constexpr std::uint32_t ready = 1U << 1;       ///< R
  static constexpr std::uint32_t busy = 1U << 2;        ///< B
  static constexpr std::uint32_t to_disk = 1U << 3;     ///< RW
  static constexpr std::uint32_t start = 1U << 4;       ///< S
  static constexpr std::uint32_t error = 1U << 5;       ///< E
  static constexpr std::uint32_t initialised = 1U << 8;
  static constexpr std::uint32_t dropped = 1U << 9;  ///< I came while the transfer was under way
  static constexpr std::uint32_t interrupt = 1U << 10;

  /// What the guest reads, but for RW.
  static constexpr std::uint32_t shown(std::uint32_t now) {
    return (now & (busy | error)) | ((now & (initialised | busy)) == initialised ? ready : 0);
  }

  /// After the guest has written `value`; `good` tells whether the range is.
  static constexpr std::uint32_t commanded(std::uint32_t now, std::uint32_t value, bool good) {
    now &= ~(value & error);
    if ((value & initialise) != 0) now = initialised | ((now & busy) != 0 ? busy | dropped : 0);
    if ((value & start) != 0) now |= (shown(now) & ready) != 0 && good ? busy : error | interrupt;
    return now;
  }

  /// After a transfer.
  static constexpr std::uint32_t finished(std::uint32_t now, bool failed) {
    if ((now & dropped) != 0) return now & ~(busy | dropped);
    return (now & ~busy) | interrupt | (failed ? error : 0);
  }
};

/// What the guest has set, and the bits of BlockBits.
struct BlockState {
  DiskTransfer next{.count = 0};
  std::uint32_t bits = 0;

  friend bool operator==(BlockState const&, BlockState const&) = default;
};

/// The registers that say what S will start; they are read back as written.
class BlockTransferRegisters {
 public:
  /// r-  Where in guest memory the bytes stand.
  std::uint64_t address() { return next_.address; }

  /// -w  The same.
  void set_address(std::uint64_t address) { next_.address = address; }

  /// r-  The first sector.
  std::uint64_t sector() { return next_.sector; }

  /// -w  The same.
  void set_sector(std::uint64_t sector) { next_.sector = sector; }

  /// r-  How many sectors.
  std::uint32_t count() { return next_.count; }

  /// -w  The same.
  void set_count(std::uint32_t count) { next_.count = count; }

 protected:
  DiskTransfer next_ = BlockState{}.next;
};

/// The device over a SectorStore and a Worker, or variants of such. Handlers are for one thread at
/// a time: with several vCPUs use Locked. Neither copied nor moved; its destructor waits for the
/// transfer that is under way.
template <class Backend = DiskBackend, class Worker = InlineWorker>
class BlockDevice : public BlockTransferRegisters {
 public:
  using State = BlockState;

  /// `worker` is what a Worker is made from.
  template <class... Arguments>
  explicit BlockDevice(Backend backend, Arguments&&... worker)
      : sectors_{std::move(backend)}, worker_(std::forward<Arguments>(worker)...) {}

  /// r-  R, B, RW and E.
  std::uint32_t status() {
    return BlockBits::shown(bits_.bits()) | (next_.to_disk ? BlockBits::to_disk : 0);
  }

  /// -w  I, RW, S, and E to clear it.
  void command(std::uint32_t value, GuestMemory const& ram, IrqLine const& line) {
    next_.to_disk = (value & BlockBits::to_disk) != 0;
    bool const good = sectors_.check(next_, ram) == DiskError::none;
    auto const [before, after] = bits_.change(
        line, [&](std::uint32_t now) { return BlockBits::commanded(now, value, good); });
    if ((after & ~before & BlockBits::busy) == 0) return;
    // The registers are the guest's again at once: the work has a copy.
    detail::start_work(worker_, [this, transfer = next_, &ram, line] {
      bool const failed = sectors_.carry_out(transfer, ram) != DiskError::none;
      bits_.change(line, [&](std::uint32_t now) { return BlockBits::finished(now, failed); });
    });
  }

  /// -w  Takes the interrupt back.
  void acknowledge(std::uint32_t, IrqLine const& line) {
    bits_.change(line, [](std::uint32_t now) { return now & ~BlockBits::interrupt; });
  }

  using registers = Registers<ReadWrite<0, &BlockDevice::status, &BlockDevice::command>,
                              WriteOnly<4, &BlockDevice::acknowledge>,
                              ReadWrite<8, &BlockDevice::address, &BlockDevice::set_address>,
                              ReadWrite<16, &BlockDevice::sector, &BlockDevice::set_sector>,
                              ReadWrite<24, &BlockDevice::count, &BlockDevice::set_count>>;

  /// S, for either direction, and nothing else, says only that there is work.
  using doorbells = Doorbells<
      Doorbell<0, &BlockDevice::command, BlockBits::start, BlockBits::start | BlockBits::to_disk>>;

  /// The disk itself: its backend, and what the host failed in. Waits for the transfer under way,
  /// as `save` does; the guest must not run.
  [[nodiscard]] SectorDma<Backend>& sectors() { return detail::wait_for(worker_), sectors_; }

  /// Who does the work.
  [[nodiscard]] Worker& worker() { return worker_; }

  /// The state between two transfers.
  [[nodiscard]] State save() { return detail::wait_for(worker_), State{next_, bits_.bits()}; }

  /// Only while no transfer is under way. Leaves the interrupt line to whoever restores the
  /// machine.
  void load(State const& state) { next_ = state.next, bits_.load(state.bits); }

 private:
  SectorDma<Backend> sectors_;
  StatusWord bits_{BlockBits::interrupt};
  Worker worker_;  // last: its destructor waits for work that uses the others
};

/// The same for ports, where no access has 64 bits: address and sector are two dwords each, the
/// lower half first, at the same offsets.
template <class Backend = DiskBackend, class Worker = InlineWorker>
class BlockDeviceOnPorts : public BlockDevice<Backend, Worker> {
 public:
  using BlockDevice<Backend, Worker>::BlockDevice;

  /// r-  Bits 0 to 31 of the address.
  std::uint32_t address_low() { return static_cast<std::uint32_t>(this->address()); }

  /// -w  The same.
  void set_address_low(std::uint32_t half) { this->set_address(with_low(this->address(), half)); }

  /// r-  Bits 32 to 63 of the address.
  std::uint32_t address_high() { return static_cast<std::uint32_t>(this->address() >> 32); }

  /// -w  The same.
  void set_address_high(std::uint32_t half) { this->set_address(with_high(this->address(), half)); }

  /// r-  Bits 0 to 31 of the sector.
  std::uint32_t sector_low() { return static_cast<std::uint32_t>(this->sector()); }

  /// -w  The same.
  void set_sector_low(std::uint32_t half) { this->set_sector(with_low(this->sector(), half)); }

  /// r-  Bits 32 to 63 of the sector.
  std::uint32_t sector_high() { return static_cast<std::uint32_t>(this->sector() >> 32); }

  /// -w  The same.
  void set_sector_high(std::uint32_t half) { this->set_sector(with_high(this->sector(), half)); }

  using Self = BlockDeviceOnPorts;
  using registers =
      Registers<ReadWrite<0, &Self::status, &Self::command>, WriteOnly<4, &Self::acknowledge>,
                ReadWrite<8, &Self::address_low, &Self::set_address_low>,
                ReadWrite<12, &Self::address_high, &Self::set_address_high>,
                ReadWrite<16, &Self::sector_low, &Self::set_sector_low>,
                ReadWrite<20, &Self::sector_high, &Self::set_sector_high>,
                ReadWrite<24, &Self::count, &Self::set_count>>;

 private:
  static std::uint64_t with_low(std::uint64_t value, std::uint32_t half) {
    return (value >> 32 << 32) | half;
  }

  static std::uint64_t with_high(std::uint64_t value, std::uint32_t half) {
    return (value & 0xFFFF'FFFF) | std::uint64_t{half} << 32;
  }
};

}  // namespace portico
