/// A guest's descriptors: numbers for open files, the lowest free one first.
///
///     #include <portico/devices/descriptor_table.hpp>
///     portico::DescriptorTable table;
///     std::int32_t const number = table.add(7);    // 3, as a process gets first
///     if (auto* entry = table.find(number)) entry->offset += 512;
///     table.remove(number);
///
/// Numbers begin at 3: a guest may take 0 for an error, or for the keyboard. Ten thousand are added
/// in steps that do not depend on how many there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace portico {

/// Not safe from several threads.
class DescriptorTable {
 public:
  static constexpr std::int32_t first = 3;
  static constexpr std::size_t capacity = 16'384;

  /// An open file and where its next byte is.
  struct Entry {
    static constexpr std::int32_t none = -1;     ///< the number is free
    static constexpr std::int32_t revoked = -2;  ///< open for the guest, but leads nowhere any more

    std::int32_t file = none;  ///< the owner's number of a file
    std::uint64_t offset = 0;
  };

  [[nodiscard]] bool full() const noexcept { return used_ == capacity; }

  /// Takes the lowest free number for `file`, at offset 0; -1 if there is none.
  std::int32_t add(std::int32_t file) {
    if (full()) return -1;
    while (lowest_ < entries_.size() && entries_[lowest_].file != Entry::none) ++lowest_;
    return put(static_cast<std::int32_t>(lowest_) + first, {file, 0});
  }

  /// Sets an entry at a number, which is free; returns it, or -1 if no number is like that.
  std::int32_t put(std::int32_t number, Entry entry) {
    auto const index = static_cast<std::size_t>(std::int64_t{number} - first);
    if (index >= capacity || find(number) != nullptr) return -1;
    if (index >= entries_.size()) entries_.resize(index + 1);
    entries_[index] = entry;
    ++used_;
    return number;
  }

  /// The entry of a number that is in use, revoked ones included.
  [[nodiscard]] Entry* find(std::int32_t number) noexcept {
    auto const index = static_cast<std::size_t>(std::int64_t{number} - first);
    if (index >= entries_.size() || entries_[index].file == Entry::none) return nullptr;
    return &entries_[index];
  }

  /// Frees a number that is in use.
  void remove(std::int32_t number) noexcept {
    Entry* const entry = find(number);
    if (entry == nullptr) return;
    *entry = {};
    --used_;
    auto const index = static_cast<std::size_t>(number - first);
    if (index < lowest_) lowest_ = index;
  }

  /// Calls `use(number, entry)` for each number in use, in ascending order.
  template <class Use>
  void for_each(Use use) {
    for (std::size_t index = 0; index < entries_.size(); ++index)
      if (entries_[index].file != Entry::none)
        use(static_cast<std::int32_t>(index) + first, entries_[index]);
  }

  template <class Use>
  void for_each(Use use) const {
    for (std::size_t index = 0; index < entries_.size(); ++index)
      if (entries_[index].file != Entry::none)
        use(static_cast<std::int32_t>(index) + first, entries_[index]);
  }

 private:
  std::vector<Entry> entries_;
  std::size_t used_ = 0;
  std::size_t lowest_ = 0;  // no free index below it
};

}  // namespace portico
