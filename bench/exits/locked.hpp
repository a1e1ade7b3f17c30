// A monitor's bus as it is commonly built: a reader-writer lock around an ordered map of weak
// references to devices, each behind a mutex of its own and a virtual call. The baseline.
#pragma once

#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>

#include <portico/kvm/abi.hpp>

namespace exits {

/// What stands on a bus; bytes, whatever the width.
class BusDevice {
 public:
  virtual ~BusDevice() = default;
  virtual void read(std::uint64_t offset, std::span<std::byte> data) = 0;
  virtual void write(std::uint64_t offset, std::span<std::byte const> data) = 0;
};

/// A device and its lock.
struct LockedDevice {
  std::mutex mutex;
  std::unique_ptr<BusDevice> device;
};

class Bus {
 public:
  /// The caller keeps the device; the bus forgets it when it is gone.
  void add(std::uint64_t base, std::uint64_t size, std::shared_ptr<LockedDevice> const& device) {
    std::unique_lock const lock{mutex_};
    entries_.insert_or_assign(base, Entry{size, device});
  }

  /// False: nobody is there.
  bool read(std::uint64_t address, std::span<std::byte> data) {
    auto const [device, offset] = find(address);
    if (!device) return false;
    std::lock_guard const lock{device->mutex};
    device->device->read(offset, data);
    return true;
  }

  bool write(std::uint64_t address, std::span<std::byte const> data) {
    auto const [device, offset] = find(address);
    if (!device) return false;
    std::lock_guard const lock{device->mutex};
    device->device->write(offset, data);
    return true;
  }

 private:
  struct Entry {
    std::uint64_t size;
    std::weak_ptr<LockedDevice> device;
  };

  struct Found {
    std::shared_ptr<LockedDevice> device;
    std::uint64_t offset;
  };

  Found find(std::uint64_t address) {
    std::shared_lock const lock{mutex_};
    auto const above = entries_.upper_bound(address);
    if (above == entries_.begin()) return {};
    auto const& [base, entry] = *std::prev(above);
    if (address - base >= entry.size) return {};
    return {entry.device.lock(), address - base};
  }

  std::shared_mutex mutex_;
  std::map<std::uint64_t, Entry> entries_;
};

/// Runs until a device sets `stop`: 0, an errno value, or minus the exit reason that it does not
/// know.
inline int run_on_buses(int vcpu, kvm_run* run, Bus& ports, Bus& addresses, bool const& stop) {
  while (!stop) {
    if (::ioctl(vcpu, KVM_RUN, 0) < 0) return errno;
    switch (run->exit_reason) {
      case KVM_EXIT_IO: {
        auto* data = reinterpret_cast<std::byte*>(run) + run->io.data_offset;
        std::size_t const width = run->io.size;
        for (std::uint32_t i = 0; i < run->io.count; ++i, data += width) {
          if (run->io.direction == KVM_EXIT_IO_OUT) {
            ports.write(run->io.port, {data, width});
          } else if (!ports.read(run->io.port, {data, width})) {
            std::memset(data, 0xFF, width);
          }
        }
        break;
      }
      case KVM_EXIT_MMIO: {
        auto* const data = reinterpret_cast<std::byte*>(run->mmio.data);
        if (run->mmio.is_write != 0) {
          addresses.write(run->mmio.phys_addr, {data, run->mmio.len});
        } else if (!addresses.read(run->mmio.phys_addr, {data, run->mmio.len})) {
          std::memset(data, 0xFF, run->mmio.len);
        }
        break;
      }
      default:
        return -static_cast<int>(run->exit_reason);
    }
  }
  return 0;
}

}  // namespace exits
