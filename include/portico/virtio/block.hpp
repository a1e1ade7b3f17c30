/// A disk for the guest: virtio-blk.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/device/offload.hpp>
///     #include <portico/virtio/block.hpp>
///     #include <portico/virtio/mmio.hpp>
///     using Disk = portico::Mmio<0xD000'0000, portico::VirtioMmio<portico::Block>, portico::Irq<5>>;
///     using Board = portico::DeviceMap<portico::Offload<Disk>>;
///     Board board{[] { return portico::Block{portico::UringFile{"disk.img"}, "serial-1"}; }};
///
/// *Emulated*: VIRTIO 1.2, section 5.2: read, write, flush, discard, write zeroes and the serial
/// number; SEG_MAX, BLK_SIZE, TOPOLOGY (4 KiB), FLUSH, CONFIG_WCE, and as the disk is RO, DISCARD
/// and WRITE_ZEROES; MQ with more than one queue. Bytes move straight between the host's file and
/// the guest's memory. All requests of a notification are handed to the host at once, and complete
/// in any order.
///
/// A write is complete when the disk has it; it is stable, so that it survives what the disk says it
/// does (devices/uring_file.hpp), when a flush behind it is complete. If the driver knows no flush,
/// or has set `writeback` to 0, a write is complete when it is stable.
///
/// | the request | status |
/// | --- | --- |
/// | is not whole sectors, or reaches past the disk | IOERR |
/// | writes to a disk that is RO | IOERR |
/// | has too many ranges, or too large ones | IOERR |
/// | has a flag that its kind does not know, or is of a kind that was not offered | UNSUPP |
/// | has no header, but room for a status | IOERR |
/// | has no room for a status | none; it comes back with length 0 |
/// | is one in which the host failed: space, a medium, a file that became shorter | IOERR |
///
/// A reset waits for what the host has begun. A program that is to hold the disk while the guest
/// runs makes it a PausableStore (devices/pausable_store.hpp).
///
/// *Not emulated*: geometry, secure erase, lifetime, zones; a disk that changes its size.
///
/// *What a hostile guest can do*: read and write any sector of its own disk, fill the host's file
/// system up to the disk's size, keep the host's storage busy with as many requests as its queues
/// have entries, and change what is being written. It waits for the host when it resets the device,
/// and where the disk works at once; on a vCPU's thread so does that vCPU, and under a Locked entry
/// then everybody whom the machine's I/O thread serves: Offload gives the disk a thread of its own.
#pragma once

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include <portico/base/contracts.hpp>
#include <portico/devices/block_store.hpp>
#include <portico/virtio/block_format.hpp>
#include <portico/virtio/device.hpp>

namespace portico {

/// What became of the requests, for the program to tell its user.
struct VirtioBlockCounts {
  std::uint64_t requests = 0;
  std::uint64_t refused = 0;      ///< for the driver's fault
  std::uint64_t host_failed = 0;  ///< for the host's
  int last_error = 0;             ///< the errno of the last of those

  friend bool operator==(VirtioBlockCounts const&, VirtioBlockCounts const&) = default;
};

/// The device over a BlockStore, a disk that answers at once, or a variant of such
/// (devices/block_store.hpp). For one thread at a time. Moved only before the guest uses it.
template <class Backend = BlockBackend, std::size_t Queues = 1>
class BasicBlock {
  static_assert(Queues > 0 && Queues <= 64, "portico::BasicBlock: 1 to 64 queues.");
  static constexpr bool answers_later = detail::answers_later<Backend>;

 public:
  static constexpr std::uint32_t virtio_id = 2;
  static constexpr std::uint16_t queue_size = 256;
  static constexpr std::array<std::uint16_t, Queues> queue_sizes = [] {
    std::array<std::uint16_t, Queues> sizes{};
    sizes.fill(queue_size);
    return sizes;
  }();

  /// Characters of a serial number, at most.
  static constexpr std::size_t id_bytes = 20;

  // What one request may ask for, so that it is done in a bounded time.
  static constexpr std::uint32_t most_discard_ranges = 16;
  static constexpr std::uint32_t most_discard_sectors = 1U << 18;       ///< 128 MiB each
  static constexpr std::uint32_t most_write_zeroes_sectors = 1U << 16;  ///< 32 MiB, in one range

  /// What the guest can see beyond queues and registers.
  struct State {
    bool writeback = true;
    bool chooses_writeback = false;  ///< CONFIG_WCE was negotiated

    friend bool operator==(State const&, State const&) = default;
  };

  /// Throws std::invalid_argument if `serial`, for the guest to tell disks apart, is too long.
  explicit BasicBlock(Backend disk, std::string_view serial = {}) : disk_{std::move(disk)} {
    if (serial.size() > id_bytes)
      throw std::invalid_argument{"a disk's serial number has at most 20 characters"};
    std::ranges::copy(serial, id_.begin());
  }

  [[nodiscard]] std::uint64_t features() const {
    using Feature = VirtioBlockFeature;
    std::uint64_t offered = 1ULL << Feature::seg_max | 1ULL << Feature::block_size |
                            1ULL << Feature::topology | 1ULL << Feature::flush |
                            1ULL << Feature::config_wce;
    if (Queues > 1) offered |= 1ULL << Feature::multi_queue;
    if (!writable())
      offered |= 1ULL << Feature::read_only;
    else if (detail::disk_discards(disk_))
      offered |= 1ULL << Feature::discard | 1ULL << Feature::write_zeroes;
    return offered;
  }

  /// Whatever the driver chooses. A driver that knows no flush gets stable writes.
  bool accepts(std::uint64_t features) noexcept {
    state_.writeback = (features >> VirtioBlockFeature::flush & 1) != 0;
    state_.chooses_writeback = (features >> VirtioBlockFeature::config_wce & 1) != 0;
    return true;
  }

  [[nodiscard]] VirtioBlockConfig config() const {
    bool const discards = writable() && detail::disk_discards(disk_);
    return {.capacity = sectors(),
            .seg_max = queue_size - 2U,  // a header, a status
            .blk_size = sector_bytes,
            .physical_block_exp = 3,  // a page of the host's cache
            .min_io_size = 8,
            .writeback = state_.writeback ? std::uint8_t{1} : std::uint8_t{0},
            .num_queues = Queues,
            .max_discard_sectors = discards ? most_discard_sectors : 0,
            .max_discard_seg = discards ? most_discard_ranges : 0,
            .discard_sector_alignment = discards ? 8U : 0,
            .max_write_zeroes_sectors = discards ? most_write_zeroes_sectors : 0,
            .max_write_zeroes_seg = discards ? 1U : 0,
            .write_zeroes_may_unmap = discards ? std::uint8_t{1} : std::uint8_t{0}};
  }

  /// Only `writeback` is the driver's, if it has accepted CONFIG_WCE. 0 is for writes that come.
  void write_config(std::uint64_t offset, gsl::span<std::byte const> from) noexcept {
    if (!state_.chooses_writeback || offset != offsetof(VirtioBlockConfig, writeback) ||
        from.size() != 1)
      return;
    state_.writeback = from[0] != std::byte{0};
  }

  void notified(std::size_t index, VirtioQueues& queues) {
    while (auto chain = queues[index].take()) accept(std::move(*chain), queues);
    settle(queues);
  }

  void event(VirtioQueues& queues)
    requires answers_later
  {
    armed_ = false;
    settle(queues);
  }

  /// Waits for what the host has begun.
  void reset() {
    detail::abandon_operations(disk_);
    spare_.clear();
    for (Request& request : requests_) {
      request.chain.reset();
      spare_.push_back(&request);
    }
    armed_ = false;
    state_ = {};
  }

  [[nodiscard]] State save() const noexcept { return state_; }

  void load(State const& state) noexcept { state_ = state; }

  /// The disk: to pause it, say, if it is a PausableStore.
  [[nodiscard]] Backend& disk() noexcept { return disk_; }

  /// Under the lock of the map's entry while vCPUs run.
  [[nodiscard]] VirtioBlockCounts const& counts() const noexcept { return counts_; }

 private:
  using Status = VirtioBlockStatus;
  using Kind = BlockOperation::Kind;

  /// A request that the disk works on: one operation, or one for each of its ranges.
  struct Request : BlockOperation {
    std::optional<VirtioChain> chain{};
    std::vector<VirtioBlockRange> ranges{};  ///< that are still to come, the last one first
  };

  [[nodiscard]] std::uint64_t sectors() const { return detail::disk_size(disk_) / sector_bytes; }

  [[nodiscard]] bool writable() const { return detail::disk_is_writable(disk_); }

  [[nodiscard]] bool holds(std::uint64_t sector, std::uint64_t count) const {
    std::uint64_t const all = sectors();
    return sector <= all && count <= all - sector;
  }

  void accept(VirtioChain chain, VirtioQueues const& queues) {
    ++counts_.requests;
    if (chain.writable_bytes() == 0) {
      ++counts_.refused;
      return;
    }
    auto const header = chain.template read<VirtioBlockHeader>();
    if (!header) return refuse(chain, Status::io_error);
    switch (header->type) {
      case VirtioBlockRequest::in:
        return transfer(std::move(chain), Kind::read, header->sector, false);
      case VirtioBlockRequest::out:
        return transfer(std::move(chain), Kind::write, header->sector, stable(queues));
      case VirtioBlockRequest::flush:
        return run(keep(std::move(chain), {.kind = Kind::flush}));
      case VirtioBlockRequest::get_id:
        chain.write(gsl::as_bytes(gsl::span{id_})
                        .first(std::min<std::size_t>(id_.size(), chain.writable_bytes() - 1)));
        return answer(chain, Status::ok);
      case VirtioBlockRequest::discard:
        if (!queues.has(VirtioBlockFeature::discard)) break;
        return change(std::move(chain), Kind::discard, most_discard_ranges, most_discard_sectors,
                      stable(queues));
      case VirtioBlockRequest::write_zeroes:
        if (!queues.has(VirtioBlockFeature::write_zeroes)) break;
        return change(std::move(chain), Kind::write_zeroes, 1, most_write_zeroes_sectors,
                      stable(queues));
      default:
        break;
    }
    refuse(chain, Status::unsupported);
  }

  /// Whether a write is complete only when it is stable (5.2.6.2).
  [[nodiscard]] bool stable(VirtioQueues const& queues) const noexcept {
    if (queues.has(VirtioBlockFeature::config_wce)) return !state_.writeback;
    return !queues.has(VirtioBlockFeature::flush);
  }

  void transfer(VirtioChain chain, Kind kind, std::uint64_t sector, bool durable) {
    bool const reads = kind == Kind::read;
    std::uint64_t const bytes = reads ? chain.writable_bytes() - 1 : chain.readable_left();
    if (bytes % sector_bytes != 0 || !holds(sector, bytes / sector_bytes) ||
        (!reads && !writable()))
      return refuse(chain, Status::io_error);
    if (bytes == 0) return answer(chain, Status::ok);
    auto const memory = reads ? chain.writable_vectors(bytes) : chain.readable_vectors();
    run(keep(std::move(chain), {.kind = kind,
                                .durable = durable,
                                .offset = sector * sector_bytes,
                                .length = bytes,
                                .memory = memory}));
  }

  /// Discards or zeroes ranges. All of them are looked at before the first is touched.
  void change(VirtioChain chain, Kind kind, std::size_t most_ranges, std::uint32_t most_sectors,
              bool durable) {
    std::uint64_t const bytes = chain.readable_left();
    std::uint64_t const count = bytes / sizeof(VirtioBlockRange);
    if (bytes % sizeof(VirtioBlockRange) != 0 || count == 0 || count > most_ranges)
      return refuse(chain, Status::io_error);
    Request& request = keep(std::move(chain), {.kind = kind, .durable = durable});
    while (auto const range = request.chain->template read<VirtioBlockRange>())
      request.ranges.push_back(*range);
    std::ranges::reverse(request.ranges);
    std::uint32_t const flags = kind == Kind::write_zeroes ? VirtioBlockRange::unmap : 0;
    Status wrong = Status::ok;
    for (VirtioBlockRange const& range : request.ranges) {
      if ((range.flags & ~flags) != 0)
        wrong = Status::unsupported;
      else if (wrong == Status::ok &&
               (range.sectors > most_sectors || !holds(range.sector, range.sectors)))
        wrong = Status::io_error;
    }
    if (wrong != Status::ok) {
      refuse(*request.chain, wrong);
      return release(request);
    }
    next_range(request) ? run(request) : finish(request);
  }

  /// The operation is the request's next range; false if there is none.
  bool next_range(Request& request) noexcept {
    while (!request.ranges.empty()) {
      VirtioBlockRange const range = request.ranges.back();
      request.ranges.pop_back();
      if (range.sectors == 0) continue;
      request.may_unmap = (range.flags & VirtioBlockRange::unmap) != 0;
      request.offset = range.sector * sector_bytes;
      request.length = std::uint64_t{range.sectors} * sector_bytes;
      return true;
    }
    return false;
  }

  void run(Request& request) {
    do {
      if (!detail::start_operation(disk_, request)) return;
    } while (goes_on(request));
    finish(request);
  }

  [[nodiscard]] bool goes_on(Request& request) noexcept {
    return request.error == 0 && next_range(request);
  }

  void finish(Request& request) {
    VirtioChain& chain = *request.chain;
    if (request.error != 0) {
      ++counts_.host_failed;
      counts_.last_error = request.error;
      answer(chain, Status::io_error);
    } else {
      if (request.kind == Kind::read) chain.wrote(request.length);
      answer(chain, Status::ok);
    }
    release(request);
  }

  void refuse(VirtioChain& chain, Status status) noexcept {
    ++counts_.refused;
    answer(chain, status);
  }

  /// The status is the last byte. It is in the used length if all before it was written.
  static void answer(VirtioChain& chain, Status status) noexcept {
    std::uint64_t const last = chain.writable_bytes() - 1;
    std::array const byte{std::byte{static_cast<std::uint8_t>(status)}};
    if (chain.written() == last)
      chain.write(byte);
    else
      (void)chain.write_at(last, byte);
  }

  [[nodiscard]] Request& keep(VirtioChain&& chain, BlockOperation const& operation) {
    if (spare_.empty()) {
      spare_.push_back(&requests_.emplace_back());
      spare_.reserve(requests_.size());
    }
    Request& request = *spare_.back();
    spare_.pop_back();
    static_cast<BlockOperation&>(request) = operation;
    request.ranges.clear();
    request.chain.emplace(std::move(chain));
    return request;
  }

  /// Gives the chain back.
  void release(Request& request) noexcept {
    request.chain.reset();
    spare_.push_back(&request);
  }

  /// Has the host begin, answers what is complete, and sees to it that the rest will be.
  void settle(VirtioQueues& queues) {
    if constexpr (answers_later) {
      detail::collect_operations(disk_, [this](BlockOperation& operation) {
        auto& request = static_cast<Request&>(operation);
        goes_on(request) ? run(request) : finish(request);
      });
      if (!armed_ && detail::operations_in_flight(disk_) > 0)
        armed_ = queues.watch().arm(detail::operations_descriptor(disk_));
      if (armed_ || detail::operations_in_flight(disk_) == 0) return;
      // The host refuses to watch it: wait here, for nobody else will.
      pollfd completion{detail::operations_descriptor(disk_), POLLIN, 0};
      ::poll(&completion, 1, -1);
      settle(queues);
    }
  }

  std::deque<Request> requests_{};  ///< as many as were ever under way at once
  std::vector<Request*> spare_{};
  Backend disk_;  ///< behind the requests: when it goes it waits for what is under way
  std::array<char, id_bytes> id_{};
  VirtioBlockCounts counts_{};
  State state_{};
  bool armed_ = false;
};

/// The device over what a program chooses on its command line.
using Block = BasicBlock<>;

}  // namespace portico
