/// A disk in three registers: sector, address, command; it moves one sector by DMA at each command.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/simple_disk.hpp>
///     using Disk = portico::SimpleDisk<>;
///     using OnPorts  = portico::DeviceMap<portico::Port<0x20, Disk>>;         // 0x20, 0x21, 0x22
///     using InMemory = portico::DeviceMap<portico::Mmio<0x20'0100, Disk, portico::Stride<8>>>;
///     OnPorts board{Disk{portico::ReadOnlyFile{"disk.img"}}};
///
/// *Emulated*: the disk of the course machine "Simple KVM I/O". The command `setup` tells where in
/// guest memory the device keeps its status, once; each command after it leaves its result there.
///
/// | register | offset | width | access | |
/// | --- | --- | --- | --- | --- |
/// | sector | 0 | u32 | -w | |
/// | address | 1 | u32 | -w | guest-physical |
/// | command | 2 | u8 | -w | 0 read, 1 write, 2 setup |
///
/// A command is complete when its `out` is. Checked in this order: the command and whether it is a
/// second setup (EINVAL), the sector (EINVAL), the address (EFAULT), whether the disk may be
/// written (EROFS); then the host may fail (EIO). A setup whose status does not lie in RAM writes
/// nothing and does not count; before setup any other command is ignored, for want of a place to
/// report to.
///
/// *Not emulated*: more than one sector at a time, interrupts, time; reading a register, which is
/// unclaimed.
///
/// *What a hostile guest can do*: read and write any sector of its own disk, and let the host wait
/// for its storage. It reaches no byte outside the disk and its RAM. The status is written by the
/// host and never read back.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include <portico/device/registers.hpp>
#include <portico/devices/disk_backend.hpp>
#include <portico/devices/sector_dma.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// The status as it stands in guest memory: 12 bytes.
struct [[gnu::packed]] DiskStatus {
  std::uint64_t size = 0;  ///< of the disk, in bytes
  DiskError error = DiskError::none;
};

static_assert(sizeof(DiskStatus) == 12);

/// The disk over a SectorStore or a variant of such. For the vCPU's thread.
template <class Backend = DiskBackend>
class SimpleDisk {
 public:
  /// What `execute` understands.
  enum class Command : std::uint8_t { read, write, setup };

  /// What the guest has set; the sectors are the backend's.
  struct State {
    std::uint32_t sector = 0;
    std::uint32_t address = 0;
    std::optional<std::uint32_t> status{};  ///< guest address, once set up

    friend bool operator==(State const&, State const&) = default;
  };

  explicit SimpleDisk(Backend backend) : sectors_{std::move(backend)} {}

  /// -w  The sector of the next command.
  void set_sector(std::uint32_t sector) { state_.sector = sector; }

  /// -w  Where in guest memory the next command's sector, or the status, stands.
  void set_address(std::uint32_t address) { state_.address = address; }

  /// -w  Carries out a Command.
  void execute(std::uint8_t number, GuestMemory const& ram) {
    Command const command{number};
    if (state_.status)
      (void)ram.write(*state_.status, DiskStatus{sectors_.size(), transfer(command, ram)});
    else if (command == Command::setup && ram.write(state_.address, DiskStatus{sectors_.size()}))
      state_.status = state_.address;
  }

  using registers =
      Registers<WriteOnly<0, &SimpleDisk::set_sector>, WriteOnly<1, &SimpleDisk::set_address>,
                WriteOnly<2, &SimpleDisk::execute>>;

  /// The disk itself: its backend, and what the host failed in.
  [[nodiscard]] SectorDma<Backend>& sectors() noexcept { return sectors_; }

  [[nodiscard]] State save() const { return state_; }

  void load(State const& state) { state_ = state; }

 private:
  DiskError transfer(Command command, GuestMemory const& ram) {
    if (command > Command::write) return DiskError::invalid;
    return sectors_.carry_out(
        {.to_disk = command == Command::write, .sector = state_.sector, .address = state_.address},
        ram);
  }

  SectorDma<Backend> sectors_;
  State state_{};
};

}  // namespace portico
