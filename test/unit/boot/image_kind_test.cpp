#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include <portico/boot/image_kind.hpp>

#include "image_builder.hpp"

namespace portico {
namespace {

using test::Bytes;
using test::complaint;

/// An ELF64 executable whose second program header is a note, of this type.
Bytes elf(std::uint32_t note_type = 0) {
  Bytes bytes;
  bytes.text(0, "\177ELF").put(4, std::uint8_t{2}).put(5, std::uint8_t{1}).put(6, std::uint8_t{1});
  bytes.put(16, std::uint16_t{2}).put(18, std::uint16_t{62}).put(20, std::uint32_t{1});
  bytes.put(24, std::uint64_t{0x10'0000}).put(32, std::uint64_t{64});
  bytes.put(52, std::uint16_t{64}).put(54, std::uint16_t{56}).put(56, std::uint16_t{2});
  auto const segment = [&](std::size_t at, std::uint32_t type, std::uint64_t offset,
                           std::uint64_t size) {
    bytes.put(at, type).put(at + 8, offset).put(at + 24, std::uint64_t{0x10'0000});
    bytes.put(at + 32, size).put(at + 40, size).put(at + 48, std::uint64_t{4});
  };
  segment(64, 1, 0, 256);
  segment(120, 4, 200, 20);
  bytes.put(200, std::uint32_t{4}).put(204, std::uint32_t{4}).put(208, note_type);
  bytes.text(212, "Xen").put(216, std::uint32_t{0x10'0000});
  bytes.resize(0x3000);
  return bytes;
}

void put_multiboot(Bytes& bytes, std::size_t at, std::uint32_t checksum_error = 0) {
  constexpr std::uint32_t flags = 0x0000'0003;
  bytes.put(at, MultibootHeader::magic).put(at + 4, flags);
  bytes.put(at + 8, 0U - MultibootHeader::magic - flags + checksum_error);
}

ImageKind kind_of(Bytes const& bytes) { return image_kind(bytes.image()); }

TEST(ImageKind, GoesByTheMarkOfEachProtocol) {
  EXPECT_EQ(kind_of(elf()), ImageKind::elf);
  EXPECT_EQ(kind_of(elf(17)), ImageKind::elf) << "another note of Xen's";
  EXPECT_EQ(kind_of(elf(18)), ImageKind::pvh);
  Bytes linux;
  linux.text(0x202, "HdrS");
  EXPECT_EQ(kind_of(linux), ImageKind::bzimage);
  Bytes multiboot;
  put_multiboot(multiboot, 0x40);
  EXPECT_EQ(kind_of(multiboot), ImageKind::multiboot);
}

TEST(ImageKind, AMultibootHeaderCountsFirst) {
  Bytes both = elf(18);
  put_multiboot(both, 0x100);
  EXPECT_EQ(kind_of(both), ImageKind::multiboot);
}

TEST(ImageKind, AMultibootHeaderLiesInTheFirst8192BytesAtAMultipleOf4AndAddsUp) {
  Bytes last = elf();
  put_multiboot(last, 8192 - 12);
  EXPECT_EQ(kind_of(last), ImageKind::multiboot);
  Bytes beyond = elf();
  put_multiboot(beyond, 8192 - 8);
  EXPECT_EQ(kind_of(beyond), ImageKind::elf);
  Bytes between = elf();
  put_multiboot(between, 0x102);
  EXPECT_EQ(kind_of(between), ImageKind::elf);
  Bytes wrong = elf();
  put_multiboot(wrong, 0x100, 1);
  EXPECT_EQ(kind_of(wrong), ImageKind::elf);
}

TEST(ImageKind, WhatHasNoMarkIsUnknown) {
  EXPECT_EQ(kind_of(Bytes{}.put(0, std::uint8_t{0xF4})), ImageKind::unknown);
  EXPECT_EQ(kind_of(Bytes{}.text(0x201, "HdrS")), ImageKind::unknown);
  EXPECT_EQ(kind_of(Bytes{}.text(0x202, "Hdr")), ImageKind::unknown) << "truncated";
}

TEST(ImageKind, ABrokenElfFileIsRefusedByItsField) {
  Bytes broken = elf();
  broken.put(18, std::uint16_t{3});
  EXPECT_EQ(complaint([&] { static_cast<void>(kind_of(broken)); }),
            "e_machine is 3; 62 (x86-64) is needed");
}

}  // namespace
}  // namespace portico
