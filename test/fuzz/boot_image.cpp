// Images of every boot protocol, broken in every way: each is refused with an ImageError, or loaded
// so that nothing stands outside of RAM or over the tables, and the CPU starts inside the image.
//
// The input's first byte picks the protocol; the rest are changes to a good image: offset, width,
// value. An unchanged image loads.

#include "input.hpp"

#include <cstddef>
#include <iterator>
#include <string>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/boot/elf_image.hpp>
#include <portico/boot/linux_kernel.hpp>
#include <portico/boot/multiboot_kernel.hpp>
#include <portico/boot/pvh_kernel.hpp>
#include <portico/x86/protected_mode.hpp>

namespace {

using portico::fuzz::Input;
using portico::fuzz::require;

class Bytes {
 public:
  template <class Value>
  Bytes& put(std::size_t offset, Value value) {
    if (bytes.size() < offset + sizeof value) bytes.resize(offset + sizeof value);
    portico::store(bytes.data() + offset, value);
    return *this;
  }

  std::vector<std::byte> bytes;
};

/// An ELF file of one segment at 1 MiB, of an odd class too, with notes and a Multiboot header.
Bytes elf(bool wide) {
  Bytes made;
  made.put(0, std::uint32_t{0x464C'457F})
      .put(4, std::uint8_t(wide ? 2 : 1))
      .put(5, std::uint8_t{1});
  made.put(6, std::uint8_t{1}).put(16, std::uint16_t{2});
  made.put(18, std::uint16_t(wide ? 62 : 3)).put(20, std::uint32_t{1});
  std::size_t const headers = 64;
  for (std::uint32_t type : {1U, 4U}) {
    std::size_t const at = headers + (type == 4 ? (wide ? 56U : 32U) : 0U);
    std::uint32_t const offset = type == 4 ? 0x120 : 0x100;
    std::uint32_t const size = type == 4 ? 20 : 64;
    made.put(at, type);
    std::uint32_t const fields[] = {offset, 0x10'0000, 0x10'0000, size, 2 * size};
    for (std::size_t index = 0; index < 5; ++index) {
      if (wide)
        made.put(at + 8 + 8 * index, std::uint64_t{fields[index]});
      else
        made.put(at + 4 + 4 * index, fields[index]);
    }
  }
  if (wide)
    made.put(24, std::uint64_t{0x10'0004})
        .put(32, std::uint64_t{headers})
        .put(54, std::uint16_t{56});
  else
    made.put(24, std::uint32_t{0x10'0004})
        .put(28, std::uint32_t{headers})
        .put(42, std::uint16_t{32});
  made.put(wide ? 56 : 44, std::uint16_t{2});
  made.put(0x100, std::uint32_t{0x1BAD'B002}).put(0x104, 3).put(0x108, 0U - 0x1BAD'B005U);
  made.put(0x120, std::uint32_t{4}).put(0x124, std::uint32_t{4}).put(0x128, std::uint32_t{18});
  made.put(0x12C, std::uint32_t{0x006E'6558}).put(0x130, std::uint32_t{0x10'0004});
  made.put(0x17C, std::uint32_t{0});
  return made;
}

Bytes linux_image() {
  Bytes made;
  made.put(0x1F1, std::uint8_t{1}).put(0x1F4, std::uint32_t{4}).put(0x1FE, std::uint16_t{0xAA55});
  made.put(0x200, std::uint16_t{0x6AEB}).put(0x202, std::uint32_t{0x5372'6448});
  made.put(0x206, std::uint16_t{0x20F}).put(0x211, std::uint8_t{1});
  made.put(0x22C, std::uint32_t{0x7FFF'FFFF}).put(0x230, std::uint32_t{0x10'0000});
  made.put(0x234, std::uint8_t{1}).put(0x236, std::uint16_t{1}).put(0x238, std::uint32_t{255});
  made.put(0x258, std::uint64_t{0x10'0000}).put(0x260, std::uint32_t{0x1000});
  made.put(0x43F, std::uint8_t{0});
  return made;
}

Bytes multiboot_with_addresses() {
  Bytes made;
  std::uint32_t const fields[] = {0x1BAD'B002, 0x1'0003,  0U - 0x1BAE'B005U, 0x10'0010,
                                  0x10'0000,   0x10'0040, 0x10'0080,         0x10'0030};
  for (std::size_t index = 0; index < 8; ++index) made.put(0x30 + 4 * index, fields[index]);
  made.put(0x5F, std::uint8_t{0});
  return made;
}

/// Moves all addresses in the kernel to a place where something ends or begins.
void relocate(Input& input, std::vector<std::byte>& bytes) {
  constexpr std::uint32_t edges[] = {0,         0x9'FC00,  0xA'0000,  0xE'0000,
                                     0x20'0000, 0x20'1000, 0x0FFF'F0, 0xFFFF'FFF0};
  std::uint64_t const place = input.address_near(edges[input.below(std::size(edges))]);
  for (std::size_t at = 0; at + 4 <= bytes.size(); at += 4) {
    auto const value = portico::load<std::uint32_t>(&bytes[at]);
    if (value < 0x10'0000 || value >= 0x10'0100) continue;
    portico::store(&bytes[at], static_cast<std::uint32_t>(place + (value - 0x10'0000)));
  }
}

void change(Input& input, std::vector<std::byte>& bytes) {
  if (input.below(4) == 0) return relocate(input, bytes);
  if (input.below(8) == 0) {
    bytes.resize(input.below(bytes.size() + 8192));
    return;
  }
  if (bytes.empty()) return;
  std::uint64_t const at = input.below(bytes.size());
  auto const value = input.address_near(portico::load<std::uint8_t>(&bytes[at]));
  std::size_t const width = std::size_t{1} << input.below(4);
  for (std::size_t index = 0; index < width && at + index < bytes.size(); ++index)
    bytes[at + index] = static_cast<std::byte>(value >> (8 * index));
}

/// Loads it; what is checked holds whatever the image says.
template <class Image, class... Options>
void load(std::vector<std::byte> const& bytes, bool good, Options&&... options) {
  portico::GuestMemory memory{{0, 0x20'0000}, {0x20'0000, 0x1000}, {0x1'0000'0000, 0x1000}};
  portico::BootLayout const layout{.memory_map = portico::pc_memory_map(memory.regions()),
                                   .rsdp = 0xE'0000,
                                   .page_tables = 0x3000'0000};
  require(memory.write(0xE'0000, std::uint64_t{0x1122'3344'5566'7788}), "there is RAM for tables");
  bool loaded = false;
  try {
    Image const image{portico::ImageFile{"image", bytes}, std::forward<Options>(options)...};
    portico::x86::CpuState const state = image.boot(memory, layout);
    loaded = true;
    require(memory.contains(state.rip, 1), "the CPU starts in RAM");
    require(state.rip < 0x9'FC00 || state.rip >= 0x10'0000, "and not in the tables");
  } catch (portico::ImageError const& error) {
    require(std::string{error.what()}.size() > 9, "a refusal says something");
  }
  require(loaded || !good, "a good image is loaded");
  require(memory.read<std::uint64_t>(0xE'0000) == 0x1122'3344'5566'7788, "tables are left alone");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  Input input{data, size};
  std::uint64_t const protocol = input.below(8);
  Bytes made = protocol < 3    ? elf(true)
               : protocol < 6  ? elf(false)
               : protocol == 6 ? linux_image()
                               : multiboot_with_addresses();
  bool const good = input.empty();
  while (!input.empty()) change(input, made.bytes);
  std::string const arguments = "console=ttyS0";
  switch (protocol) {
    case 0:
    case 3:
      load<portico::ElfImage>(made.bytes, good);
      break;
    case 1:
    case 4:
      load<portico::PvhKernel>(made.bytes, good,
                               portico::PvhOptions{.initrd = {}, .command_line = arguments});
      break;
    case 6:
      load<portico::LinuxKernel>(made.bytes, good,
                                 portico::LinuxOptions{.initrd = {}, .command_line = arguments});
      break;
    default:
      load<portico::MultibootKernel>(
          made.bytes, good, portico::MultibootOptions{.command_line = arguments, .modules = {}});
  }
  return 0;
}
