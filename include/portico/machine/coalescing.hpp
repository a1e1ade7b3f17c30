/// The zones of a board's coalesced entries, and the ring that KVM fills for them.
///
///     #include <portico/kvm/vm.hpp>
///     #include <portico/machine/coalescing.hpp>
///     template <class Board>
///     void all(portico::detail::Coalescing<Board>& coalescing, portico::kvm::Vcpu& vcpu) {
///       coalescing.drain(vcpu, [](kvm_coalesced_mmio const& write) { (void)write.phys_addr; });
///     }
///
/// Internal to the library; Machine uses it. On a host that cannot coalesce, every write is an exit.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <type_traits>
#include <vector>

#include <portico/device/access.hpp>
#include <portico/device/map_checks.hpp>
#include <portico/kvm/abi.hpp>

namespace portico::detail {

template <class Board>
class Coalescing {
  // In a board's name, so that machines that coalesce nothing need not compile a vector of it.
  using Zone = std::enable_if_t<Board::has_coalesced, kvm_coalesced_mmio_zone>;

 public:
  /// Tells KVM which writes to gather, if it can. Throws std::system_error if it refuses.
  template <class Vm>
  void connect(Vm& vm) {
    page_ = vm.check_extension(KVM_CAP_COALESCED_MMIO);
    if (page_ <= 0) return;
    bool const has_ports = vm.check_extension(KVM_CAP_COALESCED_PIO) > 0;
    for (std::size_t index = 0; index < Board::ranges.size(); ++index) {
      RangeValues const& range = Board::ranges[index];
      if (!Board::entries[range.entry].coalesced) continue;
      if (range.space == Space::port && !has_ports) continue;
      for (auto const& row : Board::registers_at(index))
        if (row.writes) add(vm, range, range.base + row.offset, row.size);
    }
  }

  /// Takes the zones back, before the devices go.
  template <class Vm>
  void disconnect(Vm& vm) noexcept {
    for (Zone const& zone : zones_) {
      try {
        vm.uncoalesce(zone);
      } catch (std::system_error const&) {
        // It goes with the VM then.
      }
    }
    zones_.clear();
  }

  /// Calls `take` for each write that waits, the oldest first; by one thread at a time, and when
  /// this returns, all that was written before it was called has been carried out.
  template <class Vcpu, class Take>
  [[gnu::always_inline]] void drain(Vcpu& vcpu, Take take) {
    if (zones_.empty()) return;
    auto const ring = vcpu.coalesced_ring(page_);
    if (!ring.waits()) return;
    std::lock_guard const guard{mutex_};
    ring.drain(take);
  }

 private:
  template <class Vm>
  void add(Vm& vm, RangeValues const& of, std::uint64_t base, std::uint64_t size) {
    // On ports a register may be wider than its range: the next device's writes stay its own.
    for (RangeValues const& other : Board::ranges)
      if (other.space == of.space && other.base > base && other.base - base < size &&
          other.entry != of.entry)
        size = other.base - base;
    Zone zone{};
    zone.addr = base;
    zone.size = static_cast<std::uint32_t>(size);
    zone.pio = of.space == Space::port ? 1 : 0;
    vm.coalesce(zone);
    zones_.push_back(zone);
  }

  int page_ = 0;  ///< of a vCPU's mapping
  std::vector<Zone> zones_{};
  std::mutex mutex_{};
};

}  // namespace portico::detail
