/// The memory slots of a machine: RAM, and page tables beside it.
///
///     #include <portico/machine/memory_slots.hpp>
///     template <class Vm, class Board>
///     std::uint64_t tables_of(Vm& vm, Board const& board, portico::GuestMemory const& memory) {
///       portico::detail::MemorySlots slots;
///       return slots.place_tables(vm, board, memory, 64 * portico::KiB);   // a guest address
///     }
///
/// Internal to the library; Machine uses it. Slots are registered once, when it is known what else
/// there is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include <portico/base/contracts.hpp>
#include <portico/machine/placement.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico::detail {

/// What KVM was told about RAM and page tables.
class MemorySlots {
 public:
  [[nodiscard]] bool complete() const noexcept { return complete_; }

  /// The guest address of `bytes` bytes of page tables, whose host memory is the tail of `memory`;
  /// `windows` are no place for them. Throws std::logic_error if the slots were registered with
  /// less room.
  template <class Vm, class Board>
  std::uint64_t place_tables(Vm& vm, Board const& board, GuestMemory const& memory,
                             std::uint64_t bytes, gsl::span<IdentityRange const> windows = {}) {
    if (!complete_) complete(vm, board, memory, bytes, windows);
    if (bytes > table_bytes_)
      throw std::logic_error{"Machine::load: this mode needs " + std::to_string(bytes) +
                             " bytes of page tables, and the machine was completed with " +
                             std::to_string(table_bytes_) + "; load the largest first"};
    return table_address_;
  }

  /// Tells KVM where RAM stands. Tables right behind RAM share its slot: one slot less is a faster
  /// start.
  template <class Vm, class Board>
  void complete(Vm& vm, Board const& board, GuestMemory const& memory, std::uint64_t bytes,
                gsl::span<IdentityRange const> windows = {}) {
    if (bytes > memory.tail().size())
      throw std::invalid_argument{"page tables of " + std::to_string(bytes) +
                                  " bytes: guest memory of this size leaves room for " +
                                  std::to_string(memory.tail().size()) +
                                  "; map fewer or smaller windows, or by larger pages"};
    table_bytes_ = bytes;
    table_address_ = free_address(board, memory, bytes, windows);
    std::uint32_t slot = 0;
    for (Region const& region : memory.regions()) {
      bool const with_tables = bytes > 0 && region.base + region.size == table_address_;
      vm.set_user_memory_region(
          slot++, region.base,
          {region.host, static_cast<std::size_t>(region.size + (with_tables ? bytes : 0))});
      if (with_tables) bytes = 0;
    }
    if (bytes > 0)
      vm.set_user_memory_region(slot, table_address_,
                                memory.tail().first(static_cast<std::size_t>(bytes)));
    complete_ = true;
  }

 private:
  bool complete_ = false;
  std::uint64_t table_address_ = 0;
  std::uint64_t table_bytes_ = 0;
};

}  // namespace portico::detail
