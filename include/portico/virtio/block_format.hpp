/// What a virtio block device and its driver say to each other, byte for byte.
///
///     #include <portico/virtio/block_format.hpp>
///     portico::VirtioBlockHeader const load{.type = portico::VirtioBlockRequest::in, .sector = 63};
///     constexpr std::uint64_t flush = 1ULL << portico::VirtioBlockFeature::flush;
///
/// Source: VIRTIO 1.2, section 5.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace portico {

/// Numbers of the feature bits (5.2.3).
struct VirtioBlockFeature {
  static constexpr unsigned seg_max = 2;        ///< SEG_MAX
  static constexpr unsigned read_only = 5;      ///< RO
  static constexpr unsigned block_size = 6;     ///< BLK_SIZE
  static constexpr unsigned flush = 9;          ///< FLUSH
  static constexpr unsigned topology = 10;      ///< TOPOLOGY
  static constexpr unsigned config_wce = 11;    ///< CONFIG_WCE: the driver chooses the cache mode
  static constexpr unsigned multi_queue = 12;   ///< MQ
  static constexpr unsigned discard = 13;       ///< DISCARD
  static constexpr unsigned write_zeroes = 14;  ///< WRITE_ZEROES
};

/// The configuration (5.2.4); what belongs to features that are not offered is 0.
struct VirtioBlockConfig {
  std::uint64_t capacity = 0;  ///< in sectors of 512 bytes, as all that is called sectors
  std::uint32_t size_max = 0;
  std::uint32_t seg_max = 0;  ///< data segments of one request
  std::uint32_t geometry = 0;
  std::uint32_t blk_size = 0;  ///< in bytes
  std::uint8_t physical_block_exp = 0;
  std::uint8_t alignment_offset = 0;
  std::uint16_t min_io_size = 0;
  std::uint32_t opt_io_size = 0;
  std::uint8_t writeback = 0;  ///< 1: only a flush makes writes stable. 0: every write is
  std::uint8_t unused0 = 0;
  std::uint16_t num_queues = 0;
  std::uint32_t max_discard_sectors = 0;  ///< in one range
  std::uint32_t max_discard_seg = 0;      ///< ranges of one request
  std::uint32_t discard_sector_alignment = 0;
  std::uint32_t max_write_zeroes_sectors = 0;
  std::uint32_t max_write_zeroes_seg = 0;
  std::uint8_t write_zeroes_may_unmap = 0;
  std::array<std::uint8_t, 3> unused1{};
  std::array<std::uint32_t, 3> secure_erase{};
};

static_assert(sizeof(VirtioBlockConfig) == 72 && offsetof(VirtioBlockConfig, writeback) == 32 &&
              offsetof(VirtioBlockConfig, write_zeroes_may_unmap) == 56);

/// What a request begins with (5.2.6).
struct VirtioBlockHeader {
  std::uint32_t type = 0;  ///< a VirtioBlockRequest
  std::uint32_t reserved = 0;
  std::uint64_t sector = 0;
};

/// The kinds of requests.
struct VirtioBlockRequest {
  static constexpr std::uint32_t in = 0;  ///< from the disk to memory
  static constexpr std::uint32_t out = 1;
  static constexpr std::uint32_t flush = 4;
  static constexpr std::uint32_t get_id = 8;
  static constexpr std::uint32_t discard = 11;
  static constexpr std::uint32_t write_zeroes = 13;
};

/// A part of the disk, of which discard and write_zeroes have one or more.
struct VirtioBlockRange {
  static constexpr std::uint32_t unmap = 1;

  std::uint64_t sector = 0;
  std::uint32_t sectors = 0;
  std::uint32_t flags = 0;
};

static_assert(sizeof(VirtioBlockHeader) == 16 && sizeof(VirtioBlockRange) == 16);

/// The byte that a request ends with.
enum class VirtioBlockStatus : std::uint8_t { ok, io_error, unsupported };

}  // namespace portico
