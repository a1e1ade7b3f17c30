// The guests of guest/, each run by mini_hypervisor: what they print, how they end, and what they
// leave in their folder. guest/README.md describes each.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "abi/program.hpp"
#include "support/requires.hpp"

namespace portico::test {
namespace {

using abi::Folder;
using abi::Result;
using abi::Surroundings;
using Names = std::vector<std::string>;

constexpr std::string_view kFlooded = "the quick brown fox jumps over the lazy dog\n";

/// What the guests' `checksum` makes of the same bytes.
std::uint64_t checksum(std::string_view data) {
  std::uint64_t sum = 0xCBF2'9CE4'8422'2325;
  while (!data.empty()) {
    std::uint64_t word = 0;
    std::size_t const count = std::min(data.size(), sizeof word);
    std::memcpy(&word, data.data(), count);
    sum = (sum ^ word) * 0x100'0000'01B3;
    data.remove_prefix(count);
  }
  return sum;
}

std::string hex(std::uint64_t value) {
  std::ostringstream out;
  out << "0x" << std::hex;
  out.width(16);
  out.fill('0');
  out << value;
  return out.str();
}

/// Bytes without visible order, of all values.
std::string noise(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint32_t state = 1;
  for (char& byte : bytes) {
    state = state * 1'664'525 + 1'013'904'223;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

/// The row of a device in what --stats prints: its reads, writes, bytes and exits.
std::vector<std::uint64_t> statistics(std::string const& error, std::string const& device) {
  for (std::string const& line : abi::lines(error)) {
    std::istringstream row{line};
    std::string name;
    if (!(row >> name) || name != device) continue;
    std::vector<std::uint64_t> numbers;
    for (std::uint64_t number; row >> number;) numbers.push_back(number);
    return numbers;
  }
  return {};
}

/// What one guest printed, from output that --prefix labelled, without the ends of lines: on a slow
/// machine a line may come in pieces, with another guest's between them.
std::string said_by(unsigned guest, std::string const& out) {
  std::string const label = "guest" + std::to_string(guest) + ": ";
  std::string said;
  for (std::string const& line : abi::lines(out)) {
    if (line.starts_with(label)) said += line.substr(label.size());
  }
  return said;
}

class Guests : public testing::Test {
 protected:
  /// Runs guests of these names, with 2 MiB in pages of 4 KiB unless told otherwise.
  Result run(Names const& names, Names const& more = {}, Surroundings const& surroundings = {},
             Names const& machine = {"-m", "2", "-p", "4"}) {
    return abi::run(folder_, arguments(names, more, machine), surroundings);
  }

  Names arguments(Names const& names, Names const& more = {},
                  Names const& machine = {"-m", "2", "-p", "4"}) {
    Names all = machine;
    all.emplace_back("-g");
    for (std::string const& name : names) {
      if (!std::filesystem::exists(folder_ / (name + ".img"))) folder_.take(name + ".img");
      all.push_back(name + ".img");
    }
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  /// Runs a guest that ends well, on each size of memory and page, and holds its output.
  void expect_output(std::string const& name, std::string const& output) {
    for (char const* const memory : {"2", "8"}) {
      for (char const* const page : {"4", "2"}) {
        SCOPED_TRACE(name + " -m " + memory + " -p " + page);
        Result const result = run({name}, {}, {}, {"-m", memory, "-p", page});
        EXPECT_EQ(result.out, output);
        EXPECT_EQ(result.error, "");
        EXPECT_EQ(result.status, 0);
      }
    }
  }

  std::string content(std::string const& name) const {
    return folder_.read(name).value_or("(no such file)");
  }

  Folder folder_;
};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool ends_with_failures_0(std::string_view text) { return text.ends_with("\n0 failures\n"); }

TEST_F(Guests, Hello) {
  PORTICO_REQUIRES(kvm);
  expect_output("hello", "Hello, world!\n");
}

TEST_F(Guests, TemplateKnowsItsMemory) {
  PORTICO_REQUIRES(kvm);
  for (std::string const memory : {"2", "4", "8"}) {
    Result const result = run({"template"}, {}, {}, {"-m", memory, "-p", "2"});
    EXPECT_EQ(result.out, "This guest has " + memory + " MiB of memory.\n");
  }
}

TEST_F(Guests, EchoGivesBackItsInput) {
  PORTICO_REQUIRES(kvm);
  std::string const text{"one\ntwo\0three\n", 14};
  Result const result = run({"echo"}, {}, {.text = text});
  EXPECT_EQ(result.out, text);
  EXPECT_EQ(result.status, 0);
}

TEST_F(Guests, StringInstructionsReachTheConsole) {
  PORTICO_REQUIRES(kvm);
  EXPECT_EQ(run({"string_io"}, {}, {.text = "abcdefgh and more"}).out, "abcdefgh\n");
}

TEST_F(Guests, BigImageIsWhole) {
  PORTICO_REQUIRES(kvm);
  EXPECT_GT(abi::image_bytes("big.img").size(), 64u * 1024);
  expect_output("big", "all 192 KiB of the table are right, sum 0xa42074db82bc1000\n");
}

TEST_F(Guests, BigImageSeesDamage) {
  PORTICO_REQUIRES(kvm);
  std::string image = abi::image_bytes("big.img");
  image[0x5000] ^= 1;
  folder_.write("big.img", image);
  EXPECT_EQ(run({"big"}).out, "the image is damaged at address 0x5000\n");
}

TEST_F(Guests, LibraryHoldsItsPromises) {
  PORTICO_REQUIRES(kvm);
  expect_output("printf_test", "left  |   -12|0x00ff|!|\n59 checks, 0 failures\n");
  expect_output("string_test", "137 checks, 0 failures\n");
}

TEST_F(Guests, CopyByBytesTakesTheProtocolsOwnCount) {
  PORTICO_REQUIRES(kvm);
  std::string text;
  for (int i = 0; i < 100; ++i) text += "line " + std::to_string(i) + "\n";
  folder_.write("source.txt", text);
  Result const result = run({"copy_bytes"}, {"-f", "source.txt", "--stats"});
  EXPECT_EQ(result.out, "copied " + std::to_string(text.size()) + " bytes, checksum " +
                            hex(checksum(text)) + "\n");
  EXPECT_EQ(content("copy.txt.local0"), text);
  auto const row = statistics(result.error, "files");
  ASSERT_EQ(row.size(), 4u) << result.error;
  EXPECT_EQ(row[3], 13 * text.size() + 48);
}

TEST_F(Guests, CopyByBlocksTakesFewExits) {
  PORTICO_REQUIRES(kvm);

  struct Copy {
    std::string memory;
    std::size_t block;
    std::size_t size;
  };

  std::size_t const mebi = 1024 * 1024;
  for (Copy const& copy : {Copy{"8", 4 * mebi, mebi}, Copy{"8", 4 * mebi, 4 * mebi + 12'345},
                           Copy{"2", mebi, 2 * mebi}, Copy{"2", mebi, 0}}) {
    SCOPED_TRACE(copy.size);
    std::string const bytes = noise(copy.size);
    folder_.write("source.bin", bytes);
    Result const result =
        run({"copy_blocks"}, {"-f", "source.bin", "--stats"}, {}, {"-m", copy.memory, "-p", "2"});
    EXPECT_EQ(result.out, "copied " + std::to_string(copy.size) + " bytes in blocks of " +
                              std::to_string(copy.block) + ", checksum " + hex(checksum(bytes)) +
                              "\n");
    EXPECT_TRUE(content("copy.bin.local0") == bytes);
    auto const row = statistics(result.error, "files");
    ASSERT_EQ(row.size(), 4u) << result.error;
    std::size_t const writes = (copy.size + copy.block - 1) / copy.block;
    EXPECT_EQ(row[3], copy.size / copy.block + 1 + writes + 4);
    EXPECT_LE(row[3], copy.size / copy.block + 10);
  }
}

TEST_F(Guests, CopyingSaysWhatIsMissing) {
  PORTICO_REQUIRES(kvm);
  EXPECT_EQ(run({"copy_bytes"}).out, "source.txt can't be opened\n");
  EXPECT_EQ(run({"copy_blocks"}).out, "source.bin can't be opened\n");
}

TEST_F(Guests, TwoOverwriteOneSharedFileAndGetTheirOwn) {
  PORTICO_REQUIRES(kvm);
  folder_.write("shared.txt", "shared contents\n");
  Result const result = run({"overwrite", "overwrite"}, {"-f", "shared.txt", "--prefix"});
  for (unsigned const guest : {0u, 1u}) {
    EXPECT_EQ(said_by(guest, result.out),
              "the shared file can be read: yes"
              "the own file begins empty: yes"
              "the old descriptor is invalid: yes"
              "each block is read back as written: yes"
              "the whole file is read back as written: yes");
  }
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(content("shared.txt"), "shared contents\n");
  EXPECT_EQ(content("shared.txt.local0").size(), 32'768u);
  EXPECT_EQ(content("shared.txt.local1").size(), 32'768u);
  EXPECT_FALSE(content("shared.txt.local0") == content("shared.txt.local1"));
}

TEST_F(Guests, DemonstrationShowsThreeAtOnce) {
  PORTICO_REQUIRES(kvm);
  std::filesystem::path const source = std::getenv("PORTICO_SOURCE");
  for (char const* const name : {"river.txt", "market.txt"}) {
    std::filesystem::copy(source / "guest" / "demo" / name, folder_ / name);
  }
  std::string const river = content("river.txt");
  Result const result = run({"demo_words", "demo_capitals", "demo_chart"},
                            {"-f", "river.txt", "market.txt", "--prefix"});
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(said_by(0, result.out),
            "river.txt has"
            "   289 bytes"
            "     9 lines"
            "    57 words, the longest is \"carries\"");
  EXPECT_EQ(said_by(1, result.out),
            "my own river.txt begins"
            "THE RIVER LEAVES THE HILLS AT NIGHT,"
            "A THREAD OF SILVER, THIN AND SLOW;"
            "IT TAKES THE SNOW'S LAST BIT OF LIGHT"
            "AND CARRIES IT TO FIELDS BELOW.");
  EXPECT_EQ(said_by(2, result.out),
            "apples    31 ###############################"
            "bread     24 ########################"
            "cheese     9 #########"
            "honey     14 ##############"
            "plums     38 ######################################"
            "walnuts   19 ###################"
            "total    135");
  EXPECT_EQ(content("river.txt"), river);
}

TEST_F(Guests, FaultsEndOneGuestAlone) {
  PORTICO_REQUIRES(kvm);
  for (auto const& [name, last_words] :
       {std::pair<std::string, std::string>{"bad_triple_fault", "about to fault three times"},
        {"bad_wild_jump", "about to jump out of memory"}}) {
    Result const result = run({"hello", name, "hello"}, {"--prefix"});
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(abi::names_guest(result.error, 1, name + ".img")) << result.error;
    EXPECT_TRUE(contains(result.error, "triple fault")) << result.error;
    EXPECT_EQ(abi::lines(result.error).size(), 1u) << result.error;
    EXPECT_EQ(said_by(0, result.out), "Hello, world!");
    EXPECT_EQ(said_by(1, result.out), last_words);
    EXPECT_EQ(said_by(2, result.out), "Hello, world!");
  }
}

TEST_F(Guests, EndlessGuestsAreStoppedAndOthersAreNot) {
  PORTICO_REQUIRES(kvm);

  struct Endless {
    std::string name;
    std::string_view begins;
  };

  for (auto const& [name, begins] : {Endless{"bad_loop", "looping\n"}, Endless{"bad_spin", "s"},
                                     Endless{"bad_flood", kFlooded}}) {
    SCOPED_TRACE(name);
    Result const alone = run({name}, {"--timeout", std::to_string(time_scale())});
    EXPECT_EQ(alone.status, 1);
    EXPECT_TRUE(alone.out.starts_with(begins)) << alone.out.substr(0, 100);
    EXPECT_TRUE(abi::names_guest(alone.error, 0, name + ".img")) << alone.error;

    Result const beside =
        run({name, "hello"}, {"--prefix", "--timeout", std::to_string(2 * time_scale())});
    EXPECT_EQ(beside.status, 1);
    EXPECT_EQ(said_by(1, beside.out), "Hello, world!");
    EXPECT_TRUE(abi::names_guest(beside.error, 0, name + ".img")) << beside.error;
    EXPECT_FALSE(contains(beside.error, "hello.img")) << beside.error;
  }
}

TEST_F(Guests, MemoryOutsideIsNotThere) {
  PORTICO_REQUIRES(kvm);
  expect_output("bad_wild_memory", "0 failures\n");
}

TEST_F(Guests, UnclaimedPortsAndWidthsReadAllOnes) {
  PORTICO_REQUIRES(kvm);
  Result const result = run({"bad_ports"}, {"--stats"});
  EXPECT_EQ(result.status, 0);
  Names const lines = abi::lines(result.out);
  ASSERT_EQ(lines.size(), 33u);
  for (std::size_t i = 0; i < 32; ++i) {
    EXPECT_TRUE(lines[i].ends_with("all ones")) << lines[i];
  }
  EXPECT_EQ(lines[32], "0 failures");
}

TEST_F(Guests, GarbageIsRefused) {
  PORTICO_REQUIRES(kvm);
  Result const result = run({"bad_garbage"});
  EXPECT_EQ(result.out,
            "70 lies refused\n"
            "a refused read takes nothing: yes\n"
            "a refused write adds nothing: yes\n"
            "a request that ends outside is dropped: yes\n"
            "the last place in RAM is good enough: yes\n"
            "a request can be its own buffer: yes\n"
            "the device still works: yes\n"
            "0 failures\n");
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(content("after.txt.local0"), "okay");
  for (std::string const& name : folder_.names()) {
    EXPECT_TRUE(name == "bad_garbage.img" || name.ends_with(".local0")) << name;
  }
}

TEST_F(Guests, NamesLeadNowhereElse) {
  PORTICO_REQUIRES(kvm);
  Folder const outside;
  outside.write("victim", "untouched");
  std::filesystem::create_symlink(outside / "victim", folder_ / "link");
  std::filesystem::create_symlink(outside / "victim", folder_ / "trap.local0");
  Result const result = run({"bad_names"});
  EXPECT_TRUE(ends_with_failures_0(result.out)) << result.out;
  EXPECT_TRUE(contains(result.out, "\n../x                    read no          write no\n"));
  EXPECT_TRUE(contains(result.out, "\nplain                   read no          write yes\n"));
  EXPECT_TRUE(contains(result.out, "\ntrap                    write no\n")) << result.out;
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(outside.read("victim"), "untouched");
  EXPECT_EQ(outside.names(), Names{"victim"});
  for (std::string const& name : folder_.names()) {
    EXPECT_TRUE(name == "bad_names.img" || name == "link" || name.ends_with(".local0")) << name;
  }
}

TEST_F(Guests, LongNamesEndAt300Bytes) {
  PORTICO_REQUIRES(kvm);
  std::string const refused = " bytes: read refused refused, write refused refused\n";
  std::string rest;
  for (char const* const length : {"301", "302", "1000", "4096", "301"}) {
    rest += length + refused;
  }
  rest += "0 failures\n";
  EXPECT_EQ(run({"bad_long_name"}).out, "300" + refused + rest);

  std::string const directory = std::string(99, 'a') + "/" + std::string(99, 'b');
  std::string const longest = directory + "/" + std::string(100, 'c');
  std::filesystem::create_directories(folder_ / directory);
  folder_.write(longest, "found");
  folder_.write(longest + "c", "not to be found");
  EXPECT_EQ(run({"bad_long_name"}, {"-f", longest}).out,
            "300 bytes: read opened opened, write opened opened\n" + rest);
  EXPECT_EQ(content(longest), "found");
  EXPECT_EQ(run({"bad_long_name"}, {"-f", longest + "c"}).out, "300" + refused + rest);
}

TEST_F(Guests, DescriptorsAndFilesAreLimited) {
  PORTICO_REQUIRES(kvm);
  Result const descriptors = run({"bad_descriptors"});
  EXPECT_EQ(descriptors.out,
            "10000 descriptors are open, all distinct\n"
            "10000 offsets are right\n"
            "16384 descriptors are open, and no more can be\n"
            "16384 were closed\n"
            "0 were closed twice\n"
            "one can be opened again: yes\n");
  EXPECT_EQ(descriptors.status, 0);
  Result const files = run({"bad_files"});
  EXPECT_EQ(files.out,
            "64 files are open for writing, and no more can be\n"
            "64 can be read back\n"
            "one that is there can be written again: yes\n");
  EXPECT_EQ(files.status, 0);
}

TEST_F(Guests, BadOnesAllTogetherHarmNobody) {
  PORTICO_REQUIRES(kvm);
  folder_.write("source.bin", noise(1024 * 1024));
  Result const result =
      run({"bad_garbage", "bad_flood", "bad_triple_fault", "bad_names", "bad_spin", "bad_files",
           "bad_ports", "bad_wild_memory", "copy_blocks"},
          {"-f", "source.bin", "--prefix", "--timeout", std::to_string(15 * time_scale())}, {},
          {"-m", "4", "-p", "4"});
  EXPECT_EQ(result.status, 1);
  for (unsigned const guest : {0u, 3u, 6u, 7u}) {
    EXPECT_TRUE(said_by(guest, result.out).ends_with("0 failures")) << guest;
  }
  EXPECT_TRUE(contains(said_by(5, result.out), "64 can be read back"));
  EXPECT_TRUE(said_by(8, result.out).starts_with("copied 1048576 bytes"));
  EXPECT_TRUE(content("copy.bin.local8") == noise(1024 * 1024));
}

}  // namespace
}  // namespace portico::test
