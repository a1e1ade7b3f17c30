#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include <portico/base/bytes.hpp>
#include <portico/boot/elf_image.hpp>
#include <portico/boot/pvh_kernel.hpp>

#include "image_builder.hpp"

namespace portico {
namespace {

using test::Bytes;
using test::complaint;
using test::layout_of;
using test::text_at;

constexpr std::size_t program_headers = 64;

struct Segment {
  std::uint32_t type = 1;
  std::uint64_t offset = 0x200;
  std::uint64_t virtual_address = 0x10'0000;
  std::uint64_t address = 0x10'0000;
  std::uint64_t file_size = 16;
  std::uint64_t memory_size = 32;
  std::uint64_t alignment = 4;
};

void put_segment(Bytes& bytes, unsigned index, Segment const& segment) {
  std::size_t const at = program_headers + 56 * index;
  bytes.put(at, segment.type).put(at + 4, std::uint32_t{7});
  bytes.put(at + 8, segment.offset).put(at + 16, segment.virtual_address);
  bytes.put(at + 24, segment.address).put(at + 32, segment.file_size);
  bytes.put(at + 40, segment.memory_size).put(at + 48, segment.alignment);
}

/// A 64-bit executable of one segment at 1 MiB, with room for more headers.
Bytes elf64(std::uint64_t entry = 0x10'0004) {
  Bytes bytes;
  bytes.text(0, "\177ELF\2\1\1").put(16, std::uint16_t{2}).put(18, std::uint16_t{62});
  bytes.put(20, std::uint32_t{1}).put(24, entry).put(32, std::uint64_t{program_headers});
  bytes.put(54, std::uint16_t{56}).put(56, std::uint16_t{1});
  put_segment(bytes, 0, {});
  bytes.text(0x200, "sixteen letters!");
  return bytes;
}

/// A 32-bit one.
Bytes elf32() {
  Bytes bytes;
  bytes.text(0, "\177ELF\1\1\1").put(16, std::uint16_t{2}).put(18, std::uint16_t{3});
  bytes.put(20, std::uint32_t{1}).put(24, std::uint32_t{0x10'0004}).put(28, std::uint32_t{64});
  bytes.put(42, std::uint16_t{32}).put(44, std::uint16_t{1});
  std::uint32_t const fields[] = {1, 0x200, 0x10'0000, 0x10'0000, 16, 32, 7, 4};
  for (std::size_t index = 0; index < 8; ++index) bytes.put(64 + 4 * index, fields[index]);
  bytes.text(0x200, "sixteen letters!");
  return bytes;
}

std::string refusal(Bytes const& bytes) {
  return complaint([&] { static_cast<void>(ElfImage{bytes.image()}); });
}

/// What is said when it is loaded, into 2 MiB.
std::string refusal_to_load(Bytes const& bytes) {
  return complaint([&] {
    GuestMemory memory{2 * MiB};
    static_cast<void>(ElfImage{bytes.image()}.boot(memory, layout_of(memory)));
  });
}

TEST(Elf, A64BitExecutableStandsAtItsPhysicalAddresses) {
  Bytes bytes = elf64(0xFFFF'8000'0010'0004);  // linked high, loaded low
  put_segment(bytes, 0, {.virtual_address = 0xFFFF'8000'0010'0000, .address = 0x11'0000});
  GuestMemory memory{2 * MiB};
  ASSERT_TRUE(memory.write(0x11'0010, std::uint64_t{0xFFFF}));  // is cleared
  ElfImage const image{bytes.image()};
  ASSERT_TRUE(image.long_mode());
  x86::CpuState const state = image.boot(memory, layout_of(memory));
  EXPECT_EQ(text_at(memory, 0x11'0000), "sixteen letters!");
  EXPECT_EQ(state.rip, 0x11'0004U);
  EXPECT_EQ(state.rsp, 2 * MiB);
  EXPECT_EQ(state.cr3, 0x7000U);
  EXPECT_TRUE(state.cs.l);
}

TEST(Elf, A32BitExecutableStartsWithoutPaging) {
  Bytes const bytes = elf32();
  GuestMemory memory{2 * MiB};
  ElfImage const image{bytes.image(), {.stack = 0x8000}};
  EXPECT_FALSE(image.long_mode());
  x86::CpuState const state = image.boot(memory, layout_of(memory));
  EXPECT_EQ(text_at(memory, 0x10'0000), "sixteen letters!");
  EXPECT_EQ(state.rip, 0x10'0004U);
  EXPECT_EQ(state.rsp, 0x8000U);
  EXPECT_EQ(state.cr0, x86::cr0::pe | x86::cr0::et);
  EXPECT_TRUE(state.cs.db);
}

TEST(Elf, AnEntryMayBeAPhysicalAddress) {
  Bytes bytes = elf64(0x10'0008);
  put_segment(bytes, 0, {.virtual_address = 0xFFFF'8000'0000'0000});
  GuestMemory memory{2 * MiB};
  EXPECT_EQ(ElfImage{bytes.image()}.boot(memory, layout_of(memory)).rip, 0x10'0008U);
}

TEST(Elf, TheHeadersFieldsAreNamed) {
  EXPECT_EQ(refusal(Bytes{}.text(0, "MZ and no more there")),
            "is no ELF file: it does not begin with 0x7f 'E' 'L' 'F'");
  EXPECT_EQ(refusal(elf64().put(4, std::uint8_t{3})),
            "EI_CLASS is 3; 1 (32-bit) or 2 (64-bit) is needed");
  EXPECT_EQ(refusal(elf64().put(5, std::uint8_t{2})), "EI_DATA is 2; 1 (little-endian) is needed");
  EXPECT_EQ(refusal(elf64().put(6, std::uint8_t{0})), "EI_VERSION is 0; 1 is needed");
  EXPECT_EQ(refusal(elf64().put(18, std::uint16_t{183})),
            "e_machine is 183; 62 (x86-64) is needed");
  EXPECT_EQ(refusal(elf32().put(18, std::uint16_t{62})), "e_machine is 62; 3 (386) is needed");
  EXPECT_EQ(refusal(elf64().put(16, std::uint16_t{3})),
            "e_type is 3; 2 (ET_EXEC, linked with -no-pie) is needed");
  EXPECT_EQ(refusal(elf64().put(54, std::uint16_t{55})), "e_phentsize is 55; 56 is needed");
  EXPECT_EQ(refusal(elf64().put(56, std::uint16_t{0})), "e_phnum is 0; 1 to 128 is needed");
  EXPECT_EQ(refusal(elf64().put(56, std::uint16_t{129})), "e_phnum is 129; 1 to 128 is needed");
}

TEST(Elf, ATruncatedFileIsRefusedWhereverItEnds) {
  Bytes bytes = elf64();
  ASSERT_EQ(bytes.span().size(), 0x210U);
  for (std::size_t size = 0; size < 0x210; ++size) {
    Bytes shorter = bytes;
    shorter.resize(size);
    EXPECT_NE(refusal(shorter).find("is truncated"), std::string::npos) << size;
  }
  EXPECT_EQ(refusal(bytes), "nothing");
}

TEST(Elf, LiesAboutSizesAreRefused) {
  EXPECT_EQ(refusal(elf64().put(32, ~std::uint64_t{0})),
            "is truncated: e_phoff 0xffffffffffffffff and e_phnum reach past the file's end at "
            "0x210");
  Bytes bytes = elf64();
  put_segment(bytes, 0, {.offset = ~std::uint64_t{7}, .memory_size = 16});
  EXPECT_EQ(refusal(bytes),
            "is truncated: program header 0, p_offset 0xfffffffffffffff8 and p_filesz 0x10 reach "
            "past the file's end at 0x210");
  put_segment(bytes, 0, {.memory_size = 15});
  EXPECT_EQ(refusal(bytes), "program header 0: p_filesz 0x10 is larger than p_memsz 0xf");
  put_segment(bytes, 0, {.file_size = 0, .memory_size = 0});
  EXPECT_EQ(refusal(bytes), "has no PT_LOAD segment: there is nothing to load");
  put_segment(bytes, 0, {.type = 3});
  EXPECT_EQ(refusal(bytes),
            "program header 0 is PT_INTERP: it wants a dynamic linker; link it with -static");
}

TEST(Elf, WhatCannotStandWhereItWantsToIsRefused) {
  Bytes bytes = elf64();
  put_segment(bytes, 0, {.address = 0x9'FBF8});
  EXPECT_EQ(refusal_to_load(bytes),
            "program header 0, p_paddr: 32 bytes at 0x9fbf8 reach into 0x9fc00 to 0x9ffff, which "
            "the machine's tables or its firmware have");
  put_segment(bytes, 0, {.address = 0x20'0000});
  EXPECT_EQ(refusal_to_load(bytes),
            "program header 0, p_paddr: 32 bytes at 0x200000 do not lie in RAM, which is at 0x0 to "
            "0x9fbff, 0x100000 to 0x1fffff");
  put_segment(bytes, 0, {.address = ~std::uint64_t{15}, .memory_size = ~std::uint64_t{0}});
  EXPECT_NE(refusal_to_load(bytes).find("do not lie in RAM"), std::string::npos);
  put_segment(bytes, 0, {.address = 0x1F'FFE0});
  EXPECT_EQ(refusal_to_load(bytes),
            "the stack: 4096 bytes at 0x1ff000 overlap program header 0, p_paddr at 0x1fffe0 to "
            "0x1fffff");
  bytes.put(56, std::uint16_t{2});
  put_segment(bytes, 0, {});
  put_segment(bytes, 1, {.address = 0x10'001F});
  EXPECT_EQ(refusal_to_load(bytes),
            "program header 1, p_paddr: 32 bytes at 0x10001f overlap program header 0, p_paddr at "
            "0x100000 to 0x10001f");
  EXPECT_EQ(refusal_to_load(elf64(0x10'0020)),
            "e_entry 0x100020 lies in none of its PT_LOAD segments");
}

/// One with a PVH entry: a note of another owner first.
Bytes pvh(std::uint32_t entry = 0x10'0004) {
  Bytes bytes = elf64();
  bytes.put(56, std::uint16_t{2});
  put_segment(bytes, 1, {.type = 4, .offset = 0x300, .file_size = 44, .memory_size = 44});
  bytes.put(0x300, std::uint32_t{4}).put(0x304, std::uint32_t{5}).put(0x308, std::uint32_t{18});
  bytes.text(0x30C, std::string{"GNU\0wrong", 9}).put(0x318, std::uint32_t{4});
  bytes.put(0x31C, std::uint32_t{4}).put(0x320, std::uint32_t{18});
  bytes.text(0x324, std::string{"Xen\0", 4}).put(0x328, entry);
  return bytes;
}

TEST(Pvh, TheCpuStartsAtTheNotesAddress) {
  Bytes const bytes = pvh();
  GuestMemory memory{4 * MiB};
  BootLayout const layout = layout_of(memory);
  x86::CpuState const state =
      PvhKernel{bytes.image(), {.command_line = "a b"}}.boot(memory, layout);
  EXPECT_EQ(state.rip, 0x10'0004U);
  EXPECT_EQ(state.cr0, x86::cr0::pe | x86::cr0::et);
  EXPECT_EQ(state.cr4, 0U);
  EXPECT_EQ(memory.read<std::uint32_t>(state.rbx), 0x336E'C578U);
  EXPECT_EQ(memory.read<std::uint32_t>(state.rbx + 4), 1U);
  EXPECT_EQ(memory.read<std::uint32_t>(state.rbx + 12), 0U);  // modules
  EXPECT_EQ(text_at(memory, *memory.read<std::uint64_t>(state.rbx + 24)), "a b");
  EXPECT_EQ(memory.read<std::uint64_t>(state.rbx + 32), 0xE'0000U);
  std::uint64_t const map = *memory.read<std::uint64_t>(state.rbx + 40);
  ASSERT_EQ(memory.read<std::uint32_t>(state.rbx + 48), 4U);
  EXPECT_EQ(memory.read<std::uint64_t>(map + 3 * 24), 0x10'0000U);
  EXPECT_EQ(memory.read<std::uint64_t>(map + 3 * 24 + 8), 3 * MiB);
  EXPECT_EQ(memory.read<std::uint32_t>(map + 3 * 24 + 16), 1U);
}

TEST(Pvh, ANoteThatIsMissingOrWrongIsNamed) {
  auto const refused = [](Bytes const& bytes) {
    return complaint([&] { static_cast<void>(PvhKernel{bytes.image()}); });
  };
  EXPECT_EQ(refused(elf64()),
            "has no note XEN_ELFNOTE_PHYS32_ENTRY, so it has no PVH entry (Linux: CONFIG_PVH)");
  EXPECT_EQ(refused(pvh(0x20'0000)),
            "XEN_ELFNOTE_PHYS32_ENTRY 0x200000 lies in none of its PT_LOAD segments");
  // Notes that lie about their size end the search.
  EXPECT_NE(refused(pvh().put(0x300, ~std::uint32_t{0})).find("has no note"), std::string::npos);
  EXPECT_NE(refused(pvh().put(0x304, ~std::uint32_t{0})).find("has no note"), std::string::npos);
}

TEST(Pvh, ACommandLineMayNotHoldA0) {
  Bytes const bytes = pvh();
  GuestMemory memory{4 * MiB};
  EXPECT_EQ(complaint([&] {
              PvhKernel const kernel{bytes.image(), {.command_line = std::string{"a\0b", 3}}};
              static_cast<void>(kernel.boot(memory, layout_of(memory)));
            }),
            "the command line has a character 0 in it, which would end it there");
}

}  // namespace
}  // namespace portico
