/// A disk's sectors on their way to and from guest memory: every check that a guest can fail.
///
///     #include <portico/devices/sector_dma.hpp>
///     #include <portico/memory/guest_memory.hpp>
///     portico::SectorDma<> disk{portico::MemoryDisk{std::vector<std::byte>(8 * 1024)}};
///     portico::GuestMemory const ram{2 * portico::MiB};
///     bool const loaded = disk.read(3, 0x7C00, ram) == portico::DiskError::none;
///
/// What devices that work by DMA share. Checked in this order: the sector, the address, whether the
/// disk is writable; then the host may fail. Where anything fails, guest memory is as it was.
/// Limits: one sector at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <portico/devices/backend.hpp>
#include <portico/devices/disk_backend.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// How a transfer ended, in Linux's numbers.
enum class DiskError : std::int32_t {
  none = 0,
  input_output = 5,  ///< EIO: the host failed
  fault = 14,        ///< EFAULT: the 512 bytes do not all lie in RAM
  invalid = 22,      ///< EINVAL: there is no such sector
  read_only = 30     ///< EROFS: a write to a disk that is not writable
};

/// Owns a SectorStore, or a variant of such. For one thread.
template <class Backend = DiskBackend>
class SectorDma {
 public:
  explicit SectorDma(Backend backend) : backend_{std::move(backend)} {}

  /// The disk's size in bytes.
  [[nodiscard]] std::uint64_t size() const {
    return detail::with_backend(backend_, [](auto const& disk) { return disk.size(); });
  }

  /// Copies a sector to guest address `address`.
  DiskError read(std::uint64_t sector, std::uint64_t address, GuestMemory const& ram) {
    return transfer(sector, address, ram, [&](SectorStore auto& disk, gsl::span<std::byte> data) {
      return finished(disk.read(sector, data) && ram.copy_out(address, data));
    });
  }

  /// Copies a sector from guest address `address`.
  DiskError write(std::uint64_t sector, std::uint64_t address, GuestMemory const& ram) {
    return transfer(sector, address, ram, [&](SectorStore auto& disk, gsl::span<std::byte> data) {
      return disk.writable() ? finished(disk.write(sector, data)) : DiskError::read_only;
    });
  }

  /// Transfers that ended because the host failed, for the program to tell its user.
  [[nodiscard]] std::uint64_t host_failures() const noexcept { return host_failures_; }

  [[nodiscard]] Backend& backend() noexcept { return backend_; }

 private:
  /// Checks what the guest says, and gives `move` the bytes that are in its memory.
  template <class Move>
  DiskError transfer(std::uint64_t sector, std::uint64_t address, GuestMemory const& ram,
                     Move move) {
    std::array<std::byte, sector_bytes> data;
    if (sector >= size() / sector_bytes) return DiskError::invalid;
    if (!ram.copy_in(address, data)) return DiskError::fault;
    return detail::with_backend(backend_, [&](auto& disk) { return move(disk, data); });
  }

  DiskError finished(bool done) noexcept {
    if (!done) ++host_failures_;
    return done ? DiskError::none : DiskError::input_output;
  }

  Backend backend_;
  std::uint64_t host_failures_ = 0;
};

}  // namespace portico
