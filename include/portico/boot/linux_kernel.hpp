/// A Linux kernel from its bzImage, by the 64-bit boot protocol.
///
///     #include <portico/boot/linux_kernel.hpp>
///     #include <portico/machine/booting.hpp>
///     #include <portico/portico.hpp>
///
///     template <class Board>
///     void boot(portico::Machine<Board>& machine) {
///       machine.load(portico::LinuxKernel{
///           "vmlinuz", {.initrd = "initrd", .command_line = "console=ttyS0"}});
///     }
///
/// The kernel is loaded where it prefers to be, or above that if RAM is not there; the initial file
/// system at the highest address that the kernel allows; boot_params, with the memory map and the
/// address of the ACPI tables, and the command line in conventional memory. The CPU starts in
/// 64-bit mode, RAM mapped onto itself, at the kernel's 64-bit entry.
///
/// Limits: protocol 2.12 (Linux 3.8) and later, kernels with a 64-bit entry only; nothing above 4
/// GiB; no EFI, no video mode. Source: Linux, Documentation/arch/x86/boot.rst and zero-page.rst.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/base/hex.hpp>
#include <portico/boot/handover.hpp>
#include <portico/boot/image_file.hpp>
#include <portico/boot/memory_map.hpp>
#include <portico/boot/room.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/cpu_state.hpp>
#include <portico/x86/long_mode.hpp>

namespace portico {

/// What a Linux kernel is given.
struct LinuxOptions {
  std::string initrd{};        ///< path of an initial file system; empty: none
  std::string command_line{};  ///< without a 0 in it, and no longer than the kernel takes
};

/// The fields of a bzImage's setup header that matter here, as values.
struct LinuxSetupHeader {
  std::uint16_t version = 0;          ///< of the boot protocol: 0x20F is 2.15
  std::uint64_t setup_bytes = 0;      ///< of the part for real mode, which is not used
  std::uint64_t kernel_bytes = 0;     ///< of what follows it
  std::uint64_t init_size = 0;        ///< bytes that the kernel needs from its address on
  std::uint64_t pref_address = 0;     ///< where it would like to be
  std::uint64_t alignment = 0;        ///< where it may be, if relocatable
  std::uint64_t initrd_addr_max = 0;  ///< last address of an initial file system
  std::uint64_t command_line_max = 0;
  bool relocatable = false;
};

/// An open bzImage with all that it is booted with, for Machine::load.
class LinuxKernel {
 public:
  /// Opens the files and checks the setup header; an ImageError names the field that is wrong.
  explicit LinuxKernel(std::string path, LinuxOptions options = {})
      : LinuxKernel{ImageFile{std::move(path), "bzImage"}, std::move(options)} {}

  explicit LinuxKernel(ImageFile kernel, LinuxOptions options = {})
      : kernel_{std::move(kernel)},
        command_line_{std::move(options.command_line)},
        header_{read_header(kernel_)} {
    if (command_line_.size() > header_.command_line_max)
      kernel_.fail("cmdline_size is " + std::to_string(header_.command_line_max) +
                   ", and the command line has " + std::to_string(command_line_.size()) +
                   " characters");
    if (!options.initrd.empty()) initrd_.emplace(std::move(options.initrd), "initial file system");
  }

  [[nodiscard]] LinuxSetupHeader const& header() const noexcept { return header_; }

  /// Page tables for all of RAM, by the largest pages.
  [[nodiscard]] std::optional<LongMode> long_mode() const noexcept {
    return LongMode{PageSize::k2MiB};
  }

  /// Loads everything; gives the state of vCPU 0.
  [[nodiscard]] x86::CpuState boot(GuestMemory& memory, BootLayout const& layout) const {
    Room room{kernel_, memory, layout.memory_map};
    std::uint64_t const address = place_kernel(room);
    gsl::span<std::byte> const target =
        room.take("the kernel (init_size)", address, header_.init_size);
    kernel_.read("the kernel", header_.setup_bytes,
                 target.first(static_cast<std::size_t>(header_.kernel_bytes)));

    ZeroPage page{};
    copy_setup_header(page);
    set<std::uint8_t>(page, type_of_loader, undefined_loader);
    set(page, code32_start, static_cast<std::uint32_t>(address));
    std::uint64_t const text = detail::put_text(room, kernel_, "the command line", command_line_);
    set(page, cmd_line_ptr, static_cast<std::uint32_t>(text));
    set<std::uint64_t>(page, acpi_rsdp_addr, layout.rsdp);
    if (initrd_) put_initrd(room, page);
    put_memory_map(page, layout.memory_map);
    std::uint64_t const parameters = detail::put(room, kernel_, "boot_params", page, 4 * KiB);
    return state_at(room, layout.page_tables, address + entry_64, parameters);
  }

 private:
  using ZeroPage = std::array<std::byte, 4096>;

  // Offsets in the file's first sectors and in boot_params: the setup header is in the same place.
  static constexpr std::size_t acpi_rsdp_addr = 0x70;
  static constexpr std::size_t e820_entries = 0x1E8;
  static constexpr std::size_t setup_sects = 0x1F1;
  static constexpr std::size_t syssize = 0x1F4;
  static constexpr std::size_t boot_flag = 0x1FE;
  static constexpr std::size_t jump = 0x200;
  static constexpr std::size_t header_magic = 0x202;
  static constexpr std::size_t protocol = 0x206;
  static constexpr std::size_t type_of_loader = 0x210;
  static constexpr std::size_t loadflags = 0x211;
  static constexpr std::size_t code32_start = 0x214;
  static constexpr std::size_t ramdisk_image = 0x218;
  static constexpr std::size_t ramdisk_size = 0x21C;
  static constexpr std::size_t cmd_line_ptr = 0x228;
  static constexpr std::size_t initrd_addr_max = 0x22C;
  static constexpr std::size_t kernel_alignment = 0x230;
  static constexpr std::size_t relocatable_kernel = 0x234;
  static constexpr std::size_t xloadflags = 0x236;
  static constexpr std::size_t cmdline_size = 0x238;
  static constexpr std::size_t pref_address = 0x258;
  static constexpr std::size_t init_size = 0x260;
  static constexpr std::size_t header_end = 0x264;
  static constexpr std::size_t edd_mbr_sig_buffer = 0x290;
  static constexpr std::size_t e820_table = 0x2D0;

  static constexpr std::uint64_t entry_64 = 0x200;
  static constexpr std::uint8_t undefined_loader = 0xFF;
  static constexpr std::uint16_t oldest_protocol = 0x20C;

  [[noreturn, gnu::cold]] static void refuse(ImageFile const& kernel, std::string_view field,
                                             std::uint64_t found, std::string_view wanted) {
    kernel.fail(std::string{field} + " is " + hex(found) + "; " + std::string{wanted});
  }

  static LinuxSetupHeader read_header(ImageFile const& kernel) {
    auto const get = [&]<class Value>(std::string_view field, std::size_t at, Value) {
      return kernel.get<Value>(field, at);
    };
    auto const magic = get("the setup header", header_magic, std::uint32_t{});
    if (magic != 0x5372'6448)
      refuse(kernel, "header", magic, "0x53726448 (\"HdrS\") is needed: this is no bzImage");
    auto const flag = get("boot_flag", boot_flag, std::uint16_t{});
    if (flag != 0xAA55) refuse(kernel, "boot_flag", flag, "0xaa55 is needed");
    LinuxSetupHeader header;
    header.version = get("version", protocol, std::uint16_t{});
    if (header.version < oldest_protocol)
      refuse(kernel, "version", header.version,
             "0x20c or later (protocol 2.12, Linux 3.8) is needed for the 64-bit entry");
    auto const flags = get("xloadflags", xloadflags, std::uint16_t{});
    if ((flags & 1) == 0)
      refuse(kernel, "xloadflags", flags,
             "bit 0 (XLF_KERNEL_64) is needed: this kernel has no 64-bit entry");
    auto const loaded = get("loadflags", loadflags, std::uint8_t{});
    if ((loaded & 1) == 0)
      refuse(kernel, "loadflags", loaded, "bit 0 (LOADED_HIGH) is needed: this is no bzImage");
    header.relocatable = get("relocatable_kernel", relocatable_kernel, std::uint8_t{}) != 0;
    header.alignment = get("kernel_alignment", kernel_alignment, std::uint32_t{});
    header.initrd_addr_max = get("initrd_addr_max", initrd_addr_max, std::uint32_t{});
    header.command_line_max = get("cmdline_size", cmdline_size, std::uint32_t{});
    header.pref_address = get("pref_address", pref_address, std::uint64_t{});
    header.init_size = get("init_size", init_size, std::uint32_t{});
    check_sizes(kernel, header);
    return header;
  }

  static void check_sizes(ImageFile const& kernel, LinuxSetupHeader& header) {
    auto const sectors = kernel.get<std::uint8_t>("setup_sects", setup_sects);
    header.setup_bytes = 512 * (std::uint64_t{sectors == 0 ? std::uint8_t{4} : sectors} + 1);
    if (kernel.size() <= header.setup_bytes)
      kernel.fail("is truncated: setup_sects says that the kernel begins at " +
                  hex(header.setup_bytes) + ", and the file ends at " + hex(kernel.size()));
    // What follows the kernel, as a signature does, is not loaded; its own end may be padded.
    std::uint64_t const promised =
        16 * std::uint64_t{kernel.get<std::uint32_t>("syssize", syssize)};
    std::uint64_t const there = kernel.size() - header.setup_bytes;
    if (promised == 0 || promised > there + 15)
      kernel.fail("is truncated: syssize says that the kernel has " + std::to_string(promised) +
                  " bytes, and " + std::to_string(there) + " are there");
    header.kernel_bytes = std::min(promised, there);
    if (header.init_size < header.kernel_bytes)
      refuse(kernel, "init_size", header.init_size,
             "it must not be less than the kernel itself, " + hex(header.kernel_bytes));
    if (header.relocatable && !std::has_single_bit(header.alignment))
      refuse(kernel, "kernel_alignment", header.alignment, "a power of two is needed");
    if (header.pref_address >= 4 * GiB - header.init_size)
      refuse(kernel, "pref_address", header.pref_address, "with init_size it must end below 4 GiB");
  }

  /// Where the kernel goes. It never unpacks itself below its preferred address, so there is no use
  /// in a lower one.
  [[nodiscard]] std::uint64_t place_kernel(Room const& room) const {
    std::uint64_t const preferred = header_.pref_address;
    auto const place = room.find_low(header_.init_size, 1, preferred, 4 * GiB);
    if (!place || *place == preferred || !header_.relocatable) return preferred;
    return room.find_low(header_.init_size, header_.alignment, preferred, 4 * GiB)
        .value_or(preferred);
  }

  /// Nothing but the setup header: boot_params has other fields around it.
  void copy_setup_header(ZeroPage& page) const {
    auto const length = kernel_.get<std::uint8_t>("jump", jump + 1);
    // At least to init_size, and not into the next field of boot_params.
    std::size_t const end =
        std::clamp<std::size_t>(header_magic + length, header_end, edd_mbr_sig_buffer);
    kernel_.read("the setup header", setup_sects,
                 gsl::span<std::byte>{page}.subspan(setup_sects, end - setup_sects));
  }

  void put_initrd(Room& room, ZeroPage& page) const {
    std::uint64_t const place =
        detail::put_file(room, *initrd_, "the initial file system", header_.initrd_addr_max + 1);
    set(page, ramdisk_image, static_cast<std::uint32_t>(place));
    set(page, ramdisk_size, static_cast<std::uint32_t>(initrd_->size()));
  }

  static void put_memory_map(ZeroPage& page, MemoryMap const& map) {
    std::size_t at = e820_table;
    for (MemoryRange const& range : map.ranges()) {
      set(page, at, range.base);
      set(page, at + 8, range.size);
      set(page, at + 16, static_cast<std::uint32_t>(range.kind));
      at += 20;
    }
    set(page, e820_entries, static_cast<std::uint8_t>(map.ranges().size()));
  }

  [[nodiscard]] x86::CpuState state_at(Room& room, std::uint64_t tables, std::uint64_t entry,
                                       std::uint64_t parameters) const {
    x86::CpuState state = LongMode::cpu_state(tables, entry, 0);
    state.cs.selector = 0x10;  // __BOOT_CS and __BOOT_DS
    for (x86::Segment* segment : {&state.ds, &state.es, &state.fs, &state.gs, &state.ss})
      segment->selector = 0x18;
    state.rsi = parameters;
    detail::put_gdt(room, kernel_, state);
    return state;
  }

  template <class Value>
  static void set(ZeroPage& page, std::size_t at, Value value) {
    store(page.data() + at, value);
  }

  ImageFile kernel_;
  std::optional<ImageFile> initrd_;
  std::string command_line_;
  LinuxSetupHeader header_;
};

}  // namespace portico
