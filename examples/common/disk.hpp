// What a guest's disk stands on, as the user chose it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include <portico/devices/disk_backend.hpp>
#include <portico/devices/file_identity.hpp>

namespace examples {

/// What is done with a disk's file.
enum class DiskUse {
  write,      ///< every write goes to it
  sync,       ///< and is complete when the drive has it
  read_only,  ///< the guest's writes are errors
  in_memory   ///< it is copied, and the copy is gone at the end
};

/// A machine's image and its disk, as they were chosen.
struct DiskChoice {
  std::string image;
  std::string disk;
  DiskUse use = DiskUse::write;
  std::optional<std::uint64_t> create;  ///< make the disk first, of so many bytes
  bool runs = true;                     ///< false: only the disk is wanted
};

/// Whether a guest could overwrite its own image through its disk: they are one file, under
/// whatever names, and it is written.
inline bool overwrites_image(std::string const& disk, DiskUse use, std::string const& image) {
  if (use == DiskUse::read_only || use == DiskUse::in_memory) return false;
  struct stat of_disk{};
  struct stat of_image{};
  return ::stat(disk.c_str(), &of_disk) == 0 && ::stat(image.c_str(), &of_image) == 0 &&
         portico::identity_of(of_disk) == portico::identity_of(of_image);
}

inline portico::DiskBackend open_disk(std::string const& path, DiskUse use) {
  switch (use) {
    case DiskUse::sync:
      return portico::WriteBackFile{path, portico::Durability::power_loss};
    case DiskUse::read_only:
      return portico::ReadOnlyFile{path};
    case DiskUse::in_memory:
      return portico::MemoryDisk{path};
    case DiskUse::write:
      break;
  }
  return portico::WriteBackFile{path};
}

}  // namespace examples
