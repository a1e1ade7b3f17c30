// Images made byte by byte, for tests of the boot protocols.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/boot/image_file.hpp>
#include <portico/boot/memory_map.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico::test {

/// Bytes that grow as they are written to.
class Bytes {
 public:
  template <class Value>
  Bytes& put(std::size_t offset, Value value) {
    if (bytes_.size() < offset + sizeof value) bytes_.resize(offset + sizeof value);
    store(bytes_.data() + offset, value);
    return *this;
  }

  Bytes& text(std::size_t offset, std::string const& characters) {
    for (std::size_t index = 0; index < characters.size(); ++index)
      put(offset + index, characters[index]);
    return *this;
  }

  void resize(std::size_t size) { bytes_.resize(size); }

  [[nodiscard]] gsl::span<std::byte const> span() const { return bytes_; }

  /// The image; it borrows these bytes.
  [[nodiscard]] ImageFile image() const { return ImageFile{"image", span()}; }

 private:
  std::vector<std::byte> bytes_;
};

/// What an action complains about, without the image's name; "nothing" if it does not.
template <class Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (ImageError const& error) {
    std::string const text = error.what();
    return text.substr(text.find(": ") + 2);
  }
  return "nothing";
}

inline BootLayout layout_of(GuestMemory const& memory) {
  return {.memory_map = pc_memory_map(memory.regions()), .rsdp = 0xE'0000, .page_tables = 0x7000};
}

inline std::string text_at(GuestMemory const& memory, std::uint64_t address) {
  std::string text;
  while (auto const character = memory.read<char>(address++)) {
    if (*character == '\0') break;
    text += *character;
  }
  return text;
}

}  // namespace portico::test
