// Kernels of a few KiB, started by each boot protocol: they print what they were given.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <portico/boot/elf_image.hpp>
#include <portico/boot/multiboot_kernel.hpp>
#include <portico/boot/pvh_kernel.hpp>
#include <portico/machine/booting.hpp>
#include <portico/portico.hpp>

#include "support/requires.hpp"

namespace portico {
namespace {

struct Console {
  void write(std::uint8_t byte) { text += static_cast<char>(byte); }

  std::string text{};
};

using Board = DeviceMap<Port<0xE9, Console>>;

std::string guest(std::string_view name) {
  char const* const folder = std::getenv("PORTICO_GUESTS");
  return std::string{folder == nullptr ? "guest" : folder} + "/kernel/" + std::string{name};
}

/// A file with contents, gone at the end.
class File {
 public:
  explicit File(std::string_view contents) {
    int const fd = ::mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    EXPECT_EQ(::write(fd, contents.data(), contents.size()), static_cast<ssize_t>(contents.size()));
    ::close(fd);
  }

  File(File const&) = delete;
  File& operator=(File const&) = delete;

  ~File() { ::unlink(path_.c_str()); }

  [[nodiscard]] std::string const& path() const { return path_; }

 private:
  std::string path_ = "/tmp/portico-boot-XXXXXX";
};

/// All that an image prints until it halts.
template <class Image>
std::string output_of(Image const& image, std::uint64_t ram = 8 * MiB) {
  Machine machine{GuestMemory{ram}, Board{Console{}}};
  machine.load(image);
  Stop const stop = machine.run();
  EXPECT_TRUE(std::holds_alternative<Halted>(stop)) << describe(stop);
  return machine.template get<Console>().text;
}

constexpr std::string_view map_of_8_mib =
    "map 0x0 0x9fc00 0x1\n"
    "map 0x9fc00 0x400 0x2\n"
    "map 0xe0000 0x20000 0x2\n"
    "map 0x100000 0x700000 0x1\n";

std::string multiboot_text(std::string const& module) {
  return "multiboot\nimage is whole\nflags 0x24d\nlower 0x27f upper 0x1c00\n"
         "command line: root=here quiet\nloader: Portico\n"
         "module first: one\nmodule " +
         module + ": two two\n" + std::string{map_of_8_mib};
}

TEST(Boot, MultibootKernelsAreToldAboutModulesMemoryAndArguments) {
  PORTICO_REQUIRES(kvm);
  File const one{"one"};
  File const two{"two two"};
  for (char const* kernel : {"multiboot.kernel", "addresses.kernel"}) {
    MultibootKernel const image{
        guest(kernel),
        {.command_line = "root=here quiet", .modules = {{one.path(), "first"}, {two.path()}}}};
    EXPECT_EQ(image.header().placement().has_value(), std::string_view{kernel}[0] == 'a');
    EXPECT_EQ(output_of(image), multiboot_text(two.path())) << kernel;
  }
}

TEST(Boot, AKernelWithAPvhEntryIsToldTheSame) {
  PORTICO_REQUIRES(kvm);
  File const initrd{"files"};
  PvhKernel const image{guest("multiboot.kernel"),
                        {.initrd = initrd.path(), .command_line = "console=none"}};
  EXPECT_EQ(output_of(image), "pvh\nimage is whole\ncommand line: console=none\nmodule : files\n" +
                                  std::string{map_of_8_mib} + "tables: yes\n");
}

TEST(Boot, AnElf64ExecutableStartsInLongModeWithAStack) {
  PORTICO_REQUIRES(kvm);
  EXPECT_EQ(output_of(ElfImage{guest("elf64.kernel")}), "image is whole\nstack 0x800000\n");
  EXPECT_EQ(output_of(ElfImage{guest("elf64.kernel"), {.stack = 0x9'0000}}),
            "image is whole\nstack 0x90000\n");
}

TEST(Boot, AnElf32ExecutableStartsInProtectedMode) {
  PORTICO_REQUIRES(kvm);
  // Entered as a plain executable, this kernel says that nobody gave it what Multiboot does.
  std::string const text = output_of(ElfImage{guest("multiboot.kernel")});
  EXPECT_EQ(text.substr(0, text.find('\n')), "multiboot with a wrong magic number");
}

TEST(Boot, RamAboveTheHoleIsInTheMap) {
  PORTICO_REQUIRES(kvm);
  struct Device {
    void write(std::uint32_t) {}
  };
  using HighBoard = DeviceMap<Port<0xE9, Console>, Mmio<0x60'0000, Device>>;
  Machine machine{GuestMemory{8 * MiB}, HighBoard{Console{}, Device{}}};
  machine.load(MultibootKernel{guest("multiboot.kernel")});
  EXPECT_TRUE(std::holds_alternative<Halted>(machine.run()));
  std::string const& text = machine.get<Console>().text;
  EXPECT_NE(text.find("map 0x100000 0x500000 0x1\nmap 0x100000000 0x200000 0x1\n"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace portico
