#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include <portico/base/bytes.hpp>
#include <portico/boot/multiboot_kernel.hpp>

#include "image_builder.hpp"

namespace portico {
namespace {

using test::Bytes;
using test::complaint;
using test::layout_of;
using test::text_at;

struct Fields {
  std::uint32_t flags = 0x1'0003;
  std::uint32_t header_addr = 0x10'0010;
  std::uint32_t load_addr = 0x10'0000;
  std::uint32_t load_end_addr = 0x10'0040;
  std::uint32_t bss_end_addr = 0x10'0080;
  std::uint32_t entry_addr = 0x10'0030;
  std::size_t offset = 0x30;  ///< of the header in the file
};

/// A kernel of 64 bytes that begins 0x10 bytes before its header.
Bytes kernel(Fields fields = {}) {
  Bytes bytes;
  bytes.put(fields.offset, std::uint32_t{0x1BAD'B002}).put(fields.offset + 4, fields.flags);
  bytes.put(fields.offset + 8, 0U - 0x1BAD'B002U - fields.flags);
  bytes.put(fields.offset + 12, fields.header_addr).put(fields.offset + 16, fields.load_addr);
  bytes.put(fields.offset + 20, fields.load_end_addr).put(fields.offset + 24, fields.bss_end_addr);
  bytes.put(fields.offset + 28, fields.entry_addr);
  bytes.text(fields.offset + 32, "the kernel").put(fields.offset + 47, std::uint8_t{0});
  return bytes;
}

std::string refusal(Bytes const& bytes) {
  return complaint([&] { static_cast<void>(MultibootKernel{bytes.image()}); });
}

std::string refusal(Fields const& fields) { return refusal(kernel(fields)); }

std::string refusal_to_load(Fields const& fields) {
  return complaint([&] {
    Bytes const bytes = kernel(fields);
    GuestMemory memory{2 * MiB};
    static_cast<void>(MultibootKernel{bytes.image()}.boot(memory, layout_of(memory)));
  });
}

TEST(Multiboot, AKernelWithAddressesStandsThere) {
  Bytes const bytes = kernel();
  GuestMemory memory{2 * MiB};
  ASSERT_TRUE(memory.write(0x10'0040, std::uint64_t{0xFF}));  // is cleared
  MultibootKernel const image{bytes.image()};
  EXPECT_FALSE(image.long_mode());
  x86::CpuState const state = image.boot(memory, layout_of(memory));
  EXPECT_EQ(state.rip, 0x10'0030U);
  EXPECT_EQ(state.rax, 0x2BAD'B002U);
  EXPECT_EQ(memory.read<std::uint32_t>(0x10'0010), 0x1BAD'B002U);
  EXPECT_EQ(text_at(memory, 0x10'0030), "the kernel");
  EXPECT_EQ(memory.read<std::uint64_t>(0x10'0040), 0U);
}

TEST(Multiboot, WithoutEndsAllOfTheFileIsLoaded) {
  Bytes const bytes = kernel({.load_end_addr = 0, .bss_end_addr = 0});
  GuestMemory memory{2 * MiB};
  MultibootHeader const header{bytes.image()};
  EXPECT_EQ(header.placement()->file_offset, 0x20U);
  EXPECT_EQ(header.placement()->file_size, 0x40U);
  EXPECT_EQ(header.placement()->memory_size, 0x40U);
}

TEST(Multiboot, TheInformationSaysWhatThereIs) {
  Bytes const bytes = kernel();
  GuestMemory memory{32 * MiB};
  MultibootKernel const image{
      bytes.image(),
      {.command_line = "a b", .modules = {{"/proc/self/exe", "self"}, {"/proc/self/exe"}}}};
  std::uint64_t const info = image.boot(memory, layout_of(memory)).rbx;
  auto const field = [&](unsigned at) { return *memory.read<std::uint32_t>(info + at); };
  EXPECT_EQ(field(0), 0x24DU);
  EXPECT_EQ(field(4), 639U);
  EXPECT_EQ(field(8), 31U * 1024);
  EXPECT_EQ(text_at(memory, field(16)), "a b");
  EXPECT_EQ(text_at(memory, field(64)), "Portico");
  ASSERT_EQ(field(20), 2U);
  std::uint32_t const first = *memory.read<std::uint32_t>(field(24));
  std::uint32_t const end = *memory.read<std::uint32_t>(field(24) + 4);
  std::uint32_t const second = *memory.read<std::uint32_t>(field(24) + 16);
  EXPECT_EQ(first, 0x10'1000U);  // above the kernel
  EXPECT_EQ(end - first, (ImageFile{"/proc/self/exe", "file"}.size()));
  EXPECT_EQ(second, align_up(end, 4096));
  EXPECT_EQ(memory.read<std::uint32_t>(second), 0x464C'457FU);
  EXPECT_EQ(text_at(memory, *memory.read<std::uint32_t>(field(24) + 8)), "self");
  EXPECT_EQ(text_at(memory, *memory.read<std::uint32_t>(field(24) + 24)), "/proc/self/exe");
  ASSERT_EQ(field(44), 4U * 24);
  EXPECT_EQ(memory.read<std::uint32_t>(field(48)), 20U);
  EXPECT_EQ(memory.read<std::uint64_t>(field(48) + 12), 0x9'FC00U);
  EXPECT_EQ(memory.read<std::uint32_t>(field(48) + 24 + 20), 2U);
}

TEST(Multiboot, TheHeaderIsSoughtIn8192Bytes) {
  EXPECT_EQ(refusal({.offset = 8192 - 32}), "nothing");
  EXPECT_EQ(refusal({.offset = 8192}),
            "has no Multiboot header (0x1badb002, at a multiple of 4) in its first 8192 bytes");
  EXPECT_NE(refusal({.offset = 0x32}), "nothing");  // no multiple of 4
  // The number alone is no header: the search goes on.
  EXPECT_EQ(refusal(kernel({.offset = 0x40}).put(0x10, 0x1BAD'B002)), "nothing");
  EXPECT_EQ(refusal(kernel().put(0x38, 0)),
            "Multiboot checksum: the header at 0x30 does not add up to 0 with its magic number "
            "and its flags");
}

TEST(Multiboot, WhatWeLackIsRefused) {
  EXPECT_EQ(refusal({.flags = 0x1'0004}),
            "Multiboot flags 0x10004: bit 2 asks for a video mode, and there is no display");
  EXPECT_EQ(refusal({.flags = 0x1'8000}),
            "Multiboot flags 0x18000: bits 3 to 15 ask for what is not defined; 0 is needed");
  EXPECT_EQ(refusal({.flags = 0xFFFF'0000}), "nothing");  // bits 16 and up are only offers
  EXPECT_EQ(refusal({.flags = 3}),
            "Multiboot flags: bit 16 is clear, so it must be an ELF file, and it is not");
}

TEST(Multiboot, AddressFieldsAreNamed) {
  EXPECT_EQ(refusal({.load_addr = 0x10'0014}), "load_addr 0x100014 is above header_addr 0x100010");
  EXPECT_EQ(refusal({.load_addr = 0xF'FFDC}),
            "load_addr 0xfffdc lies before the file's first byte, by header_addr 0x100010 and the "
            "header's offset 0x30");
  EXPECT_EQ(refusal({.load_end_addr = 0x10'0000}),
            "load_end_addr 0x100000 is not above load_addr 0x100000");
  EXPECT_EQ(refusal({.load_end_addr = 0x10'0041}),
            "is truncated: load_end_addr 0x100041 needs 65 bytes from 0x20 on, and the file ends "
            "at 0x60");
  EXPECT_EQ(refusal({.bss_end_addr = 0x10'003F}),
            "bss_end_addr 0x10003f is below the end of what is loaded, 0x100040");
  EXPECT_EQ(refusal({.entry_addr = 0x10'0080}),
            "entry_addr 0x100080 lies outside of the kernel, which is at 0x100000");
  Bytes bytes = kernel();
  bytes.resize(0x30 + 16);
  EXPECT_NE(refusal(bytes).find("is truncated: the Multiboot header needs 4 bytes at offset 0x40"),
            std::string::npos);
}

TEST(Multiboot, AKernelOverTheTablesOrPastRamIsRefused) {
  EXPECT_EQ(refusal_to_load({.header_addr = 0xF'0010,
                             .load_addr = 0xF'0000,
                             .load_end_addr = 0xF'0040,
                             .bss_end_addr = 0xF'0040,
                             .entry_addr = 0xF'0000}),
            "the kernel, load_addr: 64 bytes at 0xf0000 reach into 0xe0000 to 0xfffff, which the "
            "machine's tables or its firmware have");
  EXPECT_EQ(refusal_to_load({.bss_end_addr = 0xFFFF'FFFF}),
            "the kernel, load_addr: 4293918719 bytes at 0x100000 do not lie in RAM, which is at "
            "0x0 to 0x9fbff, 0x100000 to 0x1fffff");
}

TEST(Multiboot, AModuleThatDoesNotFitIsNamed) {
  Bytes const bytes = kernel();
  GuestMemory memory{1 * MiB + 4 * KiB};
  std::string const text = complaint([&] {
    MultibootKernel const image{bytes.image(),
                                {.command_line = {}, .modules = {{"/proc/self/exe"}}}};
    static_cast<void>(image.boot(memory, layout_of(memory)));
  });
  EXPECT_EQ(text.find("there is no room for this module of "), 0U) << text;
}

}  // namespace
}  // namespace portico
