#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include <portico/base/bytes.hpp>
#include <portico/base/fd.hpp>
#include <portico/boot/linux_kernel.hpp>

#include "image_builder.hpp"

namespace portico {
namespace {

using test::Bytes;
using test::complaint;
using test::layout_of;
using test::text_at;

constexpr std::uint64_t setup_bytes = 512 * 3;

/// A bzImage of protocol 2.15 with two sectors of setup code and a kernel of 64 bytes, which wants
/// 1 MiB at 2 MiB.
Bytes bz_image() {
  Bytes bytes;
  bytes.put(0x1F1, std::uint8_t{2}).put(0x1F4, std::uint32_t{4}).put(0x1EF, std::uint8_t{0xFF});
  bytes.put(0x1FE, std::uint16_t{0xAA55}).put(0x200, std::uint16_t{0x6AEB}).text(0x202, "HdrS");
  bytes.put(0x206, std::uint16_t{0x20F}).put(0x211, std::uint8_t{1});
  bytes.put(0x22C, std::uint32_t{0x7FFF'FFFF}).put(0x230, std::uint32_t{0x20'0000});
  bytes.put(0x234, std::uint8_t{1}).put(0x236, std::uint16_t{1}).put(0x238, std::uint32_t{20});
  bytes.put(0x258, std::uint64_t{0x20'0000}).put(0x260, std::uint32_t{0x10'0000});
  bytes.put(0x264, std::uint32_t{0x1234'5678});  // handover_offset
  bytes.text(setup_bytes, "the kernel").put(setup_bytes + 63, std::uint8_t{0});
  return bytes;
}

std::string refusal(Bytes const& bytes, std::string const& command_line = {}) {
  return complaint([&] {
    static_cast<void>(LinuxKernel{bytes.image(), {.initrd = {}, .command_line = command_line}});
  });
}

/// What is said when it is loaded.
std::string refusal_to_load(Bytes const& bytes, std::uint64_t ram) {
  return complaint([&] {
    GuestMemory memory{ram};
    static_cast<void>(LinuxKernel{bytes.image()}.boot(memory, layout_of(memory)));
  });
}

TEST(Linux, TheCpuStartsAtThe64BitEntry) {
  Bytes const bytes = bz_image();
  GuestMemory memory{8 * MiB};
  LinuxKernel const kernel{bytes.image()};
  ASSERT_TRUE(kernel.long_mode());
  EXPECT_EQ(kernel.long_mode()->page(), PageSize::k2MiB);
  x86::CpuState const state = kernel.boot(memory, layout_of(memory));
  EXPECT_EQ(state.rip, 0x20'0200U);
  EXPECT_EQ(text_at(memory, 0x20'0000), "the kernel");
  EXPECT_EQ(state.cr3, 0x7000U);
  EXPECT_EQ(state.rflags, 2U);
  EXPECT_EQ(state.cs.selector, 0x10);
  EXPECT_EQ(state.ss.selector, 0x18);
  EXPECT_EQ(state.gdt.limit, 31);
  EXPECT_EQ(memory.read<std::uint64_t>(state.gdt.base + 0x10), 0x00AF'9B00'0000'FFFFU);
  EXPECT_EQ(memory.read<std::uint64_t>(state.gdt.base + 0x18), 0x00CF'9300'0000'FFFFU);
}

TEST(Linux, BootParamsHoldTheSetupHeaderAndWhatWeAdd) {
  Bytes const bytes = bz_image();
  GuestMemory memory{8 * MiB};
  LinuxKernel const kernel{bytes.image(), {.initrd = {}, .command_line = "console=ttyS0"}};
  std::uint64_t const page = kernel.boot(memory, layout_of(memory)).rsi;
  EXPECT_EQ(page % 4096, 0U);
  EXPECT_EQ(memory.read<std::uint8_t>(page + 0x1EF), 0U);  // the sentinel is not copied
  EXPECT_EQ(memory.read<std::uint16_t>(page + 0x206), 0x20FU);
  EXPECT_EQ(memory.read<std::uint32_t>(page + 0x264), 0x1234'5678U);
  EXPECT_EQ(memory.read<std::uint8_t>(page + 0x210), 0xFFU);
  EXPECT_EQ(memory.read<std::uint32_t>(page + 0x214), 0x20'0000U);
  EXPECT_EQ(memory.read<std::uint64_t>(page + 0x70), 0xE'0000U);
  EXPECT_EQ(text_at(memory, *memory.read<std::uint32_t>(page + 0x228)), "console=ttyS0");
  EXPECT_EQ(memory.read<std::uint32_t>(page + 0x218), 0U);
  ASSERT_EQ(memory.read<std::uint8_t>(page + 0x1E8), 4U);
  EXPECT_EQ(memory.read<std::uint64_t>(page + 0x2D0 + 20), 0x9'FC00U);
  EXPECT_EQ(memory.read<std::uint64_t>(page + 0x2D0 + 28), 0x400U);
  EXPECT_EQ(memory.read<std::uint32_t>(page + 0x2D0 + 36), 2U);
  EXPECT_EQ(memory.read<std::uint64_t>(page + 0x2D0 + 60), 0x10'0000U);
  EXPECT_EQ(memory.read<std::uint64_t>(page + 0x2D0 + 68), 7 * MiB);
  EXPECT_EQ(memory.read<std::uint32_t>(page + 0x2D0 + 76), 1U);
}

TEST(Linux, AnInitialFileSystemStandsAsHighAsTheKernelAllows) {
  Bytes bytes = bz_image();
  LinuxOptions const options{.initrd = "/proc/self/exe", .command_line = {}};
  GuestMemory memory{256 * MiB};
  ImageFile const self{"/proc/self/exe", "file"};
  std::uint64_t const page =
      LinuxKernel{bytes.image(), options}.boot(memory, layout_of(memory)).rsi;
  std::uint32_t const place = *memory.read<std::uint32_t>(page + 0x218);
  EXPECT_EQ(place, (256 * MiB - self.size()) & ~std::uint64_t{4095});
  EXPECT_EQ(memory.read<std::uint32_t>(page + 0x21C), self.size());
  EXPECT_EQ(memory.read<std::uint32_t>(place), 0x464C'457FU);
  bytes.put(0x22C, std::uint32_t{0x7FF'FFFF});  // initrd_addr_max
  std::uint64_t const other =
      LinuxKernel{bytes.image(), options}.boot(memory, layout_of(memory)).rsi;
  EXPECT_EQ(memory.read<std::uint32_t>(other + 0x218),
            (128 * MiB - self.size()) & ~std::uint64_t{4095});
}

TEST(Linux, ARelocatableKernelMovesUpWhereItsPlaceIsNoRam) {
  Bytes bytes = bz_image();
  bytes.put(0x258, std::uint64_t{0x8'0000});  // conventional memory: too small
  GuestMemory memory{8 * MiB};
  EXPECT_EQ(LinuxKernel{bytes.image()}.boot(memory, layout_of(memory)).rip, 0x20'0200U);
  bytes.put(0x234, std::uint8_t{0});
  EXPECT_EQ(refusal_to_load(bytes, 8 * MiB),
            "the kernel (init_size): 1048576 bytes at 0x80000 reach into 0x9fc00 to 0x9ffff, which "
            "the machine's tables or its firmware have");
}

TEST(Linux, ARamThatIsTooSmallIsSaid) {
  EXPECT_EQ(refusal_to_load(bz_image(), 2 * MiB + 512 * KiB),
            "the kernel (init_size): 1048576 bytes at 0x200000 do not lie in RAM, which is at 0x0 "
            "to 0x9fbff, 0x100000 to 0x27ffff");
  Fd const file{::memfd_create("initrd", MFD_CLOEXEC)};
  ASSERT_EQ(::ftruncate(file.get(), 2 * MiB), 0);
  std::string const initrd = "/proc/self/fd/" + std::to_string(file.get());
  Bytes const bytes = bz_image();
  LinuxKernel const kernel{bytes.image(), {.initrd = initrd, .command_line = {}}};
  GuestMemory memory{3 * MiB};  // the kernel has the last of them
  std::string const text =
      complaint([&] { static_cast<void>(kernel.boot(memory, layout_of(memory))); });
  EXPECT_EQ(text.find("the initial file system of "), 0U) << text;
}

TEST(Linux, FieldsAreNamed) {
  EXPECT_EQ(refusal(bz_image().put(0x202, 'h')),
            "header is 0x53726468; 0x53726448 (\"HdrS\") is needed: this is no bzImage");
  EXPECT_EQ(refusal(bz_image().put(0x1FE, std::uint16_t{0})), "boot_flag is 0x0; 0xaa55 is needed");
  EXPECT_EQ(refusal(bz_image().put(0x206, std::uint16_t{0x20B})),
            "version is 0x20b; 0x20c or later (protocol 2.12, Linux 3.8) is needed for the 64-bit "
            "entry");
  EXPECT_EQ(refusal(bz_image().put(0x236, std::uint16_t{2})),
            "xloadflags is 0x2; bit 0 (XLF_KERNEL_64) is needed: this kernel has no 64-bit entry");
  EXPECT_EQ(refusal(bz_image().put(0x211, std::uint8_t{0})),
            "loadflags is 0x0; bit 0 (LOADED_HIGH) is needed: this is no bzImage");
  EXPECT_EQ(refusal(bz_image().put(0x260, std::uint32_t{63})),
            "init_size is 0x3f; it must not be less than the kernel itself, 0x40");
  EXPECT_EQ(refusal(bz_image().put(0x230, std::uint32_t{3})),
            "kernel_alignment is 0x3; a power of two is needed");
  EXPECT_EQ(refusal(bz_image().put(0x258, ~std::uint64_t{0})),
            "pref_address is 0xffffffffffffffff; with init_size it must end below 4 GiB");
  EXPECT_EQ(refusal(bz_image(), std::string(21, 'x')),
            "cmdline_size is 20, and the command line has 21 characters");
  EXPECT_EQ(refusal(bz_image(), std::string(20, 'x')), "nothing");
}

TEST(Linux, ATruncatedFileIsRefusedWhereverItEnds) {
  Bytes const bytes = bz_image();
  for (std::size_t size = 0; size < setup_bytes + 49; ++size) {  // 15 may be missing: padding
    Bytes shorter = bytes;
    shorter.resize(size);
    ASSERT_NE(refusal(shorter).find("is truncated"), std::string::npos) << size;
  }
  EXPECT_EQ(refusal(bz_image().put(0x1F4, std::uint32_t{5}).put(setup_bytes + 64, '!')), "nothing");
  EXPECT_EQ(refusal(bz_image().put(0x1F4, std::uint32_t{6})),
            "is truncated: syssize says that the kernel has 96 bytes, and 64 are there");
  EXPECT_EQ(refusal(bz_image().put(0x1F1, std::uint8_t{255})),
            "is truncated: setup_sects says that the kernel begins at 0x20000, and the file ends "
            "at 0x640");
}

}  // namespace
}  // namespace portico
