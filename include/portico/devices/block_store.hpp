/// The disk behind a block device: one kind, or a choice that is made at run time.
///
///     #include <portico/devices/block_store.hpp>
///     portico::BlockBackend disk = portico::UringFile{"disk.img"};
///     disk = portico::ReadOnlyFile{"disk.img"};
///     disk = portico::MemoryDisk{std::vector<std::byte>(1024 * 1024)};
///     std::uint64_t const bytes = portico::detail::disk_size(disk);
///
/// The functions in `detail` take a BlockStore, a SynchronousBlockStore, or a std::variant of such,
/// and do what BlockStore says; for a disk that works at once there is never anything to wait for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>

#include <portico/devices/backend.hpp>
#include <portico/devices/block_operation.hpp>
#include <portico/devices/disk_backend.hpp>
#include <portico/devices/uring_file.hpp>

namespace portico {

/// The choice that a program makes on its command line. In a variant UringFile is no more than a
/// BlockStore; WriteBackFile is for who wants every write on the medium (Durability::power_loss).
using BlockBackend = std::variant<UringFile, WriteBackFile, ReadOnlyFile, MemoryDisk>;

namespace detail {

/// Whether operations may take longer than the call that starts them.
template <class Disk>
inline constexpr bool answers_later = BlockStore<Disk>;
template <class... Disks>
inline constexpr bool answers_later<std::variant<Disks...>> = (BlockStore<Disks> || ...);

template <class Disk>
[[nodiscard]] std::uint64_t disk_size(Disk const& disk) {
  return with_backend(disk, [](auto const& chosen) { return chosen.size(); });
}

template <class Disk>
[[nodiscard]] bool disk_is_writable(Disk const& disk) {
  return with_backend(disk, [](auto const& chosen) { return chosen.writable(); });
}

template <class Disk>
[[nodiscard]] bool disk_discards(Disk const& disk) {
  return with_backend(disk, [](auto const& chosen) { return chosen.discards(); });
}

/// True if the operation is complete already.
template <class Disk>
[[nodiscard]] bool start_operation(Disk& disk, BlockOperation& operation) {
  return with_backend(disk, [&]<class Chosen>(Chosen& chosen) {
    if constexpr (BlockStore<Chosen>) {
      return chosen.start(operation);
    } else {
      operation.error = chosen.carry_out(operation);
      return true;
    }
  });
}

template <class Disk, class Answer>
void collect_operations(Disk& disk, Answer answer) {
  with_backend(disk, [&]<class Chosen>(Chosen& chosen) {
    if constexpr (BlockStore<Chosen>) chosen.collect(answer);
  });
}

template <class Disk>
void abandon_operations(Disk& disk) {
  with_backend(disk, []<class Chosen>(Chosen& chosen) {
    if constexpr (BlockStore<Chosen>) chosen.abandon();
  });
}

template <class Disk>
[[nodiscard]] std::size_t operations_in_flight(Disk const& disk) {
  return with_backend(disk, []<class Chosen>(Chosen const& chosen) {
    if constexpr (BlockStore<Chosen>)
      return chosen.in_flight();
    else
      return std::size_t{0};
  });
}

/// Can be read when there is something to collect; -1 if there never is.
template <class Disk>
[[nodiscard]] int operations_descriptor(Disk const& disk) {
  return with_backend(disk, []<class Chosen>(Chosen const& chosen) {
    if constexpr (BlockStore<Chosen>)
      return chosen.descriptor();
    else
      return -1;
  });
}

}  // namespace detail

}  // namespace portico
