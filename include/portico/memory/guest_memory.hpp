/// A guest's RAM: the only way from the host to a guest address.
///
///     #include <portico/memory/guest_memory.hpp>
///     portico::GuestMemory ram{8 * portico::MiB};
///     bool clear(std::uint64_t address, std::uint64_t length) {   // both come from the guest
///       auto const buffer = ram.span(address, length);
///       if (!buffer) return false;
///       for (std::byte& byte : *buffer) byte = std::byte{0};      // each of them lies in RAM
///       return true;
///     }
///
/// RAM is a short list of regions over one anonymous mapping. Every address and length is checked
/// here, with overflow in mind. A span never crosses two regions; `copy_in` and `copy_out` may. The
/// guest can change what a span shows at any time: copy a structure first, then look at it.
#pragma once

#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>

namespace portico {

/// Consecutive guest-physical addresses backed by host memory. Sizes in bytes.
struct Region {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  std::byte* host = nullptr;  ///< where byte `base` stands in this process; owned by GuestMemory
};

/// Where a region of RAM is to stand. Sizes in bytes, both multiples of 4 KiB.
struct RegionPlace {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
};

/// Owns a guest's RAM. Moving keeps the host addresses. Checks are safe from any thread; what a
/// span shows is shared with the running guest.
class GuestMemory {
 public:
  static constexpr std::size_t max_regions = 8;
  static constexpr std::uint64_t page_bytes = 4 * KiB;

  /// RAM of `size` bytes from address 0 on, zeroed. A machine moves what its map leaves no room for
  /// to 4 GiB and up. Throws std::invalid_argument unless `size` is a positive multiple of 4 KiB,
  /// std::system_error if the host has no memory.
  explicit GuestMemory(std::uint64_t size) : floating_{true} {
    require_pages(0, size);
    map(size);
    regions_[0] = {0, size, host_};
    count_ = 1;
  }

  /// RAM at fixed places, in ascending order and apart from each other; a machine leaves them
  /// there.
  GuestMemory(std::initializer_list<RegionPlace> places) {
    std::uint64_t total = 0;
    std::uint64_t end = 0;
    if (places.size() == 0 || places.size() > max_regions)
      throw std::invalid_argument{"guest memory: 1 to 8 regions expected, got " +
                                  std::to_string(places.size())};
    for (RegionPlace const& place : places) {
      require_pages(place.base, place.size);
      if (place.base < end)
        throw std::invalid_argument{
            "guest memory: regions must ascend and not overlap, but the one at " +
            std::to_string(place.base) + " begins below the end of the one before it"};
      end = place.base + place.size;
      total += place.size;
    }
    map(total);
    std::byte* host = host_;
    for (RegionPlace const& place : places) {
      regions_[count_++] = {place.base, place.size, host};
      host += place.size;
    }
  }

  GuestMemory(GuestMemory&& other) noexcept
      : regions_{other.regions_},
        count_{std::exchange(other.count_, 0)},
        host_{std::exchange(other.host_, nullptr)},
        size_{std::exchange(other.size_, 0)},
        tail_size_{std::exchange(other.tail_size_, 0)},
        floating_{other.floating_} {}

  GuestMemory& operator=(GuestMemory&& other) noexcept {
    if (this != &other) {
      unmap();
      regions_ = other.regions_;
      count_ = std::exchange(other.count_, 0);
      host_ = std::exchange(other.host_, nullptr);
      size_ = std::exchange(other.size_, 0);
      tail_size_ = std::exchange(other.tail_size_, 0);
      floating_ = other.floating_;
    }
    return *this;
  }

  GuestMemory(GuestMemory const&) = delete;
  GuestMemory& operator=(GuestMemory const&) = delete;

  ~GuestMemory() { unmap(); }

  /// All RAM, in bytes.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  /// Where RAM stands, in ascending order.
  [[nodiscard]] gsl::span<Region const> regions() const noexcept {
    return {regions_.data(), count_};
  }

  /// Room behind the last byte of the last region, contiguous with it in this process and no part
  /// of RAM. A boot protocol puts page tables here, so that they need no memory slot of their own.
  [[nodiscard]] gsl::span<std::byte> tail() const noexcept { return {host_ + size_, tail_size_}; }

  /// Takes RAM out of [hole, resume): what does not fit below `hole` continues at `resume`. Does
  /// nothing to RAM given at fixed places. Only before anything is loaded; `hole` is a positive
  /// multiple of 4 KiB, below `resume`.
  void leave_hole(std::uint64_t hole, std::uint64_t resume) {
    Expects(hole % page_bytes == 0 && hole > 0 && hole < resume);
    if (!floating_ || size_ <= hole) return;
    regions_[0] = {0, hole, host_};
    regions_[1] = {resume, size_ - hole, host_ + hole};
    count_ = 2;
  }

  /// The `length` bytes at guest address `address`, or nothing if any of them is not RAM or they
  /// cross two regions.
  [[nodiscard]] std::optional<gsl::span<std::byte>> span(std::uint64_t address,
                                                         std::uint64_t length) const noexcept {
    for (std::size_t index = 0; index < count_; ++index) {
      Region const& region = regions_[index];
      std::uint64_t const offset =
          address - region.base;  // wraps below the base: then it is larger than any size
      if (offset <= region.size && length <= region.size - offset)
        return gsl::span<std::byte>{region.host + offset, static_cast<std::size_t>(length)};
    }
    return std::nullopt;
  }

  /// Whether all `length` bytes at `address` are RAM, in one region or several adjoining ones.
  [[nodiscard]] bool contains(std::uint64_t address, std::uint64_t length) const noexcept {
    if (span(address, length)) return true;
    while (length > 0) {
      std::uint64_t const run = run_from(address);
      if (run == 0) return false;
      if (run >= length) return true;
      address += run;
      length -= run;
    }
    return false;
  }

  /// Copies from the guest. False, and nothing copied, if any byte is not RAM.
  [[nodiscard]] bool copy_in(std::uint64_t address, gsl::span<std::byte> to) const noexcept {
    return transfer(address, to.size(),
                    [&](std::byte const* host, std::size_t offset, std::size_t n) {
                      std::memcpy(to.data() + offset, host, n);
                    });
  }

  /// Copies to the guest. False, and nothing copied, if any byte is not RAM.
  [[nodiscard]] bool copy_out(std::uint64_t address,
                              gsl::span<std::byte const> from) const noexcept {
    return transfer(address, from.size(), [&](std::byte* host, std::size_t offset, std::size_t n) {
      std::memcpy(host, from.data() + offset, n);
    });
  }

  /// A copy of the value at `address`, or nothing if it is not all RAM.
  template <class Value>
    requires std::is_trivially_copyable_v<Value>
  [[nodiscard]] std::optional<Value> read(std::uint64_t address) const noexcept {
    std::array<std::byte, sizeof(Value)> bytes;
    if (!copy_in(address, bytes)) return std::nullopt;
    return load<Value>(bytes.data());
  }

  /// Writes a value. False, and nothing written, if any byte is not RAM.
  template <class Value>
    requires std::is_trivially_copyable_v<Value>
  [[nodiscard]] bool write(std::uint64_t address, Value const& value) const noexcept {
    std::array<std::byte, sizeof(Value)> bytes;
    store(bytes.data(), value);
    return copy_out(address, bytes);
  }

 private:
  static constexpr std::uint64_t huge_page = 2 * MiB;
  static constexpr std::uint64_t huge_from = 64 * MiB;

  static void require_pages(std::uint64_t base, std::uint64_t size) {
    if (size == 0 || size % page_bytes != 0 || base % page_bytes != 0 || base + size < base)
      throw std::invalid_argument{
          "guest memory: base and size must be multiples of 4096 bytes, and the size not 0; got "
          "base " +
          std::to_string(base) + ", size " + std::to_string(size)};
  }

  void map(std::uint64_t size) {
    // Page tables for all of RAM by 4 KiB pages take 1/512 of it, those above them 1/512 of that,
    // and a few tables more; untouched, they cost nothing.
    std::uint64_t const tail = align_up(size / 512 + size / 512 / 512, page_bytes) + 64 * KiB;
    // With addresses that are the same to the host and to the guest modulo 2 MiB, the host can back
    // RAM by pages of that size: a guest that boots Linux then leaves thousands of times less for
    // missing pages. A small guest would pay for the clearing of what it never uses.
    std::uint64_t const slack = size >= huge_from ? huge_page : 0;
    std::uint64_t const wanted = size + tail + slack;
    void* const address = wanted < size
                              ? MAP_FAILED
                              : ::mmap(nullptr, wanted, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED)
      throw std::system_error{wanted < size ? ENOMEM : errno, std::system_category(),
                              "guest memory: mmap of " + std::to_string(size) + " bytes"};
    host_ = static_cast<std::byte*>(address);
    size_ = size;
    tail_size_ = tail;
    if (slack > 0) align_to_huge_pages(slack);
  }

  /// Gives back what is in excess of `slack`, before and behind, and asks for huge pages; a host
  /// that has none says no, and that is all.
  void align_to_huge_pages(std::uint64_t slack) noexcept {
    std::uint64_t const before = (0 - reinterpret_cast<std::uintptr_t>(host_)) % huge_page;
    if (before > 0) ::munmap(host_, before);
    host_ += before;
    if (slack > before) ::munmap(host_ + size_ + tail_size_, slack - before);
    ::madvise(host_, size_, MADV_HUGEPAGE);
  }

  void unmap() noexcept {
    if (host_ != nullptr) ::munmap(host_, size_ + tail_size_);
  }

  /// Bytes of RAM from `address` to the end of its region; 0 if it is not RAM.
  [[nodiscard]] std::uint64_t run_from(std::uint64_t address) const noexcept {
    for (Region const& region : regions())
      if (address - region.base < region.size) return region.size - (address - region.base);
    return 0;
  }

  template <class Copy>
  [[nodiscard]] bool transfer(std::uint64_t address, std::uint64_t length,
                              Copy copy) const noexcept {
    if (auto const whole = span(address, length)) {
      if (length > 0) copy(whole->data(), 0, static_cast<std::size_t>(length));
      return true;
    }
    if (!contains(address, length)) return false;
    for (std::uint64_t done = 0; done < length;) {
      std::uint64_t const left = length - done;
      std::uint64_t const run = run_from(address + done);
      std::uint64_t const step = run < left ? run : left;
      copy(span(address + done, step)->data(), static_cast<std::size_t>(done),
           static_cast<std::size_t>(step));
      done += step;
    }
    return true;
  }

  std::array<Region, max_regions> regions_{};
  std::size_t count_ = 0;
  std::byte* host_ = nullptr;
  std::uint64_t size_ = 0;
  std::uint64_t tail_size_ = 0;
  bool floating_ = false;
};

}  // namespace portico
