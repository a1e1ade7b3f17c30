// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// What a guest finds at its start, which memory it has, and how it ends.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <tuple>

#include "probe.hpp"
#include "program.hpp"
#include "support/requires.hpp"

namespace portico::abi {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

/// Memory in MiB, page size as on the command line.
class Layout : public testing::TestWithParam<std::tuple<unsigned, unsigned>> {
 protected:
  std::uint64_t memory() const { return std::get<0>(GetParam()) * kMiB; }

  std::vector<std::string> arguments(std::vector<std::string> const& images) const {
    std::vector<std::string> list{"-m", std::to_string(std::get<0>(GetParam())), "-p",
                                  std::to_string(std::get<1>(GetParam())), "-g"};
    list.insert(list.end(), images.begin(), images.end());
    return list;
  }

  Folder folder_;
};

INSTANTIATE_TEST_SUITE_P(All, Layout,
                         testing::Combine(testing::Values(2U, 4U, 8U), testing::Values(4U, 2U)),
                         [](auto const& instance) {
                           return std::to_string(std::get<0>(instance.param)) + "MiBPages" +
                                  std::to_string(std::get<1>(instance.param));
                         });

std::map<std::string, std::uint64_t> registers(std::string const& printed) {
  std::map<std::string, std::uint64_t> found;
  std::istringstream stream{printed};
  std::string name;
  std::uint64_t value;
  while (stream >> name >> std::hex >> value) found[name] = value;
  return found;
}

TEST_P(Layout, StartsInTheDocumentedState) {
  PORTICO_REQUIRES(kvm);
  folder_.take("state.img");
  Result const result = run(folder_, arguments({"state.img"}));
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(result.error, "");
  auto const value = registers(result.out);
  ASSERT_EQ(value.size(), 23U) << result.out;
  for (char const* name : {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10",
                           "r11", "r12", "r13", "r14", "r15"}) {
    EXPECT_EQ(value.at(name), 0U) << name;
  }
  EXPECT_EQ(value.at("rsp"), memory());
  EXPECT_EQ(value.at("rflags"), 2U);
  EXPECT_EQ(value.at("cr0"), 0x8005'0033U) << "PE, MP, ET, NE, WP, AM, PG";
  EXPECT_EQ(value.at("cr4"), 0x620U) << "PAE, OSFXSR, OSXMMEXCPT";
  EXPECT_EQ(value.at("efer") & 0x500, 0x500U) << "long mode enabled and active";
  EXPECT_EQ(value.at("cpl"), 0U);
  EXPECT_EQ(value.at("offset"), 0U) << "the image stands where it was linked, at 0";
  EXPECT_EQ(value.at("bases"), 0U) << "no segment has a base";
  EXPECT_EQ(result.out.find('!'), std::string::npos) << "went on behind hlt";
}

TEST_P(Layout, GivesAllOfMemoryToTheGuest) {
  PORTICO_REQUIRES(kvm);
  folder_.take("fill.img");
  Result const result = run(folder_, arguments({"fill.img"}));
  EXPECT_EQ(result.out, "all of it\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST_P(Layout, PagesAreForRing3Too) {
  PORTICO_REQUIRES(kvm);
  folder_.take("ring3.img");
  Result const result = run(folder_, arguments({"ring3.img"}));
  EXPECT_EQ(result.out, "r3w\n");
  EXPECT_EQ(result.status, 1) << "hlt in ring 3 is a fault";
  EXPECT_TRUE(names_guest(result.error, 0, "ring3.img")) << result.error;
}

TEST_P(Layout, MapsNothingElse) {
  PORTICO_REQUIRES(kvm);
  std::vector<std::uint64_t> const addresses{
      memory(),         memory() + 4096,       memory() + 2 * kMiB,  64 * kMiB,
      0x4000'0000,      0xC000'0000,           0xD000'0000,          0xFEC0'0000,
      0xFEE0'0000,      0xFFFF'F000,           0x1'0000'0000,        0x80'0000'0000,
      0x7FFF'FFFF'F000, 0xFFFF'8000'0000'0000, 0xFFFF'FFFF'FFFF'F000};
  std::vector<std::string> images;
  for (std::uint64_t const address : addresses) {
    Script script;
    script.peek(memory() - 1, bytes({0})).flush().touch(address);
    images.push_back("touch" + std::to_string(images.size()) + "_.img");
    folder_.write(images.back(), script.image());
  }
  Result const result = run(folder_, arguments(images));
  EXPECT_EQ(result.status, 1);
  auto const alive = std::count(result.out.begin(), result.out.end(), '\n');
  EXPECT_EQ(static_cast<std::size_t>(alive), addresses.size()) << result.out;
  for (unsigned i = 0; i < addresses.size(); ++i) {
    EXPECT_TRUE(names_guest(result.error, i, images[i]))
        << "not a word of guest " << i << ", which touched 0x" << std::hex << addresses[i] << ":\n"
        << result.error;
  }
}

TEST_P(Layout, FaultsRightBehindMemory) {
  PORTICO_REQUIRES(kvm);
  folder_.take("fault.img");
  Result const result = run(folder_, arguments({"fault.img"}));
  EXPECT_EQ(result.out, "ae0\n") << "the page is not present, and nothing else is wrong";
  EXPECT_EQ(result.status, 0) << result.error;
}

/// An image for guests/big.S: see there.
std::string big_image(std::size_t size) {
  std::string image = image_bytes("big.img");
  auto const append = [&](std::uint64_t value) {
    for (int i = 0; i < 8; ++i) image += static_cast<char>(value >> (8 * i) & 0xFF);
  };
  for (int i = 0; i < 8; ++i) {
    image[8 + static_cast<std::size_t>(i)] = static_cast<char>(size >> (8 * i) & 0xFF);
  }
  while (image.size() < size - 16) {
    append(image.size() % 4096 == 0 ? image.size() : 0x5A17'B00C'0DDB'A115U);
  }
  image.resize(size - 16);
  // mov al, 'E'; out 0xE9, al; mov al, '\n'; out 0xE9, al; ret
  image += bytes({0xB0, 'E', 0xE6, 0xE9, 0xB0, '\n', 0xE6, 0xE9, 0xC3});
  image.resize(size, '\x90');
  return image;
}

TEST_P(Layout, RunsImagesUpToMemoryMinusAStackPage) {
  PORTICO_REQUIRES(kvm);
  for (std::size_t const size :
       {std::size_t{4096 + 16}, std::size_t{4096 + 520}, std::size_t{3 * 4096}, std::size_t{0x5010},
        std::size_t{65536 + 32}, std::size_t{100'000}, static_cast<std::size_t>(memory() - 4096)}) {
    folder_.write("big.img", big_image(size));
    Result const result = run(folder_, arguments({"big.img"}));
    EXPECT_EQ(result.out, "E\n") << "image of " << size << " bytes";
    EXPECT_EQ(result.status, 0) << result.error;
  }
}

TEST_P(Layout, RefusesImagesThatAreTooLarge) {
  PORTICO_REQUIRES(kvm);
  folder_.take("hello.img");
  for (std::uint64_t const size :
       {memory() - 4096 + 1, memory(), memory() + 1, std::uint64_t{5'000'000'000}}) {
    folder_.write("big.img", "x");
    std::filesystem::resize_file(folder_ / "big.img", size);
    Result const result = run(folder_, arguments({"hello.img", "big.img"}));
    EXPECT_EQ(result.status, 2) << size;
    EXPECT_EQ(result.out, "") << "refused before any guest starts";
    EXPECT_NE(result.error.find("big.img"), std::string::npos) << result.error;
    EXPECT_NE(result.error.find(std::to_string(size)), std::string::npos) << result.error;
    EXPECT_NE(result.error.find(std::to_string(memory() - 4096)), std::string::npos)
        << "the limit: " << result.error;
  }
}

TEST(Image, WithMoreThan64KiBOfDataRuns) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("bigdata.img");
  for (char const* page : {"4", "2"}) {
    Result const result = run(folder, {"-m", "2", "-p", page, "-g", "bigdata.img"});
    EXPECT_EQ(result.out, "422709590947\n");
    EXPECT_EQ(result.status, 0) << result.error;
  }
}

TEST(Image, OfOneByteRuns) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.write("hlt.img", "\xF4");
  Result const result = run(folder, {"-m", "2", "-p", "4", "-g", "hlt.img"});
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.status, 0);
}

TEST(Image, InElfIsLoadedOrRefusedWithTheWayOut) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("hello_elf.img");
  Result const result = run(folder, {"-m", "2", "-p", "4", "-g", "hello_elf.img"});
  if (result.status == 0) {
    EXPECT_EQ(result.out, "Hello, world!\n");
  } else {
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.error.find("ld "), std::string::npos) << result.error;
    EXPECT_NE(result.error.find("--oformat binary"), std::string::npos) << result.error;
  }
}

TEST(Image, WithSseFromANewCompilerRuns) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  Folder folder;
  folder.take("sse.img");
  Result const result = run(folder, {"-m", "2", "-p", "4", "-g", "sse.img"});
  EXPECT_EQ(result.out, "525 18 ok\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST(End, TripleFaultIsReportedAndTheOthersGoOn) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("crash.img");
  folder.take("greet.img");
  Program program{folder,
                  {"-m", "2", "-p", "2", "-g", "crash.img", "greet.img"},
                  {.input = Surroundings::Input::open}};
  EXPECT_TRUE(program.wait_for_output("about to crash"));
  EXPECT_TRUE(program.wait_for_output("Name? "));
  program.send("Ada\n");
  EXPECT_TRUE(program.wait_for_output("Hello, Ada!\n"));
  Result const result = program.finish();
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.out.find('!'), result.out.rfind('!')) << "went on behind the fault";
  EXPECT_TRUE(names_guest(result.error, 0, "crash.img")) << result.error;
  EXPECT_FALSE(names_guest(result.error, 1, "greet.img")) << result.error;
  EXPECT_TRUE(std::regex_search(
      result.error, std::regex{"triple fault|shutdown", std::regex::icase | std::regex::nosubs}))
      << result.error;
  EXPECT_TRUE(std::regex_search(result.error, std::regex{"rip", std::regex::icase}))
      << result.error;
  // After a shutdown kvm_amd has reset the vCPU: there the instruction is lost.
  if (::access("/sys/module/kvm_amd", F_OK) != 0) {
    EXPECT_TRUE(std::regex_search(result.error, std::regex{"1a57", std::regex::icase}))
        << result.error;
  }
}

TEST(End, CodeOutsideMemoryIsReported) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("outside.img");
  folder.take("hello.img");
  Result const result = run(folder, {"-m", "2", "-p", "4", "-g", "hello.img", "outside.img"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.out.find("Hello, world!\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find('o'), std::string::npos);
  EXPECT_TRUE(names_guest(result.error, 1, "outside.img")) << result.error;
  EXPECT_TRUE(std::regex_search(result.error, std::regex{"rip", std::regex::icase}))
      << result.error;
  // It ends by KVM_EXIT_INTERNAL_ERROR, which leaves the registers alone.
  EXPECT_TRUE(std::regex_search(result.error, std::regex{"4000'?0000", std::regex::icase}))
      << result.error;
}

/// Long enough for a guest to speak, in the laboratory as well.
std::string const kTimeout = std::to_string(test::time_scale());

TEST(End, ByTimeout) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("hello.img");
  folder.take("spin.img");
  Result const result =
      run(folder, {"-m", "2", "-p", "4", "--timeout", kTimeout, "-g", "hello.img", "spin.img"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.out.find("Hello, world!\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("spin"), std::string::npos) << result.out;
  EXPECT_TRUE(names_guest(result.error, 1, "spin.img")) << result.error;
  EXPECT_FALSE(names_guest(result.error, 0, "hello.img")) << result.error;
}

TEST(End, ByTimeoutWhileWaitingForInput) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("greet.img");
  Result const result = Program{folder,
                                {"-m", "2", "-p", "4", "--timeout", kTimeout, "-g", "greet.img"},
                                {.input = Surroundings::Input::open}}
                            .finish();
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.out, "Name? ");
  EXPECT_TRUE(names_guest(result.error, 0, "greet.img")) << result.error;
}

}  // namespace
}  // namespace portico::abi
