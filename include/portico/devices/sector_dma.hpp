/// A disk's sectors on their way to and from guest memory: every check that a guest can fail.
///
///     #include <portico/devices/sector_dma.hpp>
///     #include <portico/memory/guest_memory.hpp>
///     portico::SectorDma<> disk{portico::MemoryDisk{std::vector<std::byte>(8 * 1024)}};
///     portico::GuestMemory const ram{2 * portico::MiB};
///     bool const loaded = disk.carry_out({.sector = 3, .count = 2, .address = 0x7C00}, ram) ==
///                         portico::DiskError::none;
///
/// What devices that work by DMA share. Checked in this order: the sectors, the address, whether
/// the disk is writable; then the host may fail. Where a check fails, nothing has happened; where
/// the host fails, pieces of up to `piece_sectors` sectors may have been transferred before.
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
  fault = 14,        ///< EFAULT: the bytes do not all lie in RAM
  invalid = 22,      ///< EINVAL: there are no such sectors
  read_only = 30     ///< EROFS: a write to a disk that is not writable
};

/// What a guest asks for: consecutive sectors, and where in its memory their bytes stand.
struct DiskTransfer {
  bool to_disk = false;
  std::uint64_t sector = 0;  ///< the first
  std::uint32_t count = 1;   ///< none is an error
  std::uint64_t address = 0;

  friend bool operator==(DiskTransfer const&, DiskTransfer const&) = default;
};

/// Owns a SectorStore, or a variant of such. One transfer at a time; `size` and `check` may be
/// called from any thread meanwhile.
template <class Backend = DiskBackend>
class SectorDma {
 public:
  /// Sectors that are handed to the host at once.
  static constexpr std::uint32_t piece_sectors = 32;

  explicit SectorDma(Backend backend) : backend_{std::move(backend)} {}

  /// The disk's size in bytes.
  [[nodiscard]] std::uint64_t size() const {
    return detail::with_backend(backend_, [](auto const& disk) { return disk.size(); });
  }

  /// What is wrong with a transfer before the host is asked.
  [[nodiscard]] DiskError check(DiskTransfer const& transfer, GuestMemory const& ram) const {
    auto const& [to_disk, sector, count, address] = transfer;
    std::uint64_t const sectors = size() / sector_bytes;
    if (count == 0 || count > sectors || sector > sectors - count) return DiskError::invalid;
    if (!ram.contains(address, std::uint64_t{count} * sector_bytes)) return DiskError::fault;
    return to_disk && !writable() ? DiskError::read_only : DiskError::none;
  }

  /// Copies sectors to guest memory, or the other way.
  DiskError carry_out(DiskTransfer const& transfer, GuestMemory const& ram) {
    if (DiskError const wrong = check(transfer, ram); wrong != DiskError::none) return wrong;
    for (std::uint32_t done = 0; done < transfer.count; done += piece_sectors) {
      std::uint32_t const left = transfer.count - done;
      if (!move({transfer.to_disk, transfer.sector + done,
                 left < piece_sectors ? left : piece_sectors,
                 transfer.address + std::uint64_t{done} * sector_bytes},
                ram)) {
        ++host_failures_;
        return DiskError::input_output;
      }
    }
    return DiskError::none;
  }

  /// Transfers that ended because the host failed, for the program to tell its user.
  [[nodiscard]] std::uint64_t host_failures() const noexcept { return host_failures_; }

  [[nodiscard]] Backend& backend() noexcept { return backend_; }

 private:
  [[nodiscard]] bool writable() const {
    return detail::with_backend(backend_, [](auto const& disk) { return disk.writable(); });
  }

  /// Moves one piece by way of a buffer: a guest may change what is written at any time.
  bool move(DiskTransfer const& piece, GuestMemory const& ram) {
    std::array<std::byte, piece_sectors * sector_bytes> buffer;
    gsl::span<std::byte> const data{buffer.data(), piece.count * sector_bytes};
    return detail::with_backend(backend_, [&](SectorStore auto& disk) {
      if (piece.to_disk) return ram.copy_in(piece.address, data) && disk.write(piece.sector, data);
      return disk.read(piece.sector, data) && ram.copy_out(piece.address, data);
    });
  }

  Backend backend_;
  std::uint64_t host_failures_ = 0;
};

}  // namespace portico
