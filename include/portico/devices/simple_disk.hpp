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

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <portico/device/registers.hpp>
#include <portico/devices/backend.hpp>
#include <portico/devices/disk_backend.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// How a command of the disk ended, in Linux's numbers.
enum class DiskError : std::int32_t {
  none = 0,
  input_output = 5,  ///< EIO: the host failed
  fault = 14,        ///< EFAULT: the 512 bytes do not all lie in RAM
  invalid = 22,      ///< EINVAL: no such sector, no such command, a second setup
  read_only = 30     ///< EROFS: a write to a disk that is not writable
};

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

  explicit SimpleDisk(Backend backend) : backend_{std::move(backend)} {}

  /// -w  The sector of the next command.
  void set_sector(std::uint32_t sector) { state_.sector = sector; }

  /// -w  Where in guest memory the next command's sector, or the status, stands.
  void set_address(std::uint32_t address) { state_.address = address; }

  /// -w  Carries out a Command.
  void execute(std::uint8_t command, GuestMemory const& ram) {
    detail::with_backend(backend_, [&](auto& disk) {
      if (state_.status) {
        (void)ram.write(*state_.status,
                        DiskStatus{disk.size(), transfer(disk, Command{command}, ram)});
      } else if (Command{command} == Command::setup &&
                 ram.write(state_.address, DiskStatus{disk.size()})) {
        state_.status = state_.address;
      }
    });
  }

  using registers =
      Registers<WriteOnly<0, &SimpleDisk::set_sector>, WriteOnly<1, &SimpleDisk::set_address>,
                WriteOnly<2, &SimpleDisk::execute>>;

  /// Commands that ended with EIO: the host's failures, for the program to tell its user.
  [[nodiscard]] std::uint64_t host_failures() const noexcept { return host_failures_; }

  [[nodiscard]] Backend& backend() noexcept { return backend_; }

  [[nodiscard]] State save() const { return state_; }

  void load(State const& state) { state_ = state; }

 private:
  template <SectorStore Disk>
  DiskError transfer(Disk& disk, Command command, GuestMemory const& ram) {
    std::array<std::byte, sector_bytes> data;
    bool const writes = command == Command::write;
    if (!writes && command != Command::read) return DiskError::invalid;
    if (state_.sector >= disk.size() / sector_bytes) return DiskError::invalid;
    if (!ram.copy_in(state_.address, data)) return DiskError::fault;
    if (writes && !disk.writable()) return DiskError::read_only;
    bool const done = writes ? disk.write(state_.sector, data)
                             : disk.read(state_.sector, data) && ram.copy_out(state_.address, data);
    if (!done) ++host_failures_;
    return done ? DiskError::none : DiskError::input_output;
  }

  Backend backend_;
  State state_{};
  std::uint64_t host_failures_ = 0;
};

}  // namespace portico
